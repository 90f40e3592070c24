"""Comparison of runs: the same directions side by side, whatever the cells are called."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from page import Page
from synthetic_mobility import TOTAL, add_mobility
from synthetic_run import SETTINGS, SyntheticOptions, build_run

from elphant.errors import ConfigurationError, StoreError
from elphant.report.compare import build_comparison, compare_runs, write_comparison
from elphant.report.compare_mobility import compared_mobility_section
from elphant.report.html import render_html
from elphant.report.run_data import RunData
from elphant.report.setting import (
    conductivity_along,
    mobility_along,
    own_axis,
    permuted_settings,
    target_lattice,
    target_setting,
)


@pytest.fixture(scope="module")
def runs(pnma, pbnm):
    return RunData.load(pnma), RunData.load(pbnm)


@pytest.mark.parametrize(
    ("setting", "ribbon", "order"), [(None, "b", "abc"), ("Pbnm", "c", "cab"), ("Pnam", "c", "acb")]
)
def test_axes_are_matched_through_the_standard_setting(runs, setting, ribbon, order):
    target = target_setting(runs, setting)
    values = [conductivity_along(run, run.conductivity(300.0), target) for run in runs]
    for axis in "abc":
        assert values[0][axis] == pytest.approx(values[1][axis], rel=1e-6)
    assert max(values[0], key=values[0].get) == ribbon
    standard = runs[0].conductivity(300.0).axes
    for axis, name in zip("abc", order, strict=True):
        assert values[0][axis] == pytest.approx(standard[name], rel=1e-10)
    lattices = [np.linalg.norm(target_lattice(run, target), axis=1) for run in runs]
    assert np.allclose(*lattices)
    assert "abc".index(ribbon) == lattices[0].argmin()


def test_runs_name_the_axes_their_own_way(runs):
    target = target_setting(runs, "Pbnm")
    assert [own_axis(runs[0], target, axis) for axis in "abc"] == ["c", "a", "b"]
    assert [own_axis(runs[1], target, axis) for axis in "abc"] == ["a", "b", "c"]


def test_unknown_setting_lists_the_known_ones(runs):
    with pytest.raises(ConfigurationError, match="Pbnm") as error:
        target_setting(runs, "Pxyz")
    assert "Pnma" in error.value.fix


def test_page(pnma, pbnm, tmp_path):
    path = write_comparison([pnma, pbnm], tmp_path / "out", "Pbnm")
    page = Page.read(path)
    assert page.sections == ["tensors", "lattice", "phonons", "models", "quality"]
    assert page.unbalanced == []
    assert all(load.startswith(("#", "data:")) for load in page.loads)
    assert len(page.drawings) == 2
    assert "c (Pnma b)" in page.text
    assert "quick preset" in page.text
    assert "a is its c, b is its a, c is its b" in page.text
    folder = tmp_path / "out" / "figures"
    for suffix in ("svg", "pdf", "png", "csv"):
        assert (folder / f"compared-conductivity.{suffix}").is_file()
    with (folder / "compared-conductivity.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == ["a (Pnma c)", "b (Pnma a)", "c (Pnma b)"]
    assert float(rows[3][1]) == pytest.approx(float(rows[3][2]), rel=1e-5)


def test_runs_without_a_common_method_are_marked(pnma, tmp_path):
    options = SyntheticOptions(bte=False, arrays=False, temperatures=(250.0,))
    other = RunData.load(build_run(tmp_path / "other", options))
    compared = compare_runs((RunData.load(pnma), other))
    assert compared.method == "HA+3ph, RTA"
    page = Page(render_html(build_comparison(compared, ())))
    assert "Temperatures differ" in page.text
    assert "not every run has bands" in page.text


def test_one_run_is_not_a_comparison(pnma, tmp_path):
    with pytest.raises(ConfigurationError, match="at least two"):
        write_comparison([pnma], tmp_path)


@pytest.mark.parametrize(
    ("number", "symbol"),
    [(62, "Pnma"), (64, "Cmce"), (33, "Pna2_1"), (63, "Cmcm"), (19, "P2_12_12_1")],
)
def test_permuted_settings_are_those_of_the_tables(number, symbol):
    import spglib

    expected = set()
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        if kind.number == number and not kind.choice.startswith(("1", "2")):
            expected.add(kind.international_short)
    found = permuted_settings(symbol)
    assert expected <= set(found)
    assert np.allclose(found[symbol], np.eye(3))
    for rows in found.values():
        assert sorted(rows.argmax(axis=1)) == [0, 1, 2]


def test_output_that_is_a_file_is_refused(pnma, tmp_path):
    (tmp_path / "taken").write_text("precious")
    with pytest.raises(StoreError, match="is a file"):
        write_comparison([pnma, pnma], tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "precious"


@pytest.fixture(scope="module")
def carriers(mobility, tmp_path_factory):
    """Runs with the same mobilities, of which the second names the axes in another way."""
    folder = tmp_path_factory.mktemp("runs")
    options = SyntheticOptions(electrons=True, phonons=False, setting="Pbnm", preset="standard")
    turned = add_mobility(
        build_run(folder / "pbnm", options), folder / "mobility", SETTINGS["Pbnm"]
    )
    return RunData.load(mobility), RunData.load(turned)


def with_results(run, folder, change):
    """Return the run with other mobilities."""
    results = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    change(results)
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "data.h5").symlink_to(run.path / "data.h5")
    return RunData.load(folder)


@pytest.mark.parametrize(("setting", "order"), [(None, "abc"), ("Pbnm", "cab")])
def test_mobilities_are_those_of_the_same_directions(carriers, setting, order):
    target = target_setting(carriers, setting)
    best = [run.transport.best("electron") for run in carriers]
    for run, record in zip(carriers, best, strict=True):
        values = mobility_along(run, record, target)
        for axis, own in zip("abc", order, strict=True):
            assert values[axis] == pytest.approx(TOTAL["electron"]["abc".index(own)], rel=1e-6)


def test_mobilities_side_by_side(carriers, tmp_path):
    target = target_setting(carriers)
    section = compared_mobility_section(carriers, ("one", "two"), target)
    first, sweep = section.blocks[:2]
    # Two carriers, three levels, three parts, two runs; then what is left of four temperatures and
    # two densities.
    assert len(first.rows) == 2 * 3 * 3 * 2
    assert len(sweep.rows) == 2 * (4 * 2 - 1) * 2
    assert first.rows[0][:5] == ("electrons: one", "300", "1 × 10¹⁶", "SERTA", "total")
    assert {row[3] for row in first.rows} == {"SERTA", "MRTA (velocity)", "BTE"}
    assert {row[4] for row in first.rows} == {"total", "polar", "remaining"}
    assert {row[3:5] for row in sweep.rows} == {("BTE", "total")}
    for row in (*first.rows, *sweep.rows):
        # The same tensor in both settings.
        assert [cell.count("(+0.00 %)") for cell in row[5:]] == 3 * [row[0].endswith("two")]
    assert first.headers[-3:] == ("a", "b", "c")
    page = Page.read(write_comparison([run.path for run in carriers], tmp_path / "out", "Pbnm"))
    assert page.sections == ["electrons", "mobility", "lattice", "quality"]
    assert page.unbalanced == []
    assert "Mobility along the axes of Pbnm" in page.text


def test_mobilities_that_are_not_the_same_are_not_compared(carriers, tmp_path):
    one = carriers[0]

    def hotter(results):
        for record in results["mobility"]:
            record["temperature"] += 1.0

    def directions(results):
        kept = [r for r in results["mobility"] if r["solver"] == "mrta"]
        results["mobility"] = [r | {"variant": "directions"} for r in kept]

    target = target_setting(carriers)
    for n, change in enumerate((hotter, directions)):
        other = with_results(one, tmp_path / str(n), change)
        section = compared_mobility_section((one, other), ("one", "two"), target)
        assert len(section.blocks) == 1
        assert "share no temperature" in section.blocks[0].text


def test_differences_refer_to_the_first_run_with_the_mobility(carriers, runs, tmp_path):
    def doubled(results):
        for record in results["mobility"]:
            record["cartesian"] = (2.0 * np.array(record["cartesian"])).tolist()

    def bare(results):
        doubled(results)
        for record in results["mobility"]:
            record["axes"] = {axis: 2.0 * x for axis, x in record["axes"].items()}
            record["cartesian"] = None

    target = target_setting(carriers)
    other = with_results(carriers[1], tmp_path / "doubled", doubled)
    without = with_results(carriers[1], tmp_path / "bare", bare)
    three = (runs[0], carriers[0], other, without)
    section = compared_mobility_section(three, ("none", "one", "two", "three"), target)
    rows = section.blocks[0].rows
    assert [row[0].split(": ")[1] for row in rows[:3]] == ["one", "two", "three"]
    for row in rows:
        expected = 0 if row[0].endswith("one") else 3
        assert sum("(+100.00 %)" in cell for cell in row[5:]) == expected
    assert compared_mobility_section((runs[0], carriers[0]), ("a", "b"), target) is None
