"""One entry for every source of Hamiltonians."""

from __future__ import annotations

import dataclasses
import shutil
from importlib import resources

import h5py
import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.errors import (
    ConfigurationError,
    DependencyError,
    ModelError,
    PhysicsError,
    StoreError,
)
from elphant.models.hamiltonians.loading import (
    card_of_file,
    digest_of,
    load_hamiltonian,
    provider_of,
    recognise,
    require_hamiltonian,
)
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.orbitals.hamiltonian_file import content_digest, write_hamiltonian


@pytest.fixture(scope="module")
def silicon():
    return Crystal(
        lattice=2.715 * (np.ones((3, 3)) - np.eye(3)),
        fractional=np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]),
        numbers=np.array([14, 14]),
    )


def test_a_provider_by_name(silicon, fixtures):
    h = load_hamiltonian("slater-koster:si", structure=silicon, require_gap=True)
    assert h.n_electrons == 8
    assert h.origin.provider == "slater-koster"
    other = load_hamiltonian("Slater-Koster:Si", structure=fixtures / "structures" / "Si.cif")
    assert other.crystal.formula == "Si"
    with pytest.raises(ConfigurationError, match="needs a structure"):
        load_hamiltonian("slater-koster:si")
    with pytest.raises(ConfigurationError, match="n_electrons"):
        load_hamiltonian("slater-koster:si", structure=silicon, n_electrons=8)


def test_a_parameter_file_by_name(tmp_path, silicon):
    sets = resources.files("elphant.models.hamiltonians.slater_koster") / "sets"
    path = tmp_path / "mine.json"
    path.write_bytes((sets / "si_pbe.json").read_bytes())
    provider = provider_of(f"slater-koster:{path}")
    assert isinstance(provider, SlaterKosterProvider)
    assert content_digest(provider.predict(silicon)) == content_digest(
        provider_of("slater-koster:si").predict(silicon)
    )


def test_slater_koster_is_never_a_silent_default():
    with pytest.raises(ModelError, match="needs a parameter set"):
        provider_of("slater-koster")
    with pytest.raises(ModelError, match="cannot be read"):
        provider_of("slater-koster:ge")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("pycsf", "pyscf"), ("slater-kostr:si", "slater-koster"), ("slaterkoster", "slater-koster")],
)
def test_unknown_names_suggest_the_nearest(name, hint):
    with pytest.raises(ModelError, match=f"Did you mean {hint}"):
        provider_of(name)
    with pytest.raises(ModelError, match=f"Did you mean {hint}"):
        load_hamiltonian(name)


def test_a_name_far_from_all_gets_the_list():
    with pytest.raises(ModelError, match="Known are pyscf, uni-hamgnn, slater-koster") as caught:
        load_hamiltonian("qqqq")
    assert "Did you mean" not in caught.value.text()


def test_own_files_are_validated(tmp_path, silicon):
    h = load_hamiltonian("slater-koster:si", structure=silicon)
    path = write_hamiltonian(tmp_path / "si.h5", h)
    assert content_digest(load_hamiltonian(path, require_gap=True)) == content_digest(h)
    renamed = shutil.copy(path, tmp_path / "anything.dat")
    assert recognise(renamed) == "elphant"
    for option in ({"n_electrons": 8}, {"spinor": True}, {"index": 1}):
        with pytest.raises(ConfigurationError, match="cannot be given"):
            load_hamiltonian(path, **option)
    broken = dataclasses.replace(
        h, overlap=h.overlap.with_values(h.overlap.values * np.where(h.overlap.values < 0.5, 5, 1))
    )
    with pytest.raises((PhysicsError, ModelError)):
        load_hamiltonian(write_hamiltonian(tmp_path / "broken.h5", broken))


def test_doubts_are_logged(tmp_path, silicon, caplog):
    h = load_hamiltonian("slater-koster:si", structure=silicon)
    metal = dataclasses.replace(h, n_electrons=7.0)
    load_hamiltonian(write_hamiltonian(tmp_path / "metal.h5", metal))
    assert "do not fill whole bands" in caplog.text
    with pytest.raises(PhysicsError, match="do not fill"):
        load_hamiltonian(tmp_path / "metal.h5", require_gap=True)


def test_files_of_no_known_kind(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_hamiltonian(tmp_path / "no.h5")
    with pytest.raises(ModelError, match="holds no Hamiltonian"):
        load_hamiltonian(tmp_path)
    odd = tmp_path / "hamiltonian.xyz"
    odd.write_text("1")
    with pytest.raises(ModelError, match="is not known"):
        load_hamiltonian(odd)
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(ModelError, match="holds no Hamiltonian"):
        load_hamiltonian(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("x")
    with pytest.raises(ModelError, match="not a readable"):
        load_hamiltonian(tmp_path / "text.npz")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(StoreError, match="not a Hamiltonian of elphant"):
        load_hamiltonian(tmp_path / "other.h5")


def test_options_without_effect_are_refused(fixtures):
    path = fixtures / "hamiltonians" / "diatomic_tb.dat"
    for option in ({"matrix": "H0"}, {"index": 1}):
        with pytest.raises(ConfigurationError, match="cannot be given"):
            load_hamiltonian(path, n_electrons=2, **option)


def test_what_is_missing_is_said_before_anything_runs(fixtures, monkeypatch, tmp_path):
    require_hamiltonian("slater-koster:si")
    require_hamiltonian(fixtures / "hamiltonians" / "diatomic_tb.dat")
    with pytest.raises(ModelError, match="cannot be read"):
        require_hamiltonian("slater-koster:ge")
    with pytest.raises(ModelError, match="Did you mean pyscf"):
        require_hamiltonian("pysfc")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "siesta.fdf").write_text("")
    for source in ("pyscf", tmp_path / "siesta.fdf"):
        with pytest.raises(DependencyError, match="is not installed"):
            require_hamiltonian(source)


def test_the_digest_covers_the_files_read_together(fixtures, tmp_path):
    for name in ("diatomic_tb.dat", "diatomic.win"):
        shutil.copy(fixtures / "hamiltonians" / name, tmp_path / name)
    path = tmp_path / "diatomic_tb.dat"
    before = digest_of(path)
    (tmp_path / "unrelated.txt").write_text("1")
    assert digest_of(path) == before
    (tmp_path / "diatomic.win").write_text((tmp_path / "diatomic.win").read_text() + "\n! more\n")
    assert digest_of(path) != before


def test_the_card_of_a_file(fixtures):
    path = fixtures / "hamiltonians" / "diatomic_tb.dat"
    card, capabilities = card_of_file(path, load_hamiltonian(path, n_electrons=2))
    assert card.provider == "wannier90"
    assert card.sha256 == digest_of(path)
    assert capabilities.position_matrix
    assert not capabilities.basis_functions
