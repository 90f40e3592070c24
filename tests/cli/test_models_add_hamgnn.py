"""``elphant models add`` for the Uni-HamGNN networks and OpenMX's tables, end to end."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn.checkpoint_resources import (
    add_openmx_tables,
    add_uni_hamgnn,
    load_uni_hamgnn,
    openmx_tables,
    origin_flag,
    resource_directory,
    resources,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from hamgnn_checkpoint_files import Calls, PredictorFile, fitting_file


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Working folder with an empty data directory of its own."""
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_tables(place: Path, ending: str = "_PBE19.vps") -> Path:
    for name in (f"VPS/Si{ending}", f"VPS/Fe{ending.replace('.', 'H.')}", f"VPS/O{ending}",
                 "PAO/Si7.0.pao", "PAO/Si8.0.pao", "PAO/Fe6.0H.pao", "PAO/C6.0.pao"):  # fmt: skip
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("table")
    return place


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def fails(elphant, capsys, *arguments, code=4, says=()):
    assert elphant("models", *arguments) == code
    text = " ".join(capsys.readouterr().err.split())
    for words in says:
        assert words in text, text
    assert "Traceback" not in text
    return text


def test_networks_from_file_to_list(elphant, capsys, folder):
    assert elphant("models", "list") == 0
    assert "not added" in line_of(capsys.readouterr().out, "uni-hamgnn")
    made = fitting_file()
    made.write(folder / "uni.pkl")
    counts = {
        tag: sum(v.size for k, v in tensors.items() if not k.endswith("freqs"))
        for tag, tensors in made.tensors.items()
    }
    assert elphant("models", "add", "Uni-HamGNN", "uni.pkl") == 0
    done = capsys.readouterr()
    sizes = [f"{tag} with {n:,} parameters" for tag, n in counts.items()]
    assert " and ".join(sizes) in done.out
    assert str(resource_directory() / "uni-hamgnn") in done.out
    assert "is not the published uni-hamgnn_2_1.pkl" in done.err
    assert "Its structure fits" in done.err
    assert elphant("models", "list") == 0
    line = line_of(capsys.readouterr().out, "uni-hamgnn")
    assert " added" in line
    assert "not stated" in line
    assert elphant("models", "info", "uni-hamgnn") == 0
    card = capsys.readouterr().out
    assert f"{counts['soc']:,} parameters, 2 layers, cutoff 6.0 bohr, 13 orbitals" in card
    assert "no: not the file of a known release" in card
    # The source is not needed any more.
    (folder / "uni.pkl").unlink()
    loaded = load_uni_hamgnn()
    assert set(loaded.networks) == {"nonsoc", "soc"}
    assert origin_flag(loaded).severity == "warning"


def test_networks_from_a_zip_with_notes(elphant, capsys, folder):
    made = fitting_file(soc=False)
    del made.part("nonsoc", "representation").legacy_edge_update
    with zipfile.ZipFile("uni.zip", "w") as archive:
        archive.writestr("uni-hamgnn_2_1.pkl", made.content())
    assert elphant("models", "add", "uni-hamgnn", "uni.zip") == 0
    done = capsys.readouterr()
    assert "note: nonsoc representation: legacy_edge_update is not recorded" in done.err
    assert " parameters, in" in done.out
    assert "soc with" not in done.out.replace("nonsoc", "")


def test_published_networks_give_no_warning(elphant, capsys, folder, monkeypatch):
    from elphant.models.hamiltonians.hamgnn import checkpoint
    from elphant.store.atomic import sha256_of_file

    path = fitting_file().write(folder / "uni.pkl")
    (release,) = checkpoint.RELEASES.values()
    monkeypatch.setitem(checkpoint.RELEASES, sha256_of_file(path), release)
    assert elphant("models", "add", "uni-hamgnn", "uni.pkl") == 0
    text = capsys.readouterr().err
    assert "warning" not in text
    assert "Uni-HamGNN 2.1" in text
    assert origin_flag(load_uni_hamgnn()).severity == "info"
    assert elphant("models", "info", "uni-hamgnn") == 0
    card = capsys.readouterr().out
    assert "https://zenodo.org/records/17239078" in card
    assert "CC BY 4.0" in card


