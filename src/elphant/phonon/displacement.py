"""Which supercells to evaluate: displacement designs for force constants of order 2 to 4.

Random designs come in opposite pairs ``u, -u``. The odd part ``(F(u) - F(-u))/2`` holds only
forces of even order in the energy (orders 2 and 4), the even part ``(F(u) + F(-u))/2 - F0`` only
those of order 3: the two fits decouple exactly, so that third-order terms beyond the cut-off do not
leak into order 2, nor fourth-order terms into order 3. A pair therefore gives each parity one set
of equations, and the number of pairs follows from the larger of the two counts of parameters.

One-atom finite differences take both signs wherever no site symmetry maps one onto the other,
because a one-sided difference keeps an error that is first order in the amplitude. There are no
finite differences of fourth order: they would take some hundred times as many supercells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal, Symmetry
from elphant.crystal.supercell import supercell_matrix
from elphant.errors import ConfigurationError
from elphant.phonon.canonical_order import canonical_order, from_standard_frame
from elphant.phonon.displacement_plan import DisplacementPlan

Array = NDArray[np.float64]
__all__ = ["DisplacementPlan", "DisplacementSettings", "plan_displacements", "plan_gamma_check"]

Method = Literal["auto", "finite-difference", "random"]

#: Fewest pairs of a random design that are fitted, whatever the count of parameters.
MINIMUM_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplacementSettings:
    """Options of the displacement designs.

    Attributes
    ----------
    method : {"auto", "finite-difference", "random"}
        ``auto``: finite differences, unless a random design with at least the same number of
        equations per parameter needs fewer atom evaluations; third order: random, unless finite
        differences need fewer.
    orders : tuple of int
        ``(2,)``, ``(2, 3)`` or ``(2, 3, 4)``.
    amplitude_second, amplitude_third, amplitude_fourth : float, Å
        Length of each atom's displacement; the last one for both higher orders when the fourth is
        wanted.
    length_second, length_third : float or (a, b, c), Å
        Wanted distance between periodic images along each axis of the conventional cell.
    cutoff_third : float or None, Å
        Triplets with a pair farther apart carry no third-order force constant; None keeps all.
    cutoff_fourth : float or None, Å
        The same for quartets.
    oversampling, oversampling_fourth : float
        Equations per free parameter of a random design, at least 1; the second one for orders 2
        and 4 together.
    held_out_fraction : float
        Share of additional snapshots that are not fitted but predicted, to measure the error.
    seed : int
        Seed of the random directions.
    max_finite_difference : int
        Most snapshots that ``auto`` accepts for third-order finite differences.
    """

    method: Method = "auto"
    orders: tuple[int, ...] = (2, 3)
    amplitude_second: float = 0.02
    amplitude_third: float = 0.03
    amplitude_fourth: float = 0.08
    length_second: float | tuple[float, float, float] = 15.0
    length_third: float | tuple[float, float, float] = 10.8
    cutoff_third: float | None = 5.0
    cutoff_fourth: float | None = 3.5
    oversampling: float = 3.0
    oversampling_fourth: float = 3.0
    held_out_fraction: float = 0.1
    seed: int = 0
    max_finite_difference: int = 500

    def __post_init__(self) -> None:
        orders = tuple(self.orders)
        problems = [
            (self.method not in ("auto", "finite-difference", "random"), "method"),
            (orders not in ((2,), (2, 3), (2, 3, 4)), "orders"),
            (not 0 <= self.held_out_fraction < 1, "held_out_fraction"),
        ]
        problems += [
            (getattr(self, name) <= 0, name)
            for name in ("amplitude_second", "amplitude_third", "amplitude_fourth")
        ]
        problems += [
            (getattr(self, name) is not None and getattr(self, name) <= 0, name)
            for name in ("cutoff_third", "cutoff_fourth")
        ]
        problems += [
            (getattr(self, name) < 1, name) for name in ("oversampling", "oversampling_fourth")
        ]
        for wrong, name in problems:
            if wrong:
                raise ConfigurationError(
                    f"displacement setting {name} = {getattr(self, name)!r} is out of range.",
                    "Amplitudes and cut-offs are positive lengths in Å, oversampling is at least "
                    "1, the held-out share lies in [0, 1) and orders are (2,), (2, 3) or "
                    "(2, 3, 4).",
                    f"Correct {name}.",
                )
        if 4 in orders and self.method == "finite-difference":
            raise ConfigurationError(
                "the fourth order has no finite-difference design (method = 'finite-difference').",
                "It would take some hundred times as many supercells as random displacements.",
                "Set method to 'auto' or 'random', or orders to (2, 3).",
            )


def plan_displacements(
    crystal: Crystal, symmetry: Symmetry, settings: DisplacementSettings
) -> list[DisplacementPlan]:
    """Return the supercells to evaluate, second order first.

    When the third-order supercell is at least as large as the second-order one, a single plan
    labelled ``third`` serves all orders. It also holds the fourth order when that is wanted.

    Raises
    ------
    ConfigurationError
        If a length is not positive.
    ResourceError
        If the fit would need more memory than this machine has.
    """
    # The one place where the row convention of elphant becomes phonopy's column convention.
    second = supercell_matrix(crystal, symmetry, settings.length_second).T
    if 3 not in settings.orders:
        return [_plan_second(_Design.of(crystal, second, symmetry), settings)]
    third = supercell_matrix(crystal, symmetry, settings.length_third).T
    plan_higher = _plan_fourth if 4 in settings.orders else _plan_third
    plan = plan_higher(_Design.of(crystal, third, symmetry), settings)
    if _contains(third, second):
        return [plan]
    return [_plan_second(_Design.of(crystal, second, symmetry), settings), plan]


def plan_gamma_check(
    crystal: Crystal, symmetry: Symmetry, amplitude: float = 0.02
) -> DisplacementPlan:
    """Return one-atom displacements of the unit cell itself.

    All images move together, which is a displacement pattern of q = 0: the frequencies at Γ are
    exact whatever the range of the potential, and check those of the supercell.
    """
    design = _Design.of(crystal, np.eye(3, dtype=int), symmetry)
    displacements = design.one_atom(amplitude)
    return design.plan(
        label="unit_cell",
        method="finite-difference",
        displacements=displacements,
        orders=(2,),
        n_parameters=design.count({2: None}),
        n_equation_sets={2: _independent(displacements)},
        amplitude=amplitude,
    )


@dataclass(frozen=True, slots=True)
class _Design:
    """A supercell for which displacements are being designed."""

    unitcell: Crystal
    phonopy: Any
    supercell: Crystal
    symmetry: Symmetry

    @classmethod
    def of(cls, crystal: Crystal, matrix: NDArray[np.int64], symmetry: Symmetry) -> _Design:
        from elphant.phonon.adapters.phonopy_adapter import build_phonopy, from_phonopy_atoms

        phonopy = build_phonopy(crystal, matrix, tolerance=symmetry.tolerance)
        return cls(crystal, phonopy, from_phonopy_atoms(phonopy.supercell), symmetry)

    @property
    def tolerance(self) -> float:
        return self.symmetry.tolerance

    def random(self, generator: np.random.Generator, count: int, amplitude: float) -> Array:
        """Return snapshots in which every atom moves by ``amplitude`` in a random direction.

        Drawn in the standard setting: the same pattern in whatever setting the crystal is given.
        """
        directions = generator.normal(size=(count, self.supercell.n_atoms, 3))
        directions *= amplitude / np.linalg.norm(directions, axis=2, keepdims=True)
        order = canonical_order(self.supercell, self.unitcell, self.symmetry)
        return from_standard_frame(directions, order, self.symmetry)

    def random_pairs(self, generator: np.random.Generator, count: int, amplitude: float) -> Array:
        """Return u, -u, u', -u', ..."""
        one_sided = self.random(generator, count, amplitude)
        pairs = np.stack([one_sided, -one_sided], axis=1)
        return np.asarray(pairs.reshape(-1, self.supercell.n_atoms, 3))

    def held_out(
        self,
        generator: np.random.Generator,
        settings: DisplacementSettings,
        n_pairs: int,
        amplitude: float,
    ) -> Array:
        """Return single random snapshots for testing: pairs would test each order twice."""
        if settings.held_out_fraction == 0:
            return np.zeros((0, self.supercell.n_atoms, 3))
        count = max(1, round(settings.held_out_fraction * 2 * n_pairs))
        return self.random(generator, count, amplitude)

    def count(self, cutoffs: Mapping[int, float | None]) -> dict[int, int]:
        from elphant.phonon.adapters.cluster_adapter import count_parameters

        return count_parameters(self.phonopy, cutoffs)

    def one_atom(self, amplitude: float) -> Array:
        from elphant.phonon.adapters.phonopy_adapter import systematic_displacements

        return systematic_displacements(self.phonopy, amplitude)

    def two_atoms(self, amplitude: float, cutoff: float | None) -> Array:
        from elphant.phonon.adapters.displacement_adapter import pair_displacements

        return pair_displacements(
            self.unitcell,
            np.array(self.phonopy.supercell_matrix),
            np.array(self.phonopy.primitive_matrix),
            amplitude=amplitude,
            cutoff=cutoff,
            tolerance=self.tolerance,
        )

    def plan(
        self,
        *,
        label: str,
        method: str,
        displacements: Array,
        orders: tuple[int, ...],
        n_parameters: dict[int, int],
        n_equation_sets: dict[int, int],
        amplitude: float,
        held_out: Array | None = None,
        cutoff_third: float | None = None,
        cutoff_fourth: float | None = None,
        seed: int = 0,
        reason: str = "",
    ) -> DisplacementPlan:
        """Return the plan; ``held_out`` displacements are appended at the end."""
        extra = np.zeros((0, self.supercell.n_atoms, 3)) if held_out is None else held_out
        first = len(displacements)
        return DisplacementPlan(
            label=label,
            method=method,
            unitcell=self.unitcell,
            primitive_matrix=np.array(self.phonopy.primitive_matrix),
            supercell_matrix=np.array(self.phonopy.supercell_matrix),
            supercell=self.supercell,
            displacements=np.concatenate([displacements, extra]),
            orders=orders,
            n_parameters=n_parameters,
            n_equation_sets=n_equation_sets,
            held_out=tuple(range(first, first + len(extra))),
            amplitude=amplitude,
            cutoff_third=cutoff_third,
            cutoff_fourth=cutoff_fourth,
            seed=seed,
            tolerance=self.tolerance,
            reason=reason,
        )


def _plan_second(design: _Design, settings: DisplacementSettings) -> DisplacementPlan:
    amplitude = settings.amplitude_second
    n_parameters = design.count({2: None})
    systematic = design.one_atom(amplitude)
    sets = _independent(systematic)
    per_set = 3 * (design.supercell.n_atoms - 1)
    n_pairs = _pairs_needed(n_parameters[2], per_set, settings.oversampling)
    equal = _pairs_needed(n_parameters[2], per_set, per_set * sets / n_parameters[2])
    random_is_cheaper = n_pairs >= equal and 2 * n_pairs < len(systematic)
    reason = (
        f"finite differences need {len(systematic)} supercells ({sets} independent), random "
        f"pairs with the same number of equations {2 * max(equal, n_pairs)}"
    )
    generator = np.random.default_rng([settings.seed, 2])
    use_random = settings.method == "random" or (settings.method == "auto" and random_is_cheaper)
    displacements = design.random_pairs(generator, n_pairs, amplitude) if use_random else systematic
    held_out = design.held_out(generator, settings, n_pairs if use_random else 0, amplitude)
    return design.plan(
        label="second",
        method="random" if use_random else "finite-difference",
        displacements=displacements,
        held_out=held_out,
        orders=(2,),
        n_parameters=n_parameters,
        n_equation_sets={2: n_pairs if use_random else sets},
        amplitude=amplitude,
        seed=settings.seed,
        reason=reason,
    )


def _plan_third(design: _Design, settings: DisplacementSettings) -> DisplacementPlan:
    amplitude, cutoff = settings.amplitude_third, settings.cutoff_third
    n_parameters = design.count({2: None, 3: cutoff})
    n_atoms = design.supercell.n_atoms
    per_set = 3 * (n_atoms - 1)
    n_pairs = _pairs_needed(max(n_parameters.values()), per_set, settings.oversampling)
    systematic = None
    reason = f"random pairs need {2 * n_pairs} supercells"
    if settings.method == "finite-difference" or (
        # Each first displacement is followed by several second ones, so this is a lower bound.
        settings.method == "auto" and len(design.one_atom(amplitude)) < 2 * n_pairs
    ):
        systematic = design.two_atoms(amplitude, cutoff)
        reason += f", finite differences {len(systematic)}"
    use_systematic = systematic is not None and (
        settings.method == "finite-difference"
        or len(systematic) < min(2 * n_pairs, settings.max_finite_difference)
    )
    generator = np.random.default_rng([settings.seed, 3])
    if use_systematic:
        assert systematic is not None
        displacements, sets = systematic, {2: len(systematic), 3: len(systematic)}
    else:
        displacements = design.random_pairs(generator, n_pairs, amplitude)
        sets = {2: n_pairs, 3: n_pairs}
    held_pairs = 0 if use_systematic else n_pairs
    return design.plan(
        label="third",
        method="finite-difference" if use_systematic else "random",
        displacements=displacements,
        held_out=design.held_out(generator, settings, held_pairs, amplitude),
        orders=(2, 3),
        n_parameters=n_parameters,
        n_equation_sets=sets,
        amplitude=amplitude,
        cutoff_third=cutoff,
        seed=settings.seed,
        reason=reason,
    )


def _plan_fourth(design: _Design, settings: DisplacementSettings) -> DisplacementPlan:
    amplitude = settings.amplitude_fourth
    cutoffs = {2: None, 3: settings.cutoff_third, 4: settings.cutoff_fourth}
    n_parameters = design.count(cutoffs)
    per_set = 3 * (design.supercell.n_atoms - 1)
    even = n_parameters[2] + n_parameters[4]
    needed = {
        "2": _pairs_needed(n_parameters[2], per_set, settings.oversampling),
        "3": _pairs_needed(n_parameters[3], per_set, settings.oversampling),
        "2 and 4": _pairs_needed(even, per_set, settings.oversampling_fourth),
    }
    n_pairs = max(needed.values())
    listed = ", ".join(f"{n} for order {orders}" for orders, n in needed.items())
    generator = np.random.default_rng([settings.seed, 3])
    return design.plan(
        label="third",
        method="random",
        displacements=design.random_pairs(generator, n_pairs, amplitude),
        held_out=design.held_out(generator, settings, n_pairs, amplitude),
        orders=(2, 3, 4),
        n_parameters=n_parameters,
        n_equation_sets=dict.fromkeys((2, 3, 4), n_pairs),
        amplitude=amplitude,
        cutoff_third=settings.cutoff_third,
        cutoff_fourth=settings.cutoff_fourth,
        seed=settings.seed,
        reason=f"opposite pairs needed: {listed} ({settings.oversampling:g} equations per "
        f"parameter, {settings.oversampling_fourth:g} for orders 2 and 4 together)",
    )


def _pairs_needed(n_parameters: int, equations_per_pair: int, oversampling: float) -> int:
    return max(MINIMUM_PAIRS, ceil(oversampling * n_parameters / equations_per_pair - 1e-9))


def _independent(displacements: Array) -> int:
    """Return the number of one-atom displacements, opposite ones counted once."""
    flat = displacements.reshape(len(displacements), -1)
    opposite = sum(
        bool(np.allclose(flat[i], -flat[j], atol=1e-10)) for i in range(len(flat)) for j in range(i)
    )
    return len(flat) - opposite


def _contains(larger: ArrayLike, smaller: ArrayLike) -> bool:
    """Return whether every lattice vector of one supercell lattice lies within the other.

    True when the larger supercell is a whole multiple of the smaller one, itself included.
    """
    ratio = np.linalg.inv(np.asarray(smaller, dtype=float)) @ np.asarray(larger, dtype=float)
    return bool(np.allclose(ratio, np.round(ratio), atol=1e-6))
