"""How unequal the forces on an atom are when it moves forth and back along a direction.

An atom in a harmonic well feels opposite forces at +u and -u. What is left of their sum measures
the odd, cubic part of its potential; next to a lone pair it is large towards and away from the
pair. One atom of a supercell is displaced at a time, all others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.crystal import AXES, Crystal, Symmetry
from elphant.errors import ConfigurationError
from elphant.phonon.sparse_force_constants import SparseForceConstants

Array = NDArray[np.float64]
EnergiesForces = Callable[[list[Crystal]], tuple[ArrayLike, ArrayLike]]

#: Displacements (Å): thermal ones at 300 K are 0.1 to 0.2 Å in a soft crystal.
AMPLITUDES = (0.05, 0.1, 0.2, 0.3, 0.4)

#: Amplitude (Å) at which one number stands for a direction (the nearest one of the scan).
REPORTED_AMPLITUDE = 0.2

#: Degree of the polynomial fitted to energies and forces: orders 5 and 6 keep the third and fourth
#: derivative free of higher terms.
FIT_DEGREE = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AsymmetryPlan:
    """The displaced supercells of a scan, in a fixed order.

    Number 0 is the undisplaced supercell. Then, for every atom, direction and amplitude, first +u,
    then -u. The order depends on nothing but the arguments, so that a scan can be resumed.

    Attributes
    ----------
    supercell : Crystal
    atoms : tuple of int
        One atom of each orbit, numbered in the user's cell.
    elements : tuple of str
    multiplicities : tuple of int
        Atoms of the orbit in the user's cell.
    supercell_atoms : tuple of int
        The same atoms in the supercell.
    labels : tuple of str
        Names of the directions.
    directions : ndarray, (n_directions, 3)
        Cartesian unit vectors.
    amplitudes : ndarray, (n_amplitudes,) Å
        Positive, ascending.
    symmetric : ndarray of bool, (n_atoms, n_directions)
        Whether the site symmetry takes the direction to its opposite: then +u and -u are the same
        up to a symmetry operation and every odd term along it is zero.
    """

    supercell: Crystal
    atoms: tuple[int, ...]
    elements: tuple[str, ...]
    multiplicities: tuple[int, ...]
    supercell_atoms: tuple[int, ...]
    labels: tuple[str, ...]
    directions: Array
    amplitudes: Array
    symmetric: NDArray[np.bool_]

    @property
    def n_crystals(self) -> int:
        """Number of supercells to evaluate."""
        return 1 + 2 * len(self.atoms) * len(self.directions) * len(self.amplitudes)

    def crystals(self) -> list[Crystal]:
        """Return all supercells in their order."""
        result = [self.supercell]
        for atom in self.supercell_atoms:
            for direction in self.directions:
                for amplitude in self.amplitudes:
                    shift = np.zeros((self.supercell.n_atoms, 3))
                    shift[atom] = amplitude * direction
                    result += [self.supercell.displaced(shift), self.supercell.displaced(-shift)]
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DirectionScan:
    """What one atom feels along one direction.

    Attributes
    ----------
    atom, element, multiplicity, label, direction, symmetric
        As in :class:`AsymmetryPlan`.
    displacements : ndarray, (2 n + 1,) Å
        Ascending, zero included.
    energies : ndarray, (2 n + 1,) eV
        Relative to the undisplaced supercell.
    forces : ndarray, (2 n + 1,) eV/Å
        Force on the atom along the direction; that of the undisplaced supercell is subtracted.
    amplitudes : ndarray, (n,) Å
    asymmetry : ndarray, (n,)
        ``|f(+u) + f(-u)| / (|f(+u)| + |f(-u)|)`` with the force f along the direction: 0 for a
        harmonic well, 1 where one side pushes and the other does not push back.
    vector_asymmetry : ndarray, (n,)
        The same with the whole force vector on the atom: it also sees forces sideways, which are
        even in u and may be there even where the component along the direction is odd by symmetry.
    coefficients : ndarray, (FIT_DEGREE + 1,) eV/Å^n
        Taylor derivatives ``d^n E / du^n`` of the fit; number 0 is zero.
    residual : float, eV
        Root mean square deviation of the energies from the fit.
    """

    atom: int
    element: str
    multiplicity: int
    label: str
    direction: Array
    symmetric: bool
    displacements: Array
    energies: Array
    forces: Array
    amplitudes: Array
    asymmetry: Array
    vector_asymmetry: Array
    coefficients: Array
    residual: float

    def to_record(self, amplitude: float = REPORTED_AMPLITUDE) -> dict[str, Any]:
        """Return the flat record of ``results.json``; values at the amplitude nearest to that."""
        at = int(np.abs(self.amplitudes - amplitude).argmin())
        return {
            "atom": self.atom,
            "element": self.element,
            "multiplicity": self.multiplicity,
            "axis": self.label,
            "direction": self.direction.tolist(),
            "symmetric": self.symmetric,
            "amplitude": float(self.amplitudes[at]),
            "value": float(self.asymmetry[at]),
            "vector_value": float(self.vector_asymmetry[at]),
            "quadratic": float(self.coefficients[2]),
            "cubic": float(self.coefficients[3]),
            "quartic": float(self.coefficients[4]),
            "fit_residual": self.residual,
            "displacements": self.displacements.tolist(),
            "energies": self.energies.tolist(),
            "forces": self.forces.tolist(),
            "third_order_on_site": None,
            "third_order_norm": None,
            "unit": "1",
        }


def plan_scan(
    unitcell: Crystal,
    symmetry: Symmetry,
    supercell: Crystal,
    *,
    amplitudes: Sequence[float] = AMPLITUDES,
    directions: ArrayLike | None = None,
    labels: Sequence[str] = AXES,
) -> AsymmetryPlan:
    """Return the supercells of a scan of every inequivalent atom.

    Parameters
    ----------
    unitcell, symmetry
        The user's cell and its space group.
    supercell : Crystal
        Any supercell of it in the same frame; wide enough that an atom does not see its image.
    amplitudes : sequence of float, Å
    directions : (n, 3) array, optional
        Cartesian vectors, normalised here; along a, b, c of the user's cell when left out.
    labels : sequence of str
        One name per direction.

    Raises
    ------
    ConfigurationError
        If an amplitude is not positive, or ``supercell`` is none of ``unitcell``.
    """
    sizes = np.unique(np.asarray(amplitudes, dtype=float))
    if len(sizes) < 2 or sizes[0] <= 0:
        raise ConfigurationError(
            f"amplitudes {list(amplitudes)} Å do not make a scan.",
            "The fit of the energy needs at least two different, positive amplitudes.",
            f"Use for example {', '.join(f'{u:g}' for u in AMPLITUDES)}.",
        )
    vectors = np.asarray(unitcell.lattice if directions is None else directions, dtype=float)
    vectors = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    if len(labels) != len(vectors):
        raise ValueError(f"{len(labels)} labels for {len(vectors)} directions")
    atoms, counts = np.unique(symmetry.equivalent_atoms, return_counts=True)
    return AsymmetryPlan(
        supercell=supercell,
        atoms=tuple(int(atom) for atom in atoms),
        elements=tuple(unitcell.symbols[atom] for atom in atoms),
        multiplicities=tuple(int(n) for n in counts),
        supercell_atoms=tuple(_supercell_atom(unitcell, supercell, int(atom)) for atom in atoms),
        labels=tuple(labels),
        directions=vectors,
        amplitudes=sizes,
        symmetric=np.array([_reversed_by_site(unitcell, symmetry, int(i), vectors) for i in atoms]),
    )


def analyse_scan(
    plan: AsymmetryPlan, energies: ArrayLike, forces: ArrayLike
) -> tuple[DirectionScan, ...]:
    """Return one result per atom and direction, in the order of the plan.

    Parameters
    ----------
    plan : AsymmetryPlan
    energies : (n_crystals,) array, eV
    forces : (n_crystals, n_supercell_atoms, 3) array, eV/Å
    """
    energy = checked_array("energies", energies, (plan.n_crystals,))
    force = checked_array("forces", forces, (plan.n_crystals, plan.supercell.n_atoms, 3))
    n_u = len(plan.amplitudes)
    results, start = [], 1
    for i, atom in enumerate(plan.supercell_atoms):
        for d, direction in enumerate(plan.directions):
            rows = np.arange(start, start + 2 * n_u)
            start += 2 * n_u
            forth, back = rows[0::2], rows[1::2]
            order = np.concatenate([back[::-1], [0], forth])
            u = np.concatenate([-plan.amplitudes[::-1], [0.0], plan.amplitudes])
            along = force[order, atom] @ direction
            curve = energy[order] - energy[0]
            coefficients, residual = fit_energy(u, curve, along)
            # The residual force of the undisplaced supercell is the same at +u and -u.
            vectors = force[:, atom] - force[0, atom]
            results.append(
                DirectionScan(
                    atom=plan.atoms[i],
                    element=plan.elements[i],
                    multiplicity=plan.multiplicities[i],
                    label=plan.labels[d],
                    direction=direction,
                    symmetric=bool(plan.symmetric[i, d]),
                    displacements=u,
                    energies=curve,
                    forces=along - force[0, atom] @ direction,
                    amplitudes=plan.amplitudes,
                    asymmetry=asymmetry(
                        vectors[forth] @ direction[:, None], vectors[back] @ direction[:, None]
                    ),
                    vector_asymmetry=asymmetry(vectors[forth], vectors[back]),
                    coefficients=coefficients,
                    residual=residual,
                )
            )
    return tuple(results)


def scan(plan: AsymmetryPlan, energies_forces: EnergiesForces) -> tuple[DirectionScan, ...]:
    """Evaluate all supercells of a plan in one call and analyse them."""
    energies, forces = energies_forces(plan.crystals())
    return analyse_scan(plan, energies, forces)


def asymmetry(forth: ArrayLike, back: ArrayLike) -> Array:
    """Return ``|F(+u) + F(-u)| / (|F(+u)| + |F(-u)|)`` for forces (n, k), zero without forces."""
    plus, minus = np.asarray(forth, dtype=float), np.asarray(back, dtype=float)
    size = np.linalg.norm(plus, axis=1) + np.linalg.norm(minus, axis=1)
    rest = np.linalg.norm(plus + minus, axis=1)
    return np.asarray(np.divide(rest, size, out=np.zeros_like(size), where=size > 0))


def fit_energy(
    displacements: ArrayLike, energies: ArrayLike, forces: ArrayLike, degree: int = FIT_DEGREE
) -> tuple[Array, float]:
    """Return the Taylor derivatives of E(u) and the deviation of the energies from the fit.

    Energies and forces are fitted together: ``E = sum_n c_n u^n / n!`` and ``-dE/du = f``. Forces
    are multiplied by the largest displacement, so that both are energies of the same size.

    Parameters
    ----------
    displacements : (n,) array, Å
    energies : (n,) array, eV
        Relative to the energy at zero displacement.
    forces : (n,) array, eV/Å
        Along the direction; a constant residual force may be inside.
    degree : int

    Returns
    -------
    coefficients : ndarray, (degree + 1,) eV/Å^n
        ``c_0`` is zero.
    residual : float, eV
        Root mean square deviation of the energies.
    """
    u = np.asarray(displacements, dtype=float)
    energy, force = np.asarray(energies, dtype=float), np.asarray(forces, dtype=float)
    scale = float(np.abs(u).max())
    x, orders = u / scale, np.arange(1, degree + 1)
    inverse = 1.0 / np.array([factorial(int(n)) for n in orders])
    values = x[:, None] ** orders * inverse
    slopes = x[:, None] ** (orders - 1) * orders * inverse
    design = np.concatenate([values, -slopes])
    target = np.concatenate([energy, scale * force])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    residual = float(np.sqrt(np.mean((values @ solution - energy) ** 2)))
    return np.concatenate([[0.0], solution / scale**orders]), residual


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThirdOrderNorms:
    """Size of the third order seen by an atom that moves along a direction.

    Attributes
    ----------
    on_site : ndarray, (n_atoms, n_directions) eV/Å³
        ``Phi_iii`` with all three legs along the direction: the third derivative of the energy when
        this atom alone moves, to be compared with the cubic coefficient of a scan.
    norm : ndarray, (n_atoms, n_directions) eV/Å³
        Root of the sum of squares of all ``Phi_ijk`` whose first leg is the atom along the
        direction, over the atoms j, k and their components. A cluster that is shared by several
        equally near images counts with the share of each.
    """

    on_site: Array
    norm: Array


def third_order_norms(
    third: SparseForceConstants, atoms: Sequence[int], directions: ArrayLike
) -> ThirdOrderNorms:
    """Return norms of the third order by atom and direction.

    Parameters
    ----------
    third : SparseForceConstants
    atoms : sequence of int
        Indices in the primitive cell: see :func:`primitive_atoms`.
    directions : (n_directions, 3) array
        Cartesian unit vectors.
    """
    if third.order != 3:
        raise ValueError(f"force constants have order {third.order}; the third is needed")
    n = np.asarray(directions, dtype=float)
    on_site, norm = np.zeros((2, len(atoms), len(n)))
    for row, atom in enumerate(atoms):
        mine = third.atoms[:, 0] == atom
        blocks, members, cells = third.blocks[mine], third.atoms[mine], third.cells[mine]
        home = (members == atom).all(axis=1) & (cells == 0).all(axis=(1, 2))
        own = blocks[home].sum(axis=0)
        on_site[row] = np.einsum("na,nb,nc,abc->n", n, n, n, own)
        legs = np.einsum("na,xabc->nxbc", n, blocks)
        norm[row] = np.sqrt((legs**2).sum(axis=(1, 2, 3)))
    return ThirdOrderNorms(on_site=on_site, norm=norm)


def primitive_atoms(
    unitcell: Crystal, atoms: Sequence[int], lattice: ArrayLike, positions: ArrayLike
) -> list[int]:
    """Return the index in the primitive cell of atoms of the user's cell.

    Parameters
    ----------
    unitcell : Crystal
    atoms : sequence of int
    lattice : (3, 3) array, Å
        Primitive lattice vectors, rows.
    positions : (n_primitive, 3) array
        Fractional coordinates in the primitive cell.
    """
    vectors = np.asarray(lattice, dtype=float)
    cartesian = np.asarray(positions, dtype=float) @ vectors
    found = []
    for atom in atoms:
        difference = (unitcell.positions[atom] - cartesian) @ np.linalg.inv(vectors)
        miss = np.linalg.norm((difference - np.round(difference)) @ vectors, axis=1)
        nearest = int(miss.argmin())
        if miss[nearest] > 1e-3:
            raise ValueError(f"atom {atom} is none of the primitive cell ({miss[nearest]:.2g} Å)")
        found.append(nearest)
    return found


def _supercell_atom(unitcell: Crystal, supercell: Crystal, atom: int) -> int:
    target = unitcell.positions[atom] @ np.linalg.inv(supercell.lattice)
    difference = supercell.fractional - target
    miss = np.linalg.norm((difference - np.round(difference)) @ supercell.lattice, axis=1)
    nearest = int(miss.argmin())
    same = supercell.numbers[nearest] == unitcell.numbers[atom]
    if miss[nearest] > 1e-3 or not same:
        raise ConfigurationError(
            f"atom {atom} of the cell is not found in the supercell.",
            "The supercell does not repeat this cell in the same frame.",
            "Build the supercell from the relaxed structure of the run.",
        )
    return nearest


def _reversed_by_site(
    unitcell: Crystal, symmetry: Symmetry, atom: int, directions: Array
) -> NDArray[np.bool_]:
    """Return for which directions an operation that keeps the atom reverses the direction."""
    position = unitcell.fractional[atom]
    images = symmetry.rotations @ position + symmetry.translations - position
    keeps = np.abs((images - np.round(images)) @ unitcell.lattice).max(axis=1) < 1e-2
    columns = unitcell.lattice.T
    turns = columns @ symmetry.rotations[keeps] @ np.linalg.inv(columns)
    turned = np.einsum("oij,nj->oni", turns, directions)
    return np.asarray((np.abs(turned + directions).max(axis=2) < 1e-5).any(axis=0))
