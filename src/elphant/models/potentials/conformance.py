"""Conformance kit: what every potential must fulfil, whoever wrote it.

A provider's test is one line: ``assert check_potential(potential, crystal) == []``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.potentials.protocol import Evaluation, Potential


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceSettings:
    """Tolerances and steps of the checks.

    Attributes
    ----------
    invariance : float
        Largest accepted difference under operations that change nothing: eV per atom, eV/Å and,
        times the volume per atom, stress.
    derivative : float
        Largest accepted difference between forces (eV/Å) or stress times volume per atom (eV) and
        central differences of the energy.
    displacement : float
        Step of the finite differences, Å.
    strain : float
        Step of the finite strains.
    rattle : float
        Standard deviation of the random displacements that remove all symmetry, Å.
    seed : int
        Seed of all random numbers.
    """

    invariance: float = 1e-9
    derivative: float = 1e-5
    displacement: float = 2e-3
    strain: float = 2e-4
    rattle: float = 0.05
    seed: int = 7


#: Tolerances for networks that are evaluated in float32.
SINGLE_PRECISION = ConformanceSettings(
    invariance=2e-4, derivative=5e-2, displacement=2e-2, strain=2e-3
)

_Check = Callable[[Potential, Crystal, Evaluation, ConformanceSettings], Iterator[str]]


def check_potential(
    potential: Potential, crystal: Crystal, settings: ConformanceSettings | None = None
) -> list[str]:
    """Run all checks and return what failed, one sentence each; an empty list is a pass.

    Parameters
    ----------
    potential : Potential
        The potential under test.
    crystal : Crystal
        A crystal that it knows; it is rattled before use, so symmetry hides nothing.
    settings : ConformanceSettings, optional
        Tolerances; float64 by default, :data:`SINGLE_PRECISION` for float32 networks.

    Raises
    ------
    ModelError
        If the potential cannot evaluate ``crystal`` at all.
    """
    chosen = settings or ConformanceSettings()
    generator = np.random.default_rng(chosen.seed)
    rattled = crystal.displaced(chosen.rattle * generator.standard_normal((crystal.n_atoms, 3)))
    reference = potential.evaluate([rattled])[0]
    return [failure for check in CHECKS for failure in check(potential, rattled, reference, chosen)]


def _card(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    del reference, settings
    card = potential.card
    if not card.name or not card.licence or not card.level_of_theory:
        yield "the model card lacks a name, a licence or a level of theory"
    if card.heads and card.head not in card.heads:
        yield f"the head in use ({card.head}) is not one of the card's heads {card.heads}"
    if card.elements and not set(crystal.elements) <= set(card.elements):
        yield "the card does not list the elements of a crystal that was evaluated"


def _shapes(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    del settings
    if reference.forces.shape != (crystal.n_atoms, 3):
        yield f"forces have shape {reference.forces.shape}"
    if reference.forces.dtype != np.float64 or reference.stress.dtype != np.float64:
        yield "forces and stress are not float64 arrays"
    if not np.array_equal(reference.stress, reference.stress.T):
        yield "the stress is not symmetric"
    if potential.evaluate([]) != []:
        yield "no crystals do not give an empty list"


def _repetition(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    again = potential.evaluate([crystal])[0]
    yield from _compare("a second evaluation", again, reference, crystal, settings)


def _batch(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    other = crystal.displaced(0.03 * _pattern(crystal))
    single = potential.evaluate([other])[0]
    first, second, third = potential.evaluate([crystal, other, crystal])
    yield from _compare("the first of a batch", first, reference, crystal, settings)
    yield from _compare("the second of a batch", second, single, other, settings)
    yield from _compare("the third of a batch", third, reference, crystal, settings)
    if np.abs(single.forces - reference.forces).max() < 1e-6:
        yield "two different crystals have the same forces (comparison of equals)"


def _translation(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    # Beyond one cell, so that atoms leave it: nothing may depend on wrapping.
    shifted = crystal.replaced(fractional=crystal.fractional + np.array([0.3, -1.7, 0.9]))
    moved = potential.evaluate([shifted])[0]
    yield from _compare("a translated crystal", moved, reference, crystal, settings)
    net = float(np.abs(reference.forces.sum(axis=0)).max())
    if net > settings.invariance * crystal.n_atoms:
        yield f"the forces do not sum to zero: {net:.2e} eV/Å"


def _rotation(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    q, _ = np.linalg.qr(np.random.default_rng(settings.seed).standard_normal((3, 3)))
    rotation = q * np.sign(np.linalg.det(q))
    rotated = potential.evaluate([crystal.replaced(lattice=crystal.lattice @ rotation.T)])[0]
    back = Evaluation(
        energy=rotated.energy,
        forces=rotated.forces @ rotation,
        stress=rotation.T @ rotated.stress @ rotation,
    )
    yield from _compare("a rotated crystal", back, reference, crystal, settings)


def _permutation(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    order = np.roll(np.arange(crystal.n_atoms), 1)
    permuted = potential.evaluate([_reordered(crystal, order)])[0]
    inverse = np.argsort(order)
    back = Evaluation(
        energy=permuted.energy, forces=permuted.forces[inverse], stress=permuted.stress
    )
    yield from _compare("permuted atoms", back, reference, crystal, settings)


def _supercell(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    # Doubled along the shortest axis.
    axis = int(np.argmin(crystal.lengths))
    scale = np.ones(3)
    scale[axis] = 2.0
    images = np.vstack([crystal.fractional, crystal.fractional + np.eye(3)[axis]])
    doubled = Crystal(
        lattice=crystal.lattice * scale[:, None],
        fractional=images / scale,
        numbers=np.tile(crystal.numbers, 2),
    )
    large = potential.evaluate([doubled])[0]
    for half in (large.forces[: crystal.n_atoms], large.forces[crystal.n_atoms :]):
        back = Evaluation(energy=large.energy / 2.0, forces=half, stress=large.stress)
        yield from _compare("a supercell", back, reference, crystal, settings)


def _force_derivative(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    # One random direction tests all components at once.
    direction = _pattern(crystal)
    h = settings.displacement
    far, near, near_back, far_back = (
        result.energy
        for result in potential.evaluate(
            [crystal.displaced(factor * h * direction) for factor in (2.0, 1.0, -1.0, -2.0)]
        )
    )
    # Central difference of fourth order: bonds are too anharmonic for the second-order one.
    numeric = -(8.0 * (near - near_back) - (far - far_back)) / (12.0 * h)
    analytic = float((reference.forces * direction).sum())
    if abs(numeric - analytic) > settings.derivative * np.linalg.norm(direction):
        yield f"forces are not -dE/dx: {analytic:.8f} instead of {numeric:.8f} eV/Å"


def _stress_derivative(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    h = settings.strain
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    crystals = []
    for i, j in pairs:
        strain = np.zeros((3, 3))
        strain[i, j] += 0.5
        strain[j, i] += 0.5
        crystals += [
            crystal.replaced(lattice=crystal.lattice @ (np.eye(3) + step * strain))
            for step in (h, -h)
        ]
    energies = [result.energy for result in potential.evaluate(crystals)]
    for number, (i, j) in enumerate(pairs):
        numeric = (energies[2 * number] - energies[2 * number + 1]) / (2.0 * h)
        difference = abs(numeric - reference.stress[i, j] * crystal.volume) / crystal.n_atoms
        if difference > settings.derivative:
            yield (
                f"stress {'xyz'[i]}{'xyz'[j]} is not dE/d(strain)/V: "
                f"{reference.stress[i, j]:.8f} instead of {numeric / crystal.volume:.8f} eV/Å³"
            )


def _unknown_element(
    potential: Potential, crystal: Crystal, reference: Evaluation, settings: ConformanceSettings
) -> Iterator[str]:
    del reference, settings
    if not potential.card.elements:
        return
    # Element 118 is in no training set.
    numbers = np.array(crystal.numbers)
    numbers[0] = 118
    foreign = Crystal(lattice=crystal.lattice, fractional=crystal.fractional, numbers=numbers)
    try:
        potential.evaluate([foreign])
    except ModelError as error:
        if "Og" not in str(error):
            yield "the error about an unknown element does not name it"
    else:
        yield "an unknown element is evaluated without an error"


CHECKS: tuple[_Check, ...] = (
    _card,
    _shapes,
    _repetition,
    _batch,
    _translation,
    _rotation,
    _permutation,
    _supercell,
    _force_derivative,
    _stress_derivative,
    _unknown_element,
)


def inversion_violation(potential: Potential, crystal: Crystal) -> float:
    """Return the largest force difference (eV/Å) between a crystal and its mirror image.

    Zero for a potential that obeys all symmetries of nature; networks built from rotations alone
    (SevenNet without parity) differ. Not a conformance check: it is a property to be known.
    """
    rattled = crystal.displaced(0.05 * _pattern(crystal))
    inverted = rattled.replaced(fractional=-rattled.fractional)
    one, other = potential.evaluate([rattled, inverted])
    return float(np.abs(one.forces + other.forces).max())


def _pattern(crystal: Crystal) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return a fixed displacement pattern without symmetry, of size about one per component."""
    return np.random.default_rng(11).standard_normal((crystal.n_atoms, 3))


def _reordered(crystal: Crystal, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Crystal:
    return Crystal(
        lattice=crystal.lattice,
        fractional=crystal.fractional[order],
        numbers=crystal.numbers[order],
    )


def _compare(
    what: str,
    result: Evaluation,
    reference: Evaluation,
    crystal: Crystal,
    settings: ConformanceSettings,
) -> Iterator[str]:
    """Yield a sentence for each of energy, forces and stress that differs."""
    per_atom = crystal.volume / crystal.n_atoms
    differences = {
        "energy per atom (eV)": abs(result.energy - reference.energy) / crystal.n_atoms,
        "forces (eV/Å)": float(np.abs(result.forces - reference.forces).max()),
        "stress times volume per atom (eV)": per_atom
        * float(np.abs(result.stress - reference.stress).max()),
    }
    for quantity, difference in differences.items():
        if difference > settings.invariance:
            yield f"{what} has another {quantity}: {difference:.2e}"
