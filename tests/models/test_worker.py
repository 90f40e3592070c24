"""The worker process and its messages, with this environment's own Python and a toy calculator."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

import elphant
from elphant.crystal import Crystal
from elphant.crystal.io import from_ase
from elphant.errors import DependencyError, ModelError
from elphant.models.potentials import wire, worker
from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.potentials.protocol import Evaluation, Potential
from elphant.models.potentials.worker import WorkerPotential

LENNARD_JONES = "ase.calculators.lj:LennardJones"

#: A Lennard-Jones calculator that misbehaves on request; the requests are files beside it.
NAUGHTY = """
import os, signal
from pathlib import Path
from ase.calculators.lj import LennardJones

FOLDER = Path(__file__).parent

class Naughty(LennardJones):
    def calculate(self, *args, **kwargs):
        print("a careless print")
        os.write(1, b"bytes on the standard output")
        if (FOLDER / "die_once").exists():
            (FOLDER / "die_once").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (FOLDER / "die_always").exists():
            os.write(2, b"the last words\\n")
            os._exit(7)
        if (FOLDER / "fail").exists():
            raise RuntimeError("no such luck")
        super().calculate(*args, **kwargs)
        self.results["energy"] += 1000.0 * ("OFFSET" in os.environ)

def needs_missing_package():
    import a_package_that_is_not_there
"""


def argon(*, n: int = 1) -> list[Crystal]:
    """Return rattled crystals of different sizes."""
    crystals = []
    for seed in range(n):
        # Close enough for ASE's default sigma of 1 Å, so that nothing compared is zero.
        atoms = bulk("Ar", cubic=True, a=2.2) * (1 + seed % 2, 1, 1)
        atoms.rattle(0.05, seed=seed)
        crystals.append(from_ase(atoms))
    return crystals


def settings(spec: str = LENNARD_JONES, **changes: object) -> PotentialSettings:
    return PotentialSettings(spec=spec, python=sys.executable, **changes)  # type: ignore[arg-type]


def assert_identical(first: list[Evaluation], second: list[Evaluation]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.energy == other.energy
        np.testing.assert_array_equal(one.forces, other.forces)
        np.testing.assert_array_equal(one.stress, other.stress)


@pytest.fixture(scope="module")
def lennard_jones():
    potential = WorkerPotential(settings())
    yield potential
    potential.close()


@pytest.fixture
def naughty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "naughty.py").write_text(NAUGHTY)
    monkeypatch.chdir(tmp_path)
    potential = WorkerPotential(settings("naughty:Naughty"))
    yield potential
    potential.close()


def test_worker_equals_the_same_potential_in_this_process(lennard_jones: WorkerPotential) -> None:
    crystals = argon(n=5)
    here = load_potential(PotentialSettings(spec=LENNARD_JONES))
    assert isinstance(lennard_jones, Potential)
    assert lennard_jones.card == here.card
    assert_identical(lennard_jones.evaluate(crystals), here.evaluate(crystals))
    assert abs(here.evaluate(crystals)[0].energy) > 1e-3


def test_nothing_to_evaluate_gives_nothing(lennard_jones: WorkerPotential) -> None:
    assert lennard_jones.evaluate([]) == []


def test_work_is_cut_into_messages_of_bounded_size() -> None:
    crystals = argon(n=6)
    potential = WorkerPotential(settings(max_batch_atoms=9))
    try:
        parts = list(potential._parts(crystals))
        assert [len(part) for part in parts] == [1, 1, 1, 1, 1, 1]
        assert len(list(potential._parts([crystals[0]] * 4))) == 2
        whole = load_potential(PotentialSettings(spec=LENNARD_JONES)).evaluate(crystals)
        assert_identical(potential.evaluate(crystals), whole)
    finally:
        potential.close()


def test_printing_models_cannot_damage_the_stream(naughty: WorkerPotential) -> None:
    here = load_potential(PotentialSettings(spec=LENNARD_JONES))
    assert_identical(naughty.evaluate(argon(n=2)), here.evaluate(argon(n=2)))


def test_killed_worker_is_started_again(naughty: WorkerPotential, tmp_path: Path) -> None:
    before, process = naughty.evaluate(argon(n=3)), naughty.process_id
    (tmp_path / "die_once").touch()
    assert_identical(naughty.evaluate(argon(n=3)), before)
    assert naughty.process_id != process
    assert not (tmp_path / "die_once").exists()


def test_retries_are_bounded(naughty: WorkerPotential, tmp_path: Path) -> None:
    (tmp_path / "die_always").touch()
    with pytest.raises(ModelError) as caught:
        naughty.evaluate(argon())
    assert "died 3 times" in caught.value.what
    assert "exit status 7" in caught.value.what
    assert "the last words" in caught.value.why
    # The next request starts afresh.
    (tmp_path / "die_always").unlink()
    assert len(naughty.evaluate(argon())) == 1


def test_errors_of_the_model_arrive_and_do_not_end_the_worker(
    naughty: WorkerPotential, tmp_path: Path
) -> None:
    process = naughty.process_id
    (tmp_path / "fail").touch()
    with pytest.raises(ModelError, match="no such luck") as caught:
        naughty.evaluate(argon())
    assert caught.value.fix
    (tmp_path / "fail").unlink()
    assert len(naughty.evaluate(argon())) == 1
    assert naughty.process_id == process


def test_close_ends_the_process_and_may_be_repeated() -> None:
    potential = WorkerPotential(settings())
    assert potential._connection is not None
    process = potential._connection.process
    potential.close()
    potential.close()
    assert process.poll() == 0
    assert potential.process_id is None
    with pytest.raises(ModelError, match="was closed"):
        potential.evaluate(argon())


def test_worker_ends_with_the_program_that_forgot_to_close_it(tmp_path: Path) -> None:
    script = """
        import sys
        from elphant.models.potentials.loading import PotentialSettings
        from elphant.models.potentials.worker import WorkerPotential
        settings = PotentialSettings(spec=sys.argv[1], python=sys.executable)
        print(WorkerPotential(settings).process_id)
        kept = WorkerPotential(settings)
        print(kept.process_id)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), LENNARD_JONES],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    for process in map(int, done.stdout.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/nowhere/bin/python", "does not exist"),
        ("{folder}", "is a directory"),
        ("{folder}/plain", "is not executable"),
        ("cat", "ended before the potential was loaded"),
    ],
)
def test_wrong_python_is_refused(python: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("not a program")
    program = python.format(folder=tmp_path)
    with pytest.raises(ModelError) as caught:
        load_potential(PotentialSettings(spec=LENNARD_JONES, python=program))
    assert words in caught.value.what
    assert program in caught.value.text()
    assert caught.value.fix


def test_python_without_the_provider_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if importlib.util.find_spec("mace") is not None:
        pytest.skip("this environment has mace-torch")
    (tmp_path / "tiny.model").write_bytes(b"nothing")
    (tmp_path / "naughty.py").write_text(NAUGHTY)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DependencyError) as caught:
        WorkerPotential(settings("tiny.model", trust=True))
    assert "mace-torch" in caught.value.what
    assert 'pip install "elphant[mace]"' in caught.value.fix
    with pytest.raises((DependencyError, ModelError), match="a_package_that_is_not_there"):
        WorkerPotential(settings("naughty:needs_missing_package"))


