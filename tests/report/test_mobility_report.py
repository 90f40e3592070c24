"""Mobilities in the report: records, figures, sections, comparison with published values."""

from __future__ import annotations

import json
from importlib.resources import files

import h5py
import jsonschema
import numpy as np
import pytest
from page import Page
from synthetic_mobility import EDGES, TOTAL, add_mobility
from synthetic_run import SETTINGS, SyntheticOptions, build_run

from elphant.models.citations import CITATIONS
from elphant.report.build import build_report
from elphant.report.citations import cited_keys
from elphant.report.figure_files import write_figure
from elphant.report.html import render_html
from elphant.report.methods_text import methods_text
from elphant.report.mobility_records import Attribution, Convergence, dense_limit
from elphant.report.model import Section
from elphant.report.plots import (
    FIGURES,
    mobility_attribution,
    mobility_bars,
    mobility_curves,
    mobility_density,
    mobility_rates,
    mobility_temperature,
)
from elphant.report.published_mobility import PUBLISHED_MOBILITIES
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubts_about
from elphant.report.sections.mobility import mobility_section
from elphant.report.sections.mobility_checks import (
    attribution_blocks,
    convergence_blocks,
    derivatives_text,
    validity_blocks,
)
from elphant.report.sections.published_mobility import published_mobility_section

NO_PICTURES = Section(identifier="figures", title="Figures", blocks=())
SPECS = (
    mobility_bars.SPEC, mobility_attribution.SPEC, mobility_rates.SPEC, mobility_temperature.SPEC,
    mobility_density.SPEC,
)  # fmt: skip
#: Records of the schema that a run without mobility leaves empty.
LISTS = ("mobility", "seebeck", "electrical_conductivity", "electronic_thermal_conductivity",
         "lorenz_number", "figure_of_merit", "attribution", "validity")  # fmt: skip


