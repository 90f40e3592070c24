"""Crystals used by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from elphant.crystal import Crystal
from elphant.crystal.io import read_crystal


@pytest.fixture(scope="session")
def structures(fixtures: Path) -> Path:
    """Folder of the structure files."""
    return fixtures / "structures"


@pytest.fixture(scope="session")
def pnma(structures: Path) -> Crystal:
    """Sb2Se3, 20 atoms, a, b, c along x, y, z."""
    return read_crystal(structures / "Sb2Se3_PBEsol_Pnma.vasp")


@pytest.fixture(scope="session")
def silicon() -> Crystal:
    """Primitive two-atom silicon."""
    half = 5.43 / 2
    return Crystal(
        lattice=[[0, half, half], [half, 0, half], [half, half, 0]],
        fractional=[[0, 0, 0], [0.25, 0.25, 0.25]],
        numbers=[14, 14],
    )
