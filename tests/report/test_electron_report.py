"""The electronic part of the report: records, figures, sections, comparison."""

from __future__ import annotations

import base64
import json
import re

import h5py
import numpy as np
import pytest
from page import Page
from synthetic_electrons import GAP, MASSES
from synthetic_run import SyntheticOptions, build_run

from elphant.errors import StoreError
from elphant.report.build import build_report
from elphant.report.compare import write_comparison
from elphant.report.html import render_html, script_data
from elphant.report.interactive_view import MOST_TRIANGLES, localization_view
from elphant.report.localization_scene import chosen_levels, localization_scene
from elphant.report.methods_text import methods_text
from elphant.report.model import Section
from elphant.report.planes import chosen_planes, plane_across, plane_through, strongest_bond
from elphant.report.plots import FIGURES, effective_masses, electron_bands, elf_slice
from elphant.report.published_masses import published_masses
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import doubts_about
from elphant.report.sections.electrons import electrons_section
from elphant.report.sections.lone_pairs import lone_pairs_section
from elphant.report.sections.published import published_section
from elphant.report.setting import masses_along, target_setting

NO_PICTURES = Section(identifier="figures", title="Figures", blocks=())


@pytest.fixture(scope="module")
def run(electrons):
    return RunData.load(electrons)


@pytest.fixture(scope="module")
def whole(full):
    return RunData.load(full)


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The same electrons in the Pbnm setting."""
    options = SyntheticOptions(electrons=True, phonons=False, setting="Pbnm", preset="standard")
    return RunData.load(build_run(tmp_path_factory.mktemp("runs") / "pbnm-electrons", options))


def changed_run(electrons, folder, change):
    """Load the run with other results; the arrays are those of the original."""
    results = json.loads((electrons / "results.json").read_text(encoding="utf-8"))
    change(results)
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "data.h5").symlink_to(electrons / "data.h5")
    return RunData.load(folder)


def page_of(run):
    return Page(render_html(build_report(run, NO_PICTURES)))


def text_of(section):
    cells = []
    for block in section.blocks:
        if block.kind == "table":
            cells += [block.caption, *block.headers, *(cell for row in block.rows for cell in row)]
        else:
            cells += [getattr(block, "text", "")]
    return " | ".join(cells)


def test_report_of_electrons_alone_has_no_word_about_phonons(electrons_report, run):
    page = Page.read(electrons_report)
    assert page.sections == [
        "electrons", "figures", "quality", "structure", "hamiltonian", "lone-pairs", "published",
        "methods", "citations", "rerun", "provenance",
    ]  # fmt: skip
    assert page.unbalanced == []
    for word in ("phonon", "thermal", "force constants", "potential", "Not drawn"):
        assert word not in page.text.split("Comparison with published")[0], word
    assert "Electronic structure of" not in page.text
    assert "The electronic structure of Sb₂Se₃ was computed" in methods_text(run)


def test_report_of_everything_shows_both_parts(full_report):
    page = Page.read(full_report)
    order = ["tensors", "electrons", "figures", "quality", "structure", "model", "hamiltonian"]
    assert page.sections[: len(order)] == order
    assert {"anharmonicity", "lone-pairs", "published"} <= set(page.sections)
    assert "Anisotropic lattice thermal transport and electronic structure" in page.text
    assert "Lone pairs beside the force asymmetry" in page.text


def test_doubts_stand_beside_the_numbers_they_concern(whole):
    assert [flag.name for flag in doubts_about(whole, "electrons")] == ["band_gap_basis"]
    assert doubts_about(whole, "phonons") == ()
    page = page_of(whole)
    tensors, rest = page.text.split("Self-consistent Hamiltonian")
    assert "doubtful" not in tensors.split("Lattice thermal conductivity at")[1]
    assert rest.count("doubtful: see the check below") == 3


def test_gap_edges_and_masses_are_shown(run):
    text = text_of(electrons_section(run))
    assert "gap is indirect, 0.830 eV; the smallest direct gap is 0.940 eV" in text
    assert "Y (0.000, 0.500, 0.000)" in text
    assert "other conduction valley" in text
    assert "0.1600 ± 0.0037" in text
    assert "The principal axes of the mass tensors are a, b and c." in text
    methods = methods_text(run)
    for words in ("pyscf (PBE, GTH", "260 local orbitals", "0.830 eV (indirect)", "electron mass"):
        assert words in methods, words


def test_bands_figure_marks_the_edges(run):
    low, high = electron_bands.energy_window(run)
    assert -6.0 <= low < 0
    assert GAP + 1 < high <= 5.0
    bands = run.electron_bands
    for name, label in (("valence", "Y"), ("conduction", "GAMMA")):
        expected = {
            float(x) for x, text in zip(bands.label_distance, bands.labels, strict=True)
            if text == label
        }  # fmt: skip
        assert set(electron_bands.edge_places(run, name)) <= expected
        assert len(electron_bands.edge_places(run, name))
    assert electron_bands.n_occupied(run) == 28


def test_edge_off_the_path_is_said(electrons, tmp_path):
    def change(results):
        results["band_gap"]["conduction"]["energy"] = results["band_gap"]["value"] = GAP - 0.05

    off = changed_run(electrons, tmp_path / "off", change)
    assert len(electron_bands.edge_places(off, "conduction")) == 0
    assert "conduction edge lies off the path" in electron_bands.caption(off)


def test_degenerate_edge_shows_each_band(electrons, tmp_path):
    def change(results):
        hole = next(r for r in results["effective_mass"] if r["carrier"] == "hole")
        hole |= {"tensor": None, "inverse_tensor": None, "principal": None, "degeneracy": 2}
        light = hole | {"band_index": 1, "axes": {"a": 0.2, "b": None, "c": -1.0}}
        results["effective_mass"].append(light | {"uncertainty": None})

    degenerate = changed_run(electrons, tmp_path / "degenerate", change)
    text = text_of(electrons_section(degenerate))
    assert "hole, band edge, band 1" in text
    assert "hole, band edge, band 2" in text
    assert "each of its bands" in text
    assert "have no bar" in effective_masses.caption(degenerate)
    target = target_setting((degenerate,))
    light = degenerate.effective_mass[-1]
    assert masses_along(degenerate, light, target) == {"a": 0.2, "b": None, "c": -1.0}
    effective_masses.plot(degenerate)


def test_metal_and_missing_parts_are_said(electrons, tmp_path):
    def metal(results):
        results["band_gap"] |= {"value": 0.0, "kind": None, "direct_value": None, "valence": None,
                                "conduction": None, "is_metal": True}  # fmt: skip
        results |= {"effective_mass": [], "lone_pairs": [], "elf": None}

    run = changed_run(electrons, tmp_path / "metal", metal)
    assert "is a metal" in text_of(electrons_section(run))
    assert "There is no gap" in electron_bands.caption(run)
    assert lone_pairs_section(run) is None
    assert published_section(run) is None
    electron_bands.plot(run)

    def bare(results):
        results |= {"band_gap": None, "effective_mass": [], "lone_pairs": [], "elf": None}

    bare_run = changed_run(electrons, tmp_path / "bare", bare)
    assert "gap was not computed" in text_of(electrons_section(bare_run))
    assert "The band gap" not in methods_text(bare_run)
    electron_bands.plot(bare_run)


def test_run_without_grid_has_no_elf_figures(electrons, tmp_path):
    folder = tmp_path / "no-grid"
    folder.mkdir()
    for name in ("results.json", "data.h5"):
        (folder / name).write_bytes((electrons / name).read_bytes())
    with h5py.File(folder / "data.h5", "a") as file:
        del file["electrons/elf"]
    run = RunData.load(folder)
    missing = [spec.name for spec in FIGURES if spec.applies(run) and spec.missing(run)]
    assert missing == ["elf-slice", "elf-isosurface"]
    with pytest.raises(StoreError, match="no electron localization function"):
        run.localization_grid()


def test_planes_hold_what_they_promise(run, turned):
    for item in (run, turned):
        first, second = chosen_planes(item)
        pair = item.lone_pairs[0]
        atom, vector = item.crystal.positions[pair.atom], np.array(pair.vector)
        across = plane_across(item, pair.atom)
        assert across.is_same(plane_through(item, pair.atom)), "the lone pair lies on the mirror"
        assert first.is_same(across)
        short = item.frame.axis_directions[item.crystal.lengths.argmin()]
        assert abs(first.normal @ short) == pytest.approx(1)
        assert abs(second.normal @ short) == pytest.approx(0, abs=1e-9)
        for point in (atom, atom + vector):
            assert abs(first.projected(point)[2]) < 1e-9
            assert abs(second.projected(point)[2]) < 1e-9


def test_slice_shows_the_function_and_every_attractor(run):
    plane = plane_across(run, run.lone_pairs[0].atom)
    elf = run.localization_grid().elf
    x, y, values = elf_slice.values_on(run, plane, elf, 0.1)
    index, places = plane.images(run.crystal.lattice, elf_slice.attractors(run), 0.35)
    assert len(index) == 4, "the mirror plane holds half of the eight lone pairs"
    for right, up, _ in places:
        found = values[np.abs(y - up).argmin(), np.abs(x - right).argmin()]
        assert found > 0.85


def test_plane_of_the_user_comes_first(electrons, tmp_path):
    def change(results):
        results["elf"]["slice"] = {"origin": [1.0, 1.0, 1.0], "right": [2.0, 0.0, 0.0],
                                   "up": [1.0, 1.0, 0.0], "atoms": [0, 8]}  # fmt: skip

    planes = chosen_planes(changed_run(electrons, tmp_path / "slice", change))
    assert np.allclose(planes[0].normal, [0, 0, 1])
    assert planes[0].description == "through Sb (atom 1), Se (atom 9)"


def test_strongest_bond_is_the_shortest_for_its_elements(run):
    vector, partner = strongest_bond(run.crystal, 0)
    assert run.crystal.symbols[partner] == "Se"
    assert 2.4 < np.linalg.norm(vector) < 2.8
    other, _ = strongest_bond(run.crystal, 0, avoid=vector)
    assert np.linalg.norm(np.cross(other, vector)) > 1


def test_isosurfaces_stand_at_their_atoms(run):
    levels, shown = chosen_levels(run)
    assert shown in levels
    assert shown < min(pair.elf_maximum for pair in run.lone_pairs)
    scene = localization_scene(run, levels, shown, most_triangles=MOST_TRIANGLES)
    assert sum(surface.n_triangles for surface in scene.surfaces) <= MOST_TRIANGLES
    centres = [
        place + part.vertices.mean(axis=0)
        for part in scene.surfaces[scene.shown].parts for place in part.places
    ]  # fmt: skip
    drawn = scene.atoms.positions[~scene.atoms.outside]
    expected = drawn[
        [run.crystal.symbols[a] == "Sb" for a in scene.atoms.atoms[~scene.atoms.outside]]
    ]
    distance = np.linalg.norm(np.array(centres)[:, None] - expected, axis=-1)
    assert np.allclose(distance.min(axis=0), run.lone_pairs[0].distance, atol=0.15)


def test_interactive_view_is_small_and_complete(run):
    view = localization_view(run)
    assert len(view.data) < 1.5e6
    data = json.loads(view.data)
    assert len(data["surfaces"]) == len(view.choices) <= 3
    assert {name for name, _ in view.legend} == {"Sb", "Se", "a", "b", "c", "isosurface"}
    for surface in data["surfaces"]:
        n_vertices = sum(part[0] for part in surface["parts"])
        n_triangles = sum(part[1] for part in surface["parts"])
        sizes = {
            "vertices": 6 * n_vertices,
            "normals": 3 * n_vertices,
            "triangles": 6 * n_triangles,
        }
        for name, size in sizes.items():
            assert len(base64.b64decode(surface[name])) == size
        # Triangles count the vertices of their own part.
        index = np.frombuffer(base64.b64decode(surface["triangles"]), "<u2").reshape(-1, 3)
        start = 0
        for n, m, _ in surface["parts"]:
            assert index[start : start + m].max() == n - 1
            start += m


def test_data_cannot_end_their_element():
    text = json.dumps({"name": "</script><b>"})
    safe = str(script_data(text))
    assert "<" not in safe
    assert json.loads(safe) == json.loads(text)


def test_policy_allows_one_script_only(electrons_report, report):
    text = electrons_report.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", policy)
    assert "unsafe-eval" not in policy
    assert "script-src" not in report.read_text(encoding="utf-8")


def test_published_masses_follow_the_axes(run, turned):
    for item, names in ((run, ("b", "c", "a")), (turned, ("c", "b", "a"))):
        table = published_section(item).blocks[0]
        row = next(r for r in table.rows if r[0] == "electron, band edge (this run)")
        a, b, c = MASSES["electron"]
        assert [float(x) for x in row[1:]] == pytest.approx([b, c, a])
        assert ("electron, Li et al.", "0.15", "0.89", "7.92") in table.rows
        assert ("hole, Wang et al.", "0.85", "0.55", "3") in table.rows
        if item is turned:
            assert table.headers[1] == "x: b of Pnma, here c", names
    text = text_of(published_section(run))
    assert "plausible, not proven" in text


def test_other_crystals_are_not_compared_with_sb2se3(electrons, tmp_path):
    def change(results):
        results["structure"]["formula"] = "Bi2Se3"

    other = changed_run(electrons, tmp_path / "other", change)
    assert published_masses(other) == ()
    assert published_section(other) is None


def test_lone_pairs_are_listed_with_their_angles(run, whole):
    text = text_of(lone_pairs_section(run))
    assert "8 lone pairs at Sb in the cell: all lie exactly in the plane normal to b" in text
    assert "90.0°" in text
    assert "Lone pairs beside" not in text
    section = lone_pairs_section(whole)
    table = next(b for b in section.blocks if getattr(b, "caption", "").startswith("Lone pairs be"))
    assert [row[0] for row in table.rows] == ["Sb1", "Sb2"]
    records = {(r.atom, r.axis): r for r in whole.force_asymmetry}
    for row, pair in zip(table.rows, whole.lone_pairs, strict=True):
        largest = max("abc", key=lambda axis, p=pair: records[p.atom, axis].value)
        assert row[5] == largest
        assert float(row[6].rstrip("°")) == pytest.approx(pair.angles[largest], abs=0.06)


def test_comparison_of_electrons_along_the_same_axes(run, turned, tmp_path):
    path = write_comparison([run.path, turned.path], tmp_path / "out")
    page = Page.read(path)
    assert page.sections == ["electrons", "lattice", "quality"]
    assert "Band gap" in page.text
    # The same tensor in both settings: no difference along any axis.
    rows = re.findall(r"electron, band edge: pyscf \(Pbnm\)\s*([^h]*?)electron", page.text)
    assert rows
    assert rows[0].count("+0.00 %") == 3


def test_comparison_with_a_run_without_electrons(full, pnma, tmp_path):
    page = Page.read(write_comparison([full, pnma], tmp_path / "out"))
    assert page.sections == ["tensors", "lattice", "phonons", "models", "quality"]
