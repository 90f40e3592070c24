"""MACE for real: a tiny random model, evaluated in the second environment through a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

import elphant
from elphant.crystal import Crystal
from elphant.crystal.io import from_ase
from elphant.errors import DependencyError, ModelError
from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.potentials.worker import WorkerPotential
from elphant.models.registry import add_model

# Each start of the other environment imports torch and mace: 5 s of processor time.
pytestmark = [pytest.mark.mace, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
HEADS = ("omat_pbe", "matpes_r2scan")


@pytest.fixture(scope="module")
def mace_python() -> str:
    """Python of the environment that ``make .venv-mace/.stamp`` builds."""
    python = Path(os.environ.get("ELPHANT_MACE_PYTHON", ROOT / ".venv-mace" / "bin" / "python"))
    if not python.is_file():
        message = f"no MACE environment at {python}: run make .venv-mace/.stamp"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(python)


@pytest.fixture(scope="module")
def model_file(mace_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mace") / "tiny.model"
    script = Path(__file__).with_name("make_tiny_mace.py")
    subprocess.run([mace_python, str(script), str(file)], check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def potential(mace_python: str, model_file: Path) -> Iterator[WorkerPotential]:
    loaded = _load(f"{model_file}:{HEADS[0]}", mace_python, trust=True)
    yield loaded
    loaded.close()


def _load(spec: str, python: str, **changes: object) -> WorkerPotential:
    settings = PotentialSettings(spec=spec, python=python, device="cpu", **changes)  # type: ignore[arg-type]
    loaded = load_potential(settings)
    assert isinstance(loaded, WorkerPotential)
    return loaded


def crystals(n: int = 4) -> list[Crystal]:
    """Return rattled cells of silicon and of a Si-Se-Sb mixture, of two sizes."""
    result = []
    for seed in range(n):
        atoms = bulk("Si", cubic=True, a=5.6) * (1 + seed % 2, 1, 1)
        if seed > 1:
            atoms.numbers[:4] = [34, 51, 34, 51]
        atoms.rattle(0.08, seed=seed)
        result.append(from_ase(atoms))
    return result


def test_conformance(potential: WorkerPotential) -> None:
    from elphant.models.potentials.conformance import check_potential

    check_potential(potential, crystals()[2])


def test_card_records_file_head_and_reach(potential: WorkerPotential) -> None:
    card = potential.card
    assert card.provider == "mace"
    assert card.heads == HEADS
    assert card.head == HEADS[0]
    assert set(card.elements) == {"Si", "Se", "Sb"}
    assert card.dtype == "float64"
    assert card.cutoff == pytest.approx(4.0)
    assert card.receptive_field == pytest.approx(8.0)
    assert len(card.sha256) == 64


def test_batch_equals_single_and_float64_is_honoured(potential: WorkerPotential) -> None:
    cells = crystals()
    batch = potential.evaluate(cells)
    for cell, together in zip(cells, batch, strict=True):
        alone = potential.evaluate([cell])[0]
        assert together.energy == pytest.approx(alone.energy, abs=1e-11)
        np.testing.assert_allclose(together.forces, alone.forces, atol=1e-12)
        np.testing.assert_allclose(together.stress, alone.stress, atol=1e-13)
        assert np.abs(alone.forces).max() > 1e-4
        # Numbers computed in float32 would survive the rounding unchanged.
        assert np.abs(alone.forces - alone.forces.astype(np.float32)).max() > 1e-12


def test_forces_and_stress_are_derivatives_of_the_energy(potential: WorkerPotential) -> None:
    cell, step = crystals()[2], 1e-4
    shift, strain = np.zeros((cell.n_atoms, 3)), np.zeros((3, 3))
    shift[3, 1] = step
    strain[0, 1] = strain[1, 0] = step / 2
    result, plus, minus, sheared, back = potential.evaluate(
        [
            cell,
            cell.displaced(shift),
            cell.displaced(-shift),
            cell.replaced(lattice=cell.lattice @ (np.eye(3) + strain)),
            cell.replaced(lattice=cell.lattice @ (np.eye(3) - strain)),
        ]
    )
    force = -(plus.energy - minus.energy) / (2 * step)
    stress = (sheared.energy - back.energy) / (2 * step) / cell.volume
    assert abs(force) > 1e-4
    assert abs(stress) > 1e-7
    assert result.forces[3, 1] == pytest.approx(force, abs=1e-7)
    assert result.stress[0, 1] == pytest.approx(stress, abs=1e-9)


def test_unknown_element_is_refused(potential: WorkerPotential) -> None:
    cell = from_ase(bulk("Ge"))
    with pytest.raises(ModelError, match="does not know Ge"):
        potential.evaluate([cell])


def test_killed_worker_is_started_again_with_the_same_result(potential: WorkerPotential) -> None:
    cells = crystals(8) * 30
    expected = potential.evaluate(cells)
    victim = potential.process_id
    assert victim is not None
    killer = threading.Timer(0.2, os.kill, (victim, signal.SIGKILL))
    killer.start()
    results = potential.evaluate(cells)
    killer.join()
    # Where the machine is fast enough to finish within 0.2 s, the kill meets an idle worker.
    again = potential.evaluate(cells[:2])
    assert potential.process_id != victim
    for one, other in zip([*results, *again], [*expected, *expected[:2]], strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-11)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)


def test_registered_file_needs_no_trust_and_heads_and_types_differ(
    potential: WorkerPotential,
    mace_python: str,
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path))
    copy = tmp_path / "copy.model"
    copy.write_bytes(model_file.read_bytes())
    add_model("tiny", copy, level_of_theory="random weights", licence="MIT", heads=HEADS)
    cell = crystals()[2]
    single = _load(f"tiny:{HEADS[1]}", mace_python, dtype="float32")
    try:
        assert single.card.name == "tiny"
        assert single.card.licence == "MIT"
        assert (single.card.head, single.card.dtype) == (HEADS[1], "float32")
        other = single.evaluate([cell])[0]
    finally:
        single.close()
    np.testing.assert_array_equal(other.forces, other.forces.astype(np.float32))
    assert abs(other.energy - potential.evaluate([cell])[0].energy) > 0.1
    # A file that changed since it was registered is not opened.
    copy.write_bytes(model_file.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="has changed"):
        _load(f"tiny:{HEADS[1]}", mace_python)


def test_untrusted_file_is_refused(mace_python: str, model_file: Path) -> None:
    with pytest.raises(ModelError, match="not declared trusted") as caught:
        _load(f"{model_file}:{HEADS[0]}", mace_python)
    assert "--trust" in caught.value.fix


def test_python_without_mace_is_named(model_file: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("mace") is not None:
        pytest.skip("this environment has mace-torch")
    with pytest.raises(DependencyError) as caught:
        _load(f"{model_file}:{HEADS[0]}", sys.executable, trust=True)
    assert "mace-torch" in caught.value.what
    assert sys.executable in caught.value.what
    assert 'pip install "elphant[mace]"' in caught.value.fix


#: Runs in the second environment; prints one JSON record.
IN_PLACE = """
import contextlib, importlib.util, io, json, logging, os, sys, warnings

