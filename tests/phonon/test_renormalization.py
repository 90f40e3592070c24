"""Loop self-consistent phonons: oscillators with known answers, invariants, soft crystals."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from quartic_crystal import Bond, QuarticCrystal, caesium_chloride, lattice_and_matrices, lattice_of

from elphant.crystal import Crystal
from elphant.errors import ConfigurationError, PhysicsError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters import renormalization_adapter
from elphant.phonon.adapters.phonopy_adapter import phonopy_from, run_q_points
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.harmonic import gamma_frequencies
from elphant.phonon.renormalization import (
    LoopSettings,
    RenormalizedForceConstants,
    displacement_covariance,
    solve_loop,
)
from elphant.phonon.renormalization.contraction import LoopContraction
from elphant.phonon.renormalization.covariance import (
    EV_PER_AMU_A2_THZ2,
    PointModes,
    harmonic_free_energy,
    mean_squares,
)
from elphant.phonon.renormalization.loop import LoopSolver
from elphant.phonon.renormalization.mixing import AndersonMixer
from elphant.phonon.renormalization.result import stability_flag
from elphant.phonon.renormalization.second_order import half_of, mesh_points
from elphant.phonon.sparse_force_constants import SparseForceConstants
from elphant.units import BOLTZMANN_EV, PLANCK_EV_PS

#: Frequency (THz) of the oscillators below.
NU = 10.0
ENERGY = PLANCK_EV_PS * NU
TIGHT = LoopSettings(tolerance=1e-9, floor=1e-3)


def oscillator(quartic: float) -> ForceConstants:
    """Return one light atom bound to an (almost) immovable one along x with Φ4 ħ=m=ω=1."""
    k = EV_PER_AMU_A2_THZ2 * NU**2
    length = np.sqrt(ENERGY / k)
    crystal = Crystal(
        lattice=4.0 * np.eye(3), fractional=[[0, 0, 0], [0.3, 0, 0]],
        numbers=[1, 2], masses=[1e13, 1.0],
    )  # fmt: skip
    bond = Bond(0, 1, (0, 0, 0), np.array([1.0, 0, 0]), k, 0.0, 0.0, quartic * ENERGY / length**4)
    return QuarticCrystal(crystal, (bond,), (1, 1, 1)).force_constants()


def random_fourth(rng, n_atoms: int = 3, n_clusters: int = 20) -> SparseForceConstants:
    """Return quartic bonds in random directions between random atoms: a legal fourth order."""
    crystal = Crystal(
        lattice=[[4.0, 0, 0], [0.6, 4.4, 0], [-0.4, 0.8, 5.1]],
        fractional=rng.random((n_atoms, 3)), numbers=range(3, 3 + n_atoms),
    )  # fmt: skip
    bonds = []
    for _ in range(n_clusters):
        i, j = rng.integers(n_atoms, size=2)
        cell = tuple(int(x) for x in rng.integers(-1, 2, size=3))
        n = rng.normal(size=3)
        bonds.append(Bond(int(i), int(j), cell, n, 0.0, 0.0, 0.0, float(rng.normal())))
    return QuarticCrystal(crystal, tuple(bonds), (3, 3, 3)).clusters(4), crystal


# --- exact oscillators -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quartic", "thermal", "omega", "free_energy", "exact"),
    [
        (24.0, 0.0, 2.0, 0.8125, 0.803771),
        (6.0, 0.0, 1.4311271444, 0.6240164211, 0.620927),
        (6.0, 1.0, 1.5684021019, 0.3729245364, 0.3587963446),
    ],
)
def test_quartic_oscillator(quartic, thermal, omega, free_energy, exact) -> None:
    temperature = thermal * ENERGY / BOLTZMANN_EV
    (with_quartic,) = solve_loop(oscillator(quartic), [temperature], TIGHT)
    (without,) = solve_loop(oscillator(0.0), [temperature], TIGHT)
    assert with_quartic.converged
    assert with_quartic.frequencies_after[0, -1] / NU == pytest.approx(omega, abs=1e-9)
    # The two transverse modes are harmonic: their free energy is that of the oscillator without
    # the fourth order.
    own = 0.5 if thermal == 0 else 0.5 + thermal * np.log(-np.expm1(-1 / thermal))
    total = (with_quartic.free_energy.total - without.free_energy.total) / ENERGY + own
    assert total == pytest.approx(free_energy, abs=1e-9)
    assert total >= exact


def test_mean_square_of_the_quartic_oscillator() -> None:
    temperature = ENERGY / BOLTZMANN_EV
    omega = 1.5684021019
    squares = mean_squares(np.array([omega * NU]), temperature)
    unit = ENERGY / (EV_PER_AMU_A2_THZ2 * NU**2)
    assert squares[0] / unit == pytest.approx(0.4866283844, abs=1e-9)


def test_first_order_loop_shift() -> None:
    # δω = Φ4 ħ / (8 m² ω²): with all of them one, Φ4 / 8.
    quartic = 1e-4
    (r,) = solve_loop(oscillator(quartic), [0.0], replace(TIGHT, tolerance=1e-12))
    assert r.frequencies_after[0, -1] / NU - 1.0 == pytest.approx(quartic / 8, rel=1e-3)


def test_free_energy_is_least_at_the_solution() -> None:
    fc = oscillator(6.0)
    solver = LoopSolver(fc, TIGHT)
    solution = solver.solve(0.0)

    def total(correction: np.ndarray) -> float:
        return solver.iterate(*solver.at(correction), 0.0, TIGHT.floor)[2].total

    at_solution = total(solution.correction)
    for scale in (0.9, 0.97, 1.03, 1.1):
        moved = total(scale * solution.correction)
        assert moved > at_solution + 1e-3 * ENERGY * (scale - 1) ** 2


# --- covariance ------------------------------------------------------------------------------


def test_classical_covariance_inverts_the_force_constants() -> None:
    model = caesium_chloride(repeat=(2, 2, 2))
    fc = model.force_constants()
    supercell, _, basis = renormalization_adapter.supercell_second(fc)
    full = basis.expanded(fc.second)
    n = supercell.n_atoms
    flat = full.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    temperature = 300.0
    expected = BOLTZMANN_EV * temperature * np.linalg.pinv(flat, rcond=1e-10)
    expected = expected.reshape(n, 3, n, 3)
    lattice = lattice_of(fc)
    c = displacement_covariance(
        fc, temperature, cells=lattice.cells - lattice.cells[lattice.home[0]],
        statistics="classical",
    )  # fmt: skip
    home = lattice.home[0]
    # The reference leaves out the unweighted translation, ours the mass-weighted one: compare
    # what does not depend on it, relative displacements.
    masses = np.asarray(supercell.masses)
    projector = np.eye(n) - masses[None, :] / masses.sum()
    moved = np.einsum("ij,jakb,lk->ialb", projector, expected, projector)
    for j in range(n):
        ours = c.values[j, 0, :, lattice.atoms[j]]
        np.testing.assert_allclose(ours, moved[home, :, j], atol=1e-12)
    assert basis.n_parameters > 0
    assert c.n_imaginary == 0


def test_quantum_covariance_becomes_classical_and_zero_point() -> None:
    frequencies = np.array([1.0, 5.0, 20.0])
    hot = mean_squares(frequencies, 1e6)
    np.testing.assert_allclose(hot, mean_squares(frequencies, 1e6, "classical"), rtol=1e-6)
    cold = mean_squares(frequencies, 0.0)
    np.testing.assert_allclose(cold, mean_squares(frequencies, 0.5), rtol=1e-12)
    # sqrt(ħ / 2Mω) = 1.7819624 Å for 1 amu and 1 rad/ps.
    one = mean_squares(np.array([1.0 / (2 * np.pi)]), 0.0)
    assert np.sqrt(one[0]) == pytest.approx(1.7819624, abs=2e-7)


def test_free_energy_derivative_is_the_covariance() -> None:
    # dF/dλ = <∂V/∂λ> = m <Q²> / 2 for a mode of eigenvalue λ.
    for statistics in ("quantum", "classical"):
        values = []
        for eigenvalue in (0.0501, 0.0499, 0.05):
            modes = PointModes(
                np.zeros((1, 3)), np.ones(1), np.array([[eigenvalue]]),
                np.ones((1, 1, 1), dtype=complex), np.zeros((1, 1), dtype=bool),
            )  # fmt: skip
            values.append(harmonic_free_energy(modes, 200.0, statistics=statistics))
        square = mean_squares(modes.frequencies[0], 200.0, statistics)[0]
        slope = (values[0] - values[1]) / 2e-4
        assert slope == pytest.approx(square / 2, rel=2e-3)


def test_imaginary_policy() -> None:
    fc = caesium_chloride(near=(-0.35, 0, 40.0), far=(2.0, 0, 0), transverse=0.02)
    with pytest.raises(PhysicsError, match="imaginary"):
        displacement_covariance(fc.force_constants(), 300.0)
    c = displacement_covariance(fc.force_constants(), 300.0, imaginary="absolute")
    assert c.n_imaginary > 0
    assert c.n_floored == 0


def test_half_of_counts_every_point() -> None:
    for divisions in ((3, 3, 3), (4, 2, 5), (1, 1, 1), (6, 7, 2)):
        points = mesh_points(divisions)
        half, weights = half_of(points)
        assert weights.sum() == len(points)
        assert len(half) == (len(points) + (2 - np.array(divisions) % 2).prod()) // 2


# --- lattice and contraction -----------------------------------------------------------------


@pytest.mark.parametrize("matrix", [np.diag([2, 3, 1]), [[1, 1, -1], [-1, 1, 1], [1, -1, 1]]])
def test_dynamical_matrices_are_linear_in_the_second_order(matrix) -> None:
    rng = np.random.default_rng(3)
    fc = with_supercell(caesium_chloride(), matrix)
    lattice = lattice_of(fc)
    points = lattice.commensurate_points()
    np.testing.assert_allclose(points @ lattice.supercell.T % 1 % 1, 0, atol=1e-9)
    q = np.concatenate([points, rng.random((5, 3))])
    _, matrices = lattice_and_matrices(fc, q)
    np.testing.assert_allclose(lattice.correction_matrices(fc.second, q), matrices, atol=1e-12)
    # ... and they have the frequencies of phonopy.
    reference = run_q_points(phonopy_from(fc), q)[0]
    values = np.linalg.eigvalsh(matrices) / EV_PER_AMU_A2_THZ2
    # phonopy's own constants differ from CODATA 2022 in the seventh digit.
    np.testing.assert_allclose(values, np.sign(reference) * reference**2, rtol=1e-6, atol=1e-6)
    back = lattice.correction_from_matrices(matrices[: len(points)])
    np.testing.assert_allclose(back, fc.second, atol=1e-12)
    np.testing.assert_allclose(lattice.transposed(fc.second), fc.second, atol=1e-12)


def with_supercell(model: QuarticCrystal, matrix) -> ForceConstants:
    """Return force constants of the model in a supercell of any shape."""
    matrix = np.array(matrix)
    full = replace(model, repeat=(4, 4, 4)).force_constants()
    large = lattice_of(full)
    empty = replace(
        full, supercell_matrix_second=matrix,
        second=np.zeros((2, 2 * round(abs(np.linalg.det(matrix))), 3, 3)),
    )  # fmt: skip
    lattice = lattice_of(empty)
    second = np.zeros(empty.second.shape)
    share = 1.0 / large.image_weights
    for i, j, cell, n in zip(
        large.image_rows, large.image_columns, large.image_cells, share, strict=True
    ):
        column = lattice.columns([i], [large.atoms[j]], [cell])[0]
        second[i, column] += full.second[i, j] / n
    return replace(empty, second=second)


def test_contraction_equals_the_sum_over_wave_vectors() -> None:
    """½ Σ_q Φ4(-q_i, q_j, q', -q') K(q') at any q equals the real-space contraction."""
    rng = np.random.default_rng(0)
    fourth, crystal = random_fourth(rng)
    n = crystal.n_atoms
    fc = ForceConstants(
        unitcell=crystal, primitive_matrix=np.eye(3), supercell_matrix_second=3 * np.eye(3),
        second=np.zeros((n, 27 * n, 3, 3)), fourth=fourth,
    )  # fmt: skip
    lattice = lattice_of(fc)
    mesh = mesh_points((3, 3, 3))
    a = rng.normal(size=(27, 3 * n, 3 * n)) + 1j * rng.normal(size=(27, 3 * n, 3 * n))
    k = a @ a.conj().transpose(0, 2, 1)
    index = {tuple(np.rint(3 * q).astype(int)): i for i, q in enumerate(mesh)}
    for i, q in enumerate(mesh):
        k[index[tuple(np.rint(-3 * q).astype(int) % 3)]] = k[i].conj()
    k[0] = k[0].real
    contraction = LoopContraction(fourth, lattice)
    phases = np.exp(-2j * np.pi * contraction.cells @ mesh.T) / len(mesh)
    root = np.repeat(np.sqrt(lattice.masses), 3)
    c = np.einsum("cq,qab->cab", phases, k).real / np.outer(root, root)
    q = mesh[5]
    found = lattice.correction_matrices(contraction(c), q[None])[0]
    expected = np.zeros((3 * n, 3 * n), dtype=complex)
    m = lattice.masses
    for atoms, cells, block in zip(fourth.atoms, fourth.cells, fourth.blocks, strict=True):
        i, j, kk, ll = atoms
        for iq, other in enumerate(mesh):
            # The Fourier sum of 4.3 with legs (-q, q, q', -q'), <Q Q†> on the last two.
            phase = np.exp(2j * np.pi * (q @ cells[0] + other @ cells[1] - other @ cells[2]))
            kkl = k[iq].reshape(n, 3, n, 3)[kk, :, ll, :]
            value = 0.5 * phase * np.einsum("abcd,cd->ab", block, kkl) / len(mesh)
            scale = np.sqrt(m[i] * m[j] * m[kk] * m[ll])
            expected[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] += value / scale
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_loop_equals_the_mean_curvature_over_the_gaussian() -> None:
    """Φ2 + ½ Φ4:<uu> = <∂²V/∂u∂u>: finite differences of the energy, exact quadrature."""
    model = caesium_chloride(repeat=(1, 1, 1), near=(3.0, 0.0, 60.0))
    fc = model.force_constants()
    temperature = 400.0
    solver = LoopSolver(fc, LoopSettings())
    image = solver.iterate(*solver.at(np.zeros_like(fc.second)), temperature, 0.05)[0]
    # Only the relative coordinate of the two atoms moves: three dimensions, Gauss-Hermite.
    c = displacement_covariance(fc, temperature).values[0]
    relative = c[0, :, 0] + c[1, :, 1] - c[0, :, 1] - c[1, :, 0]
    root = np.linalg.cholesky(relative)
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    step = 1e-2
    shares, moved = [], []
    for choice in product(range(5), repeat=3):
        shares.append(np.prod(weights[list(choice)]) / (2 * np.pi) ** 1.5)
        centre = root @ nodes[list(choice)]
        for a, sign in product(range(3), (1, -1)):
            moved.append(np.stack([np.zeros(3), centre + sign * step * np.eye(3)[a]]))
    cell = model.supercell
    forces = model.forces([cell.displaced(u) for u in moved])[:, 1].reshape(-1, 3, 2, 3)
    slopes = (forces[:, :, 1] - forces[:, :, 0]) / (2 * step)
    curvature = np.einsum("s,sab->ab", shares, slopes)
    # The third derivative of a cubic force enters such a difference at step².
    u4 = sum(b.g * np.multiply.outer(np.outer(b.n, b.n), np.outer(b.n, b.n)) for b in model.bonds)
    curvature -= np.einsum("abaa->ab", u4) * step**2 / 6
    np.testing.assert_allclose((fc.second + image)[1, 1], curvature, rtol=1e-8, atol=1e-8)


# --- crystals --------------------------------------------------------------------------------


def test_sum_rules_and_flags() -> None:
    fc = caesium_chloride().force_constants()
    (r,) = solve_loop(fc, [300.0])
    second = r.force_constants.second
    assert np.abs(second.sum(axis=1)).max() < 1e-12
    lattice = lattice_of(fc)
    np.testing.assert_allclose(lattice.transposed(second), second, atol=1e-12)
    assert {flag.severity for flag in r.flags} == {"info"}
    assert r.stable
    assert not r.stabilized
    np.testing.assert_allclose(
        np.sort(gamma_frequencies(r.force_constants))[3:], r.frequencies_after[0][3:], atol=1e-6
    )
    assert r.frequencies_after[0, -1] > r.frequencies_before[0, -1] + 0.1
    assert r.to_dict()["converged"] is True


def test_rotation_and_supercell_do_not_matter() -> None:
    angle = 0.4
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    settings = LoopSettings(mesh=(4, 4, 4), tolerance=1e-8)
    lattice = np.diag([3.2, 3.3, 3.5])
    plain, turned = (
        solve_loop(caesium_chloride(lattice=x).force_constants(), [300.0], settings)[0]
        for x in (lattice, lattice @ turn)
    )
    # atol: a frequency is the root of an eigenvalue with rounding.
    np.testing.assert_allclose(plain.frequencies_after, turned.frequencies_after, atol=1e-6)
    assert plain.free_energy.total == pytest.approx(turned.free_energy.total, rel=1e-9)
    moved = np.einsum("ba,ijbc,cd->ijad", turn, plain.force_constants.second, turn)
    np.testing.assert_allclose(turned.force_constants.second, moved, atol=1e-8)
    larger = caesium_chloride(lattice=lattice, repeat=(4, 2, 2)).force_constants()
    (other,) = solve_loop(larger, [300.0], settings)
    assert other.free_energy.total == pytest.approx(plain.free_energy.total, rel=1e-8)
    np.testing.assert_allclose(other.frequencies_after[0], plain.frequencies_after[0], atol=1e-6)


def test_record_can_be_stored() -> None:
    fc = caesium_chloride().force_constants()
    (r,) = solve_loop(fc, [300.0])
    record = json.loads(json.dumps(r.to_dict()))
    again = RenormalizedForceConstants.from_record(record, r.to_arrays(), fc)
    assert again.to_dict() == r.to_dict()
    np.testing.assert_array_equal(again.force_constants.second, r.force_constants.second)


def test_linear_mixing_finds_the_same() -> None:
    fc = caesium_chloride().force_constants()
    (one,) = solve_loop(fc, [300.0], LoopSettings(tolerance=1e-7))
    (two,) = solve_loop(fc, [300.0], LoopSettings(tolerance=1e-7, history=0, step=0.3))
    assert two.n_iterations > one.n_iterations
    np.testing.assert_allclose(one.frequencies_after, two.frequencies_after, atol=1e-5)


def test_interpolated_imaginary_modes_are_a_doubt() -> None:
    options = {"where": "branch 1 at q = (0.1, 0, 0)"}
    numbers = (300.0, 4, 4, 100, (-0.1, -0.06))
    assert stability_flag(*numbers, **options).severity == "invalid"
    doubt = stability_flag(*numbers, **options, only_between=True)
    assert doubt.severity == "warning"
    assert "interpolation" in doubt.message


def test_long_range_correction_stays() -> None:
    """The renormalised crystal has the bare dynamical matrices, NAC and all, plus ΔD."""
    dielectric = DielectricData(
        epsilon_infinity=2.5 * np.eye(3),
        born_charges=[1.1 * np.eye(3), -1.1 * np.eye(3)],
        source="test",
    )
    fc = replace(caesium_chloride().force_constants(), dielectric=dielectric)
    (r,) = solve_loop(fc, [300.0], LoopSettings(mesh=(3, 3, 3)))
    q = np.random.default_rng(1).random((6, 3))
    lattice, bare = lattice_and_matrices(fc, q)
    _, after = lattice_and_matrices(r.force_constants, q)
    change = np.asarray(r.force_constants.second - fc.second)
    np.testing.assert_allclose(after, bare + lattice.correction_matrices(change, q), atol=1e-12)
    short = replace(fc, dielectric=None)
    without = lattice_and_matrices(short, q)[1]
    assert np.abs(bare - without).max() > 1e-3
    assert np.abs(change).max() > 1e-3


def test_symmetry_is_kept() -> None:
    (r,) = solve_loop(caesium_chloride().force_constants(), [500.0])
    optical = r.frequencies_after[0, 3:]
    assert np.ptp(optical) < 1e-8  # cubic: one triplet


def test_temperatures_come_back_in_order_and_do_not_depend_on_the_start() -> None:
    fc = caesium_chloride().force_constants()
    settings = LoopSettings(tolerance=1e-8)
    up = solve_loop(fc, [100.0, 600.0, 300.0], settings)
    assert [r.temperature for r in up] == [100.0, 600.0, 300.0]
    (alone,) = solve_loop(fc, [100.0], settings, start=3.0 * (up[1].force_constants.second
                                                              - fc.second))  # fmt: skip
    np.testing.assert_allclose(alone.frequencies_after, up[0].frequencies_after, atol=1e-5)


def double_well(depth: float = 0.35) -> ForceConstants:
    model = caesium_chloride(near=(-depth, 0, 40.0), far=(2.0, 0, 0), transverse=0.02)
    return model.force_constants()


def test_double_well_is_stabilised_and_says_so() -> None:
    results = solve_loop(double_well(), [300.0, 600.0], LoopSettings(tolerance=1e-7))
    for r in results:
        assert r.n_imaginary_before == 21
        assert r.stabilized
        flag = next(f for f in r.flags if f.name == "renormalized_stability")
        assert flag.severity == "warning"
        assert "21 of 45 modes were imaginary and are stabilised" in flag.message
        assert "-3.681" in flag.message
    assert results[1].minimum_after > results[0].minimum_after > 1.0
    # A start at the bare constants and one far beyond give the same.
    settings = LoopSettings(tolerance=1e-7, continuation=())
    far = 5.0 * (results[1].force_constants.second - double_well().second)
    for start in (None, far):
        (again,) = solve_loop(double_well(), [300.0], settings, start=start)
        np.testing.assert_allclose(again.frequencies_after, results[0].frequencies_after, atol=1e-4)


def test_classical_double_well_at_low_temperature_is_refused() -> None:
    settings = LoopSettings(statistics="classical")
    hot, cold = solve_loop(double_well(), [300.0, 1e-3], settings)
    assert hot.stable
    assert not cold.stable
    flag = next(f for f in cold.flags if f.name == "renormalized_stability")
    assert flag.severity == "invalid"
    assert "no stable solution" in flag.message
    with pytest.raises(PhysicsError, match="no stable solution"):
        solve_loop(double_well(), [1e-3], replace(settings, unstable="error"))


def test_input_is_checked() -> None:
    fc = caesium_chloride().force_constants()
    with pytest.raises(ConfigurationError, match="fourth-order"):
        solve_loop(replace(fc, fourth=None), [300.0])
    with pytest.raises(ConfigurationError, match="temperatures"):
        solve_loop(fc, [-1.0])
    with pytest.raises(ConfigurationError, match="three positive"):
        solve_loop(fc, [300.0], LoopSettings(mesh=(0, 2, 2)))


def test_anderson_solves_a_stiff_linear_problem() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(8, 8))
    matrix = -(a @ a.T) - np.eye(8)
    fixed = rng.normal(size=8)
    mixer, x = AndersonMixer(0.3, 10), np.zeros(8)
    for _ in range(60):
        x = mixer.next(x, fixed + matrix @ (x - fixed))
    np.testing.assert_allclose(x, fixed, atol=1e-6)
