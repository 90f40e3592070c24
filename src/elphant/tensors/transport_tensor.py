"""Second-rank transport tensors that carry their unit and their frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal.frame import AXES, Frame
from elphant.crystal.pickling import through_constructor

#: Principal values closer than this share of the largest count as equal.
DEGENERACY = 1e-6

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
        """Return n·T·n for a Cartesian ``direction`` (normalised here).

        Raises
        ------
        ValueError
            If the direction is the zero vector.
        """
        n = checked_array("direction", direction, (3,))
        if not n.any():
            raise ValueError("direction is the zero vector")
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
        """Return principal values, largest first, and their axes as Cartesian unit rows.

        Equal values leave the axes in their plane (or in space) free: there the axes are taken
        along the crystal axes a, b, c as far as these lie in it, so that they do not depend on
        round-off. Antisymmetric parts are left out.
        """
        values, vectors = np.linalg.eigh(0.5 * (self.values + self.values.T))
        values, axes = values[::-1], vectors.T[::-1].copy()
        start = 0
        for end in range(1, 4):
            if end < 3 and values[start] - values[end] <= DEGENERACY * np.abs(values).max():
                continue
            if end - start > 1:
                axes[start:end] = _aligned_basis(axes[start:end], self.frame.axis_directions)
            start = end
        # The sign of an axis is free; make its largest component positive.
        signs = np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])
        return values, axes * signs[:, None]

    def symmetrized(self, rotations: ArrayLike) -> tuple[TransportTensor, float]:
        r"""Average over the point group and return the tensor and its residual.

        .. math:: T_s = \frac{1}{|G|} \sum_{R \in G} R\, T\, R^T

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
        operations = checked_array("rotations", rotations, (None, 3, 3))
        mean = np.einsum("rij,jk,rlk->il", operations, self.values, operations) / len(operations)
        size = np.linalg.norm(self.values)
        residual = float(np.linalg.norm(self.values - mean) / size) if size > 0 else 0.0
        return TransportTensor(values=mean, unit=self.unit, frame=self.frame), residual

    def rotated(self, rotation: ArrayLike, frame: Frame) -> TransportTensor:
        """Return ``R T R^T`` expressed in ``frame``, the frame of the rotated crystal."""
        matrix = np.asarray(rotation, dtype=float)
        return TransportTensor(values=matrix @ self.values @ matrix.T, unit=self.unit, frame=frame)

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return through_constructor(self)

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


def _aligned_basis(
    basis: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an orthonormal basis (n, 3) of the span of ``basis`` along ``directions``.

    Gram-Schmidt on the projections of the directions, each time the one that lies best inside.
    """
    aligned: list[NDArray[np.float64]] = []
    inside = directions @ basis.T @ basis
    for _ in basis:
        lengths = np.linalg.norm(inside, axis=1)
        # Rounding makes the first of equally good directions win.
        best = int(np.argmax(np.round(lengths, 6)))
        aligned.append(inside[best] / lengths[best])
        inside = inside - np.outer(inside @ aligned[-1], aligned[-1])
    return np.array(aligned)


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