@pytest.fixture(scope="module")
def run(mobility):
    return RunData.load(mobility)


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The same mobilities in the Pbnm setting."""
    folder = tmp_path_factory.mktemp("runs")
    options = SyntheticOptions(electrons=True, phonons=False, setting="Pbnm", preset="standard")
    return RunData.load(add_mobility(build_run(folder / "pbnm", options), folder / "mobility",
                                     SETTINGS["Pbnm"]))  # fmt: skip


def changed_run(mobility, folder, change):
    """Load the run with other results; the arrays are those of the original."""
    results = json.loads((mobility / "results.json").read_text(encoding="utf-8"))
    change(results)
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "data.h5").symlink_to(mobility / "data.h5")
    return RunData.load(folder)


def page_of(run):
    return Page(render_html(build_report(run, NO_PICTURES)))


def tables_of(section):
    return {block.caption: block for block in section.blocks if block.kind == "table"}


def text_of(section):
    cells = []
    for block in section.blocks:
        if block.kind == "table":
            cells += [block.caption, *block.headers, *(cell for row in block.rows for cell in row)]
        else:
            cells += [getattr(block, "text", "")]
    return " | ".join(cells)


def draw_all(run):
    drawn = []
    for spec in SPECS:
        if spec.applies(run) and not spec.missing(run):
            spec.plot(run)
            assert spec.caption(run)
            assert spec.alt(run)
            assert all(table.to_csv().count("\n") > 1 for table in spec.tables(run))
            drawn.append(spec.name)
    return drawn


def test_synthetic_run_obeys_the_schema(mobility):
    schema = json.loads(
        (files("elphant.workflow") / "results_schema.json").read_text(encoding="utf-8")
    )
    results = json.loads((mobility / "results.json").read_text(encoding="utf-8"))
    jsonschema.validate(results, schema)


def test_report_has_the_section(run, tmp_path):
    picture = write_figure(mobility_bars.SPEC, run, tmp_path)
    pictures = Section(identifier="figures", title="Figures", blocks=(picture,))
    page = Page(render_html(build_report(run, pictures)))
    assert page.sections[:3] == ["electrons", "mobility", "figures"]
    assert "published-mobility" in page.sections
    assert page.unbalanced == []
    assert not [load for load in page.loads if not load.startswith(("#", "data:"))]
    assert len(page.ids) == len(set(page.ids))
    assert "Electronic structure and carrier mobility" in page.text
    for suffix in ("png", "svg", "pdf", "csv"):
        assert (tmp_path / f"mobility-split.{suffix}").stat().st_size > 1000


def test_numbers_stand_by_carrier_and_axis(run):
    table = next(iter(tables_of(mobility_section(run)).values()))
    assert table.headers == (
        "carrier and axis", "total, SERTA", "total, MRTA (velocity)", "total, BTE", "polar, BTE",
        "remaining, BTE", "Boltzmann picture",
    )  # fmt: skip
    rows = {row[0]: row[1:] for row in table.rows}
    assert len(rows) == 6
    serta, _, bte, polar, remaining, picture = rows["electron, b [010] ∥ y"]
    assert bte == "91.0 ± 2.7"
    assert float(serta) == pytest.approx(0.82 * 91.0, abs=0.05)
    assert (float(polar), float(remaining)) == pytest.approx((111, 491), abs=0.5)
    assert picture == "valid"
    assert rows["electron, a [100] ∥ x"][-1] == "invalid"
    text = text_of(mobility_section(run))
    assert "move best along b and worst along a, 38 times less" in text


def test_doubts_of_the_picture_stand_beside_the_number(run):
    numbers = next(b for b in mobility_section(run).blocks if b.kind == "key_numbers")
    electron, hole = numbers.items
    assert electron.value == "2.40 / 91.0 / 16.5"
    assert electron.doubt == "no valid Boltzmann picture along a"
    assert electron.severity == "invalid"
    assert hole.doubt == "doubtful: see the check below"
    assert [f.name for f in doubts_about(run, "mobility")] == ["boltzmann_picture_electron"]
    assert [f.name for f in doubts_about(run, "electrons")] == ["band_gap_basis"]


def test_published_values_follow_the_axes(run, turned):
    for item, header in ((run, "x: b of Pnma"), (turned, "x: b of Pnma, here c")):
        section = published_mobility_section(item)
        table = next(b for b in section.blocks if b.kind == "table")
        assert table.headers[1] == header
        rows = {row[0]: row[1:] for row in table.rows}
        a, b, c = TOTAL["electron"]
        found = [float(x) for x in rows["electrons, total, this run (BTE)"]]
        assert found == pytest.approx([b, c, a])
        # The solver of the study is compared too.
        assert float(rows["electrons, total, this run (SERTA)"][0]) == pytest.approx(74.6, abs=0.05)
        assert rows["electrons, total, Li et al. (SERTA)"] == ("79.24", "14.3", "1.65")
        assert rows["holes, remaining, Li et al. (SERTA)"] == ("52.02", "97.3", "20.33")
        assert "plausible, not proven" in text_of(section)
    marks = mobility_bars.published_values(turned, PUBLISHED_MOBILITIES[0], "electron", "total")
    assert marks == {"c": 79.24, "a": 14.30, "b": 1.65}


def test_other_crystals_and_temperatures_are_not_compared(mobility, tmp_path):
    def crystal(results):
        results["structure"]["formula"] = "Bi2Se3"

    def warm(results):
        results["mobility"] = [r for r in results["mobility"] if r["temperature"] == 500.0]

    assert published_mobility_section(changed_run(mobility, tmp_path / "other", crystal)) is None
    hot = changed_run(mobility, tmp_path / "hot", warm)
    assert published_mobility_section(hot) is None
    assert "Li et al." not in mobility_bars.caption(hot)


def test_runs_without_mobility_have_no_word_about_it(mobility, electrons, pnma, tmp_path):
    def empty(results):
        results |= {name: [] for name in LISTS} | {"carrier_transport": None}

    def absent(results):
        for name in (*LISTS, "carrier_transport"):
            results.pop(name)

    runs = [changed_run(mobility, tmp_path / f.__name__, f) for f in (empty, absent)]
    runs += [RunData.load(electrons), RunData.load(pnma)]
    for run in runs:
        assert not run.has_mobility
        assert mobility_section(run) is None
        assert published_mobility_section(run) is None
        assert not [spec.name for spec in FIGURES if spec in SPECS and spec.applies(run)]
        assert "obilit" not in methods_text(run)
        assert not {"mobility", "published-mobility"} & set(page_of(run).sections)


def test_missing_keys_do_not_stop_the_report(mobility, tmp_path):
    def bare(results):
        results |= {name: [] for name in LISTS}
        results["carrier_transport"] = {}
        results["mobility"] = [
            {"carrier": "hole", "temperature": 300.0, "axes": {"a": 1.0, "b": None}}
        ]

    def half(results):
        bare(results)
        results["carrier_transport"] = {
            "mesh": {"hole": [6, 6, 6]}, "window_ev": 0.3, "derivatives": {"method": "none"},
            "frohlich": {"alpha": 1.5}, "parity": None, "n_states": 12,
            "convergence": [{"carrier": "hole", "mesh": [6, 6, 6]}],
        }  # fmt: skip
        results["attribution"] = [
            {"carrier": "hole", "temperature": 300.0, "axis": "b", "by_part": {"polar": 1.0}}
        ]
        results["validity"] = [
            {"carrier": "hole", "temperature": 300.0, "axis": "b", "verdict": "doubtful"}
        ]
        results["seebeck"] = [{"carrier": "hole", "temperature": 300.0, "axes": {"a": 800.0}}]

    for change in (bare, half):
        run = changed_run(mobility, tmp_path / change.__name__, change)
        assert {"mobility-split", "carrier-rates"} <= set(draw_all(run))
        assert "b [010] ∥ y | –" in text_of(mobility_section(run))
        assert "1.00 along a, – along b" in methods_text(run)
        page_of(run)
    text = text_of(mobility_section(run))
    for words in ("6 × 6 × 6", "300 meV", "α = 1.50", "none: polar scattering only", "800 / – / –"):
        assert words in text, words


def test_rates_of_one_temperature_without_weights_are_read(mobility, tmp_path):
    folder = tmp_path / "rates"
    folder.mkdir()
    for name in ("results.json", "data.h5"):
        (folder / name).write_bytes((mobility / name).read_bytes())
    with h5py.File(folder / "data.h5", "a") as file:
        del file["electrons/transport/hole"]
        group = file["electrons/transport/electron"]
        rate = group["rate"][1]
        for name in list(group):
            if name != "energy":
                del group[name]
        group["rate"] = rate
    run = RunData.load(folder)
    assert list(run.carrier_rates) == ["electron"]
    temperature, found = mobility_rates.at_reference(run.carrier_rates["electron"])
    assert np.isnan(temperature)
    assert np.array_equal(found["total"], rate)
    mobility_rates.plot(run)
    mobility_rates.caption(run)
    with h5py.File(folder / "data.h5", "a") as file:
        del file["electrons/transport"]
    assert mobility_rates.missing(RunData.load(folder)) != ""


def test_figures_say_what_they_show(run):
    assert draw_all(run) == [spec.name for spec in SPECS]
    assert "Exponent of T for electrons: −1.4 along a" in mobility_temperature.caption(run)
    assert "91.0 to 79.3 along b" in mobility_density.caption(run)
    rows = mobility_bars.tables(run)[0].to_csv().splitlines()
    assert len(rows) == 1 + len(run.transport.mobility)
    spectrum = mobility_attribution.tables(run)[1].to_csv()
    assert len(spectrum.splitlines()) == 1 + 6 * (len(EDGES) - 1)


def test_single_temperature_and_density_have_no_curves(mobility, tmp_path):
    def single(results):
        results["mobility"] = [
            r for r in results["mobility"] if r["temperature"] == 300.0 and r["density"] == 1e16
        ]
        results["electrical_conductivity"] = results["seebeck"] = []

    run = changed_run(mobility, tmp_path / "single", single)
    names = [spec.name for spec in SPECS if spec.applies(run)]
    assert names == ["mobility-split", "mobility-attribution", "carrier-rates"]
    assert not any("over temperature" in title for title in tables_of(mobility_section(run)))


def test_part_without_a_mobility_is_said(mobility, tmp_path):
    def change(results):
        results["mobility"] = [
            r for r in results["mobility"]
            if (r["carrier"], r["part"], r["solver"]) != ("electron", "remaining", "bte")
        ]  # fmt: skip

    run = changed_run(mobility, tmp_path / "no-remaining", change)
    assert set(mobility_bars.shown(run, "electron")) == {"polar", "total"}
    assert "no bar" in mobility_bars.caption(run)
    table = next(iter(tables_of(mobility_section(run)).values()))
    assert [row[5] for row in table.rows[:3]] == ["–"] * 3
    mobility_bars.plot(run)


def test_shares_add_up_and_name_the_strongest_phonons(run):
    for carrier in ("electron", "hole"):
        for record in run.transport.shares(carrier).values():
            assert record.solver == "bte"
            assert sum(record.by_part.values()) == pytest.approx(1)
            edges, values = mobility_attribution.density(record)
            assert (values * np.diff(edges)).sum() == pytest.approx(1)
    flat = [
        {"frequency_low": float(i), "frequency_high": i + 1.0, "share": share}
        for i, share in enumerate((0.1, 0.3, -0.1, 0.6, 0.1))
    ]
    record = Attribution(carrier="hole", temperature=300.0, axis="a", by_mode=flat)
    low, high, share = mobility_attribution.strongest(record)
    assert (low, high) == (3.0, 4.0)
    assert share == pytest.approx(0.6 / 1.1)


def test_dense_limit_is_exact_for_a_line(run):
    series = [
        Convergence(carrier="hole", mesh=[n, 2 * n, n], axes={"a": 3.0 + 40.0 / n**2, "b": None})
        for n in (6, 8, 10)
    ]
    assert dense_limit(series, "a") == pytest.approx(3.0)
    assert dense_limit(series, "b") is None
    assert dense_limit(series[:1], "a") is None
    table = convergence_blocks(run.transport)[0]
    names = [row[0] for row in table.rows]
    assert names[3:5] == ["electrons, extrapolated", "electrons, finest mesh off by"]


def test_thermal_weight_follows_the_gas(run):
    rates = run.carrier_rates["electron"]
    cold, warm = (
        (lambda e, w: (e * w).sum() / w.sum())(*mobility_rates.thermal_weight(rates, t))
        for t in (150.0, 500.0)
    )
    assert cold < warm < 0.43
    power = mobility_curves.exponent(
        mobility_curves.curve(run, "hole", "bte", "temperature"), "b", "temperature"
    )
    assert power == pytest.approx(-1.4)


def test_figure_of_merit_names_its_lattice_part(full, tmp_path):
    run = RunData.load(add_mobility(full, tmp_path / "all"))
    page = page_of(run)
    assert page.sections[:3] == ["tensors", "electrons", "mobility"]
    text = text_of(mobility_section(run))
    assert "zT is taken with the lattice thermal conductivity of this run (HA+3ph, BTE)" in text
    table = next(t for name, t in tables_of(mobility_section(run)).items() if "coeff" in name)
    assert table.headers[-1] == "zT"
    assert [f.name for f in doubts_about(run, "phonons")] == []


def test_phonons_for_the_carriers_alone_are_no_lattice_transport(mobility, pnma, tmp_path):
    phonons = json.loads((pnma / "results.json").read_text(encoding="utf-8"))["phonons"]

    def change(results):
        imaginary = {"name": "imaginary_modes", "severity": "warning", "value": -1.0,
                     "threshold": -0.05, "message": "some modes are imaginary"}  # fmt: skip
        results["phonons"] = phonons
        results["quality"].append(imaginary)

    run = changed_run(mobility, tmp_path / "phonons", change)
    assert run.has_phonons
    assert not run.has_lattice_transport
    page = page_of(run)
    assert page.sections[:2] == ["electrons", "mobility"]
    assert "thermal" not in methods_text(run)
    missing = {spec.name for spec in FIGURES if spec.applies(run) and spec.missing(run)}
    assert not {name for name in missing if "conductivity" in name or "scattering" in name}
    # The doubt about phonons stands beside the mobility, which rests on them.
    assert "imaginary_modes" in [flag.name for flag in doubts_about(run, "mobility")]


def test_methods_and_citations_name_what_was_done(mobility, run, tmp_path):
    text = methods_text(run)
    for words in (
        "the mobility of carriers", "central differences in a supercell, 1 × 3 × 1",
        "12 × 36 × 12 for electrons", "Gaussians of adaptive width", "1 − v·v′/v²",
        "electron mobility is 2.40 along a, 91.0 along b and 16.5 along c",
        "invalid for electrons along a",
    ):  # fmt: skip
        assert words in text, words
    added = set(cited_keys(run)) - {"pyscf"}
    assert added == {"ponce2020", "verdi2015", "frohlich1954"}

    def other(results):
        results["carrier_transport"] |= {
            "vertex": "projected", "impurities": 1e17, "quadrupoles": True,
        }  # fmt: skip

    changed = changed_run(mobility, tmp_path / "projected", other)
    assert "[Gunst et al. 2016]" in methods_text(changed)
    assert "Ionised impurities (1 × 10¹⁷ cm⁻³)" in methods_text(changed)
    assert "dynamical quadrupoles [Brunin et al. 2020]" in methods_text(changed)
    keys = set(cited_keys(changed)) - {"pyscf"}
    assert {"gunst2016", "brooks1955", "chattopadhyay1981", "brunin2020"} <= keys <= set(CITATIONS)


def test_impurities_have_a_share_in_table_and_caption(mobility, run, tmp_path):
    def doped(results):
        for record in results["attribution"]:
            record["by_part"] = {n: 0.6 * x for n, x in record["by_part"].items()}
            record["by_part"]["impurity"] = 0.4
            for mode in record["by_mode"]:
                mode["share"] *= 0.6

    changed = changed_run(mobility, tmp_path / "doped", doped)
    table, text = attribution_blocks(changed.transport)
    assert table.headers[4] == "impurities"
    assert {row[4] for row in table.rows} == {"40.0"}
    assert "phonons and impurities together" in text.text
    assert "impurities" not in attribution_blocks(run.transport)[0].headers
    caption = mobility_attribution.SPEC.caption
    assert "Half of the phonon part of the resistance of holes" in caption(changed)
    assert "Half of the resistance of holes" in caption(run)


def test_difference_of_the_vertices_stands_with_the_validity(mobility, run, tmp_path):
    words = "differ by up to 2.1 % for electrons and 0.87 % for holes"
    assert words in validity_blocks(run.transport)[1].text

    def without(results):
        for record in results["validity"]:
            record["vertex_difference"] = None
        flag = {"severity": "warning", "message": "m", "value": 0.1, "threshold": 0.05}
        results["quality"].append(flag | {"name": "vertex_difference"})

    changed = changed_run(mobility, tmp_path / "without", without)
    assert "projected" not in validity_blocks(changed.transport)[1].text
    assert "vertex_difference" in [f.name for f in doubts_about(changed, "mobility")]


def test_derivatives_are_described_whatever_they_hold():
    assert derivatives_text(None) == derivatives_text({}) == ""
    assert derivatives_text({"method": "two-centre integrals, analytic"}) == (
        "two-centre integrals, analytic"
    )
