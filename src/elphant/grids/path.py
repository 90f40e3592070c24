"""Band paths between labelled points, in the reciprocal lattice of the user's own cell.

Labels and paths follow Y. Hinuma, G. Pizzi, Y. Kumagai, F. Oba and I. Tanaka, Comput. Mater. Sci.
128, 140 (2017), through seekpath. Coordinates are transformed back to the user's cell; taken over
unchanged from seekpath's standard cell they would name other directions in settings such as Pbnm.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal

#: Symmetry tolerance (Å) for recognising the lattice type.
DEFAULT_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HighSymmetryPath:
    """A path through the Brillouin zone.

    Attributes
    ----------
    points : dict of str to tuple
        Coordinates of each label in the reciprocal lattice of the user's cell.
    legs : tuple of (str, str)
        Start and end label of each straight piece. A leg that does not start where the previous
        one ended begins a new panel.
    bravais : str
        Extended Bravais symbol.
    """

    points: dict[str, tuple[float, float, float]]
    legs: tuple[tuple[str, str], ...]
    bravais: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledPath:
    """q points along a path.

    Attributes
    ----------
    distance : ndarray, (n_points,) Å⁻¹
        Length along the path, 2π included; jumps between panels have no length.
    q_point : ndarray, (n_points, 3)
        Fractional coordinates in the user's reciprocal lattice.
    leg_start : ndarray of int, (n_legs,)
        Index of the first point of each leg; both ends of a leg are included, so a shared corner
        occurs twice.
    label_distance : ndarray, (n_labels,) Å⁻¹
    label : tuple of str
        Labels, joined with ``|`` where two panels meet.
    """

    distance: NDArray[np.float64]
    q_point: NDArray[np.float64]
    leg_start: NDArray[np.int64]
    label_distance: NDArray[np.float64]
    label: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.distance)
        for name, shape, dtype in (
            ("distance", (n,), float),
            ("q_point", (n, 3), float),
            ("leg_start", (None,), int),
            ("label_distance", (len(self.label),), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))


def high_symmetry_path(
    crystal: Crystal, *, tolerance: float = DEFAULT_TOLERANCE
) -> HighSymmetryPath:
    """Return the standard path of a crystal in its own cell."""
    import seekpath

    cell = (crystal.lattice, crystal.fractional, crystal.numbers)
    with warnings.catch_warnings():
        # seekpath warns about supercells (the path is that of the primitive cell, as wanted) and
        # about lattices on the border of two types.
        warnings.simplefilter("ignore")
        record = seekpath.get_path_orig_cell(cell, symprec=tolerance)
    points = {
        # Rounding makes Γ exactly zero, where the direction of the correction is looked at.
        _label(name): (round(float(q[0]), 12), round(float(q[1]), 12), round(float(q[2]), 12))
        for name, q in record["point_coords"].items()
    }
    return HighSymmetryPath(
        points=points,
        legs=tuple((_label(start), _label(end)) for start, end in record["path"]),
        bravais=str(record["bravais_lattice_extended"]),
    )


def sample_path(path: HighSymmetryPath, crystal: Crystal, points_per_leg: int = 50) -> SampledPath:
    """Return equally spaced points along a path, about ``points_per_leg`` on an average leg."""
    reciprocal = 2.0 * np.pi * np.linalg.inv(crystal.lattice).T
    ends = [(np.array(path.points[a]), np.array(path.points[b])) for a, b in path.legs]
    lengths = [float(np.linalg.norm((end - start) @ reciprocal)) for start, end in ends]
    step = float(np.mean(lengths)) / points_per_leg
    q_points, distances, starts = [], [], []
    ticks: list[tuple[float, str]] = []
    travelled, n_points = 0.0, 0
    for (start_label, end_label), (start, end), length in zip(
        path.legs, ends, lengths, strict=True
    ):
        fraction = np.linspace(0.0, 1.0, max(2, round(length / step) + 1))
        q_points.append(start + fraction[:, None] * (end - start))
        distances.append(travelled + fraction * length)
        starts.append(n_points)
        n_points += len(fraction)
        if not ticks:
            ticks.append((travelled, start_label))
        elif ticks[-1][1] != start_label:
            ticks[-1] = (travelled, f"{ticks[-1][1]}|{start_label}")
        travelled += length
        ticks.append((travelled, end_label))
    return SampledPath(
        distance=np.concatenate(distances),
        q_point=np.concatenate(q_points),
        leg_start=np.array(starts),
        label_distance=np.array([position for position, _ in ticks]),
        label=tuple(label for _, label in ticks),
    )


def _label(name: str) -> str:
    """Return the label as printed: Γ for GAMMA, subscripts without the underscore."""
    return (
        name.replace("GAMMA", "Γ")
        .replace("SIGMA", "Σ")
        .replace("DELTA", "Δ")
        .replace("LAMBDA", "Λ")
        .replace("_", "")
    )
