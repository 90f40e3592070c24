"""Spin-orbit coupling of the provider ``uni-hamgnn``: what must hold for any weights and tables.

Weights are random and tables synthetic: nothing here says anything about a material.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_hamgnn_checkpoint import read_checkpoint
from test_openmx_database import write_tables
from test_uni_hamgnn_provider import BASIS, silicon_carbide, write_networks

from elphant.coupling.vertex import CouplingVertex
from elphant.crystal import Crystal, find_symmetry
from elphant.errors import DependencyError, ModelError, ResourceError
from elphant.models.hamiltonians.hamgnn.choices import UniHamGNNSettings
from elphant.models.hamiltonians.hamgnn.provider import UniHamGNNProvider
from elphant.models.hamiltonians.importers.openmx import read_openmx_archive
from elphant.models.hamiltonians.openmx import OpenMXData, openmx_matrices
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies, solve
from elphant.orbitals.derivatives import SpinorEnvironment, added
from elphant.orbitals.spin import spinor_basis, spinor_matrix
from elphant.orbitals.validation import validate

K = np.array([[0.0, 0.0, 0.0], [0.11, -0.23, 0.31], [0.5, 0.0, 0.5]])
KINDS = ("pseudopotential", "network")


def crystal_of_two() -> Crystal:
    """Two atoms in general positions, wide enough apart for quick tests."""
    crystal = silicon_carbide()
    return Crystal(
        lattice=1.25 * crystal.lattice, fractional=crystal.fractional, numbers=crystal.numbers
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Networks with one layer and with two, and tables with the integrals made of them."""
    folder = tmp_path_factory.mktemp("files")
    for symbol in ("Si", "C"):
        write_tables(folder / "tables", symbol)
    networks = {
        layers: read_checkpoint(
            write_networks(folder / "n.pkl", scale=0.1, second=3.0, num_layers=layers)
        )
        for layers in (1, 2)
    }
    return networks, OpenMXData(folder / "tables")


def provider_of(sources, kind="pseudopotential", layers=1, **settings):
    networks, data = sources
    chosen = UniHamGNNSettings(spin_orbit=kind, **settings)
    return UniHamGNNProvider(networks[layers], data, basis=BASIS, settings=chosen)


def blocks_of(matrix):
    keys = np.hstack([matrix.pairs, matrix.cells]).tolist()
    return {tuple(key): matrix.block(b) for b, key in enumerate(keys)}


@pytest.mark.parametrize("kind", KINDS)
def test_hermitian_and_invariant_under_time_reversal(sources, kind):
    provider = provider_of(sources, kind, layers=2)
    result = provider.predict(crystal_of_two())
    assert result.basis.is_spinor
    assert result.basis.has_functions
    assert (result.n_orbitals, result.n_electrons, result.n_occupied) == (52, 8.0, 8)
    assert result.hamiltonian.hermitian_residual() < 1e-10
    assert not [
        flag for flag in validate(result) if flag.name == "overlap_positive" and flag.value < 0
    ]
    for block in blocks_of(result.hamiltonian).values():
        n, m = block.shape[0] // 2, block.shape[1] // 2
        np.testing.assert_allclose(block[:n, :m], block[n:, m:].conj(), atol=1e-10)
        np.testing.assert_allclose(block[:n, m:], -block[n:, :m].conj(), atol=1e-10)
    energies, reverse = band_energies(result, K), band_energies(result, -K)
    np.testing.assert_allclose(energies, reverse, atol=1e-8)
    for k in (0, 2):  # invariant momenta: pairs
        np.testing.assert_allclose(energies[k, ::2], energies[k, 1::2], atol=1e-8)
    assert np.abs(energies[1, ::2] - energies[1, 1::2]).max() > 1e-3  # no inversion: split
    assert result.origin.details["spin_orbit"] == kind
    assert result.origin.details["largest_spin_orbit_eV"] > 1e-2
    assert "spin-orbit" in result.origin.level_of_theory
    assert provider.identity() != provider_of(sources, "none", layers=2).identity()


def test_the_pseudopotential_is_that_of_the_tables(sources):
    """H0 with spin-orbit coupling, plus the correction for both spins."""
    crystal = crystal_of_two()
    result = provider_of(sources).predict(crystal)
    plain = provider_of(sources, "none").predict(crystal)
    m = openmx_matrices(crystal, sources[1], basis=BASIS, spin_orbit=True)
    correction = spinor_matrix(m.h0.with_values(plain.hamiltonian.values - m.h0.values))
    expected = m.h0_spinor.values + correction.values
    np.testing.assert_allclose(result.hamiltonian.values, expected, atol=1e-10)
    np.testing.assert_allclose(
        result.overlap.values, spinor_matrix(plain.overlap).values, atol=1e-14
    )


