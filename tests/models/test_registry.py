"""Names, aliases, heads, files and user-added models."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from elphant.errors import ConfigurationError, ModelError
from elphant.models.builtin_models import BUILTIN_MODELS
from elphant.models.citations import CITATIONS, bibtex
from elphant.models.entry import ModelEntry
from elphant.models.registry import (
    DEFAULT_MODEL,
    add_model,
    find_model,
    list_models,
    model_card,
    parse_potential,
    remove_model,
    require_head,
    user_models_file,
)
from elphant.models.weights import weights_path
from elphant.store.atomic import sha256_of_file


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))


def test_table_is_consistent():
    names = [key for entry in BUILTIN_MODELS for key in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names)), "a name is used twice"
    assert all(name == name.lower() for name in names)
    for entry in BUILTIN_MODELS:
        assert bool(entry.package) != bool(entry.url), entry.name
        assert entry.references
        assert set(entry.references) <= set(CITATIONS), entry.name
        assert not entry.head_levels or len(entry.head_levels) == len(entry.heads)
        assert entry.location in ("installed", "download")
        assert entry.location == "download" or len(entry.sha256) == 64
        assert ("ASL" in entry.licence) == entry.non_commercial
        assert ModelEntry.from_dict(json.loads(json.dumps(_fields(entry)))) == entry


def _fields(entry):
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__}


def test_names_and_aliases_ignore_case():
    assert find_model("7NET-L3I5").name == DEFAULT_MODEL
    assert find_model(" SevenNet-0 ").name == "sevennet-0"
    assert parse_potential("MACE-MPA-0").name == "mace-mpa-0"
    assert {"sevennet-mf-0", "mace-mh-1"} <= {entry.name for entry in list_models()}


@pytest.mark.parametrize(
    ("typed", "suggested"), [("sevenet-l3i5", "sevennet-l3i5"), ("mace-mh1x", "mace-mh")]
)
def test_misspelt_names_get_a_suggestion(typed, suggested):
    with pytest.raises(ModelError, match=f"(?s)no potential called '{typed}'.*{suggested}"):
        parse_potential(typed)
    with pytest.raises(ModelError, match=suggested):
        find_model(typed)


def test_heads_are_checked_and_never_chosen_silently():
    reference = parse_potential("mace-mh-1:OMAT_PBE")
    assert (reference.kind, reference.name, reference.head) == ("named", "mace-mh-1", "omat_pbe")
    with pytest.raises(ModelError, match=r"(?s)no head 'omat_pbee'.*mace-mh-1:omat_pbe"):
        parse_potential("mace-mh-1:omat_pbee")
    with pytest.raises(ModelError, match="has no heads"):
        parse_potential("sevennet-l3i5:pbe")
    heads = find_model("mace-mh-1").heads
    with pytest.raises(ModelError, match="none was chosen"):
        require_head("mace-mh-1", None, heads)
    assert require_head("toy", None, ("Default",)) == "Default"
    assert require_head("toy", None, ()) is None


def test_card_follows_the_head():
    assert model_card("mace-mh-1:matpes_r2scan").level_of_theory == "r2SCAN, MatPES"
    assert model_card("mace-mh-1", "omat_pbe").level_of_theory == "PBE(+U), OMat24"
    card = model_card("mace-mh-1:omat_pbe")
    assert card.head == "omat_pbe"
    assert card.non_commercial
    assert card.receptive_field == 12.0
    assert model_card("sevennet-l3i5").sha256 == find_model("sevennet-l3i5").sha256


@pytest.mark.parametrize(
    ("file", "provider"), [("a.pth", "sevennet"), ("b.model", "mace"), ("c.PT", "mace")]
)
def test_model_files(tmp_path, file, provider):
    path = tmp_path / file
    path.write_bytes(b"x")
    reference = parse_potential(f"{path}:omat_pbe")
    assert (reference.kind, reference.name) == ("file", str(path))
    assert (reference.provider, reference.head) == (provider, "omat_pbe")
    assert parse_potential(f"file:{path}").head is None


def test_missing_and_unrecognised_files(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        parse_potential("nowhere/model.pth")
    strange = tmp_path / "weights.bin"
    strange.write_bytes(b"x")
    with pytest.raises(ModelError, match="models add"):
        parse_potential(str(strange))
    with pytest.raises(ModelError, match="no potential was named"):
        parse_potential("  ")


def test_factory():
    reference = parse_potential("ase.calculators.emt:EMT")
    assert (reference.kind, reference.provider) == ("factory", "ase")
    assert reference.name == "ase.calculators.emt:EMT"
    with pytest.raises(ModelError, match="no potential called"):
        parse_potential("not a module:EMT")


def test_added_model_is_pinned_and_removed(tmp_path):
    file = tmp_path / "fine.model"
    file.write_bytes(b"weights")
    entry = add_model("My-Fine", file, licence="CC0", heads=("a", "b"), level_of_theory="PBE, own")
    assert user_models_file().is_file()
    assert find_model("my-fine") == entry
    assert entry.sha256 == sha256_of_file(file)
    assert parse_potential("my-fine:A").head == "a"
    assert entry in list_models()
    assert weights_path("my-fine").path == file
    file.write_bytes(b"other weights")
    with pytest.raises(ModelError, match="has changed"):
        weights_path("my-fine")
    file.unlink()
    with pytest.raises(ModelError, match="is gone"):
        weights_path("my-fine")
    remove_model("my-fine")
    assert entry not in list_models()
    with pytest.raises(ModelError, match="no user-added model"):
        remove_model("my-fine")


def test_refused_additions(tmp_path):
    file = tmp_path / "w.bin"
    file.write_bytes(b"x")
    for name, path, provider, message in (
        ("sevennet-0", file, "mace", "built-in"),
        ("a b", file, "mace", "not a usable model name"),
        ("new", tmp_path / "no.pth", None, "does not exist"),
        ("new", file, None, "cannot be told"),
        ("new", file, "nequip", "not known"),
    ):
        with pytest.raises(ModelError, match=message):
            add_model(name, path, provider=provider)


def test_damaged_user_file_is_reported():
    user_models_file().parent.mkdir(parents=True)
    user_models_file().write_text('{"models": [{"name": 1')
    with pytest.raises(ModelError, match="is damaged"):
        list_models()


def test_bibliography():
    text = bibtex(["sevennet", "grimme2011", "sevennet"])
    assert text.count("@article{") == 2
    assert text.count("{") == text.count("}")
    for key, entry in CITATIONS.items():
        assert entry.split("{", 1)[1].startswith(f"{key},")
        assert entry.count("{") == entry.count("}")
    with pytest.raises(ConfigurationError, match="nonsense"):
        bibtex(["nonsense"])


def test_import_is_light():
    code = (
        "import sys, elphant.models.registry\n"
        "heavy = {'torch', 'sevenn', 'ase', 'scipy', 'phonopy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