def test_refused_networks(elphant, capsys, folder):
    file = folder / "x.pkl"
    content = PredictorFile().content()
    add = ("add", "uni-hamgnn", "x.pkl")
    for data, says in (
        (None, ["does not exist", "zenodo.org/records/17239078"]),
        (content[: len(content) // 2], ["cut short", "Copy or download the file again"]),
        (b"hello", ["not a pickle", "begins with b'hello'"]),
        (pickle.dumps({"a": 1}), ["a pickle of something else: dict"]),
        (
            pickle.dumps(Calls(os.system, "touch marker")),
            ["asks Python to call 'posix.system'", "nothing has happened", "Do not open"],
        ),
        (pickle.dumps(Calls(eval, "open('marker', 'w')")), ["asks Python to call 'builtins.eval'"]),
    ):
        if data is not None:
            file.write_bytes(data)
        fails(elphant, capsys, *add, says=says)
        assert not (folder / "marker").exists()
    PredictorFile().write(file)  # the right layout with tensors of wrong shapes
    fails(elphant, capsys, *add, says=["do not belong to this configuration"])
    made = fitting_file()
    made.set_config("nonsoc", ("representation_nets", "HamGNN_pre"), "use_kan", True)
    made.write(file)
    fails(elphant, capsys, *add, says=["'use_kan' of the network is True"])
    assert not (folder / "home").exists(), "a refused file leaves nothing behind"


def test_a_refused_file_leaves_the_old_networks(folder):
    add_uni_hamgnn(fitting_file().write(folder / "good.pkl"))
    before = load_uni_hamgnn().source.sha256
    (folder / "bad.pkl").write_bytes(b"bad")
    with pytest.raises(ModelError):
        add_uni_hamgnn(folder / "bad.pkl")
    assert load_uni_hamgnn().source.sha256 == before


def test_networks_that_are_not_there(folder):
    with pytest.raises(ModelError, match=r"(?s)not on this machine.*models add uni-hamgnn"):
        load_uni_hamgnn()
    with pytest.raises(ModelError, match=r"(?s)not on this machine.*models add openmx-data"):
        openmx_tables()


def test_damaged_networks_in_the_list(elphant, capsys, folder):
    add_uni_hamgnn(fitting_file().write(folder / "good.pkl"))
    (resource_directory() / "uni-hamgnn/config.json").write_text("{")
    assert elphant("models", "list") == 0
    assert "missing" in line_of(capsys.readouterr().out, "uni-hamgnn")
    assert elphant("models", "info", "uni-hamgnn") == 0
    assert "damaged" in capsys.readouterr().out


def test_options_of_potentials_are_refused(elphant, capsys, folder):
    for name in ("uni-hamgnn", "openmx-data"):
        fails(
            elphant, capsys, "add", name, "x", "--licence", "MIT", "--head", "a",
            code=2, says=["--licence and --head", name],
        )  # fmt: skip


def test_fetch_says_how_to_get_them(elphant, capsys, folder):
    fails(elphant, capsys, "fetch", "uni-hamgnn", says=["not downloaded", "zenodo.org"])
    fails(elphant, capsys, "fetch", "openmx-data", says=["not downloaded", "openmx-square.org"])


@pytest.mark.parametrize("given", ["openmx3.9/DFT_DATA19", "openmx3.9"])
def test_tables_from_folder_to_list(elphant, capsys, folder, given):
    place = make_tables(folder / "openmx3.9/DFT_DATA19")
    assert elphant("models", "list") == 0
    assert "not added" in line_of(capsys.readouterr().out, "openmx-data")
    assert elphant("models", "add", "openmx-data", given) == 0
    # Oxygen has no orbitals and carbon no pseudopotential.
    assert f"{place}, DFT_DATA19, 2 elements: Fe, Si" in capsys.readouterr().out
    assert openmx_tables().path == str(place)
    assert elphant("models", "list") == 0
    assert " added" in line_of(capsys.readouterr().out, "openmx-data")
    assert elphant("models", "info", "openmx-data") == 0
    assert "2: Fe, Si" in capsys.readouterr().out
    # Only the path is kept: the tables are under the GPL.
    assert [p.name for p in resource_directory().iterdir()] == ["openmx-data.json"]
    place.rename(folder / "moved")
    assert elphant("models", "list") == 0
    assert "missing" in line_of(capsys.readouterr().out, "openmx-data")
    with pytest.raises(ModelError, match="does not exist"):
        openmx_tables()
    (resource_directory() / "openmx-data.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        openmx_tables()


def test_refused_tables(elphant, capsys, folder):
    add = ("add", "openmx-data")
    fails(elphant, capsys, *add, "nowhere", says=["does not exist", "openmx-square.org"])
    (folder / "file.tar.gz").write_bytes(b"x")
    fails(elphant, capsys, *add, "file.tar.gz", says=["is a file, not a folder", "unpacked"])
    (folder / "empty").mkdir()
    fails(elphant, capsys, *add, "empty", says=["no folder PAO and no folder VPS"])
    make_tables(folder / "DFT_DATA13", "_PBE13.vps")
    fails(
        elphant, capsys, *add, "DFT_DATA13",
        says=["is not DFT_DATA19: it holds *_PBE13.vps", "other projectors"],
    )  # fmt: skip
    (folder / "hollow/PAO").mkdir(parents=True)
    (folder / "hollow/VPS").mkdir()
    fails(elphant, capsys, *add, "hollow", says=["VPS holds no .vps file"])
    (folder / "hollow/VPS/Si_PBE19.vps").write_text("x")
    fails(elphant, capsys, *add, "hollow", says=["no element with both"])
    assert not (folder / "home").exists()


def test_potentials_are_added_as_before(elphant, capsys, folder):
    (folder / "mine.model").write_bytes(b"weights")
    assert elphant("models", "add", "mine", "mine.model") == 0
    assert elphant("models", "info", "mine") == 0
    assert "not stated" in capsys.readouterr().out
    assert {item.state for item in resources()} == {"not added"}


@pytest.mark.shared
def test_tables_of_the_reference_data(shared_data, folder):
    tables = add_openmx_tables(shared_data / "hamiltonian/DFT_DATA19")
    assert tables.elements == (
        "As", "C", "Cl", "Ga", "Mg", "Na", "O", "Sb", "Se", "Si", "Te",
    )  # fmt: skip


def test_commands_import_no_heavy_package(folder):
    code = (
        "import sys\n"
        "sys.argv = ['elphant', 'models', 'list']\n"
        "from elphant.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(*(m for m in ('torch', 'safetensors', 'scipy') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1].strip() == ""
