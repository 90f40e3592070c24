"""The Hamiltonian file: exact to the bit, and clear about files that are not one."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.errors import StoreError
from elphant.orbitals import (
    GaussianRadial,
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)
from elphant.orbitals.hamiltonian_file import (
    FILE_VERSION,
    content_digest,
    is_hamiltonian_file,
    read_hamiltonian,
    write_hamiltonian,
)


def _matrix(rng, sizes, cells, *, complex_values=False):
    n = int(np.sum(sizes))
    values = rng.normal(size=(len(cells), n, n))
    if complex_values:
        values = values + 1j * rng.normal(size=values.shape)
    return LatticeMatrix.from_cells(sizes, cells, values)


def _hamiltonian(*, spinor=False, overlap=True, position=True):
    rng = np.random.default_rng(4)
    crystal = Crystal(
        lattice=rng.normal(size=(3, 3)) + 4 * np.eye(3),
        fractional=rng.normal(size=(2, 3)),
        numbers=np.array([34, 51]),
        masses=np.array([79.9, 120.123456789]),
        name="made up",
    )
    radial = (
        GaussianRadial(exponents=np.array([0.1, 1 / 3]), coefficients=np.array([0.3, -1.7]), l=0),
        GaussianRadial(exponents=np.array([0.7]), coefficients=np.array([np.pi]), l=1),
    )
    basis = OrbitalBasis(
        atom=np.array([0, 0, 1, 1]),
        n=np.array([1, 1, 1, 1]),
        l=np.array([0, 0, 1, 1]),
        m=np.array([0, 0, 1, 1]) if spinor else np.array([0, 0, -1, 1]),
        spin=np.array([1, -1, 1, -1]) if spinor else np.zeros(4, int),
        radial=radial,
        radial_index=np.array([0, 0, 1, 1]),
    )
    cells = np.array([[0, 0, 0], [1, 0, -2], [-1, 0, 2]])
    sizes = basis.sizes
    parts = [_matrix(rng, sizes, cells) for _ in range(3)]
    return LocalOrbitalHamiltonian(
        crystal=crystal,
        basis=basis,
        hamiltonian=_matrix(rng, sizes, cells, complex_values=spinor),
        overlap=_matrix(rng, sizes, cells) if overlap else None,
        n_electrons=0.1 + 0.2,
        origin=HamiltonianOrigin(
            provider="toy",
            level_of_theory="none: Å, ψ",
            self_consistent=False,
            details={"mesh": [2, 3, 4], "energy": 1 / 3, "nested": {"on": True, "what": None}},
            references=("slater1954",),
        ),
        position=(parts[0], parts[1], parts[2]) if position else None,
    )


@pytest.mark.parametrize(
    "options", [{}, {"spinor": True}, {"overlap": False}, {"position": False}], ids=str
)
def test_everything_returns_to_the_bit(tmp_path, options):
    before = _hamiltonian(**options)
    path = write_hamiltonian(tmp_path / "deep" / "toy.h5", before)
    after = read_hamiltonian(path)
    assert after.crystal == before.crystal
    assert after.crystal.name == before.crystal.name
    assert after.basis.to_dict() == before.basis.to_dict()
    assert after.n_electrons == before.n_electrons
    assert after.origin == before.origin
    pairs = [(after.hamiltonian, before.hamiltonian), (after.overlap, before.overlap)]
    pairs += list(zip(after.position or (), before.position or (), strict=True))
    for one, other in pairs:
        if other is None:
            assert one is None
            continue
        for name in ("sizes", "pairs", "cells", "values"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert content_digest(after) == content_digest(before)
    r2 = np.linspace(0, 9, 7)
    for one, other in zip(after.basis.radial, before.basis.radial, strict=True):
        assert one.evaluate(r2)[0].tobytes() == other.evaluate(r2)[0].tobytes()


def test_the_same_hamiltonian_gives_the_same_bytes(tmp_path):
    first = write_hamiltonian(tmp_path / "a.h5", _hamiltonian())
    second = write_hamiltonian(tmp_path / "b.h5", _hamiltonian())
    assert first.read_bytes() == second.read_bytes()


def test_every_array_says_unit_axes_and_frame(tmp_path):
    path = write_hamiltonian(tmp_path / "toy.h5", _hamiltonian())
    units = {}

    def look(name, item):
        if isinstance(item, h5py.Dataset) and name != "origin":
            units[name] = item.attrs["unit"]
            assert item.attrs["axes"]
            assert "never rotated" in item.attrs["frame"]

    with h5py.File(path) as file:
        file.visititems(look)
    assert units["hamiltonian/values"] == "eV"
    assert units["overlap/values"] == "1"
    assert units["position/y/values"] == "Å"
    assert units["crystal/lattice"] == "Å"
    assert units["basis/radial/0001/exponents"] == "Å^-2"


def test_a_changed_number_is_noticed(tmp_path):
    path = write_hamiltonian(tmp_path / "toy.h5", _hamiltonian())
    for change in ("hamiltonian/values", "crystal/masses", "basis/radial/0000/exponents"):
        copy = tmp_path / "copy.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            file[change][0] *= 1 + 1e-15
        with pytest.raises(StoreError, match="damaged"):
            read_hamiltonian(copy)
    with h5py.File(path, "r+") as file:
        file.attrs["n_electrons"] = 7.0
    with pytest.raises(StoreError, match="sha256"):
        read_hamiltonian(path)


def test_damage_anywhere_is_an_error_or_harmless(tmp_path):
    before = _hamiltonian()
    content = write_hamiltonian(tmp_path / "toy.h5", before).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.h5"
    refused = 0
    for place in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert content_digest(read_hamiltonian(path)) == content_digest(before)
        except StoreError:
            refused += 1
    for length in np.linspace(0, len(content) - 1, 25).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError):
            read_hamiltonian(path)
    assert refused > 5


def test_other_files_are_named_as_such(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        read_hamiltonian(tmp_path / "no.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    assert not is_hamiltonian_file(text)
    with pytest.raises(StoreError, match="damaged"):
        read_hamiltonian(text)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["data"] = np.zeros(3)
    assert not is_hamiltonian_file(foreign)
    with pytest.raises(StoreError, match="not a Hamiltonian of elphant"):
        read_hamiltonian(foreign)


def test_a_newer_version_is_refused(tmp_path):
    path = write_hamiltonian(tmp_path / "toy.h5", _hamiltonian())
    assert is_hamiltonian_file(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = FILE_VERSION + 1
    with pytest.raises(StoreError, match="newer version"):
        read_hamiltonian(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_hamiltonian(tmp_path / "toy.h5", _hamiltonian())
    content = path.read_bytes()
    bad = _hamiltonian()
    bad.origin.details["text"] = object()
    with pytest.raises(TypeError):
        write_hamiltonian(path, bad)
    assert path.read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy.h5"]


def test_origin_is_readable_json(tmp_path):
    path = write_hamiltonian(tmp_path / "toy.h5", _hamiltonian())
    with h5py.File(path) as file:
        assert json.loads(file["origin"].asstr()[()])["provider"] == "toy"
