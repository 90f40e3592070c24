"""What the tests of resuming look at in a run directory."""

from __future__ import annotations

from pathlib import Path

import pytest


def assert_same(one: object, two: object, where: str = "results") -> None:
    """Compare nested records; numbers to round-off (another batch sums in another order)."""
    assert type(one) is type(two), where
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_same(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(two), where
        for i, pair in enumerate(zip(one, two, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(one, float):
        assert one == pytest.approx(two, rel=1e-9, abs=1e-7), where
    elif not (isinstance(one, str) and " " in one):  # messages contain rounded residuals
        assert one == two, where


def items(run: Path, stage: str) -> dict[str, tuple[int, bytes]]:
    """Return name -> (time, content) of the stored work items of a stage."""
    files = (run / "stages").glob(f"{stage}-*/shards/*.npz")
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