folder, model, garbage = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "elphant", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["elphant"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import numpy as np
import torch
from elphant.crystal import Crystal
from elphant.errors import ElphantError
from elphant.models.potentials.mace import MacePotential

VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

def state():
    return [str(torch.get_default_dtype()), os.environ.get(VARIABLE), torch.is_grad_enabled(),
            len(logging.getLogger().handlers), len(warnings.filters)]

printed, record = io.StringIO(), {"before": state()}
with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    potential = MacePotential(model, head="OMAT_PBE", trust=True)
    cell = Crystal(lattice=3.8 * (1 - np.eye(3)) / 1.4, fractional=[[0, 0, 0], [0.25, 0.25, 0.27]],
                   numbers=[14, 34])
    potential.evaluate([cell])
    handed = Crystal(lattice=-cell.lattice, fractional=cell.fractional, numbers=cell.numbers)
    record["mirrored"] = [potential.evaluate([c])[0].energy for c in (cell, handed)]
    for name, path, head in (
        ("missing", model, None), ("misspelt", model, "omat-pbe"), ("garbage", garbage, None)):
        try:
            MacePotential(path, head=head, trust=True)
        except ElphantError as error:
            record[name] = [type(error).__name__, error.what, error.why, error.fix]
record.update(after=state(), printed=printed.getvalue(), head=potential.card.head)

# The package's own calculator is the reference, here on a lattice without any symmetry.
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    from ase import Atoms
    from mace.calculators import MACECalculator

    warnings.simplefilter("ignore")
    lattice = np.array([[3.9, 0.1, -0.3], [0.7, 4.2, 0.2], [-0.4, 0.9, 5.1]])
    places = [[0.0, 0.0, 0.0], [0.3, 0.4, 0.6], [1.6, 0.7, -0.2]]
    atoms = Atoms(numbers=[14, 34, 51], cell=lattice, scaled_positions=places, pbc=True)
    atoms.calc = MACECalculator(
        model_paths=model, device="cpu", default_dtype="float64", head="omat_pbe")
    crystal = Crystal(lattice=lattice, fractional=places, numbers=atoms.numbers)
    ours = potential.evaluate([crystal])[0]
    pairs = ((ours.energy, atoms.get_potential_energy()), (ours.forces, atoms.get_forces()),
             (ours.stress, atoms.get_stress(voigt=False)))
    record["size"] = [float(np.abs(theirs).max()) for _, theirs in pairs]
    record["error"] = [float(np.abs(mine - theirs).max()) for mine, theirs in pairs]
print(json.dumps(record))
"""


def test_in_place_wrong_heads_damaged_file_and_no_traces(
    mace_python: str, model_file: Path, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage.model"
    garbage.write_bytes(b"not a model")
    done = subprocess.run(
        [mace_python, "-c", textwrap.dedent(IN_PLACE), str(Path(elphant.__file__).parent),
         str(model_file), str(garbage)],
        capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if k != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
        | {"ELPHANT_HOME": str(tmp_path), "ELPHANT_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["printed"] == ""
    assert done.stderr == ""
    assert record["after"][:4] == record["before"][:4] == ["torch.float32", None, True, 0]
    assert record["head"] == HEADS[0]
    assert record["mirrored"][0] == pytest.approx(record["mirrored"][1], abs=1e-12)
    assert min(record["size"]) > 1e-4
    assert max(record["error"]) < 1e-12
    kind, what, why, fix = record["missing"]
    assert kind == "ModelError"
    assert "none was chosen" in what
    assert all(head in why for head in HEADS)
    assert fix
    kind, what, why, fix = record["misspelt"]
    assert kind == "ModelError"
    assert "omat-pbe" in what
    assert all(head in why for head in HEADS)
    assert "omat_pbe" in fix
    kind, what, why, fix = record["garbage"]
    assert kind == "ModelError"
    assert "garbage.model" in what
    assert why
    assert fix
