"""Bad input ends in one message and an exit status, without traceback and without damage."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk, molecule

DISORDERED = """\
data_alloy
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Sb1 Sb 0.5 0 0 0
Bi1 Bi 0.5 0 0 0
Se1 Se 1.0 0.5 0.5 0.5
"""


def expect_error(elphant, capsys, *arguments, code: int, says: str) -> str:
    status = elphant(*arguments)
    text = capsys.readouterr().err
    flat = " ".join(text.split())
    assert status == code, text
    assert says in flat
    assert "Traceback" not in text
    return flat


def structure(name: str, folder: Path) -> Path:
    path = folder / name
    if name == "empty.cif":
        path.write_text("")
    elif name == "garbage.cif":
        path.write_bytes(bytes(range(256)) * 20)
    elif name == "cut.cif":
        path.write_text(DISORDERED[:200])
    elif name == "alloy.cif":
        path.write_text(DISORDERED)
    elif name == "overlap.vasp":
        Atoms("Si2", scaled_positions=[[0, 0, 0], [0, 0, 0.01]], cell=[5, 5, 5], pbc=True).write(
            path
        )
    elif name == "molecule.xyz":
        molecule("H2O").write(path)
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.cif", "does not exist"),
        ("empty.cif", "is empty"),
        ("garbage.cif", "cannot be read"),
        ("cut.cif", "structure file"),
        ("alloy.cif", "disordered"),
        ("overlap.vasp", "only 0.050 Å apart"),
        ("molecule.xyz", "lattice vectors"),
    ],
)
def test_unusable_structures(elphant, capsys, argon: Path, name: str, says: str) -> None:
    path = structure(name, argon)
    expect_error(elphant, capsys, "kappa", path, "--config", "options.yaml", code=3, says=says)
    assert not list(argon.glob("*.run")), "no run directory for a structure that cannot be read"


def test_unknown_potential_names_similar_ones(elphant, capsys, argon: Path) -> None:
    text = expect_error(
        elphant,
        capsys,
        "kappa",
        "Ar.cif",
        "--potential",
        "sevenet-l3i5",
        code=4,
        says="no potential",
    )
    assert "sevennet-l3i5" in text


def test_missing_weights_say_how_to_get_them(elphant, capsys, argon, monkeypatch) -> None:
    monkeypatch.setenv("ELPHANT_CACHE", str(argon / "cache"))
    monkeypatch.setenv("ELPHANT_OFFLINE", "1")
    expect_error(
        elphant, capsys, "kappa", "Ar.cif", "--potential", "mace-mpa-0", code=4, says="models fetch"
    )


def test_wrong_and_missing_heads_list_the_heads(elphant, capsys, argon: Path) -> None:
    for spec in ("mace-mh-1", "mace-mh-1:omat-pbe"):
        expect_error(
            elphant, capsys, "kappa", "Ar.cif", "--potential", spec, code=4, says="matpes_r2scan"
        )


@pytest.mark.sevennet
def test_element_the_model_does_not_know(elphant, capsys, argon: Path) -> None:
    pytest.importorskip("sevenn")
    bulk("Po", "sc", a=3.35).write(argon / "Po.cif")
    expect_error(elphant, capsys, "kappa", "Po.cif", code=4, says="Po")


def test_broken_factory_is_explained(elphant, capsys, argon: Path) -> None:
    (argon / "broken.py").write_text("def factory():\n    raise RuntimeError('no licence')\n")
    expect_error(
        elphant,
        capsys,
        "kappa",
        "Ar.cif",
        "--potential",
        "broken:factory",
        code=4,
        says="no licence",
    )
    expect_error(
        elphant, capsys, "kappa", "Ar.cif", "--potential", "nowhere:factory", code=4, says="nowhere"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--mesh", "9,9"), "three whole numbers"),
        (("-T", "warm"), "--temperature"),
        (("--shard", "2/2"), "--shard"),
        (("--solver", "lbte"), "lbte"),
        (("--set", "conductivity.mehs=3"), "Did you mean 'mesh'"),
        (("--set", "nonsense"), "NAME=VALUE"),
        (("--preset", "fast"), "preset 'fast'"),
        (("--memory", "lots"), "memory bound"),
    ],
)
def test_wrong_options(elphant, capsys, argon: Path, arguments: tuple, says: str) -> None:
    expect_error(elphant, capsys, "kappa", "Ar.cif", *arguments, code=2, says=says)


def test_structure_or_force_constants_not_both_nor_neither(elphant, capsys, argon: Path) -> None:
    expect_error(elphant, capsys, "kappa", code=2, says="--force-constants")
    expect_error(
        elphant, capsys, "kappa", "Ar.cif", "--force-constants", "x.yaml", code=2, says="either"
    )


def test_a_potential_beside_given_force_constants_is_refused(elphant, capsys, argon: Path) -> None:
    command = ("kappa", "--force-constants", "x.yaml", "--potential", "sevennet-0")
    expect_error(elphant, capsys, *command, code=2, says="no effect with --force-constants")


def test_too_little_memory_is_refused_before_the_work_with_a_mesh_that_fits(
    elphant, capsys, argon: Path
) -> None:
    command = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report", "--output", "r.run")
    limit = ("--memory", "0.47GB", "-T", "40")
    text = expect_error(
        elphant, capsys, *command, *limit, "--mesh", "40,40,40", code=9, says="A mesh that fits"
    )
    assert not (argon / "r.run").exists(), "nothing is computed and no folder is made"
    found = re.search(r"--mesh (\d+,\d+,\d+)", text)
    assert found
    assert 3 <= int(found[1].split(",")[0]) < 40
    assert elphant(*command, *limit, "--mesh", found[1]) == 0


def test_too_little_memory_keeps_finished_stages(elphant, capsys, argon: Path) -> None:
    command = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report", "--output", "r.run")
    backend = ("--set", "conductivity.backend=phono3py")
    expect_error(
        elphant, capsys, *command, *backend, "--mesh", "40,40,40", "--memory", "300MB", code=9,
        says="GB",
    )  # fmt: skip
    forces = list((argon / "r.run/stages").glob("forces-*/output/meta.json"))
    assert forces, "the forces computed before must stay"
    stamps = [path.stat().st_mtime_ns for path in forces]
    assert elphant(*command, *backend, "--no-coherence") == 0
    assert [path.stat().st_mtime_ns for path in forces] == stamps


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--orders", "4"), "use 3,4"),
        (("--orders", "3,5"), "orders"),
        (("--orders", "3,4", "--preset", "phono3py"), "conductivity.backend=elphant"),
        (
            ("--scp", "--set", "conductivity.backend=phono3py"),
            "harmonic phonons only",
        ),
    ],
)
def test_levels_that_contradict_the_options(elphant, capsys, argon: Path, arguments, says) -> None:
    command = ("kappa", "Ar.cif", "--config", "options.yaml")
    expect_error(elphant, capsys, *command, *arguments, code=2, says=says)
    assert not list(argon.glob("*.run"))


def test_full_disk_keeps_finished_results(elphant, capsys, argon: Path, monkeypatch) -> None:
    command = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report", "--output", "r.run")
    assert elphant(*command) == 0
    results = (argon / "r.run/results.json").read_bytes()
    real = os.fsync

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    expect_error(elphant, capsys, *command, "--mesh", "2,2,2", code=9, says="no space left")
    assert (argon / "r.run/results.json").read_bytes() == results
    assert json.loads(results)["thermal_conductivity"]
    assert not list((argon / "r.run").rglob("*.tmp"))
    monkeypatch.setattr(os, "fsync", real)
    assert elphant(*command, "--mesh", "2,2,2") == 0


def test_folder_with_other_content_is_refused(elphant, capsys, argon: Path) -> None:
    (argon / "thesis").mkdir()
    (argon / "thesis/chapter.tex").write_text("precious")
    expect_error(
        elphant,
        capsys,
        "kappa",
        "Ar.cif",
        "--config",
        "options.yaml",
        "--output",
        "thesis",
        code=8,
        says="not made by elphant",
    )


def test_report_and_compare_of_something_else(elphant, capsys, argon: Path) -> None:
    expect_error(elphant, capsys, "report", argon, code=8, says="run")
    expect_error(elphant, capsys, "compare", argon, argon, code=8, says="run")


def test_debug_shows_the_traceback(elphant, monkeypatch, argon: Path) -> None:
    import sys

    from elphant.cli import app
    from elphant.errors import StructureError

    monkeypatch.setattr(sys, "argv", ["elphant", "--debug", "kappa", "missing.cif"])
    with pytest.raises(StructureError, match="does not exist"):
        app.main()


def test_potential_that_holds_nothing_together(elphant, capsys, argon: Path) -> None:
    expect_error(
        elphant,
        capsys,
        "kappa",
        "Ar.cif",
        "--config",
        "options.yaml",
        "--potential",
        "ase.calculators.lj:LennardJones",  # its default length is 1 Å: no forces at all
        "--no-relax",
        code=7,
        says="highest phonon frequency",
    )