def test_python_without_numpy_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(DependencyError, match="lacks the package numpy") as caught:
        WorkerPotential(PotentialSettings(spec=LENNARD_JONES, python=str(bare)))
    assert "pip install numpy ase" in caught.value.fix


def test_worker_imports_little_and_nothing_from_this_environment() -> None:
    script = f"""
        import sys
        sys.argv = ["-c", {str(Path(elphant.__file__).parent)!r}]
        source = {worker._BOOTSTRAP!r}
        before = list(sys.path)
        exec(source[: source.index("from elphant")])
        assert sys.path == [p for p in before if p], "the search path was extended"
        import elphant.models.potentials.worker_process
        import elphant.models.potentials.loading
        import elphant.models.potentials.mace
        import elphant.models.potentials.sevennet
        import elphant.models.potentials.ase_calculator
        import elphant.engine.device
        heavy = {{"pydantic", "phonopy", "phono3py", "h5py", "spglib", "scipy", "platformdirs",
                  "torch", "typer", "rich", "matplotlib", "yaml"}}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_messages_survive_the_journey_bit_for_bit() -> None:
    crystals = argon(n=3)
    arrays = wire.pack_crystals(crystals)
    stream = io.BytesIO()
    wire.write_message(stream, wire.Message(kind="evaluate", fields={"x": [1, "Å"]}, arrays=arrays))
    stream.seek(0)
    message = wire.read_message(stream)
    assert message.kind == "evaluate"
    assert message.fields == {"x": [1, "Å"]}
    returned = wire.unpack_crystals(message.arrays)
    assert [c.digest() for c in returned] == [c.digest() for c in crystals]
    with pytest.raises(EOFError):
        wire.read_message(stream)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "version"])
def test_damaged_messages_are_recognised(damage: str) -> None:
    stream = io.BytesIO()
    wire.write_message(stream, wire.Message(kind="result", arrays={"energy": np.ones(4)}))
    data = bytearray(stream.getvalue())
    if damage == "truncated":
        data = data[:-3]
    elif damage == "foreign":
        data[:4] = b"Hell"
    else:
        data[3] += 1
    with pytest.raises(wire.WireError):
        wire.read_message(io.BytesIO(bytes(data)))
