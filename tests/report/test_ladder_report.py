"""Reports of runs with several levels of theory and an anharmonic analysis."""

from __future__ import annotations

import csv
import json
import re
import shutil

import h5py
import numpy as np
import pytest
from page import Page
from synthetic_run import SyntheticOptions, build_run

from elphant.errors import StoreError
from elphant.models.citations import CITATIONS
from elphant.report.build import build_report, write_report
from elphant.report.compare import write_comparison
from elphant.report.html import render_html
from elphant.report.ladder import ladder, ladder_solver
from elphant.report.methods_text import methods_text
from elphant.report.mode_table import mode_table
from elphant.report.model import Section
from elphant.report.plots import (
    FIGURES,
    anharmonicity,
    conductivity_ladder,
    cumulative_conductivity,
    renormalized_phonons,
)
from elphant.report.records import LEVELS
from elphant.report.run_data import RunData
from elphant.report.sections.conductivity import value_and_error
from elphant.report.setting import target_setting

NO_PICTURES = Section(identifier="figures", title="Figures", blocks=())
SECTIONS = [
    "tensors", "electrons", "figures", "quality", "structure", "model", "hamiltonian",
    "force-constants", "renormalization", "scattering", "anharmonicity", "lone-pairs", "published",
    "methods", "citations", "rerun", "provenance",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(full):
    return RunData.load(full)


@pytest.fixture(scope="module")
def page(full_report):
    return Page.read(full_report)


def changed(full, folder, change, *, arrays=True):
    """Return a copy of the run with changed results."""
    folder.mkdir()
    results = json.loads((full / "results.json").read_text(encoding="utf-8"))
    change(results)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    if arrays:
        shutil.copy(full / "data.h5", folder / "data.h5")
    return folder


# --- numbers ---


def test_rungs_are_the_records(run):
    rungs = ladder(run)
    assert [rung.level for rung in rungs] == list(LEVELS)
    assert {rung.solver for rung in rungs} == {"bte"}
    for rung in rungs:
        for axis in "abc":
            particle, total = (
                next(
                    r.axes[axis]
                    for r in run.thermal_conductivity
                    if (r.level, r.solver, r.temperature, r.coherence)
                    == (rung.level, "bte", 300.0, coherence)
                )
                for coherence in (False, True)
            )
            assert rung.total[axis] == total
            assert rung.wave[axis] == pytest.approx(total - particle, rel=1e-12)
        assert (rung.error is None) == ("4ph" not in rung.level)


def test_headline_is_the_most_complete_method(run):
    assert run.methods[-1] == "SCP+3,4ph + coherence, BTE"
    assert run.conductivity(300.0).level == "SCP+3,4ph"
    assert run.main_methods == ("HA+3ph, BTE", "SCP+3,4ph + coherence, BTE")


def test_solver_with_the_most_levels_is_drawn(full, tmp_path):
    def only_one_bte(results):
        results["thermal_conductivity"] = [
            r for r in results["thermal_conductivity"]
            if r["solver"] == "rta" or r["level"] == "HA+3ph"
        ]  # fmt: skip

    run = RunData.load(changed(full, tmp_path / "run", only_one_bte, arrays=False))
    assert ladder_solver([run]) == "rta"
    assert len(ladder(run)) == 4
    assert len(ladder(run, solver="bte")) == 1


def test_common_temperature_is_preferred(full, tmp_path):
    def change(results):
        results["thermal_conductivity"] = [
            r for r in results["thermal_conductivity"]
            if not (r["level"] == "SCP+3ph" and r["temperature"] == 300.0)
        ]  # fmt: skip

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    assert {rung.temperature for rung in ladder(run)} == {200.0}


def test_errors_are_renamed_with_the_axes(tmp_path, full):
    options = SyntheticOptions(ladder=True, setting="Pbnm", arrays=False)
    other = RunData.load(build_run(tmp_path / "pbnm", options))
    target = target_setting([other], "Pnma")
    rung = ladder(other, target=target)[-1]
    record = other.conductivity(300.0)
    # a, b, c of Pbnm are c, a, b of Pnma.
    assert rung.error == {
        axis: record.standard_error[own] for axis, own in zip("abc", "bca", strict=True)
    }
    for axis, own in zip("abc", "bca", strict=True):
        assert rung.total[axis] == pytest.approx(record.axes[own], rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_modes_of_every_level_add_up(run, level):
    modes = mode_table(run, level=level)
    assert modes.level == level
    for coherence, values in ((False, modes.conductivity), (True, modes.total)):
        record = run.conductivity(300.0, f"{level}{' + coherence' if coherence else ''}, BTE")
        assert np.allclose(values.sum(axis=0), [record.axes[a] for a in "abc"], rtol=1e-12)
    parts = [modes.channel(n) for n in ("three_phonon", "four_phonon", "isotope")]
    assert np.allclose(sum(parts), modes.rate)
    for i in range(3):
        _, running = cumulative_conductivity.cumulative(modes.frequency, modes.total[:, i])
        assert running[-1] == pytest.approx(modes.total[:, i].sum(), rel=1e-12)


def test_velocities_of_renormalised_levels(run):
    modes = mode_table(run, level="SCP+3ph")
    stored = np.abs(run.levels["SCP+3ph"].group_velocity[1].reshape(-1, 3))
    live = modes.rate > 0
    assert np.allclose(modes.velocity[live], stored[live], rtol=1e-8, atol=1e-9)


def test_values_carry_the_digits_of_their_error():
    assert value_and_error(0.37682, 0.01508) == "0.377 ± 0.015"
    assert value_and_error(12.345, 1.2) == "12.3 ± 1.2"
    assert value_and_error(123.4, 15.0) == "123 ± 15"
    assert value_and_error(0.5, None) == "0.5000"


# --- the page ---


def test_sections_of_the_full_run(page):
    assert page.sections == SECTIONS
    assert page.unbalanced == []


def test_ladder_is_shown_with_errors(page, run):
    rung = ladder(run)[-1]
    for axis in "abc":
        assert value_and_error(rung.total[axis], rung.error[axis]) in page.text
    assert "SCP+3,4ph, BTE" in page.text
    assert "SCP+3,4ph, RTA" in page.text
    assert "of which wave-like" in page.text
    bars = next(spec for spec in FIGURES if spec.name == "conductivity-bars")
    assert not bars.applies(run)
    assert "Not drawn" not in page.text


def test_sampling_is_described(page):
    assert "of 63504 pairs of wave vectors on the 3 × 7 × 3 mesh, 2400 (3.8 %) were" in page.text
    assert "seed 11" in page.text
    assert "4 % along a, 2 % along b and 5 % along c" in page.text
    assert "wanted 5 %, reached" in page.text


def test_sampling_that_stopped_early_is_a_warning(full, tmp_path):
    def change(results):
        results["four_phonon"][-1]["converged"] = False

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    text = Page(render_html(build_report(run, NO_PICTURES))).text
    assert "Sampling stopped early" in text
    assert "above the wanted 5 %" in methods_text(run)


def test_sampling_at_many_temperatures_is_a_table(full, tmp_path):
    def change(results):
        results["four_phonon"] += [
            results["four_phonon"][-1] | {"temperature": t, "n_pairs_drawn": int(9 * t)}
            for t in (200.0, 300.0, 400.0)
        ]

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    text = Page(render_html(build_report(run, NO_PICTURES))).text
    assert "Sampling of four-phonon processes" in text
    assert "SCP+3,4ph at 200 K" in text
    assert "2700 of 63504" in text


def test_exact_sums_are_named_so(full, tmp_path):
    def change(results):
        for record in results["four_phonon"]:
            record |= {"sampled": False, "relative_error": None, "tolerance": None}

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    text = Page(render_html(build_report(run, NO_PICTURES))).text
    assert "were summed, without sampling" in text
    assert "over all 63504 pairs" in methods_text(run)


def test_rates_by_channel(page, run):
    for words in ("redistribution (+−)", "recombination (++)", "splitting (−−)", "… emission"):
        assert words in page.text
    caption = next(spec for spec in FIGURES if spec.name == "scattering-rates").caption(run)
    assert "Wigner limit" in caption
    assert "ħ/τ equals ħω" in caption


def test_force_asymmetry(page, run):
    assert "Sb1 along a" in page.text
    assert "0 by symmetry" in page.text
    largest = max(run.force_asymmetry, key=lambda r: r.value)
    assert f"{100 * largest.value:.1f} %" in page.text


def test_renormalisation(page):
    assert "Self-consistent phonons" in page.text
    assert "loop, 300 K" in page.text
    assert "240 (effective 171)" in page.text
    assert "differ from those of the loop" in page.text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("imaginary_fraction_before", 0.02, "Stabilised by heat"),
        ("imaginary_fraction_after", 0.02, "No stable solution"),
        ("converged", False, "Not converged"),
    ],
)
def test_stability_is_never_hidden(full, tmp_path, field, value, words):
    def change(results):
        results["renormalization"][0][field] = value

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    assert words in Page(render_html(build_report(run, NO_PICTURES))).text


