"""``elphant mobility``: options, what is combined with what, results, resume, and doubts.

Most tests replace the two last stages, whose numbers have tests of their own, by ones that record
what they were given.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import jsonschema
import numpy as np
import pytest
from ase.build import bulk
from run_files import items

import elphant as package
from elphant.config.loading import build_config
from elphant.crystal import Frame
from elphant.errors import ConfigurationError, StoreError
from elphant.store.atomic import write_text
from elphant.tensors import TransportTensor
from elphant.workflow.figure_of_merit import figure_of_merit
from elphant.workflow.job import Job

#: Potentials of rock salt (no physics) and of silicon (J. Tersoff, Phys. Rev. B 38, 9902 (1988)).
POTENTIAL = """\
def factory():
    from ase.calculators.morse import MorsePotential

    return MorsePotential(r0=2.35, epsilon=1.5, rho0=4.0, rcut1=3.0, rcut2=3.5)


def silicon():
    from ase.calculators.tersoff import Tersoff, TersoffParameters

    parameters = TersoffParameters(
        m=3, gamma=1.0, lambda3=1.7322, c=1.0039e5, d=16.217, h=-0.59825, n=0.78734, beta=1.1e-6,
        lambda2=1.7322, B=471.18, R=2.85, D=0.15, lambda1=2.4799, A=1830.8,
    )
    return Tersoff({("Si", "Si", "Si"): parameters})
"""
OPTIONS = """\
electrons: {mesh: [4, 4, 4], points_per_leg: 3, dielectric_mesh: [4, 4, 4]}
displacements: {length_second: 3.5, length_third: 3.5, cutoff_third: 2.5, check_gamma: false}
phonons: {mesh: [2, 2, 2]}
conductivity: {mesh: [2, 2, 2], temperatures: [300]}
analysis: {force_asymmetry: false, gruneisen: false}
potential: {model: 'pair:factory'}
transport: {mesh: [6, 6, 6], n_meshes: 1}
"""
BASE = ("mobility", "Si.cif", "--config", "small.yaml", "--no-report")
#: In a file with Cartesian axes of its own: the cubic ones.
CUBIC = ("mobility", "Si.vasp", *BASE[2:])
MODEL = ("--hamiltonian", "slater-koster:si")
RUN = "Si.electrons.run"
TENSORS = {
    "seebeck": "uV K^-1", "electrical_conductivity": "S m^-1",
    "electronic_thermal_conductivity": "W m^-1 K^-1", "lorenz_number": "W Ohm K^-2",
}  # fmt: skip
BORN = """\
14.4
2.3 0 0 0 2.3 0 0 0 2.3
1.1 0 0 0 1.1 0 0 0 1.1
-1.1 0 0 0 -1.1 0 0 0 -1.1
"""
#: Permittivity of silicon; its Born charges vanish by symmetry.
NEUTRAL = """\
14.4
13 0 0 0 13 0 0 0 13
0 0 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0
"""


def quadrupoles_of_silicon(size: float) -> str:
    """Return a file of quadrupoles, e bohr: the one component that symmetry leaves."""
    lines = ["atom dir Qxx Qyy Qzz Qyz Qxz Qxy"]
    for atom, sign in ((1, 1.0), (2, -1.0)):
        for direction in range(3):
            row = [0.0] * 6
            row[3 + direction] = sign * size
            lines.append(f"{atom} {direction + 1} " + " ".join(f"{x:.6f}" for x in row))
    return "\n".join(lines) + "\n"


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what went to standard error, without line breaks."""
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def silicon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with structures, options and the module of the potential."""
    bulk("Si", "diamond", a=5.43).write(tmp_path / "Si.cif")
    bulk("Si", "diamond", a=5.43).write(tmp_path / "Si.vasp")
    bulk("NaCl", "rocksalt", a=5.6).write(tmp_path / "NaCl.cif")
    write_text(tmp_path / "small.yaml", OPTIONS)
    write_text(tmp_path / "pair.py", POTENTIAL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Replace the last stages; the list receives what each call was given."""
    calls: list[SimpleNamespace] = []

    def derivatives_stage(context, result, symmetry, source, dielectric, quadrupoles):
        calls.append(
            SimpleNamespace(name="derivatives", dielectric=dielectric, quadrupoles=quadrupoles)
        )
        found = None if source.file is not None else object()
        return SimpleNamespace(derivatives=found, record={}, flags=(), key="k")

    def mobility_stage(
        context, result, bands, symmetry, derivatives, constants, key, dielectric, quadrupoles
    ):
        options = context.config.transport
        calls.append(
            SimpleNamespace(
                name="mobility", constants=constants, key=key, dielectric=dielectric,
                options=options, crystal=result.hamiltonian.crystal, derivatives=derivatives,
                quadrupoles=quadrupoles,
            )
        )  # fmt: skip
        context.reuse_or_compute("mobility", 1, {"force_constants": key}, lambda _: ({}, {}))
        frame = Frame.of(result.hamiltonian.crystal, symmetry)
        records = {name: [] for name in ("mobility", *TENSORS, "attribution", "validity")}
        keys = [
            {"carrier": carrier, "temperature": t, "density": n, "solver": level,
             "variant": "velocity" if level == "mrta" else None}
            for carrier in ("electron", "hole") for t in options.temperatures
            for n in options.densities for level in options.levels
        ]  # fmt: skip
        for entry in keys:
            for i, part in enumerate(("total", "polar", "remaining")):
                tensor = TransportTensor(
                    values=(100.0 + i) * np.eye(3), unit="cm^2 V^-1 s^-1", frame=frame
                )
                error = {"extrapolated_error": dict.fromkeys("abc", 1.5) if i == 0 else None}
                records["mobility"].append(entry | tensor.to_dict() | error | {"part": part})
            for name, unit in TENSORS.items():
                tensor = TransportTensor(values=np.diag([3.0, 2.0, 1.0]), unit=unit, frame=frame)
                records[name].append(entry | tensor.to_dict())
        records["carrier_transport"] = {
            "mesh": {"electron": [6, 6, 6]}, "convergence": [], "derivatives": None, "parity": None,
        }  # fmt: skip
        arrays = [("electrons/transport/electron/weight", np.ones(3), "1", "state")]
        return SimpleNamespace(records=records, arrays=arrays, flags=(), references=["ponce2020"])

    for name, function in (("derivatives", derivatives_stage), ("mobility", mobility_stage)):
        module = SimpleNamespace(**{f"{name}_stage": function})
        monkeypatch.setitem(sys.modules, f"elphant.workflow.stages.{name}", module)
    return calls


