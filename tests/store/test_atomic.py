"""Atomic files and canonical records."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from elphant.errors import ResourceError, StoreError
from elphant.store import atomic


def test_failed_write_keeps_old_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    atomic.write_json(target, {"value": 1})

    def fail(stream):
        stream.write(b"half of")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        atomic.write_atomically(target, fail)
    assert atomic.read_json(target) == {"value": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_full_disk_is_a_resource_error_and_keeps_old_content(tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "data.h5"
    atomic.write_text(target, "finished")

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", no_space)
    with pytest.raises(ResourceError, match="no space left"):
        atomic.write_text(target, "new")
    assert target.read_text() == "finished"
    assert len(list(tmp_path.iterdir())) == 1


def test_real_full_file_system_is_reported() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full exists on Linux only")
    device = Path("/dev/full")
    with (
        pytest.raises(ResourceError),
        atomic.translated_io_errors(device),
        device.open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")


def test_unwritable_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        atomic.write_text(tmp_path / "file" / "below", "x")


def test_damaged_json_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"a": 1')
    with pytest.raises(StoreError, match="damaged"):
        atomic.read_json(tmp_path / "r.json")
    with pytest.raises(StoreError, match="does not exist"):
        atomic.read_json(tmp_path / "none.json")


def test_canonical_json_is_independent_of_order_and_container() -> None:
    one = atomic.canonical_json({"b": np.float64(0.1), "a": np.array([1, 2])})
    two = atomic.canonical_json({"a": [1, 2], "b": 0.1})
    assert one == two == '{"a":[1,2],"b":0.1}'


def test_array_digest_sees_dtype_shape_and_content() -> None:
    base = np.arange(6.0)
    digests = {
        atomic.sha256_of_arrays(a)
        for a in (base, base.reshape(2, 3), base.astype("float32"), base + 1e-15)
    }
    assert len(digests) == 4
    assert atomic.sha256_of_arrays(base[::2]) == atomic.sha256_of_arrays(base[::2].copy())
