"""Bands, masses and ELF from end to end: cheap ab initio silicon and a two-centre model."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import jsonschema
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.io import read
from ase.io.cube import read_cube_data
from run_files import assert_same

from elphant.cli import app
from elphant.orbitals import band_energies
from elphant.orbitals.hamiltonian_file import read_hamiltonian

SCHEMA = Path(__file__).parents[2] / "src/elphant/workflow/results_schema.json"
FIXTURES = Path(__file__).parents[1] / "fixtures"
WANNIER = FIXTURES / "hamiltonians/diatomic_tb.dat"

#: Coarse: seconds, and nothing but the plumbing is tested.
COARSE = ("--set", "electrons.mesh=[4,4,4]", "--set", "electrons.points_per_leg=5")
AB_INITIO = (
    "--basis", "gth-szv-molopt-sr", "--k-mesh", "2,2,2", *COARSE,
    "--set", "electrons.grid_spacing=0.25",
)  # fmt: skip
MODEL = ("--hamiltonian", "slater-koster:si", *COARSE)

ELECTRONIC = ("electronic_structure", "band_gap", "effective_mass", "elf", "lone_pairs")


def call(*arguments: object) -> int:
    """Call the command line, for fixtures that several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["elphant", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
    return int(ended.value.code or 0)


def results_of(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def physics(run: Path) -> list:
    """Return everything electronic in results.json that does not depend on the clock."""
    results = results_of(run)
    volatile = ("seconds", "peak_memory_gb")
    structure = {
        name: value
        for name, value in results["electronic_structure"].items()
        if name not in (*volatile, "details")
    }
    details = dict(results["electronic_structure"]["details"])
    details.pop("seconds", None)
    return [structure, details, *(results[name] for name in ELECTRONIC[1:]), results["frame"]]


def validate(results: dict) -> None:
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(results)


def refused(elphant, capsys, *arguments: object, code: int, says: str) -> str:
    capsys.readouterr()
    status = elphant(*arguments)
    text = capsys.readouterr().err
    flat = " ".join(text.split())
    assert status == code, text
    assert says in flat
    assert "Traceback" not in text
    return flat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Structures of every kind that the tests need."""
    path = tmp_path_factory.mktemp("electrons")
    bulk("Si", "diamond", a=5.431).write(path / "Si.vasp", direct=True)
    bulk("Al", "fcc", a=4.05).write(path / "Al.vasp", direct=True)
    bulk("Si", "sc", a=2.6).write(path / "metal.vasp", direct=True)
    bulk("MgO", "rocksalt", a=4.212).write(path / "MgO.vasp", direct=True)
    bulk("Pu", "fcc", a=4.64).write(path / "Pu.vasp", direct=True)
    return path


@pytest.fixture
def work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh working folder with the structures."""
    for file in folder.glob("*.vasp"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def ab_initio(folder: Path) -> Path:
    """Masses, then ELF with a report, in one run directory."""
    pytest.importorskip("pyscf")
    command = (folder / "Si.vasp", *AB_INITIO, "--output", folder / "si.run")
    assert call("masses", *command, "--no-report") == 0
    before = results_of(folder / "si.run")
    assert before["elf"] is None
    assert call("elf", *command) == 0
    after = results_of(folder / "si.run")
    assert after["provenance"]["tasks"] == ["bands", "masses", "elf"]
    for name in ("band_gap", "effective_mass", "electronic_structure"):
        assert after[name] == before[name]
    return folder / "si.run"


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """Bands of the two-centre model."""
    command = ("bands", folder / "Si.vasp", *MODEL, "--no-report", "--output", folder / "sk.run")
    assert call(*command) == 0
    return folder / "sk.run"


@pytest.mark.pyscf
class TestAbInitio:
    """One run with everything."""

    def test_results_follow_the_schema(self, ab_initio: Path) -> None:
        results = results_of(ab_initio)
        validate(results)
        assert results["electronic_structure"]["k_mesh"] == [2, 2, 2]
        assert results["electronic_structure"]["self_consistent"]
        assert results["electronic_structure"]["n_electrons"] == 8.0
        gap = results["band_gap"]
        assert gap["kind"] == "indirect"
        assert 0.0 < gap["value"] < gap["direct_value"]
        kinds = [(record["carrier"], record["kind"]) for record in results["effective_mass"]]
        assert kinds.count(("hole", "band_edge")) == 3, "three bands meet at the top"
        assert ("electron", "conductivity") in kinds
        assert all(min(record["axes"].values()) > 0.0 for record in results["effective_mass"])
        assert results["lone_pairs"] == []
        bonds = [basin for basin in results["elf"]["basins"] if basin["kind"] == "bond"]
        assert [basin["population"] for basin in bonds] == pytest.approx([2.0] * 4, rel=1e-3)
        assert results["provenance"]["models"][0]["name"] == "pyscf"
        doubts = [flag["name"] for flag in results["quality"] if flag["severity"] != "info"]
        assert doubts == ["preset"]

    def test_arrays_have_units_and_fit_the_records(self, ab_initio: Path) -> None:
        results = results_of(ab_initio)
        gap = results["band_gap"]["value"]
        with h5py.File(ab_initio / "data.h5") as file:
            electrons = file["electrons"]
            found = {}
            electrons.visititems(lambda name, item: found.update({name: item.attrs.get("units")}))
            assert found["bands/energy"] == found["dos/energy"] == "eV"
            assert found["dos/total"] == found["dos/projection/Si-p"] == "states/eV/cell"
            assert found["bands/distance"] == found["bands/label_distance"] == "Å^-1"
            assert found["elf/density"] == "e Å^-3"
            energies = electrons["bands/energy"][()]
            assert energies.shape == (len(electrons["bands/distance"]), 8)
            assert energies[:, :4].max() == pytest.approx(0.0, abs=1e-9)
            assert energies[:, 4:].min() >= gap - 1e-9
            assert electrons["bands/k_point"].shape == (len(energies), 3)
            assert len(electrons["bands/label"]) == len(electrons["bands/label_distance"])
            dos, total = electrons["dos/energy"][()], electrons["dos/total"][()]
            filled = np.trapezoid(total[dos < gap / 2], dos[dos < gap / 2])
            assert filled == pytest.approx(8.0, rel=0.02)
            parts = sum(item[()] for item in electrons["dos/projection"].values())
            np.testing.assert_allclose(parts, total, atol=1e-6 * total.max())
            density, elf = electrons["elf/density"][()], electrons["elf/elf"][()]
            assert list(elf.shape) == results["elf"]["grid"]
            volume = results["structure"]["volume"]
            assert density.mean() * volume == pytest.approx(8.0, rel=1e-3)
            assert 0.0 <= elf.min() < elf.max() <= 1.0

    def test_other_programs_read_the_grids(self, ab_initio: Path) -> None:
        with h5py.File(ab_initio / "data.h5") as file:
            stored = {name: file[f"electrons/elf/{name}"][()] for name in ("elf", "density")}
        crystal = read(ab_initio / "structure/used.vasp")
        for name, values in stored.items():
            cube, atoms = read_cube_data(ab_initio / f"exchange/{name}.cube")
            file = ab_initio / f"exchange/{name}.xsf"
            structure, xsf = read(file), read(file, read_data=True)
            unit = 1.0 if name == "elf" else units.Bohr**3  # cube files are in atomic units
            np.testing.assert_allclose(cube, values * unit, rtol=1e-4, atol=1e-6)
            # General XSF grids repeat the first plane at the end.
            np.testing.assert_allclose(xsf[:-1, :-1, :-1], values, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(xsf[-1], xsf[0])
            for found in (atoms, structure):
                np.testing.assert_allclose(found.cell, crystal.cell, atol=1e-4)
                np.testing.assert_allclose(found.positions, crystal.positions, atol=1e-4)

    def test_exchanged_hamiltonian_gives_the_same_run(
        self, elphant, work: Path, ab_initio: Path
    ) -> None:
        file = ab_initio / "exchange/hamiltonian.h5"
        with h5py.File(ab_initio / "data.h5") as data:
            points = data["electrons/bands/k_point"][()]
            energies = data["electrons/bands/energy"][()]
        zero = results_of(ab_initio)["electronic_structure"]["valence_maximum_energy"]
        again = band_energies(read_hamiltonian(file), points) - zero
        np.testing.assert_allclose(again, energies, atol=1e-9)
        # The file alone, without a structure, leads to the same records.
        command = ("--hamiltonian", file, *COARSE, "--set", "electrons.grid_spacing=0.25")
        assert elphant("masses", *command, "--no-report", "--output", "again.run") == 0
        results, whole = results_of(work / "again.run"), results_of(ab_initio)
        validate(results)
        assert_same(results["band_gap"], whole["band_gap"])
        assert_same(results["effective_mass"], whole["effective_mass"])
        assert results["provenance"]["input_file"] == str(file)
        assert results["provenance"]["input_sha256"]

    def test_report_shows_every_part(self, ab_initio: Path) -> None:
        page = (ab_initio / "report.html").read_text(encoding="utf-8")
        assert len(page) > 1e5
        for words in ("gth-szv-molopt-sr", "band gap", "effective mass", "localization"):
            assert words in page.lower()
        figures = {path.name for path in (ab_initio / "figures").glob("*.pdf")}
        assert {"electron-bands.pdf", "effective-masses.pdf"} <= figures

    def test_second_call_computes_nothing(
        self, elphant, capsys, folder: Path, ab_initio: Path
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in ab_initio.iterdir() if path.is_file()}
        for command in ("elf", "bands", "masses"):
            arguments = (folder / "Si.vasp", *AB_INITIO, "--output", ab_initio)
            capsys.readouterr()
            assert elphant(command, *arguments) == 0
            printed = capsys.readouterr()
            assert "nothing had to be computed" in printed.err
            assert "no lone pair found" in printed.out, "earlier tasks stay in the results"
            assert "effective masses" in printed.out
        for name in ("results.json", "data.h5", "report.html"):
            assert (ab_initio / name).stat().st_mtime_ns == before[ab_initio / name]

    def test_kill_in_the_cycles_is_resumed_from_the_checkpoint(
        self, elphant, capsys, work: Path, ab_initio: Path
    ) -> None:
        # A process that dies by SIGKILL right after its first checkpoint, three cycles in.
        program = (
            "import os, signal, sys\n"
            "from elphant.cli import app\n"
            "from elphant.models.hamiltonians.pyscf import calculation\n"
            "save = calculation.save_checkpoint\n"
            "def save_and_die(*arguments):\n"
            "    save(*arguments)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "calculation.save_checkpoint = save_and_die\n"
            "app.main()\n"
        )
        command = ("masses", "Si.vasp", *AB_INITIO, "--no-report", "--output", "killed.run")
        done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True)
        assert done.returncode == -signal.SIGKILL
        run = work / "killed.run"
        (checkpoint,) = (run / "stages").glob("hamiltonian-*/checkpoint.npz")
        assert not (run / "results.json").exists()
        assert elphant(*command) == 0
        assert "going on with cycle 4" in capsys.readouterr().err
        assert not checkpoint.exists()
        (structure, details, gap, masses, *_), whole = physics(run), physics(ab_initio)
        assert_same([structure, details, gap, masses], whole[:4])

    def test_damaged_checkpoint_is_named(self, elphant, capsys, work: Path, monkeypatch) -> None:
        from elphant.models.hamiltonians.pyscf import calculation

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        command = ("bands", "Si.vasp", *AB_INITIO, "--no-report", "--output", "r.run")
        save = calculation.save_checkpoint
        monkeypatch.setattr(calculation, "save_checkpoint", lambda *a: (save(*a), stop()))
        assert elphant(*command) == 130
        assert "continues from it" in " ".join(capsys.readouterr().err.split())
        (checkpoint,) = (work / "r.run/stages").glob("hamiltonian-*/checkpoint.npz")
        os.truncate(checkpoint, 100)
        text = refused(elphant, capsys, *command, code=8, says="damaged")
        assert "checkpoint.npz" in text

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("Al.vasp",), 7, "odd number"),
            (("Pu.vasp",), 4, "not available for Pu"),
            (("Si.vasp", "--basis", "gth-nonsense"), 4, "gth-dzvp-molopt-sr"),
            (("Si.vasp", "--set", "hamiltonian.functional=nonsense"), 4, "'nonsense'"),
            (("Si.vasp", "--memory", "1MB"), 9, "memory"),
        ],
    )
    def test_refused_before_the_cycles(
        self, elphant, capsys, work: Path, arguments: tuple, code: int, says: str
    ) -> None:
        command = ("bands", *arguments, *COARSE, "--k-mesh", "2,2,2", "--output", "r.run")
        refused(elphant, capsys, *command, code=code, says=says)
        assert not (work / "r.run/results.json").exists()