def test_the_second_network_as_it_was_published(sources):
    """Spin-diagonal part as without coupling; the network's own part is antisymmetric."""
    crystal = crystal_of_two()
    plain = blocks_of(provider_of(sources, "none").predict(crystal).hamiltonian)
    both = blocks_of(provider_of(sources, "network").predict(crystal).hamiltonian)
    first = blocks_of(provider_of(sources).predict(crystal).hamiltonian)
    largest = 0.0
    for (i, j, *cell), block in both.items():
        n, m = block.shape[0] // 2, block.shape[1] // 2
        np.testing.assert_allclose(block[:n, :m].real, plain[i, j, *cell], atol=1e-12)
        extra = block - first[i, j, *cell]
        back = both[j, i, *(-c for c in cell)] - first[j, i, *(-c for c in cell)]
        # A of up-up, then of up-down.
        np.testing.assert_allclose(extra[:n, :m].imag, -back[:m, :n].imag.T, atol=1e-12)
        np.testing.assert_allclose(extra[:n, m:], -back[:m, n:].T, atol=1e-12)
        largest = max(largest, np.abs(extra[:n, m:]).max())
    assert largest > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_bands_do_not_depend_on_the_frame(sources, kind):
    crystal = crystal_of_two()
    provider = provider_of(sources, kind)
    energies = band_energies(provider.predict(crystal), K)
    R = Rotation.from_rotvec([0.4, -0.7, 0.5]).as_matrix()
    rotated = Crystal(
        lattice=crystal.lattice @ R.T, fractional=crystal.fractional, numbers=crystal.numbers
    )
    np.testing.assert_allclose(band_energies(provider.predict(rotated), K), energies, atol=1e-8)
    inverted = Crystal(
        lattice=crystal.lattice, fractional=-crystal.fractional, numbers=crystal.numbers
    )
    np.testing.assert_allclose(band_energies(provider.predict(inverted), K), energies, atol=1e-8)


def without_j_dependence(folder: Path, symbol: str) -> None:
    """Make the projectors of j = l - 1/2 those of j = l + 1/2."""
    path = write_tables(folder, symbol) / "VPS" / f"{symbol}_PBE19.vps"
    lines = path.read_text().splitlines()
    start = lines.index("<Pseudo.Potentials") + 1
    for i in range(start, len(lines) - 1):
        words = lines[i].split()
        lines[i] = " ".join([*words[:3], *(w for w in words[3::2] for _ in (0, 1))])
    text = "\n".join(lines).replace("5.000000000000000e-01 7.0", "5.000000000000000e-01 5.0")
    path.write_text(text + "\n")


def test_without_coupling_bands_are_doubled(sources, tmp_path):
    for symbol in ("Si", "C"):
        without_j_dependence(tmp_path, symbol)
    limit = sources[0], OpenMXData(tmp_path)
    crystal = crystal_of_two()
    plain = band_energies(provider_of(limit, "none").predict(crystal), K)
    spinor = band_energies(provider_of(limit).predict(crystal), K)
    np.testing.assert_allclose(spinor, np.repeat(plain, 2, axis=1), atol=1e-9)


# --- derivatives -------------------------------------------------------------------------------


def folded(found, atom, axis, pattern):
    """The derivative of all blocks of ``pattern`` when all images of an atom move alike."""
    two = found.two_centre[axis]
    total = {
        key: block * ((key[0] == atom) - float(key[1] == atom))
        for key, block in blocks_of(two).items()
    }
    image = found.environment.images(atom)
    n = int(found.sizes[image.atoms].sum())
    dense = image.applied(np.eye(n, dtype=complex))[..., axis]
    starts = np.concatenate([[0], np.cumsum(found.sizes[image.atoms])])
    for a, (i, first) in enumerate(zip(image.atoms.tolist(), image.cells, strict=True)):
        for b, (j, second) in enumerate(zip(image.atoms.tolist(), image.cells, strict=True)):
            block = dense[starts[a] : starts[a + 1], starts[b] : starts[b + 1]]
            if np.abs(block).max() > 0:
                key = (i, j, *(second - first).tolist())
                total[key] = total[key] + block
    return np.concatenate([total[key].ravel() for key in blocks_of(pattern)])