def test_imaginary_modes_are_drawn_below_zero(tmp_path):
    options = SyntheticOptions(ladder=True, imaginary=True, preset="standard")
    run = RunData.load(build_run(tmp_path / "soft", options))
    figure = renormalized_phonons.plot(run)
    assert figure.axes[0].get_ylim()[0] < run.phonons.minimum_frequency
    text = methods_text(run)
    assert "of the harmonic modes are imaginary" in text
    assert "after renormalisation at 300 K" in text


def test_methods_text_names_the_levels(run):
    text = methods_text(run)
    for words in (
        "second-, third- and fourth-order force constants", "fourth-order terms up to 3.5 Å",
        "self-consistent phonon theory", "also obtained by the stochastic self-consistent",
        "three- and four-phonon and isotope scattering", "2400 of 63504 pairs",
        "Wigner transport equation", "0.377 ± 0.015 along a", "SCP+3,4ph + coherence, BTE",
        "displacing each of the 5 inequivalent atoms", "clamped ions",
    ):  # fmt: skip
        assert words in text, words


def test_works_named_in_the_methods_have_entries(run):
    for key in (
        "feng2016", "feng2017", "tadano2015", "errea2014", "simoncelli2019", "simoncelli2022",
        "fugallo2013", "maradudin1962", "guo2024", "fourphonon2022", "lindsay2008",
    ):  # fmt: skip
        assert re.search(r"doi = \{10\.\d{4}/", CITATIONS[key]), key


