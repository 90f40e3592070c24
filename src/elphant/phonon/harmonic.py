"""Harmonic phonons: frequencies, bands, density of states, and checks of the force constants.

Imaginary frequencies are negative numbers in THz everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.errors import PhysicsError
from elphant.grids.path import high_symmetry_path, sample_path
from elphant.phonon.displacement import DisplacementPlan
from elphant.phonon.fitting import fit_force_constants
from elphant.phonon.force_constants import ForceConstants
from elphant.quality import QualityFlag, check_below

Array = NDArray[np.float64]

#: A mode below minus this frequency (THz) counts as imaginary.
IMAGINARY_LIMIT = 0.05

#: Largest difference (THz) between Γ frequencies of the supercell and of the unit cell.
GAMMA_LIMIT = 0.05

#: A crystal whose highest frequency (THz) is below this is held together by nothing.
LOWEST_MAXIMUM = 1e-2

#: Largest acoustic frequency (THz) at Γ.
ACOUSTIC_LIMIT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandStructure:
    """Frequencies along a path.

    Attributes
    ----------
    distance : ndarray, (n_points,) Å⁻¹
        2π included.
    q_point : ndarray, (n_points, 3)
        Fractional coordinates in the reciprocal lattice of the user's cell.
    frequency : ndarray, (n_points, n_modes) THz
        Ascending at each point. Next to Γ on a leg, the non-analytical correction is that of the
        leg's own direction.
    label_distance : ndarray, (n_labels,) Å⁻¹
    label : tuple of str
    segment_start : ndarray of int, (n_segments,)
        Index of the first point of each straight leg.
    """

    distance: Array
    q_point: Array
    frequency: Array
    label_distance: Array
    label: tuple[str, ...]
    segment_start: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.distance)
        for name, shape, dtype in (
            ("distance", (n,), float),
            ("q_point", (n, 3), float),
            ("frequency", (n, None), float),
            ("label_distance", (len(self.label),), float),
            ("segment_start", (None,), int),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityOfStates:
    """Phonon density of states per primitive cell.

    Attributes
    ----------
    frequency : ndarray, (n_f,) THz
    total : ndarray, (n_f,) states/THz per primitive cell
        Integrates to the number of modes.
    by_element : dict of str to ndarray, (n_f,)
        Contribution of each element, weighted with the squared eigenvectors.
    """

    frequency: Array
    total: Array
    by_element: dict[str, Array]

    def __post_init__(self) -> None:
        n = len(self.frequency)
        for name in ("frequency", "total"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), (n,)))
        by_element = {key: checked_array(key, v, (n,)) for key, v in self.by_element.items()}
        object.__setattr__(self, "by_element", by_element)


@dataclass(slots=True, eq=False)
class HarmonicSolver:
    """Frequencies and eigenvectors of one set of force constants.

    Keeps the phonopy object, whose construction costs more than a few q points.
    """

    force_constants: ForceConstants
    _phonopy: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from elphant.phonon.adapters.phonopy_adapter import phonopy_from

        self._phonopy = phonopy_from(self.force_constants)

    @property
    def n_modes(self) -> int:
        """Number of branches: three per atom of the primitive cell."""
        return 3 * len(self._phonopy.primitive)

    @property
    def primitive_symbols(self) -> tuple[str, ...]:
        """Chemical symbols of the atoms of the primitive cell, in eigenvector order."""
        return tuple(self._phonopy.primitive.symbols)

    def frequencies(self, q_points: ArrayLike, *, direction: ArrayLike | None = None) -> Array:
        """Return frequencies, (n_q, n_modes) THz.

        Parameters
        ----------
        q_points : (n_q, 3) array
            Fractional coordinates in the reciprocal lattice of the user's cell.
        direction : (3,) array, optional
            Direction of q → 0 in the same coordinates: at Γ the non-analytical correction needs
            one, and is left out without it.
        """
        frequencies: Array = self._run(q_points, direction=direction)[0]
        return frequencies

    def eigenvectors(
        self, q_points: ArrayLike, *, direction: ArrayLike | None = None
    ) -> tuple[Array, NDArray[np.complex128]]:
        """Return frequencies and eigenvectors (n_q, 3 n_atoms, n_modes), phase of positions."""
        frequencies, vectors, _ = self._run(q_points, direction=direction, eigenvectors=True)
        return frequencies, vectors

    def group_velocities(self, q_points: ArrayLike) -> tuple[Array, Array]:
        """Return frequencies and group velocities (n_q, n_modes, 3) Å THz, Cartesian."""
        frequencies, _, velocities = self._run(q_points, group_velocities=True)
        return frequencies, velocities

    def on_mesh(self, mesh: Sequence[int]) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return q points (reciprocal primitive cell), frequencies and weights of a mesh."""
        from elphant.phonon.adapters.phonopy_adapter import run_mesh

        q_points, frequencies, weights, _ = run_mesh(self._phonopy, mesh)
        return q_points, frequencies, weights

    def element_weights(
        self, mesh: Sequence[int]
    ) -> tuple[Array, NDArray[np.int64], dict[str, Array]]:
        """Return frequencies, weights, and the share of each element in every mode of a mesh.

        Symmetry carries atoms to atoms of the same element, so that these shares (not those of
        single atoms) are equal on equivalent points and the reduced mesh suffices.
        """
        from elphant.phonon.adapters.phonopy_adapter import run_mesh

        _, frequencies, weights, vectors = run_mesh(self._phonopy, mesh, eigenvectors=True)
        assert vectors is not None
        n_q, n_modes = frequencies.shape
        by_atom = (np.abs(vectors) ** 2).reshape(n_q, n_modes // 3, 3, n_modes).sum(axis=2)
        symbols = np.array(self.primitive_symbols)
        return (
            frequencies,
            weights,
            {
                symbol: by_atom[:, symbols == symbol].sum(axis=1)
                for symbol in dict.fromkeys(self.primitive_symbols)
            },
        )

    def _run(self, q_points: ArrayLike, *, direction: Any = None, **options: bool) -> Any:
        from elphant.phonon.adapters.phonopy_adapter import run_q_points, to_primitive_q

        if direction is not None:
            direction = to_primitive_q(self._phonopy, direction)[0]
        return run_q_points(
            self._phonopy,
            to_primitive_q(self._phonopy, q_points),
            nac_direction=direction,
            **options,
        )


def band_structure(
    force_constants: ForceConstants, symmetry: Symmetry, *, n_points: int = 50
) -> BandStructure:
    """Return the bands along the standard path, with labels valid in the user's own cell.

    Parameters
    ----------
    force_constants, symmetry
        Force constants and the space group of their unit cell.
    n_points : int
        Points on a leg of average length; all legs share one spacing.
    """
    crystal = force_constants.unitcell
    path = high_symmetry_path(crystal, tolerance=symmetry.tolerance)
    sampled = sample_path(path, crystal, n_points)
    solver = HarmonicSolver(force_constants)
    bounds = [*sampled.leg_start.tolist(), len(sampled.distance)]
    frequency = np.concatenate(
        [
            # Each leg on its own: the limit of the correction at Γ depends on its direction.
            solver.frequencies(q, direction=q[-1] - q[0])
            for q in (sampled.q_point[a:b] for a, b in pairwise(bounds))
        ]
    )
    return BandStructure(
        distance=sampled.distance,
        q_point=sampled.q_point,
        frequency=frequency,
        label_distance=sampled.label_distance,
        label=sampled.label,
        segment_start=sampled.leg_start,
    )


def density_of_states(
    force_constants: ForceConstants,
    mesh: Sequence[int],
    *,
    n_frequencies: int = 401,
    sigma_thz: float | None = None,
) -> DensityOfStates:
    """Return total and element-projected density of states on a Γ-centred primitive mesh.

    ``g(f) = sum_q w_q sum_s exp(-(f - f_qs)²/2σ²)/(σ sqrt(2π)) / sum_q w_q``.

    Parameters
    ----------
    force_constants : ForceConstants
    mesh : three int
        Mesh of the primitive reciprocal cell.
    n_frequencies : int
        Points on the frequency axis.
    sigma_thz : float, optional
        Standard deviation of the Gaussians; 1 % of the highest frequency when left out.

    Raises
    ------
    PhysicsError
        If no frequency is above zero: nothing holds the atoms in place.
    """
    frequencies, weights, shares = HarmonicSolver(force_constants).element_weights(mesh)
    low, high = float(frequencies.min()), float(frequencies.max())
    if high < LOWEST_MAXIMUM:
        raise PhysicsError(
            f"the highest phonon frequency is {high:.3g} THz.",
            "No restoring force acts on any atom, so this is no crystal for this potential.",
            "Check the lengths of the cell (Å), the parameters of the potential and its elements.",
        )
    sigma = sigma_thz if sigma_thz is not None else 0.01 * max(abs(high), abs(low))
    # Five widths beyond the spectrum hold the whole integral to 1e-6.
    axis = np.linspace(low - 5 * sigma, high + 5 * sigma, n_frequencies)
    norm = sigma * np.sqrt(2.0 * np.pi) * weights.sum()
    by_element = {symbol: np.zeros(n_frequencies) for symbol in shares}
    for iq, weight in enumerate(weights):
        gaussians = np.exp(-0.5 * ((axis[:, None] - frequencies[iq]) / sigma) ** 2)
        for symbol, share in shares.items():
            by_element[symbol] += weight / norm * (gaussians @ share[iq])
    return DensityOfStates(
        frequency=axis,
        total=np.sum(list(by_element.values()), axis=0),
        by_element=by_element,
    )


def gamma_frequencies(
    force_constants: ForceConstants, *, direction: ArrayLike | None = None
) -> Array:
    """Return all frequencies at Γ, (n_modes,) THz, ascending, acoustic ones included.

    ``direction`` (reciprocal lattice of the user's cell) switches the non-analytical correction on.
    """
    frequencies = HarmonicSolver(force_constants).frequencies([[0, 0, 0]], direction=direction)
    return np.asarray(frequencies[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSummary:
    """Range of the frequencies on a mesh.

    Attributes
    ----------
    mesh : tuple of int, (3,)
    minimum, maximum : float, THz
        Imaginary frequencies are negative.
    n_imaginary, n_modes : int
        Modes of the whole mesh below minus :data:`IMAGINARY_LIMIT`, and all of them.
    """

    mesh: tuple[int, int, int]
    minimum: float
    maximum: float
    n_imaginary: int
    n_modes: int

    @property
    def imaginary_fraction(self) -> float:
        """Share of imaginary modes."""
        return self.n_imaginary / self.n_modes


def summarize_mesh(force_constants: ForceConstants, mesh: Sequence[int]) -> MeshSummary:
    """Return the range of the frequencies on a Γ-centred primitive mesh."""
    _, frequencies, weights = HarmonicSolver(force_constants).on_mesh(mesh)
    n_a, n_b, n_c = (int(n) for n in mesh)
    return MeshSummary(
        mesh=(n_a, n_b, n_c),
        minimum=float(frequencies.min()),
        maximum=float(frequencies.max()),
        n_imaginary=int(((frequencies < -IMAGINARY_LIMIT).sum(axis=1) * weights).sum()),
        n_modes=int(weights.sum()) * frequencies.shape[1],
    )


def harmonic_checks(force_constants: ForceConstants, summary: MeshSummary) -> list[QualityFlag]:
    """Return flags for imaginary modes on a mesh and for the acoustic modes at Γ."""
    acoustic = np.sort(np.abs(gamma_frequencies(force_constants)))[:3]
    shape = "x".join(str(n) for n in summary.mesh)
    return [
        check_below(
            "imaginary_modes",
            summary.imaginary_fraction,
            0.0,
            f"{summary.n_imaginary} of {summary.n_modes} modes on a {shape} mesh lie below "
            f"-{IMAGINARY_LIMIT:g} THz; lowest frequency {summary.minimum:.3f} THz",
        ),
        check_below(
            "acoustic_sum_rule_frequencies",
            float(acoustic.max()),
            ACOUSTIC_LIMIT,
            f"acoustic modes at Γ lie within {acoustic.max():.1g} THz of zero",
        ),
    ]


def unit_cell_gamma(plan: DisplacementPlan, forces: Array) -> Array:
    """Return the Γ frequencies (THz) of a unit-cell plan and its forces.

    Parameters
    ----------
    plan : DisplacementPlan
        From :func:`~elphant.phonon.displacement.plan_gamma_check`.
    forces : ndarray, (n_snapshots + 1, n_atoms, 3) eV/Å
    """
    force_constants, _ = fit_force_constants(plan.unitcell, [plan], [forces])
    return gamma_frequencies(force_constants)


def compare_gamma(
    supercell_fc: ForceConstants, unitcell_frequencies: ArrayLike, *, limit: float = GAMMA_LIMIT
) -> QualityFlag:
    """Return a flag with the largest difference between two sets of Γ frequencies.

    A displacement of the unit cell moves all images at once, so its Γ frequencies are exact for a
    periodic potential of any range. A supercell sums the same force constants over its images and
    must agree; residual forces or bad fits do not.
    """
    ours = gamma_frequencies(supercell_fc)
    theirs = np.sort(np.asarray(unitcell_frequencies, dtype=float))
    if theirs.shape != ours.shape:
        raise ValueError(f"{theirs.shape} unit-cell frequencies compared with {ours.shape}")
    differences = np.abs(ours - theirs)
    worst = int(np.argmax(differences))
    return check_below(
        "gamma_supercell_vs_unit_cell",
        float(differences[worst]),
        limit,
        f"Γ frequencies of supercell and unit cell differ by at most {differences[worst]:.3f} THz "
        f"({ours[worst]:.3f} and {theirs[worst]:.3f} THz)",
    )
