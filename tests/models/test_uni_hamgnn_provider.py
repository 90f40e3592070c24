"""The provider ``uni-hamgnn`` from files to matrices and derivatives.

Weights are random and tables synthetic: nothing here says anything about a material.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hamgnn_checkpoint_files import PredictorFile
from test_hamgnn_network import small_config
from test_openmx_database import write_tables

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.citations import bibtex
from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
    add_openmx_tables,
    add_uni_hamgnn,
)
from elphant.models.hamiltonians.hamgnn.network import parameter_shapes
from elphant.models.hamiltonians.hamgnn.provider import UniHamGNNProvider
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.loading import provider_of, require_hamiltonian
from elphant.models.hamiltonians.openmx import OpenMXData, openmx_matrices
from elphant.models.hamiltonians.protocol import DifferentiableHamiltonian, DifferentiableOverlap
from elphant.orbitals import band_energies
from elphant.orbitals.hamiltonian_file import read_hamiltonian, write_hamiltonian
from elphant.orbitals.validation import validate

BASIS = {"Si": "Si5.0-s2p2d1", "C": "C5.0-s2p2d1"}
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DATABASE = Path(os.environ.get("ELPHANT_REFERENCE_DATA", SHARED)) / "hamiltonian" / "DFT_DATA19"
needs_database = pytest.mark.skipif(
    not DATABASE.is_dir(), reason="no OpenMX database on this machine (GPL, not part of elphant)"
)


def write_networks(
    path: Path, *, scale: float = 1.0, second: float | None = None, **changes
) -> Path:
    """Write a small checkpoint of random weights.

    ``scale`` is that of the corrections, ``second`` that of a network of spin-orbit coupling.
    """
    # A checkpoint says everything; small_config leaves out what has a default.
    config = small_config(num_types=40, cutoff=7.0, **changes)
    representation = config["representation"] | {
        "correlation": 2, "radius_scale": 1.01, "build_internal_graph": False,
    }  # fmt: skip
    output = config["output"] | {
        "ham_only": True, "symmetrize": True, "add_H0": True, "nonlinearity_type": "gate",
    }  # fmt: skip
    frequencies = np.arange(1, representation["num_radial"] + 1) * np.pi / 7.0
    networks = {}
    for tag, factor in (("nonsoc", scale), ("soc", second)):
        if factor is None:
            continue
        settings = NetworkSettings.from_config(config, spin_orbit=tag == "soc")
        rng = np.random.default_rng(7)
        tensors = {"representation.radial_basis_functions.freqs": frequencies.astype(np.float32)}
        for name, shape in parameter_shapes(settings).items():
            size = factor if name.startswith("output_module") else 1.0
            tensors[name] = (size * rng.standard_normal(shape)).astype(np.float32)
        networks[tag] = tensors
    file = PredictorFile(
        soc=second is not None, networks=networks, representation=representation, output=output
    )
    return file.write(path)


def silicon_carbide() -> Crystal:
    """Two atoms in general positions of a triclinic cell."""
    return Crystal(
        lattice=np.array([[0.0, 2.2, 2.3], [2.25, 0.1, 2.2], [2.2, 2.25, 0.0]]),
        fractional=np.array([[0.01, 0.02, -0.03], [0.27, 0.24, 0.26]]),
        numbers=[14, 6],
    )


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Synthetic networks and tables, with the integrals that were made of them."""
    folder = tmp_path_factory.mktemp("files")
    for symbol in ("Si", "C"):
        write_tables(folder / "tables", symbol)
    write_networks(folder / "networks.pkl", scale=0.1)
    return folder, OpenMXData(folder / "tables")


@pytest.fixture
def provider(files, home):
    folder, data = files
    add_uni_hamgnn(folder / "networks.pkl")
    add_openmx_tables(folder / "tables")
    return UniHamGNNProvider(data=data, basis=BASIS)


