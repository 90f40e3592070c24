"""OpenMX archives: the stored bands come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.linalg

from elphant.errors import ModelError
from elphant.models.hamiltonians.importers.openmx import OPENMX_M, read_openmx_archive
from elphant.models.hamiltonians.loading import load_hamiltonian
from elphant.orbitals import band_energies
from elphant.orbitals.harmonics import solid_harmonics
from elphant.orbitals.validation import validate
from elphant.units import OPENMX_EV_PER_HARTREE


def _bands(path, h):
    with np.load(path) as data:
        stored = data["bands"] * OPENMX_EV_PER_HARTREE
        return band_energies(h, data["kpts"])[:, : stored.shape[1]], stored


@pytest.mark.parametrize(("name", "n_electrons"), [("omx_si", 8), ("omx_gaas", 28)])
def test_stored_bands_return(shared_data, name, n_electrons):
    path = shared_data / "hamiltonian" / f"{name}.npz"
    h = load_hamiltonian(path, require_gap=True)
    assert h.n_electrons == n_electrons
    bands, stored = _bands(path, h)
    np.testing.assert_allclose(bands, stored, atol=1e-8)


def test_antimony_selenide(shared_data):
    """Its H is stored in single precision: bands return to 2e-5 eV, near the gap to 1e-6 eV."""
    path = shared_data / "hamiltonian" / "omx_sb2se3.npz"
    h = load_hamiltonian(path, require_gap=True)
    assert (h.n_electrons, h.n_orbitals, h.n_occupied) == (192, 380, 96)
    bands, stored = _bands(path, h)
    np.testing.assert_allclose(bands, stored, atol=3e-5)
    near = np.abs(stored - stored[:, 95].max()) < 2.0
    assert np.abs(bands - stored)[near].max() < 1e-6
    # What is stored is used to the last bit: compare with a sum over the file's own blocks.
    with np.load(path) as data:
        k = data["kpts"][1]
        H, S = (_bloch(data, name, k) for name in ("H", "S"))
    expected = scipy.linalg.eigvalsh(H, S) * OPENMX_EV_PER_HARTREE
    np.testing.assert_allclose(bands[1], expected, atol=1e-9)


def _bloch(data, name, k):
    norb, (src, dst), shift = data["norb"], data["edge_index"], data["cell_shift"]
    starts = np.concatenate([[0], np.cumsum(norb)])
    total = np.zeros((starts[-1], starts[-1]), complex)
    for atom, block in enumerate(data[f"{name}_on"].astype(float)):
        n = norb[atom]
        total[starts[atom] :, starts[atom] :][:n, :n] += block[:n, :n]
    for edge, block in zip(data["pair_rows"], data[f"{name}_off"].astype(float), strict=True):
        i, j = src[edge], dst[edge]
        block = block[: norb[i], : norb[j]] * np.exp(2j * np.pi * k @ shift[edge])
        total[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] += block
        total[starts[j] : starts[j + 1], starts[i] : starts[i + 1]] += block.conj().T
    return total


def test_spin_orbit(shared_data):
    path = shared_data / "hamiltonian" / "omx_gaas_soc.npz"
    h = load_hamiltonian(path, require_gap=True)
    assert h.basis.is_spinor
    assert h.n_occupied == 28
    bands, stored = _bands(path, h)
    np.testing.assert_allclose(bands, stored, atol=3e-5)  # H_Hks0 is stored in single precision
    # Time reversal pairs the states at k and -k.
    k = np.array([[0.1, 0.23, -0.31]])
    np.testing.assert_allclose(band_energies(h, k), band_energies(h, -k), atol=1e-7)


def test_the_labels_turn_with_the_crystal(shared_data):
    """The overlap of two centres along a bond depends on m as the labels say: it is two-centre."""
    h = read_openmx_archive(shared_data / "hamiltonian" / "omx_si.npz")
    S, basis, crystal = h.overlap, h.basis, h.crystal
    s_of = [np.flatnonzero((basis.atom == a) & (basis.l == 0) & (basis.n == 1))[0] for a in (0, 1)]
    for ell in (1, 2):
        rows = np.flatnonzero((basis.atom == 1) & (basis.l == ell) & (basis.n == 1))
        checked = 0
        for index, ((i, j), cell) in enumerate(zip(S.pairs, S.cells, strict=True)):
            if (i, j) != (0, 1):
                continue
            bond = crystal.positions[1] + cell @ crystal.lattice - crystal.positions[0]
            block = S.block(index)[s_of[0], rows - basis.starts[1]]
            angular = solid_harmonics(ell, [bond / np.linalg.norm(bond)])[0, ell + basis.m[rows]]
            if np.abs(block).max() < 1e-4:
                continue
            np.testing.assert_allclose(
                block, angular * (block @ angular) / (angular @ angular), atol=1e-8
            )
            checked += 1
        assert checked > 10


def test_the_matrix_before_self_consistency(shared_data):
    path = shared_data / "hamiltonian" / "omx_si.npz"
    h = load_hamiltonian(path, matrix="H0")
    assert not h.origin.self_consistent
    assert np.abs(h.hamiltonian.values - load_hamiltonian(path).hamiltonian.values).max() > 1
    with pytest.raises(ModelError, match="no array 'H_on'"):
        load_hamiltonian(shared_data / "hamiltonian" / "omx_nacl.npz")


def _archive(path, **changes):
    """Write an archive of a hydrogen crystal with one s orbital."""
    info = {
        "symbols": ["H"], "n_electrons": 2.0, "species": {"H": {"pao": "H6.0-s1", "vps": "H"}},
        "orbital_table": {"H": [{"l": 0, "mult": 0, "m_index": 0}]},
    }  # fmt: skip
    content = {
        "z": np.array([1]), "cell": 6.0 * np.eye(3), "pos": np.zeros((1, 3)),
        "norb": np.array([1]), "edge_index": np.zeros((2, 2), int),
        "cell_shift": np.array([[1, 0, 0], [-1, 0, 0]]), "pair_rows": np.array([0]),
        "S_on": np.ones((1, 1, 1)), "S_off": np.full((1, 1, 1), 0.1),
        "H_on": np.full((1, 1, 1), -0.5), "H_off": np.full((1, 1, 1), -0.1),
        "info_json": np.array(json.dumps(info)),
    }  # fmt: skip
    content.update(changes)
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path


def test_a_hydrogen_chain_by_hand(tmp_path):
    h = load_hamiltonian(_archive(tmp_path / "h.npz"))
    k = np.linspace(0, 1, 5)
    cosine = np.cos(2 * np.pi * k)
    expected = OPENMX_EV_PER_HARTREE * (-0.5 - 0.2 * cosine) / (1 + 0.2 * cosine)
    bands = band_energies(h, k[:, None] * [[1, 0, 0]])
    np.testing.assert_allclose(bands[:, 0], expected, atol=1e-12)
    assert OPENMX_M[1] == (1, -1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"S_on": None}, {"H_off": None}, {"info_json": np.array("{")}, {"z": np.array([0])},
        {"info_json": np.array("{}")}, {"S_off": np.zeros((3, 1, 1))}, {"norb": np.array([2])},
        {"edge_index": np.full((2, 2), 5)}, {"H_on": np.array([[["x"]]])},
        {"cell": np.zeros((3, 3))}, {"S_off": np.full((1, 1, 1), np.nan)},
        {"pair_rows": np.array([7])}, {"H_on": np.full((1, 1, 1), None)},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_damaged_archives_are_refused(tmp_path, changes):
    with pytest.raises(ModelError):
        load_hamiltonian(_archive(tmp_path / "h.npz", **changes))


def test_truncated_archives_are_refused(tmp_path):
    content = _archive(tmp_path / "h.npz").read_bytes()
    for length in np.linspace(0, len(content) - 1, 20).astype(int):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_hamiltonian(tmp_path / "cut.npz")


def test_a_wrong_electron_number_is_refused(tmp_path):
    path = _archive(tmp_path / "h.npz")
    with pytest.raises(ModelError, match="do not fit"):
        load_hamiltonian(path, n_electrons=3)
    flags = {flag.name: flag for flag in validate(load_hamiltonian(path, n_electrons=1))}
    assert flags["gap"].severity == "invalid"
