"""The report of one run: complete, self-contained, honest about doubts."""

from __future__ import annotations

import json
import re
import shutil

import h5py
import pytest
from page import Page
from synthetic_run import SyntheticOptions, build_run

from elphant.errors import StoreError
from elphant.report.build import build_report, write_report
from elphant.report.citations import citations_section
from elphant.report.figure_files import write_figure
from elphant.report.html import render_html
from elphant.report.methods_text import methods_text
from elphant.report.model import Section
from elphant.report.plots import FIGURES
from elphant.report.run_data import RunData

SECTIONS = [
    "tensors", "figures", "quality", "structure", "model", "force-constants", "methods",
    "citations", "rerun", "provenance",
]  # fmt: skip
REPORTS = ("report", "full_report", "electrons_report")
NO_PICTURES = Section(identifier="figures", title="Figures", blocks=())


def page_without_figures(run: RunData) -> Page:
    return Page(render_html(build_report(run, NO_PICTURES)))


def test_sections_are_in_order(report):
    page = Page.read(report)
    assert page.sections == SECTIONS
    assert page.unbalanced == []
    assert [link for link in page.links if link.startswith("#")][1:] == [f"#{s}" for s in SECTIONS]


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_loaded(name, request):
    report = request.getfixturevalue(name)
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    # Data and one script, where there is an interactive view.
    assert page.tags.get("script", 0) == (0 if name == "report" else 2)
    assert all(load.startswith(("#", "data:")) for load in page.loads)
    assert all(re.match(r"#|figures/", link) for link in page.links)
    assert "default-src 'none'" in text
    assert len(page.ids) == len(set(page.ids)), "ids of two drawings collide"
    # Every reference inside a drawing finds its target.
    inside = {load[1:] for load in page.loads if load.startswith("#")}
    assert inside <= set(page.ids)


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_has_four_formats_and_a_description(name, request):
    report = request.getfixturevalue(name)
    folder = report.parent / "figures"
    run = RunData.load(report.parent)
    drawn = [spec for spec in FIGURES if spec.applies(run)]
    assert len(drawn) == {"report": 7, "full_report": 15, "electrons_report": 5}[name]
    assert not [spec.name for spec in drawn if spec.missing(run)]
    for spec in drawn:
        for suffix in ("svg", "pdf", "png", "csv"):
            assert (folder / f"{spec.name}.{suffix}").stat().st_size > 100, (spec.name, suffix)
        header = (folder / f"{spec.name}.csv").read_text(encoding="utf-8").splitlines()[0]
        assert "(" in header, f"no unit in the header of {spec.name}.csv"
    page = Page.read(report)
    assert len(page.drawings) == len(drawn)
    assert all(len(text) > 40 for text in page.drawings)
    assert all(scope in ("row", "col") for scope in page.header_scopes)
    assert not list(folder.glob(".*")), "temporary files are left"
    for link in page.links:
        assert link.startswith("#") or (report.parent / link).is_file()


def test_numbers_of_the_results_are_shown(report, pnma):
    page = Page.read(report)
    record = RunData.load(pnma).conductivity(300.0)
    for axis in "abc":
        assert f"{record.axes[axis]:.3g}" in page.text
    assert "a [100] ∥ x" in page.text
    assert "5f1e6c0d" * 8 in page.text
    assert "elphant run Sb2Se3.cif --preset quick" in page.text


def test_quick_preset_is_labelled_at_the_top(report):
    before_figures = Page.read(report).text.split("Crystal structure and axes")[0]
    assert before_figures.count("quick preset: not converged") == 3
    assert "Mesh not converged" in before_figures


def test_imaginary_modes_stand_beside_the_tensor(tmp_path):
    options = SyntheticOptions(imaginary=True, preset="standard", bte=False)
    run = RunData.load(build_run(tmp_path / "soft", options))
    assert run.phonons.minimum_frequency < -0.1
    page = page_without_figures(run)
    top = page.text.split("Along the crystal axes")[0]
    assert "are imaginary" in top
    assert top.count("invalid: see the check below") == 3
    assert "are imaginary" in methods_text(run)
    bands = next(spec for spec in FIGURES if spec.name == "phonon-bands")
    assert "below zero" in bands.caption(run)
    low, _ = bands.plot(run).axes[0].get_ylim()
    assert low < run.phonons.minimum_frequency


