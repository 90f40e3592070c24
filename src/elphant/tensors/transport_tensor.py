"""Second-rank transport tensors that carry their unit and their frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal.frame import AXES, Frame

#: Voigt order of phono3py: xx, yy, zz, yz, xz, xy.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransportTensor:
    """A real 3x3 tensor in the working (input Cartesian) frame.

    Attributes
    ----------
    values : ndarray, (3, 3)
        Cartesian components.
    unit : str
        Unit of the components, for example ``W m^-1 K^-1``.
    frame : Frame
        The frame the components refer to.
    """

    values: NDArray[np.float64]
    unit: str
    frame: Frame

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", checked_array("values", self.values, (3, 3)))

    @classmethod
    def from_voigt(cls, components: ArrayLike, unit: str, frame: Frame) -> TransportTensor:
        """Build a tensor from phono3py's order xx, yy, zz, yz, xz, xy."""
        return cls(values=voigt_to_matrix(components), unit=unit, frame=frame)

    def along(self, direction: ArrayLike) -> float:
        """Return n·T·n for a Cartesian ``direction`` (normalised here)."""
        n = np.asarray(direction, dtype=float)
        return float(n @ self.values @ n / (n @ n))

    def along_axes(self) -> dict[str, float]:
        """Return the values along the unit vectors of the user's a, b and c."""
        return {
            name: self.along(vector)
            for name, vector in zip(AXES, self.frame.axis_directions, strict=True)
        }

    def along_reciprocal_axes(self) -> dict[str, float]:
        """Return the values along a*, b* and c* (the normals of the cell faces)."""
        return {
            f"{name}*": self.along(vector)
            for name, vector in zip(AXES, self.frame.reciprocal_directions, strict=True)
        }

    def principal(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return principal values, largest first, and their axes as Cartesian unit rows."""
        values, vectors = np.linalg.eigh(0.5 * (self.values + self.values.T))
        order = np.argsort(values)[::-1]
        axes = vectors.T[order]
        # The sign of an axis is free; make its largest component positive.
        signs = np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])
        return values[order], axes * signs[:, None]

    def symmetrized(self, rotations: ArrayLike) -> tuple[TransportTensor, float]:
        """Average over the point group and return the tensor and its residual.

        .. math:: T_s = \\frac{1}{|G|} \\sum_{R \\in G} R\\, T\\, R^T

        Parameters
        ----------
        rotations : array_like, (n_ops, 3, 3)
            Cartesian point operations (:meth:`elphant.crystal.Symmetry.cartesian_rotations`).

        Returns
        -------
        TransportTensor
        residual : float
            ``|T - T_s| / |T|`` in the Frobenius norm; zero for a zero tensor.
        """
        operations = np.asarray(rotations, dtype=float)
        mean = np.einsum("rij,jk,rlk->il", operations, self.values, operations) / len(operations)
        size = np.linalg.norm(self.values)
        residual = float(np.linalg.norm(self.values - mean) / size) if size > 0 else 0.0
        return TransportTensor(values=mean, unit=self.unit, frame=self.frame), residual

    def rotated(self, rotation: ArrayLike, frame: Frame) -> TransportTensor:
        """Return ``R T R^T`` expressed in ``frame``, the frame of the rotated crystal."""
        matrix = np.asarray(rotation, dtype=float)
        return TransportTensor(values=matrix @ self.values @ matrix.T, unit=self.unit, frame=frame)

    def to_dict(self) -> dict[str, Any]:
        """Return the tensor in three frames, as in ``results.json``."""
        values, axes = self.principal()
        return {
            "cartesian": self.values.tolist(),
            "axes": self.along_axes(),
            "reciprocal_axes": self.along_reciprocal_axes(),
            "principal": {
                "values": values.tolist(),
                "axes": axes.tolist(),
                "labels": [self.frame.direction_label(axis) for axis in axes],
            },
            "unit": self.unit,
        }


def voigt_to_matrix(components: ArrayLike) -> NDArray[np.float64]:
    """Return (..., 3, 3) symmetric matrices of (..., 6) components xx, yy, zz, yz, xz, xy."""
    voigt = np.asarray(components, dtype=float)
    matrix = np.empty((*voigt.shape[:-1], 3, 3))
    for position, (i, j) in enumerate(VOIGT):
        matrix[..., i, j] = matrix[..., j, i] = voigt[..., position]
    return matrix


def matrix_to_voigt(matrices: ArrayLike) -> NDArray[np.float64]:
    """Return (..., 6) components xx, yy, zz, yz, xz, xy of (..., 3, 3) symmetric matrices."""
    values = np.asarray(matrices, dtype=float)
    return np.stack([values[..., i, j] for i, j in VOIGT], axis=-1)
