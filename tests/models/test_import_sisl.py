"""Hamiltonians that sisl writes and reads."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.errors import DependencyError, ModelError, PhysicsError
from elphant.models.hamiltonians.importers import sisl_reader
from elphant.models.hamiltonians.loading import load_hamiltonian
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.orbitals import band_energies

K_POINTS = np.random.default_rng(6).uniform(-0.5, 0.5, (4, 3))


@pytest.fixture(scope="module")
def sisl():
    return pytest.importorskip("sisl")


@pytest.fixture(scope="module")
def model():
    """Return a non-orthogonal two-centre Hamiltonian of strained silicon."""
    crystal = Crystal(
        lattice=2.73 * (np.ones((3, 3)) - np.eye(3)) + np.diag([0.1, 0, -0.05]),
        fractional=np.array([[0.0, 0, 0], [0.26, 0.24, 0.25]]),
        numbers=np.array([14, 14]),
    )
    return SlaterKosterProvider("si").predict(crystal)


def _in_sisl(sisl, h, *, spin="unpolarized", labels=True):
    """Return the same Hamiltonian in sisl, its orbitals with SIESTA's signs if ``labels``."""
    if labels:
        orbitals = [
            sisl.AtomicOrbital(3, int(ell), int(m), R=6.0)
            for ell, m in zip(h.basis.l[:4], h.basis.m[:4], strict=True)
        ]
        signs = np.where((h.basis.l == 1) & (h.basis.m != 0), -1.0, 1.0)
    else:
        orbitals, signs = [sisl.Orbital(6.0)] * 4, np.ones(8)
    cells = np.abs(h.hamiltonian.cells).max(axis=0)
    geometry = sisl.Geometry(
        h.crystal.positions,
        [sisl.Atom(14, orbitals=orbitals)] * 2,
        lattice=sisl.Lattice(h.crystal.lattice, nsc=2 * cells + 1),
    )
    target = sisl.Hamiltonian(geometry, orthogonal=False, spin=spin)
    n_spin = 1 if spin == "unpolarized" else 2
    for (cell, block), (_, overlap) in zip(
        zip(*h.hamiltonian.to_cells(), strict=True), zip(*h.overlap.to_cells(), strict=True),
        strict=True,
    ):  # fmt: skip
        offset = geometry.lattice.sc_index(cell) * 8
        for i, j in zip(*np.nonzero(overlap), strict=True):
            sign = signs[i] * signs[j]
            target[i, j + offset] = (*[sign * block[i, j]] * n_spin, sign * overlap[i, j])
    return target


def test_a_file_gives_the_bands_of_sisl(sisl, model, tmp_path):
    source = _in_sisl(sisl, model, labels=False)
    path = tmp_path / "si.TSHS"
    source.write(str(path))
    h = load_hamiltonian(path, n_electrons=8, structure=model.crystal, require_gap=True)
    for k in K_POINTS:
        np.testing.assert_allclose(band_energies(h, k)[0], source.eigh(k), atol=1e-9)
    np.testing.assert_allclose(
        band_energies(h, K_POINTS), band_energies(model, K_POINTS), atol=1e-6
    )
    assert h.crystal.symbols == ("Si", "Si")
    assert (h.basis.l == -1).all()
    # An .fdf file beside it names the elements.
    source.geometry.write(str(tmp_path / "si.fdf"))
    with (tmp_path / "si.fdf").open("a") as file:
        file.write("\nSystemLabel si\n")
    other = load_hamiltonian(tmp_path / "si.fdf", n_electrons=8)
    assert other.crystal.symbols == ("Si", "Si")
    np.testing.assert_allclose(
        band_energies(other, K_POINTS), band_energies(h, K_POINTS), atol=1e-9
    )


def test_siesta_signs_are_turned(sisl, model, tmp_path):
    path = tmp_path / "any"
    path.write_text("")
    h = sisl_reader._converted(_in_sisl(sisl, model), path, 8.0, None)
    np.testing.assert_array_equal(h.basis.l, model.basis.l)
    np.testing.assert_array_equal(h.basis.m, model.basis.m)
    for name in ("hamiltonian", "overlap"):
        (cells, own), (others, theirs) = (getattr(x, name).to_cells() for x in (h, model))
        np.testing.assert_array_equal(cells, others)
        np.testing.assert_allclose(own, theirs, atol=1e-14)
    assert [sisl_reader._sign(2, m) for m in range(-2, 3)] == [1, -1, 1, -1, 1]


def test_elements_and_electrons_are_needed(sisl, model, tmp_path):
    path = tmp_path / "si.TSHS"
    _in_sisl(sisl, model, labels=False).write(str(path))
    with pytest.raises(ModelError, match="elements of the atoms"):
        load_hamiltonian(path, n_electrons=8)
    with pytest.raises(ModelError, match="valence electrons"):
        load_hamiltonian(path, structure=model.crystal)
    moved = model.crystal.displaced(np.full((2, 3), 0.1) * [[0], [1]])
    with pytest.raises(ModelError, match="is not that of"):
        load_hamiltonian(path, structure=moved, n_electrons=8)
    with pytest.raises(ModelError, match="do not fit"):
        load_hamiltonian(path, structure=model.crystal, n_electrons=17)


def test_spin_polarisation_is_refused(sisl, model, tmp_path):
    path = tmp_path / "si.TSHS"
    _in_sisl(sisl, model, spin="polarized", labels=False).write(str(path))
    with pytest.raises(PhysicsError, match="has spin"):
        load_hamiltonian(path, structure=model.crystal, n_electrons=8)


def test_damaged_files_are_refused(sisl, model, tmp_path):
    path = tmp_path / "whole.TSHS"
    _in_sisl(sisl, model, labels=False).write(str(path))
    content = path.read_bytes()
    for length in np.linspace(0, len(content) - 1, 15).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_hamiltonian(path, structure=model.crystal, n_electrons=8)
    for name in ("si.TSHS", "si.fdf", "si.HSX"):
        path = tmp_path / name
        path.write_bytes(b"nonsense" * 5)
        with pytest.raises(ModelError, match=r"sisl reads no|not a whole"):
            load_hamiltonian(path, n_electrons=8)
    with pytest.raises(ModelError, match="does not exist"):
        load_hamiltonian(tmp_path / "no.TSHS", n_electrons=8)


def test_without_sisl_the_user_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sisl", None)
    path = tmp_path / "si.fdf"
    path.write_bytes(b"")
    with pytest.raises(DependencyError, match=r"elphant\[sisl\]"):
        load_hamiltonian(path, n_electrons=8)