def results(run: str = RUN) -> dict:
    content = json.loads((Path(run) / "results.json").read_text())
    schema = Path(package.__file__).parent / "workflow/results_schema.json"
    jsonschema.validate(content, json.loads(schema.read_text()))
    return content


def flags(run: str = RUN) -> dict[str, str]:
    return {flag["name"]: flag["severity"] for flag in results(run)["quality"]}


def test_mobility_of_silicon(elphant, capsys, silicon: Path, given) -> None:
    options = ("--carriers", "both", "-T", "200:300:100", "--density", "1e16,1e18")
    assert elphant(*BASE, *MODEL, *options, "--level", "serta,mrta") == 0
    derivatives, mobility = given
    assert derivatives.dielectric is mobility.dielectric is None
    assert mobility.options.densities == (1e16, 1e18)
    assert mobility.options.temperatures == (200.0, 300.0)
    assert mobility.options.levels == ("serta", "mrta")
    assert mobility.constants.third is None
    assert mobility.constants.second.shape[2:] == (3, 3)
    content = results()
    assert content["schema_version"] == "1.3"
    assert content["provenance"]["tasks"] == ["bands", "masses", "mobility"]
    assert content["relaxation"] is None
    assert content["potential"] is not None
    assert content["phonons"]["gamma_frequencies"][-1] > 1.0
    assert content["thermal_conductivity"] == content["figure_of_merit"] == []
    assert len(content["mobility"]) == 2 * 2 * 2 * 2 * 3
    assert {r["temperature"] for r in content["effective_mass"]} == {None, 200.0, 300.0}
    # Born charges of silicon vanish by symmetry: nothing polar is missing.
    assert "no_polar_coupling" not in flags()
    out = capsys.readouterr().out
    assert "carrier mobility in cm² V⁻¹ s⁻¹" in out
    assert "mrta (velocity)" in out
    assert "± (mesh)" in out
    result = package.RunResult.load(RUN)
    tensor = result.mobility("electron", 300.0)
    assert tensor.unit == "cm^2 V^-1 s^-1"
    assert tensor.values[0, 0] == pytest.approx(100.0)
    assert result.mobility("hole", 200.0, 1e18, "mrta", "polar").values[0, 0] == pytest.approx(101)
    with pytest.raises(StoreError, match=r"Available: carrier electron, hole; temperature 200"):
        result.mobility("electron", 500.0)
    assert "electron mobility, 300 K" in result.summary()
    given.clear()
    assert elphant(*BASE, *MODEL, *options, "--level", "serta,mrta") == 0
    assert "nothing had to be computed" in capsys.readouterr().err


