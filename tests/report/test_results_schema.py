"""The public schema of results.json."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

#: Lists that only runs with the anharmonic levels have.
OPTIONAL = ("renormalization", "four_phonon", "rates", "velocity_anisotropy", "gruneisen")


@pytest.fixture(scope="module")
def validator():
    text = (files("elphant.workflow") / "results_schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


#: Records of the electronic structure; the first item of lists is tested.
ELECTRONIC = ("electronic_structure", "band_gap", "effective_mass", "lone_pairs", "elf")


@pytest.fixture
def results(pnma):
    return json.loads((pnma / "results.json").read_text(encoding="utf-8"))


def test_run_with_every_level_is_valid(validator, full):
    results = json.loads((full / "results.json").read_text(encoding="utf-8"))
    validator.validate(results)
    for name in OPTIONAL:
        assert results[name], f"{name} is not tested"
        without = {key: value for key, value in results.items() if key != name}
        validator.validate(without)
        strange = json.loads(json.dumps(results))
        strange[name][0]["colour"] = "blue"
        assert not validator.is_valid(strange), f"{name} takes anything"
        wrong = json.loads(json.dumps(results))
        wrong[name][0]["unit"] = 1
        assert not validator.is_valid(wrong)


def test_synthetic_runs_are_valid(validator, results, pbnm):
    validator.validate(results)
    validator.validate(json.loads((pbnm / "results.json").read_text(encoding="utf-8")))


def _drop(results):
    del results["frame"]


def _extra(results):
    results["thermal_conductivity"][0]["colour"] = "blue"


def _unit(results):
    results["thermal_conductivity"][0]["unit"] = "W/cm/K"


def _severity(results):
    results["quality"][0]["severity"] = "bad"


def _shape(results):
    results["thermal_conductivity"][0]["cartesian"].pop()


def _version(results):
    results["schema_version"] = "2.0"


@pytest.mark.parametrize("change", [_drop, _extra, _unit, _severity, _shape, _version])
def test_departures_are_refused(validator, results, change):
    change(results)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(results)


def test_records_of_mobilities_have_definitions(validator, results):
    axes = {"a": 1.0, "b": 2.0, "c": 3.0}
    tensor = [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]]
    carrier = {"carrier": "electron", "temperature": 300.0, "density": 1e16, "solver": "bte"}
    record = {**carrier, "variant": None, "cartesian": tensor, "axes": axes}
    results["mobility"] = [
        {**record, "part": "polar", "unit": "cm^2 V^-1 s^-1", "extrapolated_error": axes}
    ]
    units = {
        "seebeck": "uV K^-1", "electrical_conductivity": "S m^-1", "lorenz_number": "W Ohm K^-2",
        "electronic_thermal_conductivity": "W m^-1 K^-1", "figure_of_merit": "1",
    }  # fmt: skip
    for name, unit in units.items():
        results[name] = [{**record, "unit": unit}]
    results["figure_of_merit"][0] |= {
        "lattice_level": "SCP+3,4ph", "lattice_solver": "bte", "lattice_coherence": True,
    }  # fmt: skip
    band = {"frequency_low": 0.0, "frequency_high": 1.0, "share": 1.0, "polar": 1.0, "short": 0.0}
    results["attribution"] = [
        {**carrier, "axis": "b", "by_part": {"polar": 0.8, "short": 0.3, "interference": -0.1},
         "by_valley": {"intra": 1.0, "inter": 0.0}, "by_mode": [band]}
    ]  # fmt: skip
    results["validity"] = [
        {"carrier": "hole", "temperature": 300.0, "axis": "a", "hbar_over_tau_ev": 0.1,
         "kt_ev": 0.026, "hbar_omega_ev": None, "mean_free_path_A": 3.0, "lattice_A": 4.0,
         "vertex_difference": None, "verdict": "doubtful"}
    ]  # fmt: skip
    results["carrier_transport"] = {
        "mesh": {"hole": [9, 9, 9]}, "derivatives": {"method": "analytic"}, "parity": None,
        "convergence": [{"carrier": "hole", "mesh": [9, 9, 9], "axes": axes}], "n_states": 7,
    }  # fmt: skip
    validator.validate(results)
    for name in ("mobility", *units, "attribution", "validity"):
        strange = json.loads(json.dumps(results))
        strange[name][0]["colour"] = "blue"
        assert not validator.is_valid(strange), f"{name} takes anything"
    results["mobility"][0]["part"] = "acoustic"
    assert not validator.is_valid(results)


def test_runs_of_electrons_alone_are_valid(validator, electrons):
    results = json.loads((electrons / "results.json").read_text(encoding="utf-8"))
    assert results["phonons"] is results["force_constants"] is results["potential"] is None
    validator.validate(results)
    for name in ELECTRONIC:
        strange = json.loads(json.dumps(results))
        record = strange[name][0] if isinstance(strange[name], list) else strange[name]
        record["colour"] = "blue"
        assert not validator.is_valid(strange), f"{name} takes anything"


def test_degenerate_edges_and_metals_are_valid(validator, electrons):
    results = json.loads((electrons / "results.json").read_text(encoding="utf-8"))
    results["effective_mass"][0] |= {
        "tensor": None, "inverse_tensor": None, "principal": None, "degeneracy": 3,
        "band_index": 2, "axes": {"a": 0.3, "b": None, "c": 0.3}, "uncertainty": None,
    }  # fmt: skip
    results["band_gap"] |= {
        "value": 0.0, "kind": None, "direct_value": None, "valence": None, "conduction": None,
        "is_metal": True,
    }  # fmt: skip
    validator.validate(results)
