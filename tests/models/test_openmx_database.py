"""Tables of orbitals and pseudopotentials: reading, names, and what is refused.

The tables are synthetic: Gaussians, whose integrals are known, in the layout of the database.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from elphant.errors import ModelError
from elphant.models.hamiltonians.openmx import STANDARD_BASIS, OpenMXData
from elphant.models.hamiltonians.openmx.neutral_atom import neutral_atom_potential
from elphant.models.hamiltonians.openmx.tables import read_pao, read_vps

#: Radius (bohr) of the synthetic orbitals.
CUTOFF = 5.0
N_SHELLS, L_MAX = 4, 2
NUMBERS = {"Si": 14, "C": 6, "Te": 52}
#: Exponent of the shell n of angular momentum l, bohr⁻².
EXPONENTS = {
    "Si": lambda n, ell: 0.75 + 0.35 * n + 0.1 * ell,
    "C": lambda n, ell: 0.9 + 0.5 * n + 0.1 * ell,
    "Te": lambda n, ell: 0.8 + 0.4 * n + 0.15 * ell,
}
CHARGES = {"Si": 4.0, "C": 4.0, "Te": 6.0}
#: Exponents of the densities behind V_loc and V_H, bohr⁻².
CORE, VALENCE = 2.0, 0.8
PROJECTOR = 1.1


def gaussian(ell: int, alpha: float, r: np.ndarray) -> np.ndarray:
    """Return r^l exp(-αr²), normalised for l = 0 and 1 (any number will do beyond)."""
    norm = (2 * (2 * alpha) ** 1.5 / np.sqrt(np.pi) * 2) ** 0.5
    if ell == 1:
        norm *= np.sqrt(4 * alpha / 3)
    return norm * r**ell * np.exp(-alpha * r * r)


def _block(name: str, columns: list[np.ndarray], head: str = "") -> str:
    rows = "\n".join(" ".join(f"{x:.15e}" for x in row) for row in np.array(columns).T)
    return f"<{name}\n{head}{rows}\n{name}>\n"


def write_tables(folder: Path, symbol: str, *, l_max: int = L_MAX) -> Path:
    """Write one element: Gaussian orbitals, one s and two j-dependent p and d projectors."""
    for name in ("PAO", "VPS"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    x = np.linspace(-8.0, np.log(CUTOFF + 0.6), 1500)
    r = np.exp(x)
    charge, alpha = CHARGES[symbol], EXPONENTS[symbol]
    rho = charge * (VALENCE / np.pi) ** 1.5 * np.exp(-VALENCE * r * r)
    text = f"System.Name {symbol}p\nAtomSpecies {NUMBERS[symbol]}\nradial.cutoff.pao {CUTOFF}\n"
    text += _block("valence.charge.density", [x, r, rho])
    text += f"PAO.Lmax {l_max}\nPAO.Mul {N_SHELLS}\n"
    for ell in range(l_max + 1):
        shells = [gaussian(ell, alpha(n, ell), r) for n in range(N_SHELLS)]
        text += _block(f"pseudo.atomic.orbitals.L={ell}", [x, r, *shells])
    (folder / "PAO" / f"{symbol}{CUTOFF}.pao").write_text(text)
    x = np.linspace(-8.0, 3.5, 1500)
    r = np.exp(x)
    local = -charge * erf(np.sqrt(CORE) * r) / r
    energies = np.array([[0, 1.0, 1.0], [1, -1.0, -1.0], [1, 0.5, 0.7], [2, -1.0, -1.0]])
    projectors = []
    for number, (ell, *_) in enumerate(energies.astype(int)):
        for j in (0, 1):
            scale = 1.0 if ell == 0 else 1.0 + 0.3 * j
            projectors.append(scale * gaussian(ell, PROJECTOR + 0.3 * number, r))
    text = f"System.Name {symbol}_PBE19\nAtomSpecies {NUMBERS[symbol]}\n"
    text += f"total.electron {NUMBERS[symbol]}.0\nvalence.electron {charge} # of the atom\n"
    text += "j.dependent.pseudo.potentials on\n"
    text += _block("project.energies", list(energies.T), f" {len(energies)}\n")
    text += _block("Pseudo.Potentials", [x, r, local, *projectors])
    (folder / "VPS" / f"{symbol}_PBE19.vps").write_text(text)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tables(tmp_path, "Si")


def test_a_table_comes_back(folder: Path) -> None:
    species = OpenMXData(folder).species("Si", "Si5.0-s2p1")
    assert species.shells == ((0, 2), (1, 1))
    assert (species.cutoff, species.n_electrons, species.vps.core_charge) == (5.0, 4.0, 4.0)
    assert species.labels.tolist() == [[1, 0, 0], [2, 0, 0], [1, 1, 1], [1, 1, -1], [1, 1, 0]]
    pao = species.pao
    np.testing.assert_allclose(
        pao.orbitals[1][2], gaussian(1, EXPONENTS["Si"](2, 1), pao.r), atol=1e-14
    )
    assert species.vps.projectors.shape == (4, 2, 1500)
    assert species.vps.energies[2].tolist() == [0.5, 0.7]
    assert len(pao.sha256) == 64


def test_the_neutral_atom_potential_of_gaussian_charges(folder: Path) -> None:
    pao, vps = read_pao(folder / "PAO/Si5.0.pao"), read_vps(folder / "VPS/Si_PBE19.vps")
    r = vps.r
    exact = 4.0 * (erf(np.sqrt(VALENCE) * r) - erf(np.sqrt(CORE) * r)) / r
    inside = r < 4.0
    np.testing.assert_allclose(neutral_atom_potential(pao, vps)[inside], exact[inside], atol=2e-6)


def test_standard_bases() -> None:
    assert STANDARD_BASIS["Sb"] == "Sb7.0-s3p2d2"
    assert STANDARD_BASIS["Fe"] == "Fe5.5H-s3p2d1"
    assert STANDARD_BASIS["Te"] == "Te7.0-s3p2d2f1"
    assert "Gd" not in STANDARD_BASIS


def test_wrong_folders(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="no folder PAO and VPS"):
        OpenMXData(tmp_path / "nowhere")
    data = OpenMXData(folder)
    with pytest.raises(ModelError, match="no table of Te") as error:
        data.species("Te")
    assert "Te7.0.pao" in error.value.what
    with pytest.raises(ModelError, match=r"Si5\.0\.pao: another basis"):
        data.species("Si")
    with pytest.raises(ModelError, match="no standard OpenMX basis"):
        data.species("Gd")


def test_another_release(folder: Path) -> None:
    vps = folder / "VPS" / "Si_PBE19.vps"
    text = vps.read_text()
    vps.write_text(text.replace("Si_PBE19", "Si_PBE13"))
    with pytest.raises(ModelError, match="says that it is Si_PBE13"):
        OpenMXData(folder).species("Si", "Si5.0-s1")
    vps.rename(vps.with_name("Si_PBE13.vps"))
    with pytest.raises(ModelError, match=r"Si_PBE13\.vps: another basis, functional or release"):
        OpenMXData(folder).species("Si", "Si5.0-s1")


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        ("Si5.0", "form"), ("C5.0-s1", "form"), ("Si5.0-p1s1", "order"), ("Si5.0-s0", "order"),
        ("Si5.0-s9", "4 shells of s"), ("Si5.0-s1f1", "0 shells of f"), ("", "form"),
    ],
)  # fmt: skip
def test_wrong_bases(folder: Path, basis: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        OpenMXData(folder).species("Si", basis)


def test_a_basis_of_an_element_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ModelError, match="does not contain"):
        OpenMXData(folder).tables(("Si",), {"Si": "Si5.0-s1", "Te": "Te7.0-s1"})


def test_a_table_of_another_element(folder: Path) -> None:
    pao = folder / "PAO" / "Si5.0.pao"
    pao.write_text(pao.read_text().replace("AtomSpecies 14", "AtomSpecies 32"))
    with pytest.raises(ModelError, match="of element 32, not of Si"):
        OpenMXData(folder).species("Si", "Si5.0-s1")


@pytest.mark.parametrize("name", ["PAO/Si5.0.pao", "VPS/Si_PBE19.vps"])
def test_truncated_tables(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    reader = read_pao if name.endswith("pao") else read_vps
    for length in np.linspace(0, len(content) - 12, 12).astype(int):
        (folder / name).write_bytes(content[:length])
        with pytest.raises(ModelError, match="not a usable OpenMX"):
            reader(folder / name)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("PAO/Si5.0.pao", "radial.cutoff.pao 5.0", "radial.cutoff.pao 50.0"),
        ("PAO/Si5.0.pao", "PAO.Mul 4", "PAO.Mul 5"),
        ("PAO/Si5.0.pao", "PAO.Lmax 2", "PAO.Lmax x"),
        ("PAO/Si5.0.pao", "AtomSpecies 14", "AtomSpecies"),
        ("VPS/Si_PBE19.vps", "pseudo.potentials on", "pseudo.potentials off"),
        ("VPS/Si_PBE19.vps", "\n 4\n", "\n 5\n"),
        ("VPS/Si_PBE19.vps", "valence.electron 4.0", "valence.electron nan"),
    ],
)
def test_damaged_tables(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError):
        OpenMXData(folder).species("Si", "Si5.0-s1")
