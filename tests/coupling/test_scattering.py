"""Collision kernels: brute force, gauges, symmetry, cells, energy conservation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from silicon_model import TEMPERATURE, Model, charges, silicon, springs, strained

from elphant.coupling.long_range import LongRangeCoupling
from elphant.coupling.scattering import (
    PARTS,
    DeltaSettings,
    PairSums,
    _shortest,
    scattering_kernels,
)
from elphant.coupling.vertex import CouplingVertex
from elphant.crystal import Crystal
from elphant.electron.transport.collision import ReducedKernel
from elphant.electron.transport.delta import gaussian_weights, pair_widths
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.velocity import DEGENERACY_TOLERANCE
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS, PLANCK_EV_PS, ZERO_POINT_SQUARE

FIXED = DeltaSettings(kind="gaussian", width=0.04)
MASSES = (28.0, 51.0)
# No operation but inversion, and not even that with two masses.
TRICLINIC = np.array([[0.010, 0.006, 0.003], [0.006, -0.007, 0.004], [0.003, 0.004, 0.004]])


@pytest.fixture(scope="module")
def zincblende() -> Crystal:
    return silicon(masses=MASSES)


@pytest.fixture(scope="module")
def polar_holes(zincblende) -> Model:
    return Model.of(
        zincblende, springs(zincblende), (6, 6, 6), "hole", 0.7, long_range=charges(zincblende)
    )


@pytest.fixture(scope="module")
def electrons() -> Model:
    crystal = silicon()
    return Model.of(crystal, springs(crystal), (24, 24, 24), width=0.3)


@pytest.fixture(scope="module")
def fine_holes() -> Model:
    crystal = silicon()
    return Model.of(crystal, springs(crystal), (16, 16, 16), "hole", 0.4)


def mobilities(model: Model) -> np.ndarray:
    operator = model.operator()
    return np.array([f(operator).mobility for f in (solve_serta, solve_mrta, solve_bte)])


def sets_of(window, point: int) -> list[np.ndarray]:
    """Return the sets of equal energies among the states of a point inside the window."""
    bands = np.flatnonzero(window.inside[point])
    steps = np.diff(window.energies[point, bands]) > DEGENERACY_TOLERANCE
    return np.split(bands, np.flatnonzero(steps) + 1)


def brute_force(model: Model) -> dict[str, np.ndarray]:
    """Return the kernels from one pair of points after the other, and all modes at once."""
    w, vertex, phonons, long_range = model.window, model.vertex, model.phonons, model.long_range
    assert long_range is not None
    n = int(np.prod(w.divisions))
    table = np.full(w.inside.shape, -1)
    table[tuple(w.full_states.T)] = np.arange(len(w.full_states))
    kernels = {name: np.zeros((len(w.irreducible_states), len(w.full_states))) for name in PARTS}
    row_of = {tuple(s): i for i, s in enumerate(w.irreducible_states.tolist())}
    widths = model.sums.widths
    for position, origin in enumerate(w.irreducible):
        for target in range(w.n_points):
            k, other = w.k_points[origin], w.k_points[target]
            modes = phonons.modes(other - k)
            f = modes.frequencies[0]
            bra = vertex.bras(other, w.energies[target][None], w.coefficients[target][None])
            ket = vertex.kets(k, w.energies[origin][None], w.coefficients[origin][None])
            g = vertex.couple(bra, ket)[0, 0]
            W = long_range.site_potentials(other - k)[0]
            long = np.einsum("mna,akx->mnkx", vertex.transition_charges(bra, ket.states)[0, 0], W)
            square = {name: np.zeros((g.shape[0], g.shape[1], len(f))) for name in PARTS}
            for mode in np.flatnonzero(f > 0.02):
                e = modes.eigenvectors[0, :, mode].reshape(-1, 3)
                e = e * np.sqrt(ZERO_POINT_SQUARE / (modes.masses[:, None] * f[mode]))
                a, b = np.einsum("mnkx,kx->mn", g, e), np.einsum("mnkx,kx->mn", long, e)
                square["short"][..., mode] = abs(a) ** 2
                square["polar"][..., mode] = abs(b) ** 2
                square["interference"][..., mode] = abs(a + b) ** 2 - abs(a) ** 2 - abs(b) ** 2
            # A trace over both sets is all that has a meaning.
            for name in PARTS:
                for final in sets_of(w, target):
                    for initial in sets_of(w, int(origin)):
                        block = np.ix_(final, initial)
                        square[name][block] = square[name][block].mean(axis=(0, 1))
            for m in np.flatnonzero(w.inside[target]):
                for b in np.flatnonzero(w.inside[origin]):
                    row, column = row_of[position, int(b)], table[target, m]
                    sigma = pair_widths(widths[column], widths[table[origin, b]])
                    x = w.energies[target, m] - w.energies[origin, b]
                    omega = np.maximum(f, 0.02) * PLANCK_EV_PS
                    delta = gaussian_weights(x - omega, sigma) + gaussian_weights(x + omega, sigma)
                    delta = delta / (2 * np.sinh(omega / (2 * BOLTZMANN_EV * TEMPERATURE)))
                    missed = np.abs(x) - omega
                    delta = delta / np.cosh(missed / (2 * BOLTZMANN_EV * TEMPERATURE))
                    for name in PARTS:
                        rate = 2 * np.pi / HBAR_EV_PS / n * (square[name][m, b] * delta).sum()
                        kernels[name][row, column] = rate
    return kernels


def largest_difference(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_kernels_are_those_of_a_plain_double_loop(polar_holes, monkeypatch):
    # Several blocks on both sides.
    monkeypatch.setattr("elphant.coupling.scattering.KETS_AT_ONCE", 3)
    monkeypatch.setattr("elphant.coupling.scattering.BRAS_AT_ONCE", 7)
    seen: list[tuple[int, int]] = []
    kernels = scattering_kernels(
        polar_holes.sums, [TEMPERATURE], lambda done, total: seen.append((done, total))
    )
    expected = brute_force(polar_holes)
    for name in PARTS:
        assert np.abs(expected[name]).max() > 1e-3
        assert largest_difference(kernels.parts[name][0].toarray(), expected[name]) < 1e-10
    whole = sum(expected.values())
    assert largest_difference(kernels.total(0).toarray(), whole) < 1e-10
    rest = kernels.remaining(0).toarray()
    np.testing.assert_allclose(rest + expected["polar"], whole, atol=1e-10 * np.abs(whole).max())
    n = len(polar_holes.window.irreducible_states)
    assert seen[-1] == (n, n)
    assert polar_holes.kernels.n_pairs == kernels.n_pairs


@pytest.mark.parametrize(
    ("carrier", "kind"),
    [
        ("electrons", "adaptive"),
        ("electrons", "tetrahedron"),
        ("polar_holes", "adaptive"),
        ("fine_holes", "tetrahedron"),
    ],
)
def test_kernels_conserve_carriers_and_detailed_balance(carrier, kind, request):
    model = request.getfixturevalue(carrier).with_(delta=DeltaSettings(kind=kind))
    for name, folded in model.folded.items():
        # The parts hold to rounding of the whole; interference may be small by itself.
        assert folded.asymmetry < 1e-10, name
        operator = model.operator(folded)
        if name != "interference":
            assert operator.row_sum_error < 1e-12
    operator = model.operator()
    assert operator.row_sum_error < 1e-12
    for mobility in mobilities(model):
        np.testing.assert_allclose(mobility, mobility.T, atol=1e-10 * mobility.max())
        np.testing.assert_allclose(mobility, mobility[0, 0] * np.eye(3), rtol=1e-9, atol=1e-8)
        assert mobility[0, 0] > 0.0


def test_phases_and_bases_of_degenerate_sets_do_not_matter(polar_holes):
    w, rng = polar_holes.window, np.random.default_rng(4)
    c = w.coefficients.copy()
    largest = 1
    for point in range(w.n_points):
        for members in sets_of(w, point):
            size = len(members)
            largest = max(largest, size)
            matrix = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
            unitary, _ = np.linalg.qr(matrix)
            c[point][:, members] = c[point][:, members] @ unitary
    assert largest == 3
    other = polar_holes.with_(window=replace(w, coefficients=c))
    # Before the average over sets the kernels differ.
    before, after = (
        np.concatenate([b.square["short"].sum(axis=1) for b in m.sums.blocks()])
        for m in (polar_holes, other)
    )
    assert largest_difference(after, before) > 1e-3
    for name in PARTS:
        a, b = (m.kernels.parts[name][0].toarray() for m in (polar_holes, other))
        assert largest_difference(b, a) < 1e-10


def test_the_whole_mesh_gives_what_the_irreducible_part_gives(polar_holes, zincblende):
    constants = springs(zincblende)
    options = {"carrier": "hole", "width": 0.7, "delta": FIXED, "long_range": charges(zincblende)}
    with_symmetry = polar_holes.with_(delta=FIXED)
    without = Model.of(zincblende, constants, (6, 6, 6), symmetric=False, **options)
    assert without.space.n_states > 2 * with_symmetry.space.n_states
    np.testing.assert_allclose(mobilities(without), mobilities(with_symmetry), rtol=1e-8, atol=1e-7)


def test_a_mesh_of_a_crystal_with_several_operations_and_a_tensor():
    crystal = strained(silicon(), np.diag([0.0, 0.0, 0.02]))
    constants = springs(crystal)
    models = [
        Model.of(crystal, constants, (8, 8, 8), "hole", 0.6, symmetric=s, delta=FIXED)
        for s in (True, False)
    ]
    assert len(models[0].window.rotations_cartesian) > 8
    first, second = (mobilities(m) for m in models)
    assert abs(first[0][2, 2] / first[0][0, 0] - 1.0) > 0.05
    np.testing.assert_allclose(second, first, rtol=1e-8, atol=1e-8 * first.max())


def test_the_tensor_turns_with_the_crystal():
    R = Rotation.from_rotvec([0.3, -0.7, 0.5]).as_matrix()
    crystal = strained(silicon(masses=MASSES), TRICLINIC)
    turned = crystal.replaced(lattice=crystal.lattice @ R.T)
    first, second = (
        mobilities(Model.of(c, springs(c), (6, 6, 6), "hole", 0.7, long_range=charged))
        for c, charged in ((crystal, charges(crystal)), (turned, like(charges(crystal), turned)))
    )
    assert np.abs(np.diff(np.diag(first[0]))).max() > 1e-3 * first[0].max()
    np.testing.assert_allclose(second, R @ first @ R.T, rtol=1e-8, atol=1e-8 * first.max())


def like(long_range: LongRangeCoupling, crystal: Crystal) -> LongRangeCoupling:
    """Return the same isotropic charges in a turned crystal."""
    return replace(long_range, crystal=crystal)


def test_a_doubled_cell_has_the_same_mobility():
    crystal = strained(silicon(masses=MASSES), TRICLINIC)
    doubled = Crystal(
        lattice=crystal.lattice * np.array([2, 1, 1])[:, None],
        fractional=np.concatenate([crystal.fractional, crystal.fractional + np.array([1, 0, 0])])
        / np.array([2, 1, 1]),
        numbers=np.tile(crystal.numbers, 2),
        masses=np.tile(crystal.masses, 2),
    )
    options = {"carrier": "hole", "width": 0.5, "delta": FIXED}
    charged = charges(crystal)
    twice = replace(
        charged,
        crystal=doubled,
        dielectric=replace(
            charged.dielectric, born_charges=np.tile(charged.dielectric.born_charges, (2, 1, 1))
        ),
    )
    single = Model.of(crystal, springs(crystal), (6, 6, 6), long_range=charged, **options)
    double = Model.of(
        doubled, springs(doubled, (2, 3, 3)), (3, 6, 6), long_range=twice,
        edge_mesh=(3, 6, 6), **options,
    )  # fmt: skip
    assert double.space.n_states == single.space.n_states
    np.testing.assert_allclose(
        mobilities(double), mobilities(single), rtol=1e-8, atol=1e-8 * mobilities(single).max()
    )


def test_the_order_of_the_axes_does_not_matter():
    crystal = strained(silicon(masses=MASSES), TRICLINIC)
    swapped = crystal.replaced(
        lattice=crystal.lattice[[2, 0, 1]], fractional=crystal.fractional[:, [2, 0, 1]]
    )
    first, second = (
        mobilities(Model.of(c, springs(c), mesh, "hole", 0.7, long_range=charges(c)))
        for c, mesh in ((crystal, (6, 5, 4)), (swapped, (4, 6, 5)))
    )
    np.testing.assert_allclose(second, first, rtol=1e-8, atol=1e-8 * first.max())


def test_force_constants_from_a_file(fixtures):
    path = fixtures / "Si_phono3py" / "phono3py_params_Si.yaml.xz"
    constants = load_force_constants(path, None)
    crystal = constants.unitcell
    model = Model.of(crystal, constants, (6, 6, 6), "hole", 0.5, edge_mesh=(4, 4, 4))
    assert model.folded["short"].asymmetry < 1e-10
    assert model.operator().row_sum_error < 1e-12
    for mobility in mobilities(model):
        assert 1.0 < mobility[0, 0] < 1e4
        np.testing.assert_allclose(mobility, mobility[0, 0] * np.eye(3), rtol=1e-8, atol=1e-7)


def test_parts_that_are_not_there(polar_holes):
    hamiltonian = polar_holes.vertex.hamiltonian
    only_polar = polar_holes.with_(vertex=CouplingVertex(hamiltonian, None))
    assert list(only_polar.kernels.parts) == ["polar"]
    rest = only_polar.kernels.remaining(0)
    assert rest.shape == only_polar.kernels.total(0).shape
    assert rest.nnz == 0
    only_short = polar_holes.with_(long_range=None)
    assert list(only_short.kernels.parts) == ["short"]
    for name, model in (("polar", only_polar), ("short", only_short)):
        found, expected = (m.kernels.parts[name][0].toarray() for m in (model, polar_holes))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * expected.max())


def test_screening_and_the_range_parameter(polar_holes):
    charged = polar_holes.long_range
    screened = polar_holes.with_(long_range=replace(charged, screening=2.0))
    before, after = (m.operator(m.folded["polar"]).rates for m in (polar_holes, screened))
    assert (after <= before * (1 + 1e-12)).all()
    assert after.sum() < 0.9 * before.sum()


def test_no_partners_and_modes_left_out(polar_holes):
    none = PairSums(
        polar_holes.window, polar_holes.vertex, polar_holes.phonons, polar_holes.long_range,
        DeltaSettings(), lowest_thz=1e3,
    )  # fmt: skip
    kernels = scattering_kernels(none, [100.0, 300.0])
    assert kernels.n_pairs == 0
    for matrices in kernels.parts.values():
        assert len(matrices) == 2
        assert all(matrix.nnz == 0 for matrix in matrices)


def test_temperature_factors(electrons):
    warm = scattering_kernels(electrons.sums, [150.0, 300.0])
    low, high = (warm.total(i).toarray() for i in (0, 1))
    assert warm.temperatures == (150.0, 300.0)
    np.testing.assert_allclose(high, electrons.kernels.total(0).toarray(), rtol=1e-12)
    # 1/sinh grows at least in proportion to T.
    assert (high[low > 0] > 2.0 * low[low > 0] * (1 - 1e-12)).all()


def test_tetrahedra_and_gaussians_agree_roughly(electrons):
    adaptive = mobilities(electrons)
    tetrahedra = mobilities(electrons.with_(delta=DeltaSettings(kind="tetrahedron")))
    ratio = tetrahedra[:, 0, 0] / adaptive[:, 0, 0]
    assert np.isfinite(ratio).all()
    assert (np.abs(ratio - 1.0) < 0.3).all()


def test_settings_of_the_delta_function():
    assert DeltaSettings().label == "adaptive"
    assert DeltaSettings(scale=0.5).label == "adaptive x 0.5"
    assert DeltaSettings(kind="tetrahedron").label == "tetrahedron"
    assert FIXED.label == "gaussian 0.04 eV"
    with pytest.raises(ValueError, match="needs a width"):
        DeltaSettings(kind="gaussian")
    with pytest.raises(ValueError, match="needs a width"):
        DeltaSettings(kind="adaptive", width=0.1)


def test_shortest_images_of_wave_vectors():
    lattice = np.array([[3.0, 0, 0], [2.6, 1.5, 0], [0, 0, 4.0]])
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    q = np.random.default_rng(1).uniform(-0.5, 0.5, size=(50, 3))
    found = _shortest(q, reciprocal)
    around = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm((q[:, None] + around) @ reciprocal, axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found @ reciprocal, axis=1), lengths)
    np.testing.assert_allclose(found - q, np.rint(found - q), atol=1e-12)


def test_folding_needs_the_shape_of_the_space(electrons):
    with pytest.raises(ValueError, match="kernel has shape"):
        ReducedKernel.fold(electrons.space, np.zeros((2, 2)))
