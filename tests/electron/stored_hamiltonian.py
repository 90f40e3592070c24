"""Small Hamiltonians stored beside the tests; ``fixtures/ORIGIN.md`` says how they were made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from elphant.crystal import Crystal
from elphant.orbitals import (
    HamiltonianOrigin,
    LatticeMatrix,
    LocalOrbitalHamiltonian,
    OrbitalBasis,
)

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "hamiltonians"


def stored_hamiltonian(name: str) -> LocalOrbitalHamiltonian:
    """Return ``si_szv``, ``si_dzvp`` or ``pbo_szv``."""
    with np.load(FOLDER / f"{name}.npz") as data:
        basis = OrbitalBasis.from_dict(json.loads(str(data["basis"])))
        matrices = {
            kind: LatticeMatrix(
                sizes=basis.sizes,
                pairs=data[f"{kind}_pairs"],
                cells=data[f"{kind}_cells"],
                values=data[f"{kind}_values"].astype(float),
            )
            for kind in ("hamiltonian", "overlap")
        }
        return LocalOrbitalHamiltonian(
            crystal=Crystal(
                lattice=data["lattice"], fractional=data["fractional"], numbers=data["numbers"]
            ),
            basis=basis,
            n_electrons=float(data["n_electrons"]),
            origin=HamiltonianOrigin(
                provider="pyscf", level_of_theory=str(data["level"]), self_consistent=True
            ),
            **matrices,
        )