class TestModel:
    """Everything that needs no ab initio calculation."""

    def test_bands_alone(self, elphant, capsys, model: Path) -> None:
        results = results_of(model)
        validate(results)
        assert results["effective_mass"] == []
        assert results["elf"] is results["phonons"] is results["relaxation"] is None
        assert results["provenance"]["tasks"] == ["bands"]
        flag, preset = [flag for flag in results["quality"] if flag["severity"] != "info"]
        assert (flag["name"], preset["name"]) == ("not_self_consistent", "preset")
        assert "superposed" not in flag["message"]

    def test_elf_is_refused_and_keeps_the_bands(
        self, elphant, capsys, work: Path, model: Path
    ) -> None:
        shutil.copytree(model, work / "sk.run")
        before = (work / "sk.run/results.json").read_bytes()
        command = ("elf", "Si.vasp", *MODEL, "--no-report", "--output", "sk.run")
        refused(elphant, capsys, *command, code=7, says="orbitals as functions")
        assert (work / "sk.run/results.json").read_bytes() == before
        assert elphant("bands", *command[1:]) == 0
        assert "nothing had to be computed" in capsys.readouterr().err

    def test_elf_of_a_wannier_file_is_refused(self, elphant, capsys, work: Path) -> None:
        command = ("elf", "--hamiltonian", WANNIER, "--n-electrons", 2, *COARSE)
        refused(elphant, capsys, *command, code=7, says="H(R) and S(R) are not enough")

    def test_wannier_files_need_the_electrons(self, elphant, capsys, work: Path) -> None:
        command = ("bands", "--hamiltonian", WANNIER, *COARSE, "--no-report", "--output", "w.run")
        refused(elphant, capsys, *command, code=4, says="--n-electrons")
        assert elphant(*command, "--n-electrons", 2) == 0
        results = results_of(work / "w.run")
        validate(results)
        assert results["electronic_structure"]["n_electrons"] == 2.0
        assert results["electronic_structure"]["provider"] == "wannier90"

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("metal.vasp", *MODEL), 7, "gap"),
            (("MgO.vasp", *MODEL), 4, "does not know Mg, O"),
            (("Si.vasp", "--hamiltonian", "slater-koster"), 4, "needs a parameter set"),
            (("Si.vasp", "--hamiltonian", "slater-koster:xx"), 4, "come with elphant: si"),
            (("Si.vasp", "--hamiltonian", "pysf"), 4, "Did you mean pyscf"),
            (("Si.vasp", "--hamiltonian", "missing.h5"), 4, "does not exist"),
            (("Si.vasp", "--hamiltonian", "MgO.vasp"), 4, "is not known"),
            (("Si.vasp", "--hamiltonian", "none"), 2, "hamiltonian.model is none"),
            (("Si.vasp", "--hamiltonian", WANNIER, "--n-electrons", "2"), 4, "lattice vectors"),
            (("Si.vasp", "--n-electrons", "-2", *MODEL), 2, "n_electrons"),
            (("Si.vasp", "--n-electrons", "6", *MODEL), 2, "no effect with the model"),
            (("Si.vasp", "--basis", "gth-szv", *MODEL), 2, "--basis gth-szv has no effect"),
            (("Si.vasp", "--k-mesh", "2,2"), 2, "--k-mesh '2,2'"),
            (("Si.vasp", "--set", "electrons.mehs=3"), 2, "Did you mean 'mesh'"),
            ((), 2, "--hamiltonian FILE"),
        ],
    )
    def test_bad_input(
        self, elphant, capsys, work: Path, arguments: tuple, code: int, says: str
    ) -> None:
        refused(elphant, capsys, "bands", *arguments, "--output", "r.run", code=code, says=says)
        assert not (work / "r.run/results.json").exists()
        # What can be known at once leaves no folder behind.
        if code == 2 or "slater-koster:xx" in arguments or "missing.h5" in arguments:
            assert not (work / "r.run").exists()

    def test_file_of_another_structure_is_refused(
        self, elphant, capsys, work: Path, model: Path
    ) -> None:
        file = model / "exchange/hamiltonian.h5"
        other = bulk("Si", "diamond", a=5.5)
        other.write(work / "other.vasp", direct=True)
        command = ("--hamiltonian", file, *COARSE, "--output", "r.run")
        says = "belongs to another structure"
        text = refused(elphant, capsys, "bands", "other.vasp", *command, code=3, says=says)
        assert "differs by 0.03" in text
        refused(elphant, capsys, "bands", "MgO.vasp", *command, code=3, says=says)
        refused(elphant, capsys, "bands", "--relax", *command, code=2, says="--relax needs")
        refused(elphant, capsys, "bands", "--n-electrons", 8, *command, code=2, says="no effect")
        assert not (work / "r.run/results.json").exists()

    @pytest.mark.parametrize("damage", ["cut", "text", "dataset", "other"])
    def test_damaged_hamiltonian_file(
        self, elphant, capsys, work: Path, model: Path, damage: str
    ) -> None:
        file = work / "h.h5"
        shutil.copy(model / "exchange/hamiltonian.h5", file)
        if damage == "cut":
            os.truncate(file, file.stat().st_size // 2)
        elif damage == "text":
            file.write_text("not HDF5")
        elif damage == "dataset":
            with h5py.File(file, "a") as content:
                del content["hamiltonian"]
        else:
            file.unlink()
            with h5py.File(file, "w") as content:
                content["x"] = 1
        for structure in ((), ("Si.vasp",)):
            command = ("bands", *structure, "--hamiltonian", file, "--output", "r.run")
            status = elphant(*command)
            text = capsys.readouterr().err
            assert status in (4, 8), text
            assert "h.h5" in "".join(text.split())
            assert not (work / "r.run/results.json").exists()

    def test_changed_parameter_file_is_read_again(self, elphant, work: Path) -> None:
        sets = Path(importlib.util.find_spec("elphant.models.hamiltonians").origin).parent
        shutil.copy(sets / "slater_koster/sets/si_pbe.json", work / "si.json")
        command = ("bands", "Si.vasp", "--hamiltonian", "slater-koster:si.json", *COARSE)
        gaps = []
        for factor in (1.0, 0.95):
            parameters = json.loads((work / "si.json").read_text())
            for shell in parameters["elements"]["Si"]["shells"]:
                shell["energy"] *= factor
            (work / "si.json").write_text(json.dumps(parameters))
            assert elphant(*command, "--no-report", "--output", "r.run") == 0
            gaps.append(results_of(work / "r.run")["band_gap"]["value"])
        assert abs(gaps[0] - gaps[1]) > 1e-3

    def test_missing_package_is_named(self, elphant, capsys, work: Path, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "pyscf", None)
        text = refused(elphant, capsys, "bands", "Si.vasp", code=5, says="pyscf is not installed")
        assert "pip install" in text
        assert not list(work.glob("*.run"))

    def test_dry_run_plans_and_writes_nothing(self, elphant, capsys, work: Path) -> None:
        before = set(work.iterdir())
        for command, lines in (
            ("bands", ("hamiltonian", "bands")),
            ("masses", ("hamiltonian", "bands", "masses")),
            ("elf", ("hamiltonian", "bands", "elf")),
        ):
            assert elphant(command, "Si.vasp", *COARSE, "--dry-run") == 0
            text = capsys.readouterr().out
            shown = [line.split()[0] for line in text.splitlines() if "~" in line]
            assert [name for name in shown if name in {*lines, "masses", "elf"}] == list(lines)
            assert "4×4×4" in text
            assert "nothing was computed" in text
            assert "four-phonon" not in text
        assert set(work.iterdir()) == before

    @pytest.mark.parametrize("order", [(1, 2, 0), (1, 0, 2)])
    def test_another_setting_permutes_the_masses(
        self, elphant, work: Path, order: tuple[int, int, int]
    ) -> None:
        """As between Pnma and Pbnm: axes and Cartesian directions change their names together."""
        strained = bulk("Si", "diamond", a=5.431)
        strained.set_cell(strained.cell @ np.diag([1.0, 1.01, 1.025]), scale_atoms=True)
        permuted = strained.copy()
        rows = np.array(order)
        permuted.set_cell(np.array(strained.cell)[rows][:, rows], scale_atoms=False)
        permuted.set_scaled_positions(strained.get_scaled_positions()[:, rows])
        runs = []
        for name, atoms in (("one", strained), ("two", permuted)):
            atoms.write(work / f"{name}.vasp", direct=True)
            command = ("masses", f"{name}.vasp", *MODEL, "--no-report", "--output", f"{name}.run")
            assert elphant(*command) == 0
            runs.append(results_of(work / f"{name}.run"))
        one, two = runs
        assert two["band_gap"]["value"] == pytest.approx(one["band_gap"]["value"], abs=1e-8)
        assert len(one["effective_mass"]) == len(two["effective_mass"])
        values = np.array([list(r["axes"].values()) for r in one["effective_mass"]])
        assert np.ptp(values, axis=1).max() > 0.05, "the axes must differ"
        for mine, other in zip(one["effective_mass"], two["effective_mass"], strict=True):
            assert (mine["carrier"], mine["kind"]) == (other["carrier"], other["kind"])
            axes, new = (np.array(list(r["axes"].values())) for r in (mine, other))
            # Conductivity masses rest on boxes of k points that follow the reciprocal vectors.
            exact = 1e-6 if mine["kind"] != "conductivity" else 1e-3
            np.testing.assert_allclose(new, axes[rows], rtol=exact)
            tensor = np.array(mine["tensor"])[rows][:, rows]
            np.testing.assert_allclose(other["tensor"], tensor, rtol=exact, atol=1e-6)


class TestBesidePhonons:
    """``elphant run``: phonons come first, and nothing electronic may cost them."""

    OPTIONS = ("--config", "options.yaml", "--no-report", "--output", "Ar.run")

    def test_no_electrons_is_a_doubt_and_phonons_are_kept(
        self, elphant: Callable[..., int], capsys, argon: Path, monkeypatch
    ) -> None:
        run = argon / "Ar.run"
        assert elphant("run", "Ar.cif", *self.OPTIONS, *MODEL) == 0
        assert "there is no electronic part" in " ".join(capsys.readouterr().err.split())
        self.check(results_of(run), says="does not know Ar")
        # The same without the package: phonons are reused.
        monkeypatch.setitem(sys.modules, "pyscf", None)
        assert elphant("run", "Ar.cif", *self.OPTIONS, "--hamiltonian", "pyscf") == 0
        self.check(results_of(run), says="not installed")
        assert len(list((run / "stages").glob("forces-third-*"))) == 1
        # Phonons alone do not try the electrons again.
        model = ("--set", "hamiltonian.model=pyscf")
        assert elphant("kappa", "Ar.cif", *self.OPTIONS, *model) == 0
        assert results_of(run)["provenance"]["tasks"] == ["kappa"]
        assert "no_electronic_structure" not in json.dumps(results_of(run)["quality"])
        # Electrons alone may not replace the conductivity.
        before = (run / "results.json").read_bytes()
        for command in ("bands", "masses", "elf"):
            text = refused(
                elphant, capsys, command, "Ar.cif", "--output", run, *MODEL,
                code=8, says="holds the results of a phonon run",
            )  # fmt: skip
            assert "--output" in text
        assert (run / "results.json").read_bytes() == before

    @staticmethod
    def check(results: dict, says: str) -> None:
        validate(results)
        (flag,) = [flag for flag in results["quality"] if flag["name"] == "no_electronic_structure"]
        assert flag["severity"] == "warning"
        assert says in flag["message"]
        assert results["thermal_conductivity"]
        assert results["phonons"]
        assert results["electronic_structure"] is results["band_gap"] is None
        assert results["effective_mass"] == results["lone_pairs"] == []
