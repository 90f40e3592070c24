r"""Parameters of the two-centre provider, from a small JSON file.

Every integral is :math:`V(r) = (v + w x)\, e^{-q x}\, f_c(r)` with :math:`x = r/r_0 - 1`; the
cut-off :math:`f_c` falls from 1 at ``onset`` to 0 at ``cutoff`` with continuous second derivative.

The file::

    {"format": "elphant-slater-koster", "format_version": 1, "name": ..., "origin": ...,
     "licence": ..., "orthogonal": true,
     "elements": {"Si": {"n_electrons": 4, "shells": [{"name": "s", "l": 0, "energy": -5.0}, ...]}},
     "pairs": [{"elements": ["Si", "Si"], "distance": 2.35, "onset": 3.0, "cutoff": 4.5,
                "hamiltonian": {"s s sigma": [v, w, q], ...}, "overlap": {...}}]}

Energies are in eV, lengths in Å. ``s p sigma`` is the integral of s on the first and p on the
second element, the bond pointing from first to second along z. Integrals of two unlike shells of
one element follow from each other by parity; of two elements both orders are given.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal.elements import numbers_of
from elphant.errors import ElphantError, ModelError
from elphant.models.hamiltonians.slater_koster.two_centre import BOND_KINDS

Array = NDArray[np.float64]

FILE_FORMAT = "elphant-slater-koster"
FILE_VERSION = 1

#: Parameter sets that come with elphant, by name.
PARAMETER_SETS = {"si": "si_pbe.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """One shell of an element: name, angular momentum (at most 2) and on-site energy in eV."""

    name: str
    l: int  # noqa: E741  the field's own letter
    energy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """Valence electrons and shells of an element."""

    n_electrons: float
    shells: tuple[Shell, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairIntegrals:
    """Integrals between two elements, first to second.

    Attributes
    ----------
    distance, onset, cutoff : float, Å
        r_0, and where the cut-off starts and ends.
    hamiltonian, overlap : dict of (shell, shell) to ndarray (n_μ, 3)
        v, w and q of every μ; v and w in eV for H.
    """

    distance: float
    onset: float
    cutoff: float
    hamiltonian: dict[tuple[str, str], Array]
    overlap: dict[tuple[str, str], Array]

    def evaluate(self, parameters: Array, r: Array) -> tuple[Array, Array]:
        """Return V_μ and dV_μ/dr at distances ``r`` (n,), each (n, n_μ)."""
        v, w, q = parameters.T
        x = (r / self.distance - 1.0)[:, None]
        decay = np.exp(-q * x)
        value = (v + w * x) * decay
        slope = (w * decay - q * value) / self.distance
        cut, cut_slope = smooth_cutoff(r, self.onset, self.cutoff)
        return value * cut[:, None], slope * cut[:, None] + value * cut_slope[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlaterKosterParameters:
    """A whole set.

    Attributes
    ----------
    elements : dict of str to Element
    pairs : dict of (str, str) to PairIntegrals
        For both orders of every pair of elements.
    """

    name: str
    origin: str
    licence: str
    orthogonal: bool
    elements: dict[str, Element]
    pairs: dict[tuple[str, str], PairIntegrals]
    sha256: str = ""

    @property
    def longest_cutoff(self) -> float:
        """Largest cut-off of all pairs, Å."""
        return max(pair.cutoff for pair in self.pairs.values())


def smooth_cutoff(r: Array, onset: float, cutoff: float) -> tuple[Array, Array]:
    """Return a C² cut-off, 1 below ``onset`` and 0 beyond ``cutoff``, and its derivative."""
    t = np.clip((r - onset) / (cutoff - onset), 0.0, 1.0)
    value = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t * t)
    return value, -30.0 * t * t * (1.0 - t) ** 2 / (cutoff - onset)


def read_parameters(source: str | Path) -> SlaterKosterParameters:
    """Read a parameter file, or one of :data:`PARAMETER_SETS` by its name.

    Raises
    ------
    ModelError
        If the file is missing, of another kind, or incomplete.
    """
    label = str(source)
    try:
        if label.lower() in PARAMETER_SETS:
            file = resources.files(__package__) / "sets" / PARAMETER_SETS[label.lower()]
            content = file.read_bytes()
        else:
            content = Path(source).read_bytes()
    except OSError as error:
        raise ModelError(
            f"Slater-Koster parameters '{label}' cannot be read: {error.strerror}.",
            f"Sets that come with elphant: {', '.join(sorted(PARAMETER_SETS))}.",
            "Name one of these or a parameter file.",
        ) from error
    try:
        record = json.loads(content)
        if record.get("format") != FILE_FORMAT or record["format_version"] != FILE_VERSION:
            raise ValueError(f"its 'format' is not {FILE_FORMAT}, version {FILE_VERSION}")
        return parameters_from_dict(record, sha256=hashlib.sha256(content).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError, ElphantError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"'{label}' is not a usable Slater-Koster parameter file: {reason}.",
            "See elphant.models.hamiltonians.slater_koster.parameters for the layout.",
            "Correct the file.",
        ) from error


def parameters_from_dict(record: dict[str, Any], *, sha256: str = "") -> SlaterKosterParameters:
    """Build a set from the content of its file.

    Raises
    ------
    ValueError, KeyError
        If something is missing or out of range.
    """
    elements = {symbol: _element(symbol, entry) for symbol, entry in record["elements"].items()}
    orthogonal = bool(record["orthogonal"])
    pairs: dict[tuple[str, str], PairIntegrals] = {}
    for entry in record["pairs"]:
        first, second = entry["elements"]
        pair = _pair(entry, elements[first], elements[second], orthogonal=orthogonal)
        pairs[first, second] = pair
        if first != second:
            pairs[second, first] = PairIntegrals(
                distance=pair.distance,
                onset=pair.onset,
                cutoff=pair.cutoff,
                hamiltonian=_reversed(pair.hamiltonian, elements[first], elements[second]),
                overlap=_reversed(pair.overlap, elements[first], elements[second]),
            )
    for combination in product(elements, repeat=2):
        if combination not in pairs:
            raise ValueError(f"the pair {'-'.join(combination)} has no integrals")
    return SlaterKosterParameters(
        name=str(record["name"]),
        origin=str(record["origin"]),
        licence=str(record["licence"]),
        orthogonal=orthogonal,
        elements=elements,
        pairs=pairs,
        sha256=sha256,
    )


def _element(symbol: str, entry: dict[str, Any]) -> Element:
    numbers_of([symbol])
    shells = tuple(
        Shell(name=str(s["name"]), l=int(s["l"]), energy=float(s["energy"]))
        for s in entry["shells"]
    )
    if not shells or any(not 0 <= shell.l <= 2 for shell in shells):
        raise ValueError(f"{symbol} needs shells with l from 0 to 2")
    if len({shell.name for shell in shells}) != len(shells):
        raise ValueError(f"two shells of {symbol} have the same name")
    return Element(n_electrons=float(entry["n_electrons"]), shells=shells)


def _pair(
    entry: dict[str, Any], first: Element, second: Element, *, orthogonal: bool
) -> PairIntegrals:
    distance, onset, cutoff = (float(entry[name]) for name in ("distance", "onset", "cutoff"))
    if not (distance > 0 and 0 < onset < cutoff):
        raise ValueError("distances must be positive, and onset below cutoff")
    if orthogonal and entry.get("overlap"):
        raise ValueError("an orthogonal set has no overlap integrals")
    same = entry["elements"][0] == entry["elements"][1]
    tables = [
        _integrals(entry.get(name) or {}, first, second, same=same, needed=needed)
        for name, needed in (("hamiltonian", True), ("overlap", not orthogonal))
    ]
    return PairIntegrals(
        distance=distance, onset=onset, cutoff=cutoff, hamiltonian=tables[0], overlap=tables[1]
    )


def _integrals(
    entries: dict[str, Any], first: Element, second: Element, *, same: bool, needed: bool
) -> dict[tuple[str, str], Array]:
    table: dict[tuple[str, str], Array] = {}
    if not needed:
        return table
    left = dict(entries)
    for a, b in product(first.shells, second.shells):
        kinds = BOND_KINDS[: min(a.l, b.l) + 1]
        names = [f"{a.name} {b.name} {kind}" for kind in kinds]
        sign = 1.0
        if same and names[0] not in entries:
            names = [f"{b.name} {a.name} {kind}" for kind in kinds]
            sign = (-1.0) ** (a.l + b.l)
        rows = checked_array(names[0], [entries[name] for name in names], (len(kinds), 3))
        table[a.name, b.name] = rows * np.array([sign, sign, 1.0])
        for name in names:
            left.pop(name, None)
    if left:
        raise ValueError(f"the integral '{next(iter(left))}' belongs to no shells of the pair")
    return table


def _reversed(
    table: dict[tuple[str, str], Array], first: Element, second: Element
) -> dict[tuple[str, str], Array]:
    """Return integrals from the second to the first element: parity (-1)^(l1 + l2)."""
    momenta = {(a.name, b.name): a.l + b.l for a in first.shells for b in second.shells}
    return {
        (b, a): rows * np.array([(-1.0) ** momenta[a, b]] * 2 + [1.0])
        for (a, b), rows in table.items()
    }
