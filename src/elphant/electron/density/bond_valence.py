r"""Bond valences, their sums, and their vectors.

The valence of a bond of length R is :math:`s = e^{(R_0 - R)/b}` with b = 0.37 Å. R_0 of any pair of
elements follows from two numbers for each element (M. O'Keeffe and N. E. Brese, J. Am. Chem. Soc.
113, 3226 (1991)):

.. math:: R_0 = r_i + r_j - \frac{r_i r_j (\sqrt{c_i} - \sqrt{c_j})^2}{c_i r_i + c_j r_j}.

Against R_0 fitted to single pairs (N. E. Brese and M. O'Keeffe, Acta Cryst. B 47, 192 (1991)) the
formula is off by 0.03 Å on average and by up to 0.08 Å for the pairs in :data:`PAIR_R0`, which is 2
to 23 % of a bond valence; pairs found there are used as they are. Directions of bond-valence
vectors suffer much less than sums, because R_0 of a single pair of elements drops out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.electron.density.surroundings import surroundings
from elphant.errors import ModelError

Array = NDArray[np.float64]

#: Softness b (Å), the same for all bonds (Brese and O'Keeffe 1991).
SOFTNESS = 0.37

#: Bonds weaker than this valence are left out.
WEAKEST_BOND = 0.01

#: r (Å) and c of the elements, O'Keeffe and Brese (1991), table 1.
ELEMENT_PARAMETERS: dict[str, tuple[float, float]] = {
    "Ag": (1.12, 1.42),
    "Al": (1.13, 1.47),
    "As": (1.21, 2.23),
    "B": (0.79, 1.6),
    "Ba": (1.88, 0.97),
    "Be": (0.81, 1.47),
    "Bi": (1.54, 1.67),
    "Br": (1.13, 2.58),
    "C": (0.78, 2.0),
    "Ca": (1.5, 1.04),
    "Cd": (1.28, 1.46),
    "Ce": (1.68, 1.08),
    "Cl": (0.99, 2.74),
    "Co": (1.09, 1.7),
    "Cr": (1.16, 1.56),
    "Cs": (2.05, 0.86),
    "Cu": (0.87, 1.75),
    "Dy": (1.54, 1.1),
    "Er": (1.51, 1.11),
    "Eu": (1.62, 1.01),
    "F": (0.58, 3.98),
    "Fe": (1.16, 1.64),
    "Ga": (1.14, 1.82),
    "Gd": (1.58, 1.11),
    "Ge": (1.21, 1.51),
    "H": (0.38, 0.89),
    "Hf": (1.42, 1.23),
    "Hg": (1.32, 1.44),
    "Ho": (1.53, 1.1),
    "I": (1.33, 2.38),
    "In": (1.34, 1.49),
    "Ir": (1.37, 1.55),
    "K": (1.73, 0.91),
    "La": (1.71, 1.08),
    "Li": (1.0, 0.97),
    "Lu": (1.47, 1.14),
    "Mg": (1.21, 1.23),
    "Mn": (1.17, 1.6),
    "Mo": (1.37, 1.3),
    "N": (0.72, 2.61),
    "Na": (1.36, 1.01),
    "Nb": (1.4, 1.23),
    "Nd": (1.64, 1.07),
    "Ni": (1.04, 1.75),
    "O": (0.63, 3.15),
    "P": (1.09, 1.96),
    "Pb": (1.53, 1.55),
    "Pd": (1.11, 1.35),
    "Pr": (1.66, 1.07),
    "Rb": (1.84, 0.89),
    "Re": (1.37, 1.46),
    "Rh": (1.18, 1.54),
    "Ru": (1.21, 1.42),
    "S": (1.03, 2.35),
    "Sb": (1.41, 1.72),
    "Sc": (1.34, 1.2),
    "Se": (1.18, 2.51),
    "Si": (1.12, 1.58),
    "Sm": (1.61, 1.07),
    "Sn": (1.37, 1.72),
    "Sr": (1.66, 0.99),
    "Ta": (1.39, 1.33),
    "Tb": (1.56, 1.1),
    "Te": (1.4, 2.72),
    "Th": (1.7, 1.11),
    "Ti": (1.27, 1.32),
    "Tl": (1.62, 1.44),
    "Tm": (1.5, 1.11),
    "U": (1.59, 1.22),
    "V": (1.21, 1.45),
    "W": (1.38, 1.4),
    "Y": (1.52, 1.11),
    "Yb": (1.49, 1.06),
    "Zn": (1.07, 1.66),
    "Zr": (1.43, 1.22),
}

#: R_0 (Å) fitted to single pairs, cation first; of the lower valence, that of the cation with a
#: lone pair, where there are two. I. D. Brown and D. Altermatt, Acta Cryst. B 41, 244 (1985);
#: Sb-Se and Sn-O from Brese and O'Keeffe (1991).
PAIR_R0: dict[tuple[str, str], float] = {
    ("Bi", "O"): 2.094,
    ("Bi", "S"): 2.570,
    ("Pb", "O"): 2.112,
    ("Pb", "S"): 2.541,
    ("Sb", "O"): 1.973,
    ("Sb", "S"): 2.474,
    ("Sb", "Se"): 2.600,
    ("Si", "O"): 1.624,
    ("Sn", "O"): 1.984,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BondValence:
    r"""Bonds of all atoms.

    Attributes
    ----------
    sums : ndarray, (n_atoms,)
        :math:`V_i = \sum_j s_{ij}`.
    vectors : ndarray, (n_atoms, 3)
        :math:`-\sum_j s_{ij} \hat r_{ij}`, Cartesian: away from the strong bonds, towards the side
        where bonds are missing (the vacancy). Near zero at symmetric sites.
    """

    sums: Array
    vectors: Array


def reference_length(first: str, second: str) -> float:
    """Return R_0 (Å) of two elements: of the pair if tabulated, else from the element formula.

    Raises
    ------
    ModelError
        If an element has no parameters.
    """
    for pair in ((first, second), (second, first)):
        if pair in PAIR_R0:
            return PAIR_R0[pair]
    return formula_length(first, second)


def formula_length(first: str, second: str) -> float:
    """Return R_0 (Å) of two elements by the formula of O'Keeffe and Brese.

    Raises
    ------
    ModelError
        If an element has no parameters.
    """
    (r1, c1), (r2, c2) = _parameters(first), _parameters(second)
    return r1 + r2 - r1 * r2 * (sqrt(c1) - sqrt(c2)) ** 2 / (c1 * r1 + c2 * r2)


def bond_valence(
    crystal: Crystal, lengths: Mapping[tuple[str, str], float] | None = None
) -> BondValence:
    """Return bond-valence sums and vectors of all atoms.

    Bonds join cations and anions: elements whose c (a measure of electronegativity) lies below and
    above the middle of the range in the crystal. In an element all atoms are bonded.

    Parameters
    ----------
    crystal : Crystal
    lengths : mapping, optional
        R_0 (Å) by pairs of symbols, in either order, instead of the tabulated ones.

    Raises
    ------
    ModelError
        If an element has no parameters.
    """
    own = {frozenset(pair): value for pair, value in (lengths or {}).items()}
    strength = {symbol: _parameters(symbol)[1] for symbol in crystal.elements}
    middle = 0.5 * (min(strength.values()) + max(strength.values()))
    anion = np.array([strength[symbol] > middle for symbol in crystal.symbols])
    r0 = {
        (a, b): own.get(frozenset((a, b)), reference_length(a, b))
        for a in crystal.elements
        for b in crystal.elements
    }
    radius = max(r0.values()) - SOFTNESS * float(np.log(WEAKEST_BOND))
    sums, vectors = np.zeros(crystal.n_atoms), np.zeros((crystal.n_atoms, 3))
    single = len(crystal.elements) == 1
    for atom, symbol in enumerate(crystal.symbols):
        around = surroundings(crystal, crystal.fractional[atom], radius, excluded=1e-3)
        for other, vector, distance in zip(
            around.atoms.tolist(), around.vectors, around.distances.tolist(), strict=True
        ):
            valence = exp((r0[symbol, crystal.symbols[other]] - distance) / SOFTNESS)
            if (single or anion[other] != anion[atom]) and valence >= WEAKEST_BOND:
                sums[atom] += valence
                vectors[atom] -= valence * vector / distance
    return BondValence(sums=sums, vectors=vectors)


def _parameters(symbol: str) -> tuple[float, float]:
    if symbol not in ELEMENT_PARAMETERS:
        raise ModelError(
            f"there are no bond-valence parameters for {symbol}.",
            "The table covers the elements of O'Keeffe and Brese (1991).",
            "Bond-valence sums and vacancy directions are not available for this crystal.",
        )
    return ELEMENT_PARAMETERS[symbol]
