"""Configuration: precedence, unknown keys, and values out of range."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from elphant.cli.parse import parse_assignments
from elphant.config.loading import build_config, option_table, to_yaml
from elphant.config.presets import PRESETS
from elphant.errors import ConfigurationError


def test_flags_beat_file_beats_preset_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: standard\nconductivity: {mesh: [5, 5, 5], isotopes: false}\n")
    config = build_config(file=file, flags={"conductivity.mesh": (7, 7, 7), "preset": None})
    assert config.preset == "standard"
    assert config.conductivity.mesh == (7, 7, 7)
    assert config.conductivity.isotopes is False
    preset = PRESETS["standard"]["displacements"]["length_third"]
    assert config.displacements.length_third == preset
    assert config.potential.dtype == "float64"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_resolved_configuration_round_trips(tmp_path: Path, preset: str) -> None:
    config = build_config(flags={"preset": preset, "phonons.born": "BORN"})
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(config))
    assert build_config(file=file) == config


def test_every_option_is_described_and_can_be_set() -> None:
    rows = list(option_table())
    assert len(rows) > 35
    assert all(len(description) > 10 for _, _, description in rows)
    tree = yaml.safe_load(to_yaml(build_config()))
    for name, _, _ in rows:
        node = tree
        for part in name.split("."):
            node = node[part]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"conductivity.mehs": 1}, "Did you mean 'mesh'"),
        ({"condutivity.mesh": 1}, "Did you mean 'conductivity'"),
        ({"conductivity.mesh": (0, 1, 1)}, "greater than or equal to 1"),
        ({"conductivity.solver": "rta,lbte"}, "lbte"),
        ({"conductivity.temperatures": ()}, "temperatures"),
        ({"conductivity.temperatures": (-5.0,)}, "greater than 0"),
        ({"displacements.oversampling": 0.5}, "greater than or equal to 1"),
        ({"potential": "mace"}, "section of options"),
        ({"preset": "quik"}, "Did you mean 'quick'"),
    ],
)
def test_wrong_options_are_explained(flags: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_config(flags=flags)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1,\n", "preset: quick\n  x: 1\n"])
def test_wrong_files_are_explained(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        build_config(file=file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build_config(file=tmp_path / "none.yaml")


def test_empty_file_means_defaults(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("")
    assert build_config(file=tmp_path / "e.yaml") == build_config()


def test_configuration_is_frozen() -> None:
    config = build_config()
    with pytest.raises(ValueError, match="frozen"):
        config.conductivity.mesh = (1, 1, 1)


def test_one_temperature_needs_no_list() -> None:
    config = build_config(flags={"conductivity.temperatures": 300})
    assert config.conductivity.temperatures == (300.0,)


def test_presets_have_sizes_for_the_fourth_order() -> None:
    quick, standard = (build_config(flags={"preset": name}) for name in ("quick", "standard"))
    for config in (quick, standard):
        assert config.conductivity.orders == (3,)
        assert config.renormalization.method == "none"
    sizes = quick.displacements
    assert (sizes.cutoff_fourth, sizes.amplitude_fourth, sizes.oversampling_fourth) == (
        3.5,
        0.08,
        3,
    )
    sizes = standard.displacements
    assert (sizes.cutoff_fourth, sizes.oversampling_fourth) == (4.0, 6.0)


@pytest.mark.parametrize(
    ("text", "orders"), [("3", (3,)), ("3,4", (3, 4)), ("4,3", (3, 4)), ([3, 4], (3, 4)), (3, (3,))]
)
def test_orders(text: object, orders: tuple) -> None:
    assert build_config(flags={"conductivity.orders": text}).conductivity.orders == orders


MESHES = (
    "phonons.mesh", "renormalization.mesh", "conductivity.mesh", "hamiltonian.mesh",
    "electrons.mesh", "electrons.dielectric_mesh", "transport.mesh", "transport.mesh_electron",
    "transport.mesh_hole", "transport.derivative_supercell", "transport.derivative_mesh",
)  # fmt: skip
LISTS = {
    **dict.fromkeys(MESHES, (160, 16, 9)),
    "displacements.length_second": (12.5, 8.0, 10.0),
    "displacements.length_third": (12.5, 8.0, 10.0),
    "renormalization.temperatures": (200.0, 300.5),
    "conductivity.temperatures": (200.0, 300.5),
    "electrons.temperatures": (200.0, 300.5),
    "transport.temperatures": (200.0, 300.5),
    "transport.densities": (1e16, 2.5e18),
    "transport.levels": ("serta", "bte"),
    "conductivity.solver": ("rta", "bte"),
    "conductivity.orders": (3, 4),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", ["{}", "[{}]"])
def test_lists_are_written_with_or_without_brackets(name, form, tmp_path):
    expected = LISTS[name]
    section, _, option = name.partition(".")
    for comma in (",", ", "):
        text = form.format(comma.join(str(value) for value in expected))
        flags = parse_assignments([f"{name}={text}"])
        assert getattr(getattr(build_config(flags=flags), section), option) == expected
        file = tmp_path / "run.yaml"
        file.write_text(f"{section}:\n  {option}: {text}\n")
        assert getattr(getattr(build_config(file=file), section), option) == expected


def test_every_mesh_is_among_those_lists():
    tables = ("mesh", "temperatures", "supercell")
    named = [name for name, _, _ in option_table() if name.endswith(tables)]
    assert set(named) - set(LISTS) == set()
    assert len(named) > 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phonons.born", "data, old/BORN,2"),
        ("potential.model", "1,2,3"),
        ("potential.python", "/opt/a,b/bin/python"),
    ],
)
def test_commas_of_paths_are_left_alone(name, value):
    section, _, option = name.partition(".")
    config = build_config(flags=parse_assignments([f"{name}={value}"]))
    assert getattr(getattr(config, section), option) == value


@pytest.mark.parametrize(
    "text", ["160,160", "1,2,3,4", "1,2,x", "1.5,2,2", "0,1,1", "160", "1,,1", ","]
)
def test_a_mesh_is_three_whole_numbers(text):
    with pytest.raises(ConfigurationError, match=r"transport\.mesh_electron"):
        build_config(flags=parse_assignments([f"transport.mesh_electron={text}"]))
