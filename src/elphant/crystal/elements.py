"""Chemical symbols, standard atomic masses and formulas."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: Elements from the most electropositive to the most electronegative, the order in which formulas
#: are written: IUPAC, Nomenclature of Inorganic Chemistry (2005), table VI, read backwards.
FORMULA_ORDER = tuple(
    symbol
    for row in (
        "Rn Xe Kr Ar Ne He",
        "Fr Cs Rb K Na Li Ra Ba Sr Ca Mg Be",
        "Lr No Md Fm Es Cf Bk Cm Am Pu Np U Pa Th Ac",
        "Lu Yb Tm Er Ho Dy Tb Gd Eu Sm Pm Nd Pr Ce La Y Sc",
        "Rf Hf Zr Ti Db Ta Nb V Sg W Mo Cr Bh Re Tc Mn",
        "Hs Os Ru Fe Mt Ir Rh Co Ds Pt Pd Ni Rg Au Ag Cu Cn Hg Cd Zn",
        "Nh Tl In Ga Al B Fl Pb Sn Ge Si C Mc Bi Sb As P N H Lv Po Te Se S O Ts At I Br Cl F Og",
    )
    for symbol in row.split()
)


def symbols_of(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the chemical symbol of each atomic number."""
    from ase.data import chemical_symbols

    return tuple(chemical_symbols[int(number)] for number in numbers)


def numbers_of(symbols: Iterable[str]) -> tuple[int, ...]:
    """Return the atomic number of each chemical symbol."""
    from ase.data import atomic_numbers

    return tuple(atomic_numbers[symbol] for symbol in symbols)


def standard_masses(numbers: Iterable[int]) -> NDArray[np.float64]:
    """Return standard atomic masses (amu; IUPAC 2016, as tabulated by ASE)."""
    from ase.data import atomic_masses

    return np.array([atomic_masses[int(number)] for number in numbers], dtype=float)


def covalent_radii(numbers: Iterable[int]) -> NDArray[np.float64]:
    """Return covalent radii (Å; B. Cordero et al., Dalton Trans. 2832 (2008), from ASE)."""
    from ase.data import covalent_radii as radii

    return np.array([radii[int(number)] for number in numbers], dtype=float)


def chemical_formula(symbols: Iterable[str], *, reduced: bool = True) -> str:
    """Return the chemical formula, electropositive elements first (``Sb2Se3``, ``NaCl``).

    Parameters
    ----------
    symbols : iterable of str
        Chemical symbols of all atoms.
    reduced : bool
        Divide all counts by their greatest common divisor.
    """
    counts: dict[str, int] = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    divisor = int(np.gcd.reduce(list(counts.values()))) if reduced and counts else 1
    return "".join(
        symbol + (str(counts[symbol] // divisor) if counts[symbol] // divisor > 1 else "")
        for symbol in sorted(counts, key=FORMULA_ORDER.index)
    )