def test_other_electronic_tasks_keep_the_mobility(elphant, capsys, silicon: Path, given) -> None:
    assert elphant(*BASE, *MODEL, "--density", "1e18") == 0
    key = given[-1].key
    assert elphant("bands", *BASE[1:], *MODEL) == 0
    assert given[-1].options.densities == (1e18,)
    assert given[-1].key == key
    assert results()["provenance"]["tasks"] == ["bands", "masses", "mobility"]
    assert elphant("bands", *BASE[1:], *MODEL, "--relax") != 0
    assert "holds mobilities of another" in capsys.readouterr().err
    assert len(results()["mobility"]) == 18


def test_force_constants_bring_structure_and_response(
    elphant, capsys, silicon: Path, given
) -> None:
    """Those of an earlier run, with a BORN file for the polar part."""
    assert elphant(*BASE, *MODEL) == 0
    own = given[-1].constants
    files = sorted(Path(RUN, "exchange").glob("*.yaml*"))
    phonopy = next(file for file in files if "phonopy" in file.name)
    shutil.copy(phonopy, silicon)
    command = ("mobility", "--force-constants", phonopy.name, "--config", "small.yaml", *MODEL)
    assert elphant(*command, "--no-report", "--output", "given.run") == 0
    found = given[-1]
    assert found.constants.second == pytest.approx(own.second, abs=1e-6)
    assert found.crystal.n_atoms == 2
    content = results("given.run")
    assert content["potential"] is None
    assert content["provenance"]["preset"] == "quick"
    assert elphant("mobility", "Si.cif", *command[1:]) == 2
    assert "not both" in capsys.readouterr().err
    assert elphant(*command, "--relax") == 2


def test_default_preset_of_files_stays_elphants(silicon: Path) -> None:
    write_text(silicon / "phonopy.yaml", "phonopy: {version: 2}\nunit_cell: {}\n")
    kappa = Job(force_constants=Path("phonopy.yaml"))
    mobility = Job(force_constants=Path("phonopy.yaml"), tasks=("bands", "masses", "mobility"))
    assert kappa.default_preset == "phono3py"
    assert mobility.default_preset == "quick"
    with pytest.raises(ConfigurationError, match="phonons only"):
        Job(force_constants=Path("phonopy.yaml"), tasks=("bands",))


@pytest.fixture
def salt(silicon: Path) -> Path:
    """The same folder with a polar model of rock salt."""
    from test_dielectric_command import POLAR

    (silicon / "polar.json").write_text(json.dumps(POLAR))
    write_text(silicon / "BORN", BORN)
    return silicon


SALT = ("mobility", "NaCl.cif", "--config", "small.yaml", "--no-report", "--hamiltonian")


def test_born_charges_from_file_computed_or_missing(elphant, capsys, salt: Path, given) -> None:
    model = (*SALT, "slater-koster:polar.json")
    assert elphant(*model) == 0
    plain = given[-1].key
    assert given[-1].dielectric is None
    assert flags("NaCl.electrons.run")["no_polar_coupling"] == "warning"
    assert "short-range coupling alone is computed" in capsys.readouterr().err.replace("\n", " ")
    # From a file: the same data in phonons and coupling.
    assert elphant(*model, "--born", "BORN", "-o", "born.run") == 0
    assert given[-1].dielectric is given[-1].constants.dielectric
    assert given[-1].dielectric.born_charges[0, 0, 0] == pytest.approx(1.1)
    assert results("born.run")["dielectric"]["used_by_phonons"]
    assert "no_polar_coupling" not in flags("born.run")
    # Computed in the same command.
    assert elphant(*model, "--dielectric", "-o", "computed.run") == 0
    found = given[-1]
    assert found.dielectric is found.constants.dielectric is given[-2].dielectric
    assert found.key != plain
    record = results("computed.run")["dielectric"]
    assert record["used_by_phonons"]
    assert record["born_charges"] == pytest.approx(found.dielectric.born_charges)
    assert results("computed.run")["phonons"]["gamma_frequencies"]
    # Switched off although it is there.
    off = ("--born", "BORN", "--set", "transport.polar=false", "-o", "off.run")
    assert elphant(*model, *off) == 0
    assert given[-1].dielectric is None
    assert flags("off.run")["no_polar_coupling"] == "warning"
    assert elphant(*model, "--born", "BORN", "--dielectric") == 2


