"""Self-consistent Hamiltonians: PySCF's own bands, symmetry, frames, restart, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyscf_crystals import FCC, silicon, turned, zincblende

from elphant.coupling.finite_differences import repeated
from elphant.crystal import Crystal, find_symmetry
from elphant.engine.progress import SilentProgress
from elphant.errors import ConfigurationError, PhysicsError, ResourceError, StoreError
from elphant.models.citations import bibtex
from elphant.models.hamiltonians.pyscf import PySCFProvider, PySCFSettings
from elphant.models.hamiltonians.pyscf.calculation import Calculation, shared_grids
from elphant.models.hamiltonians.pyscf.cell import load_species, orbital_basis
from elphant.models.hamiltonians.pyscf.grid import density_grid
from elphant.models.hamiltonians.pyscf.kohn_sham import single_cycle
from elphant.models.hamiltonians.pyscf.local_potential import (
    Functional,
    effective_potential,
    local_pseudopotential,
)
from elphant.models.hamiltonians.pyscf.mixing import PulayMixer
from elphant.models.hamiltonians.pyscf.occupation import occupy
from elphant.models.hamiltonians.pyscf.one_electron import OneElectronIntegrals
from elphant.models.hamiltonians.pyscf.superposition import free_atoms
from elphant.models.hamiltonians.pyscf.symmetrizer import BlockSymmetrizer
from elphant.orbitals import band_energies
from elphant.orbitals.symmetry import OrbitalSymmetry

pytest.importorskip("pyscf")
pytestmark = pytest.mark.pyscf

#: A small basis and a coarse grid: quick, and as symmetric as a converged calculation.
QUICK = {"basis": "gth-szv-molopt-sr", "cutoff": 900.0, "k_mesh": (2, 2, 2), "tolerance": 1e-9}

#: PySCF 2.14: KRKS, FFTDF with a 25 × 25 × 25 mesh, 2 × 2 × 2 k points at Γ, PBE, GTH-PBE,
#: GTH-DZVP-MOLOPT-SR, Si of `silicon()`; get_bands at three points, lowest eight bands (eV).
PYSCF_K = np.array([[0.51182162, 0.9504637, 0.14415961], [0.94864945, 0.31183145, 0.42332645],
                    [0.82770259, 0.40919914, 0.54959369]])  # fmt: skip
PYSCF_BANDS = np.array([
    [-2.83608507, -0.35541417, 3.47626326, 4.6561547, 8.73184745, 10.26761493, 11.43273571,
     14.07684343],
    [-2.78868795, 0.32379955, 3.25876441, 3.74467171, 7.60843717, 8.57373908, 13.74998173,
     14.80077724],
    [-2.08935138, -0.38458495, 2.6911657, 3.20999771, 8.84973336, 9.47072444, 12.55288317,
     15.10368911],
])  # fmt: skip
PYSCF_ENERGY = -211.6745315777667

K_POINTS = np.random.default_rng(5).random((6, 3))


def quick_bands(crystal: Crystal, k_points: np.ndarray = K_POINTS, **changes) -> np.ndarray:
    settings = PySCFSettings(**(QUICK | changes))
    return band_energies(PySCFProvider(settings).predict(crystal), k_points)


def test_bands_between_mesh_points_against_pyscf() -> None:
    h = PySCFProvider(PySCFSettings(k_mesh=(2, 2, 2), k_shift=(0, 0, 0))).predict(silicon())
    difference = band_energies(h, PYSCF_K)[:, :8] - PYSCF_BANDS
    assert np.abs(difference).max() < 0.5e-3
    assert abs(h.origin.details["total_energy"] - PYSCF_ENERGY) < 1e-3
    assert h.hamiltonian.hermitian_residual() < 1e-10
    assert h.n_electrons == 8
    assert h.origin.self_consistent
    assert h.origin.details["iterations"] < 15


def test_a_rotated_crystal_has_the_same_bands() -> None:
    """No symmetry but the identity: nothing is restored by averaging."""
    crystal = zincblende((14, 14), 5.4).displaced([[0.1, 0.05, -0.02], [0.0, 0.0, 0.0]])
    changes = {"self_consistent": False, "basis": "gth-dzvp-molopt-sr", "k_mesh": (1, 1, 1)}
    other, _ = turned(crystal)
    np.testing.assert_allclose(
        quick_bands(crystal, **changes), quick_bands(other, **changes), atol=1e-8
    )


def test_another_setting_of_the_same_lattice_has_the_same_bands() -> None:
    crystal = silicon()
    # Axes in another order, another atom first, the origin elsewhere.
    order = np.array([1, 2, 0])
    other = Crystal(
        lattice=crystal.lattice[order],
        fractional=(crystal.fractional[::-1] + np.array([0.11, -0.23, 0.37]))[:, order],
        numbers=crystal.numbers,
    )
    here = quick_bands(crystal)
    np.testing.assert_allclose(here, quick_bands(other, K_POINTS[:, order]), atol=1e-8)
    turned_crystal, _ = turned(crystal)
    np.testing.assert_allclose(here, quick_bands(turned_crystal), atol=1e-8)


def test_symmetry_changes_nothing_but_the_time() -> None:
    crystal = silicon()
    # Centred where the grid of the symmetric calculation has its origin.
    grid = density_grid(crystal, find_symmetry(crystal), 6.0)
    centred = crystal.replaced(fractional=crystal.fractional - grid.origin)
    changes = {"k_shift": (0, 0, 0)}
    with_symmetry = quick_bands(centred, **changes)
    without = quick_bands(centred, use_symmetry=False, **changes)
    np.testing.assert_allclose(with_symmetry, without, atol=1e-6)


def test_a_conventional_cell_has_the_bands_of_the_primitive_one() -> None:
    crystal = zincblende((14, 14), 5.43356)
    cube = Crystal(
        lattice=5.43356 * np.eye(3),
        fractional=np.concatenate(
            [np.vstack([np.zeros(3), FCC]) + shift for shift in ([0, 0, 0], [0.25] * 3)]
        ),
        numbers=np.full(8, 14),
    )
    # Γ and X of the primitive cell fall on Γ of the cube; a 2 × 2 × 2 mesh holds both.
    primitive = quick_bands(crystal, np.array([[0, 0, 0], [0.5, 0.5, 0.0]]), k_mesh=(4, 4, 4),
                            k_shift=(0, 0, 0))  # fmt: skip
    folded = quick_bands(cube, np.zeros((1, 3)), k_mesh=(2, 2, 2), k_shift=(0, 0, 0))[0]
    assert folded[0] == pytest.approx(primitive[0, 0], abs=0.02)
    assert folded[15] == pytest.approx(primitive[0, 3], abs=0.02)


def test_symmetric_grid_keeps_a_potential_symmetric() -> None:
    crystal = silicon().displaced(np.full((2, 3), 0.123))
    species = load_species(crystal, "gth-szv-molopt-sr", "gth-pbe")
    grid = density_grid(crystal, find_symmetry(crystal), 6.0)
    assert grid.n_operations == 48
    assert grid.multiplicity.sum() == grid.n_points
    values = np.random.default_rng(0).random(len(grid.irreducible)) + 0.1
    effective = effective_potential(
        grid, Functional.of("pbe"), local_pseudopotential(grid, species), grid.expand(values)
    )
    potential = effective.potential
    symmetric = grid.expand(potential[grid.irreducible])
    np.testing.assert_allclose(potential, symmetric, atol=1e-9 * np.abs(potential).max())


def test_potential_is_the_derivative_of_the_energy() -> None:
    crystal = silicon()
    grid = density_grid(crystal, None, 4.0)
    species = load_species(crystal, "gth-szv-molopt-sr", "gth-pbe")
    ionic = local_pseudopotential(grid, species)
    rng = np.random.default_rng(1)
    waves = grid.to_waves(0.05 + 0.02 * rng.random(grid.n_points))
    density, change = (
        grid.to_points(waves),
        grid.to_points(grid.to_waves(rng.random(grid.n_points))),
    )

    def energy(n: np.ndarray) -> float:
        effective = effective_potential(grid, Functional.of("pbe"), ionic, n)
        step = grid.crystal.volume / 0.529177210544**3 / grid.n_points
        return effective.energy_shift + step * float(effective.potential @ n)

    step = 1e-5
    numerical = (energy(density + step * change) - energy(density - step * change)) / (2 * step)
    potential = effective_potential(grid, Functional.of("pbe"), ionic, density).potential
    volume = grid.crystal.volume / 0.529177210544**3 / grid.n_points
    assert numerical == pytest.approx(volume * float(potential @ change), rel=1e-6)


def test_block_symmetrizer_against_the_sum_over_operations() -> None:
    crystal = silicon()
    species = load_species(crystal, "gth-szv-molopt-sr", "gth-pbe")
    basis = orbital_basis(crystal, species)
    matrix = OneElectronIntegrals(crystal, species, basis).overlap()
    noise = np.random.default_rng(0).normal(size=len(matrix.values))
    matrix = matrix.with_values(matrix.values + noise)
    symmetry = OrbitalSymmetry.of(crystal, find_symmetry(crystal), basis)
    mean = BlockSymmetrizer(symmetry)(matrix)
    np.testing.assert_allclose(mean.values, symmetry.symmetrized(matrix)[0].values, atol=1e-12)


class KilledError(Exception):
    """Stands for a kill."""


class Impatient:
    """Progress whose task stops the calculation after some cycles."""

    def __init__(self, cycles: int) -> None:
        self.left = cycles

    def decided(self, message: str) -> None:
        """Ignore."""

    def task(self, label: str, total: int):
        from contextlib import nullcontext

        return nullcontext(self)

    def advance(self, steps: int = 1) -> None:
        """Count."""
        self.left -= 1

    def note(self, text: str) -> None:
        if self.left == 0:
            raise KilledError


def test_a_killed_calculation_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "density.npz"
    settings = PySCFSettings(**QUICK, checkpoint=path)
    whole = PySCFProvider(PySCFSettings(**QUICK)).predict(silicon())
    with pytest.raises(KilledError):
        PySCFProvider(settings, Impatient(5)).predict(silicon())
    assert path.exists()
    resumed = PySCFProvider(settings).predict(silicon())
    np.testing.assert_array_equal(whole.hamiltonian.values, resumed.hamiltonian.values)
    assert resumed.origin.details["iterations"] == whole.origin.details["iterations"]
    with pytest.raises(ConfigurationError, match="another calculation"):
        PySCFProvider(settings).predict(zincblende((14, 14), 5.5))
    path.write_bytes(b"torn")
    with pytest.raises(StoreError, match="damaged"):
        PySCFProvider(settings).predict(silicon())


def test_superposed_atoms_give_similar_bands_in_one_step() -> None:
    full = PySCFProvider(PySCFSettings(**QUICK)).predict(silicon())
    first = PySCFProvider(PySCFSettings(**QUICK, self_consistent=False)).predict(silicon())
    assert not first.origin.self_consistent
    assert first.origin.details["iterations"] == 1
    difference = band_energies(first, K_POINTS)[:, :5] - band_energies(full, K_POINTS)[:, :5]
    assert 1e-3 < np.abs(difference).max() < 0.6


def test_free_atoms_hold_their_electrons() -> None:
    crystal = zincblende((31, 33), 5.65)
    species = load_species(crystal, "gth-dzvp-molopt-sr", "gth-pbe")
    basis = orbital_basis(crystal, species)
    atoms = free_atoms(crystal, species, basis, Functional.of("pbe"))
    assert {s: atoms[s].form_factor(0.0) for s in atoms} == pytest.approx({"Ga": 13.0, "As": 5.0})


def test_low_symmetry_crystal_is_finished_and_symmetric() -> None:
    crystal = zincblende((14, 14), 5.4).displaced([[0.1, 0.05, -0.02], [0.0, 0.0, 0.0]])
    settings = PySCFSettings(**(QUICK | {"tolerance": 1e-5}))
    h = PySCFProvider(settings).predict(crystal)
    assert h.origin.details["gap_on_mesh"] > 0.3
    assert h.position is not None
    np.testing.assert_array_equal(h.overlap.cells, h.hamiltonian.cells)
    assert h.hamiltonian.hermitian_residual() < 1e-10


def test_odd_electrons_and_small_memory_are_refused() -> None:
    sodium = Crystal(lattice=2.1 * (1 - 2 * np.eye(3)), fractional=np.zeros((1, 3)), numbers=[13])
    with pytest.raises(PhysicsError, match="odd"):
        PySCFProvider(PySCFSettings(**QUICK)).predict(sodium)
    with pytest.raises(ResourceError, match="GB"):
        PySCFProvider(PySCFSettings(**QUICK, memory_gb=0.01)).predict(silicon())


def test_cycles_that_do_not_converge_are_an_error() -> None:
    with pytest.raises(PhysicsError, match="2 cycles"):
        PySCFProvider(PySCFSettings(**QUICK, max_iterations=2)).predict(silicon())


def test_card_names_what_was_used() -> None:
    provider = PySCFProvider(PySCFSettings(functional="pbesol", self_consistent=False))
    assert provider.card.level_of_theory.startswith("PBESOL, GTH-PBE, GTH-DZVP-MOLOPT-SR")
    assert "superposed" in provider.card.level_of_theory
    assert bibtex(provider.card.references)
    assert "perdew1996" in PySCFProvider().card.references


def test_partial_filling_conserves_electrons() -> None:
    rng = np.random.default_rng(0)
    energies = np.sort(rng.uniform(-1.0, 1.0, (5, 6)), axis=1)
    weights = rng.random(5)
    weights /= weights.sum()
    occupation = occupy(energies, weights, 6, 0.05)
    assert occupation.gap < 0
    assert occupation.partial > 0
    assert weights @ occupation.numbers.sum(axis=1) == pytest.approx(6.0, abs=1e-10)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 1)])
def test_displaced_crystals_share_grids(repeats: tuple[int, int, int]) -> None:
    """Points chosen for each displaced crystal would change the matrix elements of all others."""
    crystal = repeated(zincblende((31, 33), 5.6533), repeats)
    alone = PySCFSettings(k_mesh=(2, 2, 2), cutoff=400.0)
    shared = shared_grids(alone, crystal)
    own, common = set(), set()
    for vector in ([0.03, 0.015, 0.006], [0.03, 0.0, 0.0], [0.02, 0.02, 0.02]):
        shift = np.zeros((crystal.n_atoms, 3))
        shift[0] = vector
        for settings, found in ((alone, own), (shared, common)):
            problem = Calculation.prepare(
                crystal.displaced(shift), settings, SilentProgress()
            ).problem
            grid = problem.grid
            found.add((grid.shape, *grid.origin.tolist(), *problem.k_mesh.shift.tolist()))
    assert len(own) > 1
    assert len(common) == 1


def test_displaced_crystals_use_their_symmetry_on_a_shared_grid() -> None:
    crystal = zincblende((31, 33), 5.6533)
    shift = np.zeros((crystal.n_atoms, 3))
    shift[1] = [0.0, 0.0, 0.03]
    settings = shared_grids(PySCFSettings(cutoff=400.0), crystal)
    grid = Calculation.prepare(crystal.displaced(shift), settings, SilentProgress()).problem.grid
    assert grid.n_operations == 4
    assert len(grid.irreducible) < 0.4 * grid.n_points


def test_displaced_crystals_start_from_the_crystal_at_rest() -> None:
    """The start is ten times closer and the end is the same."""
    crystal = silicon()
    shift = np.zeros((2, 3))
    shift[1] = [0.01, 0.0, 0.0]
    displaced = crystal.displaced(shift)
    provider = PySCFProvider(PySCFSettings(**QUICK | {"tolerance": 1e-7}))
    state = provider.state_at_rest(crystal)
    hamiltonians, residuals = [], []
    for start in ({}, state):
        prepared = provider.for_displacements(crystal, start)
        calculation = Calculation.prepare(
            displaced, prepared.settings, SilentProgress(), start.get("response")
        )
        problem = calculation.problem
        first = single_cycle(problem, calculation.first_density(), PulayMixer(grid=problem.grid))
        residuals.append(first.density_change)
        hamiltonians.append(prepared.predict(displaced).hamiltonian)
    assert residuals[1] < 0.1 * residuals[0]
    np.testing.assert_array_equal(hamiltonians[1].pairs, hamiltonians[0].pairs)
    np.testing.assert_allclose(hamiltonians[1].values, hamiltonians[0].values, atol=1e-6)


def test_superposed_atoms_have_no_state_at_rest() -> None:
    provider = PySCFProvider(PySCFSettings(self_consistent=False))
    assert provider.state_at_rest(silicon()) == {}
