"""The whole workflow against reference numbers.

Si and NaCl: force sets of phono3py's own tests (see ``fixtures/ORIGIN.md``); the conductivities are
what phono3py 4.10 gives for the same files and mesh with its default settings. Sb2Se3: forces of
phonondb mp-2160.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import elphant
from elphant.tensors import TransportTensor

SCHEMA = Path(__file__).parents[2] / "src/elphant/workflow/results_schema.json"

SI_RTA_999 = 107.82887580283484
NACL_RTA_999 = 7.859772135850885


def kappa_of(path: Path, output: Path, **options) -> TransportTensor:
    result = elphant.run(force_constants=path, output=output, conductivity=options)
    return result.thermal_conductivity(300.0, "rta")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Si_phono3py/phono3py_params_Si.yaml.xz", SI_RTA_999),
        ("NaCl_phono3py/phono3py_params_NaCl222.yaml.xz", NACL_RTA_999),
    ],
)
def test_conductivity_equals_phono3py(
    fixtures: Path, tmp_path: Path, name: str, expected: float
) -> None:
    kappa = kappa_of(
        fixtures / name, tmp_path / "r.run", mesh=(9, 9, 9), temperatures=(300.0,), solver=("rta",)
    )
    np.testing.assert_allclose(kappa.values, expected * np.eye(3), rtol=1e-8, atol=1e-9)
    results = json.loads((tmp_path / "r.run/results.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(results)


@pytest.mark.slow
def test_run_started_from_its_own_exchange_files(fixtures: Path, tmp_path: Path) -> None:
    """What elphant writes for other programs, it reads back to the same conductivity."""
    options = {"mesh": (4, 4, 4), "temperatures": (300.0,), "degenerate_average": True}
    source = fixtures / "Si_phono3py/phono3py_params_Si.yaml.xz"
    first = kappa_of(source, tmp_path / "one.run", **options)
    again = kappa_of(tmp_path / "one.run/exchange", tmp_path / "two.run", **options)
    np.testing.assert_allclose(again.values, first.values, rtol=1e-8)


@pytest.mark.shared
def test_dft_forces_of_sb2se3(shared_data: Path, tmp_path: Path) -> None:
    """phonopy FORCE_SETS and BORN give harmonic results, and say that there is no third order."""
    result = elphant.run(
        force_constants=shared_data / "phonondb/Sb2Se3",
        output=tmp_path / "db.run",
        phonons={"mesh": (2, 4, 2)},
    )
    content = result.to_dict()
    gamma = np.array(content["phonons"]["gamma_frequencies"])
    assert gamma[3] == pytest.approx(0.4857, abs=5e-4)
    assert gamma[-1] == pytest.approx(6.4585, abs=5e-4)
    assert np.abs(gamma[:3]).max() < 1e-4
    epsilon = TransportTensor(
        values=np.array(content["dielectric"]["epsilon_infinity"]), unit="1", frame=result.frame
    )
    assert epsilon.along_axes() == pytest.approx({"a": 15.792, "b": 22.223, "c": 26.616}, abs=1e-3)
    assert content["thermal_conductivity"] == []
    assert "no_third_order" in {flag.name for flag in result.flags}
    assert json.loads((tmp_path / "db.run/results.json").read_text())["frame"]["setting"] == "Pnma"
