"""Flags of several levels and temperatures, and defaults that depend on the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from elphant.errors import ConfigurationError
from elphant.models.citations import CITATIONS
from elphant.quality import QualityFlag, check_below
from elphant.workflow.ladder import LevelResult, level_flags, worst_flags
from elphant.workflow.run import Job, preset_flags

SHENGBTE = ("CONTROL", "FORCE_CONSTANTS_2ND", "FORCE_CONSTANTS_3RD", "FORCE_CONSTANTS_4TH")


def asymmetry(temperature: float, value: float) -> QualityFlag:
    return check_below("asymmetry", value, 0.1, f"{value:.2f} at {temperature:g} K")


def test_worst_flag_of_each_name() -> None:
    other = QualityFlag(name="other", severity="info", message="fine")
    flags = [asymmetry(100, 0.01), asymmetry(200, 0.4), asymmetry(300, 0.2), other, other]
    kept = worst_flags(flags)
    assert [(f.name, f.severity, f.value) for f in kept] == [
        ("asymmetry", "warning", 0.4), ("other", "info", None),
    ]  # fmt: skip
    assert kept[0].message == "0.40 at 200 K (and 1 more like this)"
    fine = worst_flags([asymmetry(100, 0.01), asymmetry(200, 0.02)])
    assert [f.message for f in fine] == ["0.02 at 200 K"]
    invalid = replace(flags[0], severity="invalid")
    assert worst_flags([*flags, invalid])[0].severity == "invalid"


def level(name: str, *flags: QualityFlag, solver: str = "rta") -> LevelResult:
    return LevelResult(level=name, solver=solver, parts=(SimpleNamespace(flags=flags),))  # type: ignore[arg-type]


def test_one_flag_per_name_and_level() -> None:
    same = QualityFlag(name="imaginary", severity="warning", message="3 modes left out")
    levels = [
        level("HA+3ph", same, asymmetry(100, 0.2)),
        level("HA+3ph", same, asymmetry(100, 0.3), solver="bte"),
        level("HA+3,4ph", same, asymmetry(100, 0.02)),
    ]
    flags = level_flags(levels)
    assert [(f.name, f.severity, f.message) for f in flags] == [
        ("imaginary", "warning", "HA+3ph: 3 modes left out"),
        ("asymmetry", "warning", "HA+3ph: 0.30 at 100 K (and 1 more like this)"),
        ("asymmetry", "info", "HA+3,4ph: 0.02 at 100 K"),
    ]
    alone = level_flags(levels[:1])
    assert alone[0].message == same.message, "a single level is not named"


@pytest.fixture
def shengbte(tmp_path: Path) -> Path:
    for name in SHENGBTE:
        (tmp_path / name).write_text("")
    return tmp_path


def test_preset_suits_the_files(fixtures: Path, shengbte: Path) -> None:
    files = Job(force_constants=fixtures / "Si_phono3py/phono3py_params_Si.yaml.xz")
    reference = files.configuration()
    assert (reference.preset, reference.conductivity.backend) == ("phono3py", "phono3py")
    for flags in ({"conductivity.orders": "3,4"}, {"renormalization.method": "loop"}):
        assert files.configuration(flags=flags).conductivity.backend == "elphant"
        with pytest.raises(ConfigurationError, match=r"conductivity\.backend=elphant"):
            files.configuration(flags={**flags, "preset": "phono3py"})
    own = Job(force_constants=shengbte).configuration()
    assert (own.preset, own.conductivity.backend) == ("quick", "elphant")
    assert Job(structure="Si.cif").configuration().conductivity.backend == "elphant"
    with pytest.raises(ConfigurationError, match="need a potential"):
        files.configuration(flags={"renormalization.method": "stochastic"})


def test_doubt_of_the_quick_preset() -> None:
    config = Job(structure="Si.cif").configuration()
    (flag,) = preset_flags(config)
    assert "supercells" in flag.message
    (given,) = preset_flags(config, given=True)
    assert "supercells" not in given.message
    chosen = Job(structure="Si.cif").configuration(flags={"conductivity.mesh": (9, 9, 9)})
    assert preset_flags(chosen, given=True) == []
    assert not preset_flags(chosen.model_copy(update={"preset": "standard"}))


def test_every_work_that_can_be_named_is_in_the_bibliography() -> None:
    from elphant.workflow import citations

    text = Path(citations.__file__).read_text()
    named = {word for word in text.split('"') if word.islower() and word[-4:].isdigit()}
    assert {"feng2016", "guo2024", "errea2014"} <= named <= set(CITATIONS)
