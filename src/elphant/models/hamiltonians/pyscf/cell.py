"""Basis sets and pseudopotentials from PySCF's libraries, and the orbitals they define."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import gamma, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import DependencyError, ModelError
from elphant.orbitals import GaussianRadial, OrbitalBasis
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[np.float64]

#: PySCF keeps the usual polynomials: x, y, z for p, and m = -l ... l for all other shells.
M_ORDER = {1: (1, -1, 0)}

#: Names tried when a basis or a pseudopotential is refused, to say what exists.
KNOWN_BASES = (
    "gth-szv-molopt-sr", "gth-dzvp-molopt-sr", "gth-szv-molopt", "gth-dzvp-molopt",
    "gth-tzvp-molopt", "gth-tzv2p-molopt", "gth-szv", "gth-dzv", "gth-dzvp", "gth-tzvp",
)  # fmt: skip
KNOWN_PSEUDOPOTENTIALS = ("gth-pbe", "gth-pade", "gth-pbesol", "gth-blyp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Projector:
    r"""Nonlocal part of one angular momentum: :math:`\sum_{ij} |p_i\rangle h_{ij} \langle p_j|`.

    :math:`p_i(r) = N_i\, r^{l + 2(i-1)} e^{-r^2 / 2 r_l^2}` times a spherical harmonic; C.
    Hartwigsen, S. Goedecker and J. Hutter, Phys. Rev. B 58, 3641 (1998), equation 3.

    Attributes
    ----------
    l : int
    radius : float
        r_l, bohr.
    strengths : ndarray, (n, n) hartree
    """

    l: int  # noqa: E741  the field's own letter
    radius: float
    strengths: Array

    def norms(self) -> list[float]:
        """Return N_i of each projector, atomic units."""
        powers = [self.l + (4 * i - 1) / 2 for i in range(1, len(self.strengths) + 1)]
        return [sqrt(2.0) / (self.radius**power * sqrt(gamma(power))) for power in powers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """Pseudo-atom of one element, in atomic units as tabulated.

    Attributes
    ----------
    symbol : str
    occupation : tuple of int
        Valence electrons with l = 0, 1, 2, ... in the free atom.
    local_radius : float
        bohr.
    local_coefficients : tuple of float
        C_1 ... of the local potential, hartree.
    projectors : tuple of Projector
    shells : list
        Basis as PySCF lists it: [l, [exponent, c_1, c_2, ...], ...].
    """

    symbol: str
    occupation: tuple[int, ...]
    local_radius: float
    local_coefficients: tuple[float, ...]
    projectors: tuple[Projector, ...]
    shells: list[Any]

    @property
    def charge(self) -> int:
        """Ionic charge, equal to the number of valence electrons."""
        return sum(self.occupation)

    @property
    def exponents(self) -> Array:
        """All exponents of the basis, bohr⁻²."""
        return np.array([row[0] for shell in self.shells for row in shell[1:]])


def load_species(crystal: Crystal, basis: str, pseudopotential: str) -> dict[str, Species]:
    """Return the pseudo-atom of every element of ``crystal``.

    Raises
    ------
    DependencyError
        If PySCF is not installed.
    ModelError
        If the basis or the pseudopotential is unknown, or does not cover an element.
    """
    pbc = import_pyscf()
    species = {}
    for symbol in crystal.elements:
        shells = _loaded("basis", pbc.basis.load, basis, symbol, KNOWN_BASES)
        record = _loaded(
            "pseudopotential", pbc.pseudo.load, pseudopotential, symbol, KNOWN_PSEUDOPOTENTIALS
        )
        occupation, radius, _, coefficients = record[:4]
        projectors = tuple(
            Projector(l=ell, radius=float(entry[0]), strengths=np.array(entry[2], dtype=float))
            for ell, entry in enumerate(record[5:])
            if entry[1] > 0
        )
        while occupation and not occupation[-1]:
            occupation = occupation[:-1]
        species[symbol] = Species(
            symbol=symbol,
            occupation=tuple(int(n) for n in occupation),
            local_radius=float(radius),
            local_coefficients=tuple(float(c) for c in coefficients),
            projectors=projectors,
            shells=shells,
        )
        if max(shell[0] for shell in shells) < len(occupation) - 1:
            raise ModelError(
                f"basis '{basis}' does not hold all valence shells of pseudopotential "
                f"'{pseudopotential}' for {symbol}.",
                "Basis and pseudopotential were made for different numbers of valence electrons.",
                "Choose a basis and a pseudopotential of the same family.",
            )
    return species


def import_pyscf() -> Any:
    """Return ``pyscf.pbc.gto``.

    Raises
    ------
    DependencyError
        If PySCF is not installed.
    """
    try:
        from pyscf.pbc import gto
    except ImportError as error:
        raise DependencyError(
            "the provider 'pyscf' needs the package PySCF, which is not installed.",
            str(error),
            "Install it: pip install 'elphant[pyscf]'.",
        ) from error
    return gto


def _loaded(
    kind: str, load: Callable[[str, str], Any], name: str, symbol: str, known: tuple[str, ...]
) -> Any:
    """Load one entry; PySCF's own search in further libraries only adds warnings."""
    try:
        return _quietly(load, name, symbol)
    except Exception as error:  # PySCF raises KeyError, RuntimeError and types of its own
        there = [other for other in known if _exists(load, other, symbol)]
        listing = ", ".join(there) if there else "none that elphant knows"
        raise ModelError(
            f"{kind} '{name}' is not available for {symbol}.",
            f"PySCF has no such entry. For {symbol} it has: {listing}.",
            f"Choose another {kind}, or another provider for this crystal.",
        ) from error


