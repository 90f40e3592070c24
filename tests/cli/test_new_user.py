"""What went wrong when the program was first used on other crystals, inputs and habits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import elphant as package
from elphant.errors import ConfigurationError, StoreError
from elphant.workflow.run import Job, command_line

BASE = ("kappa", "Ar.cif", "--config", "options.yaml", "--no-report", "--output", "r.run")
SLOW = """\
import time
import lj_argon

def factory():
    calculator = lj_argon.factory()
    evaluate = calculator.calculate

    def slowly(atoms, *arguments, **options):
        time.sleep(0.3 if len(atoms) > 1 else 0.0)
        return evaluate(atoms, *arguments, **options)

    calculator.calculate = slowly
    return calculator
"""


def refused(elphant: Callable[..., int], capsys, *arguments: object, code: int, says: str) -> None:
    status = elphant(*arguments)
    text = " ".join(capsys.readouterr().err.split())
    assert status == code, text
    assert says in text
    assert "internal error" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-T", "1:inf:1"), "more than 1000 temperatures"),
        (("-T", "1:10000:0.00001"), "more than 1000 temperatures"),
        (("-T", "1:nan:1"), "cannot be read"),
        (("--memory", "1.2.3GB"), "memory bound"),
        (("--broadening", "0"), "must be 'adaptive' or 'tetrahedron', or must be greater than 0"),
        (("--set", "conductivity.mesh=5"), "must be a list"),
        (("--set", "conductivity=3"), "in the options is a section"),
        (("--set", "=3"), "in the options"),
        (("--set", "preset=[quick]"), "preset ['quick'] does not exist"),
        (("--set", "displacements.length_third=900"), "atoms"),
    ],
)
def test_slips_in_options(elphant, capsys, argon: Path, arguments: tuple, says: str) -> None:
    code = 9 if "length_third" in arguments[-1] else 2
    refused(elphant, capsys, *BASE, "--no-relax", *arguments, code=code, says=says)
    assert code == 9 or not (argon / "r.run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--born", "missing"), 3, "BORN file 'missing' does not exist"),
        (("--device", "cuda:99"), 5, "not available"),
    ],
)
def test_what_can_be_refused_at_once_leaves_no_folder(
    elphant, capsys, argon: Path, arguments: tuple, code: int, says: str
) -> None:
    refused(elphant, capsys, *BASE, *arguments, code=code, says=says)
    refused(elphant, capsys, "kappa", "--force-constants", "lj_argon.py", code=8, says="phonopy")
    assert not list(argon.glob("*.run"))


def test_section_with_all_lines_commented_out_is_empty(elphant, capsys, argon: Path) -> None:
    with (argon / "options.yaml").open("a") as file:
        file.write("relaxation:\n#  max_force: 1e-3\n")
    assert elphant("kappa", "Ar.cif", "--config", "options.yaml", "--dry-run") == 0


def test_plan_of_a_huge_mesh_answers_at_once(elphant, capsys, argon: Path) -> None:
    start = time.perf_counter()
    mesh = ("--mesh", "900,900,900")
    assert elphant("kappa", "Ar.cif", "--config", "options.yaml", "--dry-run", *mesh) == 0
    assert time.perf_counter() - start < 20
    text = capsys.readouterr().out
    assert "DOES NOT FIT" in text
    assert "days" in text


def test_relax_with_relaxation_switched_off(elphant, capsys, argon: Path) -> None:
    command = ("relax", "Ar.cif", "--config", "options.yaml", "--set", "relaxation.enabled=false")
    refused(elphant, capsys, *command, code=2, says="relaxation.enabled")
    assert not list(argon.glob("*.run"))


def test_names_of_files_are_shown_and_kept_as_they_are(elphant, capsys, argon: Path) -> None:
    folder = argon / "Ünïcode Ordner"
    folder.mkdir()
    name = "Argon [bold] (α).v2.cif"
    bulk("Ar", "fcc", a=5.3).write(folder / name)
    assert elphant("relax", folder / name, "--config", "options.yaml") == 0
    run = argon / "Argon [bold] (α).v2.run"
    assert json.loads((run / "structure/relaxation.json").read_text())["converged"]
    assert str(run.name) in capsys.readouterr().out
    assert Job(force_constants=folder / "phono3py_params.Si.yaml.xz").label == "phono3py_params.Si"
    assert Job(structure=folder / "POSCAR").label == "POSCAR"


def test_lists_can_be_read_in_a_narrow_terminal(elphant, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert elphant("models", "list") == 0
    names = capsys.readouterr().out
    assert "…" not in names
    assert "mace-mp-0-small" in names
    assert "sevennet-omni-i12" in names
    assert elphant("doctor") == 0
    text = capsys.readouterr().err
    assert "mace-torch (" not in text or "elphant[mace]" in text


@pytest.fixture
def finished(elphant, argon: Path) -> Path:
    assert elphant(*BASE) == 0
    return argon / "r.run"


def damaged(run: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    results, data = run / "results.json", run / "data.h5"
    content, arrays = results.read_text(), data.read_bytes()
    yield "cut arrays", lambda: data.write_bytes(arrays[:5000])
    yield "no arrays", data.unlink
    yield "other numbers", lambda: results.write_text(content.replace("40.0", "41.0"))
    incomplete = {k: v for k, v in json.loads(content).items() if k != "thermal_conductivity"}
    yield "missing record", lambda: results.write_text(json.dumps(incomplete))
    yield "no json", lambda: results.write_bytes(b"\xff")


def test_same_command_mends_damaged_results(elphant, capsys, finished: Path) -> None:
    """Every message about damaged results says: run the same command again."""
    import h5py

    before = json.loads((finished / "results.json").read_text())
    for what, damage in damaged(finished):
        damage()
        assert elphant(*BASE) == 0, what
        assert "nothing had to be computed" in capsys.readouterr().err
        after = json.loads((finished / "results.json").read_text())
        assert after["thermal_conductivity"] == before["thermal_conductivity"], what
        with h5py.File(finished / "data.h5") as file:
            assert "phonons" in file, what


def test_changed_input_of_the_same_name_is_kept_anew(elphant, argon: Path) -> None:
    for length in (5.3, 5.4):
        bulk("Ar", "fcc", a=length).write(argon / "Ar.cif")
        # The input is kept before anything is computed, so the run may end here.
        assert elphant(*BASE, "--potential", "nowhere:factory") == 4
        kept = argon / "r.run/structure/input-Ar.cif"
        assert kept.read_bytes() == (argon / "Ar.cif").read_bytes()


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to jobs in the background, whose children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(argon: Path, *options: str, items: int = 2) -> subprocess.Popen[str]:
    """Start a slow run in another process and wait until it has stored some forces."""
    (argon / "slow.py").write_text(SLOW)
    many = ("--set", "displacements.oversampling=40", "--potential", "slow:factory")
    command = [sys.executable, "-m", "elphant", *BASE, *many, *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )
    deadline = time.monotonic() + 40
    pattern = "r.run/stages/forces-third-*/shards/*.npz"
    while len(list(argon.glob(pattern))) < items and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("request_to_end", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_interrupted_run_says_so(argon: Path, request_to_end, status: int, word: str) -> None:
    process = started(argon)
    process.send_signal(request_to_end)
    _, text = process.communicate(timeout=30)
    assert process.returncode == status
    assert f"{word}. Finished work is stored" in text
    assert "Traceback" not in text
    assert not list(argon.rglob("*.tmp"))


def child_processes(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes in /proc")
def test_killed_run_leaves_no_workers_behind(argon: Path) -> None:
    process = started(argon, "--workers", "2")
    children = child_processes(process.pid)
    assert len(children) >= 2
    with process:
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(is_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [child for child in children if is_running(child)]
    for child in left:
        os.kill(child, signal.SIGKILL)
    assert not left


OPTIONS = {
    "displacements": {
        "length_second": 7.0,
        "length_third": 7.0,
        "cutoff_third": 4.2,
        "check_gamma": False,
        "method": "finite-difference",
    },
    "conductivity": {"mesh": (3, 3, 3), "temperatures": (40.0,), "solver": "rta"},
    "phonons": {"mesh": (2, 2, 2)},
    "potential": {"model": "lj_argon:factory"},
}


def computed(atoms: object, output: str) -> package.RunResult:
    return package.run(atoms, output=output, **OPTIONS)


def test_equivalent_cells_give_equal_tensors(argon: Path) -> None:
    result = computed(bulk("Ar", "fcc", a=5.3), "primitive.run")
    primitive = result.thermal_conductivity(40.0).values
    other = computed(bulk("Ar", "fcc", a=5.3, cubic=True), "conventional.run")
    assert primitive == pytest.approx(primitive[0, 0] * np.eye(3), abs=1e-9)
    conventional = other.thermal_conductivity(40.0).values
    assert conventional == pytest.approx(primitive, rel=1e-3, abs=1e-6)
    # What a notebook shows of a result, and of a question that it cannot answer.
    assert len(repr(result)) < 200
    with pytest.raises(StoreError, match=r"Available: 40 K; solvers rta"):
        result.thermal_conductivity(40.0, "bte")


def test_hexagonal_and_left_handed_cells(argon: Path) -> None:
    hexagonal = bulk("Ar", "hcp", a=3.75, c=6.1)
    axes = computed(hexagonal, "right.run").thermal_conductivity(40.0).to_dict()["axes"]
    assert axes["a"] == pytest.approx(axes["b"], rel=1e-6)
    assert axes["a"] != pytest.approx(axes["c"], rel=1e-4)
    swapped = Atoms(
        "Ar2", positions=hexagonal.positions, cell=hexagonal.cell.array[[1, 0, 2]], pbc=True
    )
    other = computed(swapped, "left.run").thermal_conductivity(40.0).to_dict()["axes"]
    assert other == pytest.approx(axes, rel=1e-3)


def test_doubled_primitive_cell_is_not_called_primitive() -> None:
    crystal = package.read_crystal(bulk("Ar", "fcc", a=5.3) * (2, 1, 1))
    assert package.find_symmetry(crystal).setting == "Fm-3m (non-standard cell)"


def test_python_interface_explains_options(argon: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'phonon'"):
        package.run(bulk("Ar", "fcc", a=5.3), phonon={})
    with pytest.raises(package.ElphantError, match="BORN file 'nowhere' does not exist"):
        package.run(bulk("Ar", "fcc", a=5.3), phonons={"born": Path("nowhere")})


def test_command_to_repeat_a_run(monkeypatch) -> None:
    for program, command in (
        ("/usr/bin/elphant", "elphant x"),
        ("study.py", "python study.py x"),
        ("/lib/elphant/__main__.py", "python -m elphant x"),
    ):
        monkeypatch.setattr(sys, "argv", [program, "x"])
        assert command_line() == command