def test_odd_names_are_escaped(tmp_path):
    name = "<script>alert('$x_{1}$')</script> & \"a\""
    run = RunData.load(build_run(tmp_path / "odd", SyntheticOptions(name=name, bte=False)))
    text = render_html(build_report(run, NO_PICTURES))
    page = Page(text)
    assert "script" not in page.tags
    assert page.unbalanced == []
    assert name in page.text


def test_drawing_twice_gives_the_same_bytes(report, pnma, tmp_path):
    run = RunData.load(pnma)
    spec = next(spec for spec in FIGURES if spec.name == "conductivity-bars")
    write_figure(spec, run, tmp_path / "figures")
    for path in (tmp_path / "figures").iterdir():
        assert path.read_bytes() == (pnma / "figures" / path.name).read_bytes(), path.name
    first, second = (render_html(build_report(run, NO_PICTURES)) for _ in range(2))
    assert first == second


def test_report_without_arrays_says_what_is_missing(tmp_path):
    options = SyntheticOptions(arrays=False, temperatures=(300.0,), bte=False)
    path = write_report(build_run(tmp_path / "bare", options))
    page = Page.read(path)
    assert page.sections == SECTIONS
    assert "Not drawn: phonon bands and density of states" in page.text
    assert "a single temperature" in page.text


def test_run_of_imported_force_constants(tmp_path):
    folder = build_run(tmp_path / "imported", SyntheticOptions(bte=False, arrays=False))
    path = folder / "results.json"
    results = json.loads(path.read_text())
    results |= {"potential": None, "relaxation": None, "dielectric": None}
    results["force_constants"] |= {
        "source": "imported", "supercell_third": None, "n_atoms_third": None,
        "n_snapshots": {"second": None, "third": None}, "design": {}, "displacement_amplitude": {},
        "cutoff_third": None, "n_parameters": None, "force_rmse": None, "force_r2": None,
        "sum_rule_residual": {"2": 1e-5, "3": None},
    }  # fmt: skip
    results["provenance"]["models"] = []
    path.write_text(json.dumps(results))
    run = RunData.load(folder)
    page = page_without_figures(run)
    assert "force constants were imported" in page.text
    assert "not relaxed" in page.text
    assert "force constants were imported" in methods_text(run)


def test_methods_text_names_the_numbers(pnma):
    text = methods_text(RunData.load(pnma))
    for words in (
        "space group Pnma (62)", "sevennet-l3i5", "D3(BJ)", "1 × 3 × 1 supercell (60 atoms)",
        "48 supercells with random displacements of all atoms of 0.03 Å",
        "675 of order 2 and 1074 of order 3", "3 × 7 × 3 mesh",
        "three-phonon and isotope scattering", "quick preset",
    ):  # fmt: skip
        assert words in text, words


def test_citations_show_known_entries_and_name_absent_ones(pnma):
    run = RunData.load(pnma)
    entries = {"phonopy": "@article{phonopy, title={A & B <c>}}"}
    section = citations_section(run, entries)
    kinds = [block.kind for block in section.blocks]
    assert kinds == ["paragraph", "code", "notice"]
    assert "phono3py" in section.blocks[2].text
    assert citations_section(run, {}).blocks[0].kind == "notice"


@pytest.mark.parametrize("damage", ["missing", "no json", "other version", "incomplete", "data"])
def test_damaged_runs_are_refused_clearly(tmp_path, pnma, damage):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("results.json", "data.h5"):
        shutil.copy(pnma / name, folder / name)
    path = folder / "results.json"
    results = json.loads(path.read_text())
    if damage == "missing":
        path.unlink()
    elif damage == "no json":
        path.write_text("{")
    elif damage == "other version":
        path.write_text(json.dumps(results | {"schema_version": "9.0"}))
    elif damage == "incomplete":
        del results["frame"]
        path.write_text(json.dumps(results))
    else:
        (folder / "data.h5").write_bytes(b"not hdf5")
    with pytest.raises(StoreError) as error:
        write_report(folder)
    assert error.value.fix
    assert not (folder / "report.html").exists()


def test_an_incomplete_group_is_named(tmp_path, pnma):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("results.json", "data.h5"):
        shutil.copy(pnma / name, folder / name)
    with h5py.File(folder / "data.h5", "a") as file:
        del file["phonons/mesh/weight"]
    with pytest.raises(StoreError, match="phonons/mesh/weight"):
        RunData.load(folder)