def displaced(crystal, atom, axis, step):
    move = np.zeros((crystal.n_atoms, 3))
    move[atom, axis] = step
    return crystal.displaced(move)


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_derivatives_are_the_central_differences(sources, kind):
    provider, crystal, step = provider_of(sources, kind, threshold=0.0), crystal_of_two(), 5e-4
    found = provider.derivatives(crystal)
    for atom, axis in ((0, 2), (1, 0)):
        plus, minus = (provider.predict(displaced(crystal, atom, axis, s)) for s in (step, -step))
        numeric = (plus.hamiltonian.values - minus.hamiltonian.values) / (2 * step)
        got = folded(found, atom, axis, plus.hamiltonian)
        assert np.abs(got - numeric).max() < 1e-5 * np.abs(numeric).max()
        if kind != "none":
            assert np.abs(numeric.imag).max() > 1e-3
            assert np.abs(got.imag - numeric.imag).max() < 1e-5 * np.abs(numeric.imag).max()
    assert found.details["spin_orbit"] == kind
    alone = provider.overlap_derivative(crystal)
    assert np.array_equal(alone[0].values, found.overlap[0].values)


@pytest.mark.slow
def test_derivatives_of_two_layers(sources):
    provider, crystal, step = provider_of(sources, "network", layers=2), crystal_of_two(), 5e-4
    found = provider.derivatives(crystal)
    plus, minus = (provider.predict(displaced(crystal, 1, 1, s)) for s in (step, -step))
    numeric = (plus.hamiltonian.values - minus.hamiltonian.values) / (2 * step)
    got = folded(found, 1, 1, plus.hamiltonian)
    assert np.abs(got - numeric).max() < 1e-5 * np.abs(numeric).max()


def test_matrix_elements_are_the_slopes_of_the_bands(sources):
    """g of all images of an atom moving together, against bands of displaced crystals."""
    provider, crystal, step = provider_of(sources, "network"), crystal_of_two(), 5e-4
    hamiltonian = provider.predict(crystal)
    vertex = CouplingVertex(hamiltonian, provider.derivatives(crystal))
    k = K[1:2]
    states = solve(hamiltonian, k)
    sides = (k, states.energies, states.coefficients)
    g = vertex.couple(vertex.bras(*sides), vertex.kets(*sides))[0, 0]
    slopes = np.einsum("nnax->nax", g).real
    for atom, axis in ((0, 1), (1, 2)):
        plus, minus = (
            band_energies(provider.predict(displaced(crystal, atom, axis, s)), k)[0]
            for s in (step, -step)
        )
        numeric = (plus - minus) / (2 * step)
        np.testing.assert_allclose(slopes[:, atom, axis], numeric, rtol=1e-5, atol=1e-3)
    assert np.abs(np.einsum("mnax->mnx", g)).max() < 1e-6 * np.abs(g).max()


def test_matrix_elements_without_coupling_conserve_the_spin(sources):
    provider, crystal = provider_of(sources, "none"), crystal_of_two()
    plain, found = provider.predict(crystal), provider.derivatives(crystal)
    nothing = found.environment.with_values(np.zeros_like(found.environment.values))
    zero = plain.hamiltonian.with_values(np.zeros_like(plain.hamiltonian.values))
    spinor = LocalOrbitalHamiltonian(
        crystal=crystal, basis=spinor_basis(plain.basis),
        hamiltonian=spinor_matrix(plain.hamiltonian, (zero, zero, zero)),
        overlap=spinor_matrix(plain.overlap), n_electrons=8.0, origin=plain.origin,
    )  # fmt: skip
    doubled = replace(
        found, sizes=2 * found.sizes,
        overlap=tuple(spinor_matrix(part) for part in found.overlap),
        two_centre=tuple(spinor_matrix(part) for part in found.two_centre),
        environment=SpinorEnvironment(scalar=found.environment, coupling=(nothing,) * 3),
    )  # fmt: skip
    assert doubled.environment.n_blocks == 4 * found.environment.n_blocks
    states = solve(plain, K)
    starts = np.cumsum([0, *plain.basis.sizes])
    up = np.zeros((len(K), 52, 26), dtype=complex)
    down = np.zeros_like(up)
    for a, b in pairwise(starts):
        up[:, 2 * a : a + b] = down[:, a + b : 2 * b] = states.coefficients[:, a:b]
    one, two = CouplingVertex(plain, found), CouplingVertex(spinor, doubled)
    side = (K, states.energies, states.coefficients)
    expected = one.couple(one.bras(*side), one.kets(*side))
    for first, second, factor in ((up, up, 1), (down, down, 1), (up, down, 0)):
        bras = two.bras(K, states.energies, first)
        got = two.couple(bras, two.kets(K, states.energies, second))
        np.testing.assert_allclose(got, factor * expected, atol=1e-10)


