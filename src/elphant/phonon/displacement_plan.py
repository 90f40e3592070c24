"""The supercells of one displacement design, as planned, evaluated, stored and fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Crystal

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplacementPlan:
    """One supercell and the displaced copies of it that have to be evaluated.

    Attributes
    ----------
    label : {"second", "third", "unit_cell"}
        What the forces are for.
    method : {"finite-difference", "random"}
    unitcell : Crystal
    primitive_matrix : ndarray, (3, 3)
        phonopy convention.
    supercell_matrix : ndarray of int, (3, 3)
        phonopy convention: acts on column lattice vectors.
    supercell : Crystal
        Undisplaced supercell in phonopy's atom order.
    displacements : ndarray, (n_snapshots, n_atoms, 3) Å
        In the order in which they are evaluated, stored and sharded.
    orders : tuple of int
        Orders fitted to the forces.
    n_parameters : dict
        Free parameters per order.
    n_equation_sets : dict
        Independent snapshots per order (an opposite pair counts once).
    held_out : tuple of int
        Indices of the snapshots that are predicted, not fitted.
    amplitude : float, Å
    cutoff_third : float or None, Å
    cutoff_fourth : float or None, Å
    seed : int
    tolerance : float, Å
        Symmetry tolerance.
    reason : str
        Why this design was chosen, with the counts.
    """

    label: str
    method: str
    unitcell: Crystal
    primitive_matrix: Array
    supercell_matrix: NDArray[np.int64]
    supercell: Crystal
    displacements: Array
    orders: tuple[int, ...]
    n_parameters: dict[int, int]
    n_equation_sets: dict[int, int]
    held_out: tuple[int, ...]
    amplitude: float
    cutoff_third: float | None
    seed: int
    tolerance: float
    reason: str = ""
    cutoff_fourth: float | None = None

    def __post_init__(self) -> None:
        n_atoms = self.supercell.n_atoms
        displacements = checked_array("displacements", self.displacements, (None, n_atoms, 3))
        object.__setattr__(self, "displacements", displacements)
        for name, dtype in (("primitive_matrix", float), ("supercell_matrix", int)):
            matrix = checked_array(name, getattr(self, name), (3, 3), dtype)
            object.__setattr__(self, name, matrix)

    @property
    def n_snapshots(self) -> int:
        """Number of displaced supercells; the undisplaced one comes on top."""
        return len(self.displacements)

    @property
    def fitted(self) -> NDArray[np.int64]:
        """Indices of the fitted snapshots."""
        return np.setdiff1d(np.arange(self.n_snapshots), np.array(self.held_out, dtype=int))

    @property
    def n_equations(self) -> int:
        """Number of fitted force components; three per snapshot follow from the others."""
        return 3 * (self.supercell.n_atoms - 1) * len(self.fitted)

    @property
    def cutoffs(self) -> dict[int, float | None]:
        """Cut-off of each fitted order, Å."""
        every = {2: None, 3: self.cutoff_third, 4: self.cutoff_fourth}
        return {order: every[order] for order in self.orders}

    def unknowns_beside(self, order: int) -> int:
        """Return the number of parameters that share the equations of ``order``.

        Opposite pairs separate even orders from odd ones.
        """
        together = (
            [k for k in self.orders if k % 2 == order % 2] if self.method == "random" else [order]
        )
        return sum(self.n_parameters[k] for k in together)

    @property
    def over_determination(self) -> dict[int, float]:
        """Independent equations per free parameter, for each order.

        Orders 2 and 4 of opposite pairs share one set of equations.
        """
        per_set = 3 * (self.supercell.n_atoms - 1)
        return {
            order: per_set * self.n_equation_sets[order] / max(1, self.unknowns_beside(order))
            for order in self.orders
        }

    @property
    def n_atom_evaluations(self) -> int:
        """Atoms times supercells to evaluate, the undisplaced supercell included."""
        return self.supercell.n_atoms * (self.n_snapshots + 1)

    def snapshots(self) -> list[Crystal]:
        """Return the undisplaced supercell followed by one crystal per displacement."""
        return [self.supercell, *(self.supercell.displaced(u) for u in self.displacements)]

    def summary(self) -> str:
        """Return one line with all counts."""
        shape = "x".join(str(n) for n in np.diag(self.supercell_matrix))
        if np.count_nonzero(self.supercell_matrix - np.diag(np.diag(self.supercell_matrix))):
            shape = str(self.supercell_matrix.tolist())
        ratios = ", ".join(
            f"order {k}: {self.n_parameters[k]} parameters, {ratio:.1f} equations each"
            for k, ratio in self.over_determination.items()
        )
        return (
            f"{self.label}: {self.method}, supercell {shape} ({self.supercell.n_atoms} atoms), "
            f"{self.n_snapshots} displaced + 1 undisplaced supercells "
            f"({len(self.held_out)} held out), {self.amplitude:g} Å, {ratios}; "
            f"{self.n_atom_evaluations} atom evaluations"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the displacements as plain types."""
        return {
            "label": self.label,
            "method": self.method,
            "unitcell": self.unitcell.to_dict(),
            "primitive_matrix": self.primitive_matrix.tolist(),
            "supercell_matrix": self.supercell_matrix.tolist(),
            "supercell": self.supercell.to_dict(),
            "n_snapshots": self.n_snapshots,
            "orders": list(self.orders),
            "n_parameters": {str(k): n for k, n in self.n_parameters.items()},
            "n_equation_sets": {str(k): n for k, n in self.n_equation_sets.items()},
            "n_equations": self.n_equations,
            "held_out": list(self.held_out),
            "amplitude": self.amplitude,
            "cutoff_third": self.cutoff_third,
            "cutoff_fourth": self.cutoff_fourth,
            "seed": self.seed,
            "tolerance": self.tolerance,
            "reason": self.reason,
        }

    def to_arrays(self) -> dict[str, Array]:
        """Return the arrays that :meth:`from_dict` needs beside the record."""
        return {"displacements": self.displacements}

    @classmethod
    def from_dict(cls, record: dict[str, Any], arrays: dict[str, Array]) -> DisplacementPlan:
        """Rebuild a plan from :meth:`to_dict` and :meth:`to_arrays`."""
        return cls(
            label=record["label"],
            method=record["method"],
            unitcell=Crystal.from_dict(record["unitcell"]),
            primitive_matrix=np.array(record["primitive_matrix"]),
            supercell_matrix=np.array(record["supercell_matrix"]),
            supercell=Crystal.from_dict(record["supercell"]),
            displacements=np.array(arrays["displacements"]),
            orders=tuple(record["orders"]),
            n_parameters={int(k): n for k, n in record["n_parameters"].items()},
            n_equation_sets={int(k): n for k, n in record["n_equation_sets"].items()},
            held_out=tuple(record["held_out"]),
            amplitude=record["amplitude"],
            cutoff_third=record["cutoff_third"],
            cutoff_fourth=record.get("cutoff_fourth"),
            seed=record["seed"],
            tolerance=record["tolerance"],
            reason=record["reason"],
        )
