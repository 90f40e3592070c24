"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the large reference data; tests that need it skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ELPHANT_REFERENCE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"large reference data not found at {folder} (set ELPHANT_REFERENCE_DATA)")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Folder of the small files that ship with the tests."""
    return FIXTURES