# --- equivalent atoms --------------------------------------------------------------------------


def screw() -> Crystal:
    """Three atoms about a threefold screw axis, in a frame without an axis along it."""
    lattice = np.array([[3.4, 0.0, 0.0], [-1.7, 3.4 * np.sqrt(0.75), 0.0], [0.0, 0.0, 5.4]])
    x, y, z = 0.13, 0.31, 0.05
    places = [[x, y, z], [-y, x - y, z + 1 / 3], [y - x, -x, z + 2 / 3]]
    R = Rotation.from_rotvec([0.3, 0.8, -0.2]).as_matrix()
    return Crystal(lattice=lattice @ R.T, fractional=places, numbers=[14, 14, 14])


def test_equivalent_atoms_are_rotated(sources):
    crystal, options = screw(), {"threshold": 0.0, "reach": 3.0}
    assert len(find_symmetry(crystal).rotations) >= 3
    quick = provider_of(sources, "network", **options).derivatives(crystal)
    full = provider_of(sources, "network", symmetry=False, **options).derivatives(crystal)
    assert (quick.details["n_atoms_computed"], full.details["n_atoms_computed"]) == (1, 3)
    for one, other in zip(quick.environment.parts, full.environment.parts, strict=True):
        difference = added([one, other.with_values(-other.values)])
        assert np.abs(other.values).max() > 1e-2
        assert np.abs(difference.values).max() < 1e-10


# --- errors ------------------------------------------------------------------------------------


def test_no_second_network(sources, tmp_path):
    only = read_checkpoint(write_networks(tmp_path / "n.pkl"))
    with pytest.raises(ModelError, match="no network of spin-orbit coupling") as error:
        provider_of(({1: only}, sources[1]), "network")
    assert "pseudopotential" in error.value.fix


def test_wrong_choices(sources):
    for wrong in ({"spin_orbit": "full"}, {"dtype": "half"}, {"reach": -1.0}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            UniHamGNNSettings(**wrong)
    with pytest.raises(DependencyError, match="not available"):
        provider_of(sources, device="cuda:77")


def test_too_little_memory(sources):
    """The estimate is refused before the work, and says which option helps."""
    networks, data = sources
    for reach in (None, 4.0):
        settings = UniHamGNNSettings(reach=reach)
        provider = UniHamGNNProvider(
            networks[2], data, basis=BASIS, settings=settings, memory_gb=1e-4
        )
        with pytest.raises(ResourceError, match="felt by all atoms within") as error:
            provider.derivatives(crystal_of_two())
        assert "hamiltonian.reach" in error.value.fix


# --- OpenMX ------------------------------------------------------------------------------------


def test_self_consistent_bands_with_spin_orbit(shared_data):
    """The self-consistent H without spin-orbit coupling stands for a perfect network.

    With the coupling of the tables it must give the bands of the self-consistent run with it.
    """
    folder = shared_data / "hamiltonian"
    plain = read_openmx_archive(folder / "omx_gaas.npz")
    reference = read_openmx_archive(folder / "omx_gaas_soc.npz")
    data = OpenMXData(folder / "DFT_DATA19")
    basis = {"Ga": "Ga7.0-s3p2d2", "As": "As7.0-s3p2d2"}
    m = openmx_matrices(plain.crystal, data, basis=basis, spin_orbit=True)
    assert np.array_equal(m.overlap.pairs, plain.hamiltonian.pairs)
    change = m.spin_orbit.average.values - m.nonlocal_.values
    scalar = plain.hamiltonian.with_values(plain.hamiltonian.values + change)
    spinor = replace(
        reference, hamiltonian=spinor_matrix(scalar, m.spin_orbit.coupling),
        overlap=spinor_matrix(plain.overlap),
    )  # fmt: skip
    k = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.5], [0.1, 0.25, -0.3]])
    ours, theirs = band_energies(spinor, k)[:, :32], band_energies(reference, k)[:, :32]
    assert np.abs(ours - theirs).max() < 0.015
    top = ours[0, 27]
    split = ours[0, 26] - ours[0, 23]
    assert split == pytest.approx(theirs[0, 26] - theirs[0, 23], abs=0.01)
    assert 0.25 < split < 0.45
    assert top > ours[0, 0]