def test_hamiltonian_file_needs_born_charges(elphant, capsys, salt: Path, given) -> None:
    assert elphant(*SALT, "slater-koster:polar.json") == 0
    shutil.copy("NaCl.electrons.run/exchange/hamiltonian.h5", "H.h5")
    given.clear()
    assert elphant(*SALT, "H.h5", "-o", "file.run") == 2
    assert "nothing scatters the carriers" in capsys.readouterr().err
    assert elphant(*SALT, "H.h5", "--born", "BORN", "-o", "file.run") == 0
    assert given[-1].derivatives.derivatives is None
    assert given[-1].dielectric is not None
    # The structure is in the file.
    alone = ("mobility", *SALT[2:], "H.h5", "--born", "BORN", "-o", "alone.run")
    assert elphant(*alone) == 0


def test_shards_of_the_forces(elphant, capsys, silicon: Path, given) -> None:
    assert elphant(*BASE, *MODEL, "--shard", "0/2") == 0
    assert "Run the other shards" in capsys.readouterr().out
    assert not given
    assert items(Path(RUN), "forces-second")
    assert elphant(*BASE, *MODEL, "--shard", "1/2") == 0
    assert [call.name for call in given] == ["derivatives", "mobility"]


def test_conductivity_of_the_same_run_gives_the_figure_of_merit(silicon: Path, given) -> None:
    run = package.run(
        "Si.cif", config="small.yaml", hamiltonian={"model": "slater-koster:si"},
        tasks=("kappa", "mobility"), output="both.run", relaxation={"enabled": False},
    )  # fmt: skip
    content = results("both.run")
    assert given[-1].constants.third is not None
    assert content["provenance"]["tasks"] == ["kappa", "mobility"]
    merits = content["figure_of_merit"]
    assert len(merits) == 6
    best = run.thermal_conductivity(300.0)
    record = merits[0]
    assert record["lattice_solver"] == "bte"
    assert record["lattice_coherence"]
    expected = 300.0 * 3.0 * (3e-6) ** 2 / (3.0 + best.values[0, 0])
    assert record["cartesian"][0][0] == pytest.approx(expected, rel=1e-9)


def test_figure_of_merit_is_a_tensor() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    parts = [
        np.diag(x) for x in ([4e4, 2e4, 1e4], [200.0, 150.0, 90.0], [0.3, 0.2, 0.1], [2, 1, 3])
    ]
    plain = figure_of_merit(*parts, 300.0)
    assert np.diag(plain)[0] == pytest.approx(300.0 * 4e4 * (200e-6) ** 2 / 2.3)
    turned = figure_of_merit(*(turn @ part @ turn.T for part in parts), 300.0)
    assert turned == pytest.approx(turn @ plain @ turn.T, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--level", "serta,rta"), 2, "transport.levels"),
        (("--carriers", "positron"), 2, "'electron', 'hole' or 'both'"),
        (("--density", "many"), 2, "--density 'many' cannot be read"),
        (("--density", "-1e16"), 2, "greater than 0"),
        (("--broadening", "gauss"), 2, "transport.broadening"),
        (("--derivative-supercell", "1,3"), 2, "transport.derivative_supercell"),
        (("--mesh", "9,9"), 2, "three whole numbers"),
        (("--hamiltonian", "none"), 2, "need a Hamiltonian"),
        (("--born", "nowhere"), 3, "does not exist"),
        (("--force-constants", "nowhere.yaml"), 2, "not both"),
        (("--hamiltonian", "H.h5"), None, "H.h5"),
    ],
)
def test_wrong_options_are_explained(
    elphant, capsys, silicon: Path, arguments: tuple, code: int | None, message: str
) -> None:
    status = elphant(*BASE, *arguments)
    assert status == code if code is not None else status != 0
    assert message in capsys.readouterr().err
    assert not Path(RUN).exists()