def test_a_hamiltonian_from_files(provider):
    crystal = silicon_carbide()
    result = provider.predict(crystal)
    assert not [flag for flag in validate(result) if flag.severity == "invalid"]
    assert result.basis.sizes.tolist() == [13, 13]
    assert result.n_electrons == 8.0
    assert result.hamiltonian.hermitian_residual() < 1e-10
    h0 = openmx_matrices(crystal, provider.data, basis=BASIS).h0
    added = np.abs(result.hamiltonian.values - h0.values).max()
    details = result.origin.details
    assert added == pytest.approx(details["largest_correction_eV"])
    assert added > 1e-3
    assert result.position is not None
    # s and p of one atom, in OpenMX's order x, y, z.
    own = (result.overlap.pairs == 0).all(axis=1) & ~result.overlap.cells.any(axis=1)
    dipole = [matrix.block(int(np.flatnonzero(own)[0]))[0, 2:5] for matrix in result.position]
    np.testing.assert_allclose(dipole, dipole[0][0] * np.eye(3), atol=1e-6)
    assert dipole[0][0] > 0.1
    energies = band_energies(result, [[0, 0, 0], [0.1, 0.2, 0.3]])
    assert energies.shape == (2, 26)
    assert np.isfinite(energies).all()
    assert (details["network"]["published"], details["spin_orbit"]) == (False, "none")
    assert len(details["network"]["sha256"]) == 64
    assert details["ionic_charges"] == [4.0, 4.0]
    assert [flag["severity"] for flag in details["flags"]] == ["warning", "info"]
    assert "network_origin" in details["flags"][0]["name"]
    assert "unknown origin" in result.origin.level_of_theory
    assert "2504.19586" in bibtex(result.origin.references)
    assert result.origin.provider == provider.card.provider == "uni-hamgnn"
    assert provider.card.sha256 == details["network"]["sha256"]


def test_basis_functions_are_those_of_the_tables(provider, home):
    """The overlap of the functions on a fine grid is S; the file keeps them."""
    result = provider.predict(silicon_carbide())
    basis = result.basis
    assert basis.has_functions
    assert provider.capabilities.basis_functions
    assert result.basis.sizes.tolist() == [13, 13]
    r = np.linspace(0.0, basis.radial[0].cutoff, 4001)
    home_blocks = np.flatnonzero(~result.overlap.cells.any(axis=1))
    for b in home_blocks:
        i, j = result.overlap.pairs[b]
        if i != j:
            continue
        first = int(basis.starts[i])
        for k in (0, 1, 2, 5, 8):  # s, s, p, p, d
            radial, ell = basis.radial[basis.radial_index[first + k]], basis.l[first + k]
            value, slope = radial.evaluate(r * r)
            norm = np.trapezoid(value**2 * r ** (2 + 2 * ell), r)
            assert norm == pytest.approx(result.overlap.block(b)[k, k], rel=1e-4)
            numeric = np.gradient(value, r)[1000:3000]
            assert np.allclose(slope[1000:3000] * r[1000:3000], numeric, atol=1e-4)
    path = write_hamiltonian(home / "h.h5", result)
    again = read_hamiltonian(path).basis
    assert again.to_dict() == basis.to_dict()


def derivative_of_images(found, crystal, atom, axis, pattern):
    """Sum dH of all images of an atom that move together, in the blocks of ``pattern``."""
    sizes = pattern.sizes
    total = {}
    for b, ((i, j), cell) in enumerate(zip(pattern.pairs.tolist(), pattern.cells, strict=True)):
        block = np.zeros((sizes[i], sizes[j]))
        if found.two_centre is not None:
            two = found.two_centre[axis].block(b)
            block += ((i == atom) - (j == atom)) * two
        total[(i, j, *cell.tolist())] = block
    environment = found.environment
    for n in np.flatnonzero(environment.moved == atom):
        i, j = environment.pairs[n].tolist()
        bond = environment.cells[n, 1] - environment.cells[n, 0]
        part = environment.values[environment.offsets[n] : environment.offsets[n + 1]]
        total[(i, j, *bond.tolist())] += part.reshape(3, sizes[i], sizes[j])[axis]
    return np.concatenate([block.ravel() for block in total.values()])


def central_difference(provider, crystal, atom, axis, step):
    values = []
    for sign in (1, -1):
        positions = np.array(crystal.positions)
        positions[atom, axis] += sign * step
        moved = Crystal(
            lattice=crystal.lattice, fractional=positions @ np.linalg.inv(crystal.lattice),
            numbers=crystal.numbers,
        )  # fmt: skip
        values.append(provider.predict(moved))
    plus, minus = values
    assert np.array_equal(plus.hamiltonian.cells, minus.hamiltonian.cells)
    return tuple(
        (getattr(plus, name).values - getattr(minus, name).values) / (2 * step)
        for name in ("hamiltonian", "overlap")
    )