def test_axes_have_panels_and_levels_have_bars(run):
    figure = conductivity_ladder.plot(run)
    assert len(figure.axes) == 3
    for ax in figure.axes:
        assert [tick.get_text() for tick in ax.get_xticklabels()] == [
            "HA\n3ph", "HA\n3,4ph", "SCP\n3ph", "SCP\n3,4ph",
        ]  # fmt: skip
        assert ax.get_ylim()[0] == 0
        # Two bars with an outline over the hatched one.
        assert len(ax.patches) == 12


# --- runs that lack something ---


@pytest.mark.parametrize(
    "absent",
    ["renormalization", "four_phonon", "rates", "velocity_anisotropy", "gruneisen",
     "force_asymmetry"],
)  # fmt: skip
def test_report_without_one_kind_of_record(full, tmp_path, absent):
    run = RunData.load(changed(full, tmp_path / "run", lambda r: r.pop(absent)))
    page = Page(render_html(build_report(run, NO_PICTURES)))
    assert page.unbalanced == []
    methods_text(run)
    for spec in FIGURES:
        if spec.applies(run) and not spec.missing(run):
            assert spec.caption(run)
            assert spec.tables(run)


def test_report_without_arrays(full, tmp_path):
    folder = changed(full, tmp_path / "run", lambda r: None, arrays=False)
    page = Page.read(write_report(folder))
    assert page.sections == SECTIONS
    assert "no mode-resolved four-phonon rates" in page.text
    assert (folder / "figures" / "conductivity-ladder.svg").is_file()
    assert (folder / "figures" / "renormalized-phonons.svg").is_file()


def test_levels_without_coherence(full, tmp_path):
    def change(results):
        results["thermal_conductivity"] = [
            r for r in results["thermal_conductivity"] if not r["coherence"]
        ]

    run = RunData.load(changed(full, tmp_path / "run", change, arrays=False))
    assert all(rung.wave is None for rung in ladder(run))
    assert "not computed" in Page(render_html(build_report(run, NO_PICTURES))).text
    assert "Hatched" not in conductivity_ladder.caption(run)
    conductivity_ladder.plot(run)


def test_an_incomplete_level_is_named(full, tmp_path):
    folder = changed(full, tmp_path / "run", lambda r: None)
    with h5py.File(folder / "data.h5", "a") as file:
        del file["levels/HA+3,4ph/heat_capacity"]
    with pytest.raises(StoreError, match=re.escape("levels/HA+3,4ph/heat_capacity")):
        RunData.load(folder)


def test_norms_alone_make_one_panel(full, tmp_path):
    folder = changed(full, tmp_path / "run", lambda r: None)
    with h5py.File(folder / "data.h5", "a") as file:
        del file["gruneisen"]
    run = RunData.load(folder)
    assert len(anharmonicity.plot(run).axes) == 1
    assert anharmonicity.caption(run).startswith("Norm of all third-order")


# --- comparison ---


def test_compared_runs_share_one_ladder(full, tmp_path):
    options = SyntheticOptions(ladder=True, setting="Pbnm", potential="mace-mh-1", arrays=False)
    other = build_run(tmp_path / "other", options)
    path = write_comparison([full, other], tmp_path / "out")
    page = Page.read(path)
    assert "Levels of theory" in page.text
    assert len(page.drawings) == 1
    assert not (tmp_path / "out" / "figures" / "compared-conductivity.svg").exists()
    with (tmp_path / "out" / "figures" / "compared-ladder.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 3
    totals = [float(row["kappa total (W/m/K)"]) for row in rows]
    # The same crystal in another setting: the same numbers along the same directions.
    assert np.allclose(totals[:12], totals[12:], rtol=1e-6)


def test_a_ladder_beside_a_single_level(full, pnma, tmp_path):
    page = Page.read(write_comparison([full, pnma], tmp_path / "out"))
    assert page.unbalanced == []
    assert "HA+3ph" in page.text