def test_metal_is_refused(elphant, capsys, silicon: Path, given, monkeypatch) -> None:
    from elphant.models.hamiltonians.slater_koster.provider import SlaterKosterProvider

    predict = SlaterKosterProvider.predict

    def half_filled(self, crystal):
        from dataclasses import replace

        hamiltonian = predict(self, crystal)
        return replace(hamiltonian, n_electrons=hamiltonian.n_electrons - 4.0)

    monkeypatch.setattr(SlaterKosterProvider, "predict", half_filled)
    assert elphant(*BASE, *MODEL) != 0
    assert "gap" in capsys.readouterr().err
    assert not given


def test_plan_counts_and_estimates(elphant, capsys, silicon: Path) -> None:
    assert elphant(*BASE, *MODEL, "--dry-run") == 0
    text = capsys.readouterr().out
    for words in ("forces-second", "analytic, slater-koster:si", "6×6×6", "memory of scattering"):
        assert words in text
    assert "relax " not in text
    options = ("--derivative-supercell", "2,2,2", "--hamiltonian", "pyscf", "--dry-run", "--relax")
    assert elphant(*BASE, *options) == 0
    text = capsys.readouterr().out
    assert "1 displaced 2×2×2 supercells of 16 atoms, a self-consistent density each" in text
    assert "relax " in text
    assert not Path(RUN).exists()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("densities", "1e16, 1e18", (1e16, 1e18)),
        ("densities", 1e17, (1e17,)),
        ("temperatures", "400,300", (300.0, 400.0)),
        ("levels", "bte,serta", ("serta", "bte")),
        ("derivative_supercell", "1,3,1", (1, 3, 1)),
        ("derivative_supercell", "12.5", 12.5),
        ("derivative_supercell", [1, 3, 1], (1, 3, 1)),
        ("broadening", 0.01, 0.01),
    ],
)
def test_options_are_read(name: str, value: object, expected: object) -> None:
    assert getattr(build_config(flags={f"transport.{name}": value}).transport, name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("impurity_charge", 0), ("n_meshes", 4), ("window", 0.5), ("levels", ()), ("vertex", "mine")],
)
def test_options_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"transport.{name}"):
        build_config(flags={f"transport.{name}": value})


def test_silicon_from_end_to_end(elphant, capsys, silicon: Path) -> None:
    """Nothing is replaced here: two-centre silicon on a mesh that is far too coarse."""
    options = ("--potential", "pair:silicon", "--mesh", "18,18,18", "--density", "1e16,1e17")
    command = (*BASE, *MODEL, *options, "--carriers", "electron", "--parity")
    assert elphant(*command) == 0
    content = results()
    assert "μ_a" in capsys.readouterr().out
    assert content["phonons"]["imaginary_fraction"] == 0.0
    totals = [record for record in content["mobility"] if record["part"] == "total"]
    assert [record["solver"] for record in totals].count("bte") == 2
    result = package.RunResult.load(RUN)
    tensor = result.mobility("electron").values
    assert tensor == pytest.approx(tensor[0, 0] * np.eye(3), rel=1e-9)
    assert 100.0 < tensor[0, 0] < 1e5
    # σ = n e μ
    sigma = next(
        record for record in content["electrical_conductivity"]
        if (record["solver"], record["density"]) == ("bte", 1e16)
    )  # fmt: skip
    assert sigma["cartesian"][0][0] == pytest.approx(1e22 * 1.602176634e-19 * tensor[0, 0] * 1e-4)
    shares = content["attribution"][0]
    assert sum(shares["by_part"].values()) == pytest.approx(1.0, abs=1e-6)
    assert sum(band["share"] for band in shares["by_mode"]) == pytest.approx(1.0, abs=1e-6)
    transport = content["carrier_transport"]
    assert transport["mesh"] == {"electron": [18, 18, 18]}
    assert transport["parity"]["differences"]
    assert {record["axis"] for record in content["validity"]} == {"a", "b", "c"}
    differences = {record["vertex_difference"] for record in content["validity"]}
    assert len(differences) == 1
    assert 0.0 < differences.pop() < 0.05
    checks = {flag["name"]: flag for flag in content["quality"]}
    assert checks["vertex_difference"]["severity"] == "info"
    # Degenerate points of silicon are lines, not planes.
    assert 0.0 < checks["degenerate_points"]["value"] < 0.05
    with h5py.File(f"{RUN}/data.h5") as file:
        group = file["electrons/transport/electron"]
        assert group["rate"].shape == (1, len(group["energy"]))
        assert (group["rate"][()] > 0.0).all()
        assert group["energy"][()].min() > -0.02
    cited = set(content["provenance"]["citations"])
    assert "ponce2020" in cited
    assert not cited & {"verdi2015", "brunin2020", "brooks1955", "gunst2016"}
    assert elphant(*command) == 0
    assert "nothing had to be computed" in capsys.readouterr().err


