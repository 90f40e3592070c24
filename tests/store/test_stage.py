"""Content-addressed stages: reuse, damage, races and work items."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from elphant.errors import StoreError
from elphant.store.run_directory import RunDirectory
from elphant.store.stage import Stage


def make(root: Path, **inputs) -> Stage:
    return Stage(root, "forces", 1, inputs or {"x": 1.0})


def save(stage: Stage, value: float = 1.5):
    return stage.save({"value": value}, {"forces": np.full((2, 3), value)}, seconds=0.1)


def test_address_depends_on_name_version_and_inputs_only(tmp_path: Path) -> None:
    keys = {
        make(tmp_path, x=1).key,
        make(tmp_path, x=2).key,
        Stage(tmp_path, "forces", 2, {"x": 1}).key,
        Stage(tmp_path, "relax", 1, {"x": 1}).key,
    }
    assert len(keys) == 4
    same = Stage(tmp_path / "elsewhere", "forces", 1, {"y": 2, "x": 1})
    assert same.key == Stage(tmp_path, "forces", 1, {"x": 1, "y": 2}).key


def test_output_round_trip(tmp_path: Path) -> None:
    stage = make(tmp_path)
    assert stage.load() is None
    assert not save(stage).reused
    again = make(tmp_path).load()
    assert again is not None
    assert again.reused
    assert again.record == {"value": 1.5}
    np.testing.assert_array_equal(again.arrays["forces"], np.full((2, 3), 1.5))
    with pytest.raises(ValueError, match="read-only"):
        again.arrays["forces"][0, 0] = 0.0


@pytest.mark.parametrize("file", ["forces.npy", "record.json", "meta.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_output_is_detected_kept_aside_and_recomputed(
    tmp_path: Path, caplog, file: str, damage: str
) -> None:
    stage = make(tmp_path)
    save(stage)
    path = stage.folder / "output" / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x55
        path.write_bytes(bytes(content))
    elif damage == "truncate":
        path.write_bytes(bytes(content[: len(content) // 2]))
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING, logger="elphant"):
        assert stage.load() is None
    assert "damaged" in caplog.text
    assert len(list(stage.folder.glob("damaged-*"))) == 1, "the damaged output must be kept"
    assert save(stage).record == {"value": 1.5}


def test_first_of_two_writers_wins(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    save(first, 1.0)
    assert save(second, 2.0).record == {"value": 1.0}
    assert not list(first.folder.glob(".output-*"))


def test_work_items_survive_and_damaged_ones_are_pending_again(tmp_path: Path, caplog) -> None:
    stage = make(tmp_path)
    for index in (0, 2, 3):
        stage.save_item(index, {"forces": np.full(4, float(index))})
    assert stage.pending_items(5) == [1, 4]
    path = stage.item_path(2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    stage.item_path(3).write_bytes(stage.item_path(3).read_bytes()[:50])
    with caplog.at_level(logging.WARNING, logger="elphant"):
        assert stage.pending_items(5) == [1, 2, 3, 4]
    assert "computed again" in caplog.text
    assert stage.load_item(0)["forces"].tolist() == [0.0] * 4
    with pytest.raises(StoreError, match="missing or damaged"):
        stage.load_item(2)


def test_foreign_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="not made by elphant"):
        RunDirectory.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StoreError, match="is a file"):
        RunDirectory.create(tmp_path / "thesis.tex")
    with pytest.raises(StoreError, match="not the directory of a run"):
        RunDirectory.open(tmp_path)


def test_run_directory_can_be_reopened(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path / "x.run")
    (first.path / "stages" / "note").write_text("")
    assert RunDirectory.create(tmp_path / "x.run").path == first.path
    first.append_log("event", value=1)
    first.append_log("event", value=2)
    assert len(first.log.read_text().splitlines()) == 2