def check_derivatives(provider, crystal, *, atom, axis, step=5e-4, tolerance=1e-5):
    found = provider.derivatives(crystal)
    alone = provider.overlap_derivative(crystal)
    assert np.array_equal(found.overlap[axis].values, alone[axis].values)
    hamiltonian, overlap = central_difference(provider, crystal, atom, axis, step)
    pattern = found.overlap[axis]
    got = derivative_of_images(found, crystal, atom, axis, pattern)
    assert got.shape == hamiltonian.shape
    scale = np.abs(hamiltonian).max()
    assert np.abs(got - hamiltonian).max() < tolerance * scale
    moves = [(i == atom) - (j == atom) for i, j in pattern.pairs.tolist()]
    of_overlap = pattern.values * np.repeat(moves, np.diff(pattern.offsets))
    assert np.abs(of_overlap - overlap).max() < tolerance * np.abs(overlap).max()


@pytest.mark.slow
@pytest.mark.parametrize(("atom", "axis"), [(0, 2), (1, 0)])
def test_derivatives_are_the_central_differences(provider, atom, axis):
    check_derivatives(provider, silicon_carbide(), atom=atom, axis=axis)


def test_derivatives_of_one_layer(files, home):
    networks = write_networks(home / "n.pkl", scale=0.1, num_layers=1)
    other = UniHamGNNProvider(add_uni_hamgnn(networks), files[1], basis=BASIS)
    check_derivatives(other, silicon_carbide(), atom=1, axis=1)


@pytest.mark.slow
@needs_database
def test_derivatives_with_the_real_tables(home):
    """GaAs off its sites, d orbitals and semicore included."""
    add_uni_hamgnn(write_networks(home / "n.pkl", scale=0.05, nao_max=19, num_layers=1))
    add_openmx_tables(DATABASE)
    crystal = Crystal(
        lattice=np.array([[0.0, 2.73, 2.72], [2.715, 0.02, 2.73], [2.73, 2.715, 0.0]]),
        fractional=np.array([[0.01, 0.02, -0.03], [0.26, 0.255, 0.26]]),
        numbers=[31, 33],
    )
    named = provider_of("uni-hamgnn")
    assert named.predict(crystal).n_electrons == 28.0
    check_derivatives(named, crystal, atom=0, axis=2)


def test_what_it_can_do(provider):
    assert isinstance(provider, DifferentiableHamiltonian)
    assert isinstance(provider, DifferentiableOverlap)
    assert provider.capabilities.hamiltonian_derivatives
    assert provider.capabilities.overlap_derivatives
    assert provider.capabilities.spin_orbit


def test_by_name(provider):
    named = provider_of("uni-hamgnn")
    assert isinstance(named, UniHamGNNProvider)
    identity = named.identity(("Xx",))
    assert identity["network_sha256"] == provider.checkpoint.source.sha256
    assert identity["tables_sha256"] == {}
    files = provider.identity(("Si", "C", "Si"))["tables_sha256"]
    assert sorted(files) == ["C5.0.pao", "C_PBE19.vps", "Si5.0.pao", "Si_PBE19.vps"]
    assert all(len(digest) == 64 for digest in files.values())
    # The standard basis is that of the published tables; these have another.
    with pytest.raises(ModelError, match=r"5\.0\.pao: another basis"):
        named.predict(silicon_carbide())


def test_nothing_was_added(home):
    with pytest.raises(ModelError, match="networks of uni-hamgnn are not on this machine") as error:
        require_hamiltonian("uni-hamgnn")
    assert "elphant models add uni-hamgnn" in error.value.fix
    add_uni_hamgnn(write_networks(home / "networks.pkl"))
    with pytest.raises(ModelError, match="OpenMX are not on this machine") as error:
        require_hamiltonian("uni-hamgnn")
    assert "elphant models add openmx-data" in error.value.fix


def test_elements_that_are_not_covered(provider):
    def with_numbers(*numbers):
        crystal = silicon_carbide()
        return Crystal(lattice=crystal.lattice, fractional=crystal.fractional, numbers=numbers)

    with pytest.raises(ModelError, match="does not cover Gd"):
        provider.predict(with_numbers(64, 6))
    with pytest.raises(ModelError, match="atomic numbers below 40"):
        provider.derivatives(with_numbers(51, 6))
    with pytest.raises(ModelError, match="not in the basis of 14 orbitals"):
        provider._require_shells(with_numbers(33, 33), np.array([19, 19]))
    other = UniHamGNNProvider(data=provider.data, basis=BASIS | {"C": "C5.0-s2p1"})
    with pytest.raises(ModelError, match="basis of C has 5 orbitals, that of the network 13"):
        other.predict(silicon_carbide())