def test_polar_part_from_end_to_end(elphant, capsys, salt: Path) -> None:
    """A polar model with computed charges; then its Hamiltonian from a file, and a conductivity."""
    polar = ("--carriers", "electron", "--level", "serta", "--mesh", "12,12,12")
    more = (*polar, "--set", "transport.attribution=false")
    assert elphant(*SALT, "slater-koster:polar.json", "--dielectric", *more) == 0
    whole = package.RunResult.load("NaCl.electrons.run")
    parts = {record["part"] for record in whole.content["mobility"]}
    assert {"total", "polar"} <= parts
    results("NaCl.electrons.run")
    shutil.copy("NaCl.electrons.run/exchange/hamiltonian.h5", "H.h5")
    born = ("--born", "NaCl.electrons.run/exchange/BORN", "-o", "file.run")
    assert elphant(*SALT, "H.h5", *born, *more) == 0
    assert flags("file.run")["no_hamiltonian_derivatives"] == "warning"
    polar_alone = package.RunResult.load("file.run").mobility("electron")
    cited = set(whole.content["provenance"]["citations"])
    assert "verdi2015" in cited
    assert "brunin2020" not in cited
    alone = package.RunResult.load("file.run").content["validity"]
    assert {record["vertex_difference"] for record in alone} == {None}
    expected = whole.mobility("electron", part="polar")
    assert polar_alone.values == pytest.approx(expected.values, rel=1e-3)


def test_quadrupoles_need_a_permittivity(elphant, capsys, silicon: Path, given) -> None:
    quadrupoles = ("--set", "transport.quadrupoles=quadrupole.fmt")
    assert elphant(*CUBIC, *MODEL, *quadrupoles) == 3
    assert "quadrupole file 'quadrupole.fmt' cannot be read" in one_line(capsys)
    # Read before anything is computed.
    assert not Path(RUN, "results.json").exists()
    write_text(silicon / "quadrupole.fmt", quadrupoles_of_silicon(13.67))
    assert elphant(*CUBIC, *MODEL, *quadrupoles) == 2
    assert "but there is no permittivity" in one_line(capsys)
    write_text(silicon / "BORN", NEUTRAL)
    assert elphant(*CUBIC, *MODEL, *quadrupoles, "--born", "BORN") == 0
    for call in given:
        assert call.quadrupoles[0, 0, 1, 2] == pytest.approx(13.67 * 0.529177, rel=1e-5)


def test_quadrupoles_from_end_to_end(elphant, capsys, silicon: Path) -> None:
    """Alone, they scatter with their square: a Hamiltonian file has no other coupling."""
    write_text(silicon / "BORN", NEUTRAL)
    assert elphant("bands", *CUBIC[1:], *MODEL) == 0
    shutil.copy(f"{RUN}/exchange/hamiltonian.h5", "H.h5")
    command = (
        *CUBIC, "--hamiltonian", "H.h5", "--potential", "pair:silicon", "--born", "BORN",
        "--carriers", "electron", "--mesh", "12,12,12", "--level", "serta", "--set",
        "transport.attribution=false",
    )  # fmt: skip
    found = []
    for size in (13.67, 27.34):
        write_text(silicon / "quadrupole.fmt", quadrupoles_of_silicon(size))
        options = ("--set", "transport.quadrupoles=quadrupole.fmt", "-o", f"{size}.run")
        assert elphant(*command, *options) == 0
        found.append(package.RunResult.load(f"{size}.run"))
    assert "brunin2020" in found[0].content["provenance"]["citations"]
    first, second = (result.mobility("electron").values for result in found)
    assert first[0, 0] > 0.0
    np.testing.assert_allclose(first, 4.0 * second, rtol=1e-9, atol=1e-9 * first[0, 0])
