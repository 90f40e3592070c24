"""Comparison of runs: the same directions side by side, whatever the cells are called."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from page import Page
from synthetic_run import SyntheticOptions, build_run

from elphant.errors import ConfigurationError, StoreError
from elphant.report.compare import build_comparison, compare_runs, write_comparison
from elphant.report.html import render_html
from elphant.report.run_data import RunData
from elphant.report.setting import (
    conductivity_along,
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