def _exists(load: Callable[[str, str], Any], name: str, symbol: str) -> bool:
    try:
        _quietly(load, name, symbol)
    except Exception:  # noqa: BLE001  any failure means that it cannot be used
        return False
    return True


def _quietly(load: Callable[[str, str], Any], name: str, symbol: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(name, symbol)


def species_molecule(species: dict[str, Species]) -> Any:
    """Return a PySCF molecule with one atom of each element, the source of integral tables."""
    from pyscf import gto

    return gto.M(
        atom=[(symbol, (0.0, 0.0, 10.0 * i)) for i, symbol in enumerate(species)],
        basis={symbol: entry.shells for symbol, entry in species.items()},
        unit="Bohr",
        spin=None,
        verbose=0,
    )


def periodic_cell(crystal: Crystal, species: dict[str, Species], pseudopotential: str) -> Any:
    """Return PySCF's own cell of the crystal, for its lattice sums."""
    return import_pyscf().M(
        a=crystal.lattice / ANGSTROM_PER_BOHR,
        atom=list(zip(crystal.symbols, crystal.positions / ANGSTROM_PER_BOHR, strict=True)),
        basis={symbol: entry.shells for symbol, entry in species.items()},
        pseudo=pseudopotential,
        unit="Bohr",
        spin=None,
        verbose=0,
    )


def orbital_basis(crystal: Crystal, species: dict[str, Species]) -> OrbitalBasis:
    """Return the orbitals of the crystal in PySCF's order, with their radial functions."""
    molecule = species_molecule(species)
    radial: list[GaussianRadial] = []
    rows: dict[str, list[tuple[int, int, int, int]]] = {symbol: [] for symbol in species}
    for shell in range(molecule.nbas):
        symbol = molecule.atom_symbol(molecule.bas_atom(shell))
        ell = int(molecule.bas_angular(shell))
        exponents = np.asarray(molecule.bas_exp(shell)) / ANGSTROM_PER_BOHR**2
        # Coefficients of the radial functions, normalisation included; only the method that
        # hands libcint's own table to its callers has them.
        table = molecule._libcint_ctr_coeff(shell)  # noqa: SLF001
        n_before = len({row[0] for row in rows[symbol] if row[1] == ell})
        for column in range(table.shape[1]):
            n = n_before + column + 1
            for m in M_ORDER.get(ell, tuple(range(-ell, ell + 1))):
                rows[symbol].append((n, ell, m, len(radial)))
            coefficients = table[:, column] * ANGSTROM_PER_BOHR ** (-1.5 - ell)
            radial.append(GaussianRadial(exponents=exponents, coefficients=coefficients, l=ell))
    table = np.array([row for symbol in crystal.symbols for row in rows[symbol]])
    sizes = [len(rows[symbol]) for symbol in crystal.symbols]
    return OrbitalBasis(
        atom=np.repeat(np.arange(crystal.n_atoms), sizes),
        n=table[:, 0],
        l=table[:, 1],
        m=table[:, 2],
        spin=np.zeros(len(table), dtype=np.int64),
        radial=tuple(radial),
        radial_index=table[:, 3],
    )
