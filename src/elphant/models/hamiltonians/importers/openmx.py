"""Importer of OpenMX Hamiltonians kept as plain NumPy archives (``openmx-npz``).

Keys of the archive (no pickled objects): ``z``, ``cell`` and ``pos`` (bohr), ``edge_index`` (2, E),
``cell_shift`` (E, 3), ``norb``; blocks ``S_on``/``S_off`` and ``H_on``/``H_off`` (hartree), padded
to the largest atom; ``pair_rows`` where only one edge of each pair is stored; ``info_json`` with
``n_electrons``, ``symbols`` and the ``orbital_table`` (l, mult, m_index) of each element. With
spin-orbit coupling H comes as ``H_Hks0``, ``H_iHks0``, ``H_Hks2``, ``H_iHks2``:
↑↑ = Hks0 + i iHks0, ↓↓ = Hks0 - i iHks0, ↑↓ = Hks2 + i iHks2. Components that self-consistency
does not change may be stored as ``H0_...`` only.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ElphantError, ModelError
from elphant.models.hamiltonians.importers.edge_blocks import (
    EdgeList,
    basis_of_labels,
    matrix_of_spin_blocks,
)
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
)
from elphant.orbitals.spin import spinor_matrix
from elphant.store.atomic import sha256_of_file
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

Array = NDArray[Any]

#: m of the real harmonics in OpenMX's order: x, y, z; z², x²-y², xy, xz, yz; z³, xz², yz²,
#: z(x²-y²), xyz, x(x²-3y²), y(3x²-y²). All are positive multiples of these polynomials.
OPENMX_M = {0: (0,), 1: (1, -1, 0), 2: (0, 2, -2, 1, -1), 3: (0, 1, -1, 2, -2, 3, -3)}

SPIN_COMPONENTS = ("Hks0", "iHks0", "Hks2", "iHks2")


def read_openmx_archive(
    path: str | Path, *, which: Literal["H", "H0"] = "H", n_electrons: float | None = None
) -> LocalOrbitalHamiltonian:
    """Return the Hamiltonian of an ``openmx-npz`` archive.

    Parameters
    ----------
    path : path-like
    which : {"H", "H0"}
        The self-consistent matrix, or the one of superposed atomic densities without exchange and
        correlation (kinetic, neutral-atom and nonlocal parts).
    n_electrons : float, optional
        In place of the number in the file.

    Raises
    ------
    ModelError
        If the archive is damaged, of another kind, or lacks the matrix.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = _Archive(path, archive)
            return _hamiltonian(data, which, n_electrons)
    except ElphantError:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise ModelError(
            f"'{path}' is not a readable OpenMX archive: {error}.",
            "It is damaged, cut short, or of another kind.",
            "Copy the file again; elphant reads the keys z, cell, pos, edge_index, S_on, H_on, ...",
        ) from error


def openmx_labels(shells: list[tuple[int, int]]) -> Array:
    """Return (n, l, m) rows of shells given as (n, l), in OpenMX's order of m."""
    return np.array([(n, ell, m) for n, ell in shells for m in OPENMX_M[ell]], dtype=np.int64)


class _Archive:
    """Arrays of an archive by name, with whole blocks for stored halves of the pairs."""

    def __init__(self, path: Path, archive: Any) -> None:
        self.path, self._archive = path, archive
        self.names = set(archive.files)
        self.info: dict[str, Any] = json.loads(str(self["info_json"]))
        self.symbols: list[str] = list(self.info["symbols"])
        edge_index, shift = self["edge_index"], self["cell_shift"]
        self.halved = "pair_rows" in self.names
        rows = self["pair_rows"] if self.halved else np.arange(edge_index.shape[1])
        orbitals = tuple(np.arange(int(n)) for n in self["norb"])
        edges = EdgeList(orbitals=orbitals, edge_index=edge_index[:, rows], cell_shift=shift[rows])
        self.edges = edges.with_reverse() if self.halved else edges

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise ModelError(
                f"'{self.path}' has no array '{name}'.",
                f"It holds {', '.join(sorted(self.names)[:12])}, ...",
                "Check that the file is an OpenMX archive with S and H.",
            )
        return np.asarray(self._archive[name])

    def matrix(self, name: str, *, reverse_sign: float = 1.0) -> LatticeMatrix:
        """Return a real matrix; the reverse of a stored edge is ``reverse_sign`` × transpose."""
        on, off = self[f"{name}_on"].astype(float), self[f"{name}_off"].astype(float)
        if self.halved:
            off = np.concatenate([off, reverse_sign * off.transpose(0, 2, 1)])
        return self.edges.matrix(on, off)


def _hamiltonian(data: _Archive, which: str, n_electrons: float | None) -> LocalOrbitalHamiltonian:
    spinor = f"{which}_Hks0_on" in data.names
    overlap = data.matrix("S")
    if spinor:
        H, S = _spinor(data, which), spinor_matrix(overlap)
    else:
        H, S = data.matrix(which), overlap
    info = data.info
    count = float(info["n_electrons"]) if n_electrons is None else float(n_electrons)
    species = ", ".join(f"{entry['pao']}/{entry['vps']}" for entry in info["species"].values())
    return LocalOrbitalHamiltonian(
        crystal=_crystal(data),
        basis=basis_of_labels(_labels(data), spinor=spinor),
        hamiltonian=H.with_values(H.values * OPENMX_EV_PER_HARTREE),
        overlap=S,
        n_electrons=count,
        origin=HamiltonianOrigin(
            provider="openmx-npz",
            level_of_theory=f"OpenMX, {species}; {info.get('settings', 'settings not stated')}",
            self_consistent=which == "H",
            details={
                "file": data.path.name,
                "sha256": sha256_of_file(data.path),
                "matrix": which,
                "spin_orbit": spinor,
                "hartree_eV": OPENMX_EV_PER_HARTREE,
                "bohr_angstrom": OPENMX_ANGSTROM_PER_BOHR,
            },
        ),
    )


def _spinor(data: _Archive, which: str) -> LatticeMatrix:
    parts = {}
    for component in SPIN_COMPONENTS:
        name = f"{which}_{component}"
        if f"{name}_on" not in data.names and component != "Hks0":
            name = f"H0_{component}"
        # Hks0 is symmetric over (e, inverse e), the three others antisymmetric.
        parts[component] = data.matrix(name, reverse_sign=1.0 if component == "Hks0" else -1.0)
    scalar, z, y, x = (parts[name] for name in SPIN_COMPONENTS)
    return matrix_of_spin_blocks(
        scalar.with_values(scalar.values + 1j * z.values),
        scalar.with_values(scalar.values - 1j * z.values),
        scalar.with_values(y.values + 1j * x.values),
    )


def _labels(data: _Archive) -> list[Array]:
    table = {
        symbol: np.array(
            [(o["mult"] + 1, o["l"], OPENMX_M[o["l"]][o["m_index"]]) for o in orbitals]
        )
        for symbol, orbitals in data.info["orbital_table"].items()
    }
    return [table[symbol] for symbol in data.symbols]


def _crystal(data: _Archive) -> Crystal:
    cell = data["cell"] * OPENMX_ANGSTROM_PER_BOHR
    positions = data["pos"] * OPENMX_ANGSTROM_PER_BOHR
    return Crystal(
        lattice=cell, fractional=positions @ np.linalg.inv(cell), numbers=data["z"].astype(int)
    )
