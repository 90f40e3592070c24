"""Files of dynamical quadrupoles: order of components, units, symmetry, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal import find_symmetry
from elphant.crystal.io import read_crystal
from elphant.errors import StructureError
from elphant.models.dielectric.quadrupoles import read_quadrupoles, symmetrized_quadrupoles
from elphant.units import ANGSTROM_PER_BOHR

CRYSTAL = read_crystal(bulk("GaAs", "zincblende", a=5.65))
SYMMETRY = find_symmetry(CRYSTAL)
LEVI_CIVITA = np.zeros((3, 3, 3))
for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    LEVI_CIVITA[i, j, k] = LEVI_CIVITA[i, k, j] = 1.0


def written(path: Path, quadrupoles: np.ndarray) -> Path:
    """Write quadrupoles, e bohr, as EPW reads them."""
    lines = ["atom dir Qxx Qyy Qzz Qyz Qxz Qxy"]
    for atom, tensors in enumerate(quadrupoles, start=1):
        for direction, t in enumerate(tensors, start=1):
            row = (t[0, 0], t[1, 1], t[2, 2], t[1, 2], t[0, 2], t[0, 1])
            lines.append(f"{atom:5d}{direction:5d} " + " ".join(f"{x:14.9f}" for x in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_components_and_units(tmp_path: Path) -> None:
    """GaAs has one number per atom; these are about those of G. Brunin et al. (2020)."""
    given = np.array([16.54, -8.57])[:, None, None, None] * LEVI_CIVITA
    found = read_quadrupoles(written(tmp_path / "quadrupole.fmt", given), CRYSTAL, SYMMETRY)
    np.testing.assert_allclose(found, given * ANGSTROM_PER_BOHR, atol=1e-12)


def test_average_is_symmetric_and_stays() -> None:
    rng = np.random.default_rng(3)
    random = rng.normal(size=(2, 3, 3, 3))
    once = symmetrized_quadrupoles(random, CRYSTAL, SYMMETRY)
    np.testing.assert_allclose(symmetrized_quadrupoles(once, CRYSTAL, SYMMETRY), once, atol=1e-14)
    # The permutations of x, y, z: their mean times |epsilon|.
    mean = (random * (LEVI_CIVITA != 0.0)).sum(axis=(1, 2, 3)) / 6.0
    np.testing.assert_allclose(once, mean[:, None, None, None] * LEVI_CIVITA, atol=1e-14)


def test_other_axes_are_noticed(tmp_path: Path) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    turned = np.einsum("ad,be,cf,def->abc", R, R, R, LEVI_CIVITA)
    path = written(tmp_path / "quadrupole.fmt", np.array([16.5 * turned, -8.6 * turned]))
    with pytest.raises(StructureError, match="other Cartesian axes"):
        read_quadrupoles(path, CRYSTAL, SYMMETRY)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines[:-1], "no finite numbers for atom 2, direction 3"),
        (lambda lines: [*lines, "1.85"], "line 8 of quadrupole file"),
        (lambda lines: [*lines, "3 1 0 0 0 0 0 0"], "the structure has 2 atoms"),
        (lambda lines: [*lines[:-1], "2 3 0 0 0 0 0 nan"], "no finite numbers for atom 2"),
        (lambda lines: [*lines[:-1], "2 3 0 0 0"], "line 7"),
    ],
)
def test_what_is_refused(tmp_path: Path, edit, message: str) -> None:
    path = written(tmp_path / "quadrupole.fmt", np.array([LEVI_CIVITA, LEVI_CIVITA]))
    path.write_text("\n".join(edit(path.read_text().splitlines())))
    with pytest.raises(StructureError, match=message):
        read_quadrupoles(path, CRYSTAL, SYMMETRY)
