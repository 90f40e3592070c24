r"""States of a band edge on a regular mesh: one diagonalisation per star of k points.

Carriers occupy only states within a window above (electrons) or below (holes) the band edge. The
points of a Γ-centred mesh with such a state are found from a k·p interpolation of the bands (or
from exact energies, where these are cheap), and the bands of the carriers are diagonalised at the
irreducible ones among them. Space group and time reversal carry the states to all other points:

.. math:: c(k') = e^{-2\pi i k' \cdot L}\, D\, c(k), \qquad c(-k) = c(k)^*,

so that energies are equal, and velocities turned copies, at all points of a star, and matrix
elements between any two states refer to one set of eigenvectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.electron.band_edges import BandEdges, edge_interpolation, find_band_edges
from elphant.electron.conductivity_mass import Carrier
from elphant.electron.interpolation import BandInterpolation
from elphant.electron.transport.state_space import StateSpace, little_group_projections
from elphant.electron.transport.window_search import FoundStates, Progress, WindowSearch
from elphant.electron.velocity import DEGENERACY_TOLERANCE, velocity_matrices, velocity_products
from elphant.errors import PhysicsError
from elphant.grids.irreducible import KMesh, irreducible_mesh
from elphant.grids.mesh import mesh_from_spacing
from elphant.orbitals import EigenStates, LocalOrbitalHamiltonian
from elphant.orbitals.eigenproblem import batches
from elphant.orbitals.symmetry import OrbitalSymmetry
from elphant.units import HBAR_EV_PS

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

#: Spacing (Å⁻¹) of the mesh of k·p models, where none are given.
MODEL_SPACING = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowStates:
    """States within an energy window of a band edge, at all points of a Γ-centred mesh.

    A point belongs to the list if one of its states is inside the window; bands that are
    degenerate there are inside together.

    Attributes
    ----------
    carrier : {"electron", "hole"}
    divisions : ndarray of int, (3,)
        Divisions of the mesh along the reciprocal lattice vectors.
    bands : (int, int)
        First band and one past the last of the Hamiltonian that are listed.
    addresses : ndarray of int, (n_points, 3)
        ``k = addresses / divisions``; in ``[0, divisions)``.
    energies : ndarray, (n_points, n_bands) eV
        Ascending, on the energy zero of the Hamiltonian.
    inside : ndarray of bool, (n_points, n_bands)
        Whether the state lies in the window.
    velocities : ndarray, (n_points, n_bands, 3) Å/ps
        Cartesian; every state of a degenerate set carries the mean of the set.
    velocity_products : ndarray, (n_irreducible, n_bands, 3, 3) Å²/ps²
        Mean of v⊗v over the degenerate set, at irreducible points.
    coefficients : ndarray, (n_points, n_orbitals, n_bands)
        In the lattice gauge, c† S c = 1.
    irreducible : ndarray of int, (n_irreducible,)
        Points that represent their stars.
    representative : ndarray of int, (n_points,)
        Index into ``irreducible``.
    operation : ndarray of int, (n_points,)
        Index into ``operations`` of the one that takes the representative to the point.
    operations : ndarray of int, (n_operations, 3, 3)
        Acting on fractional k (columns); those with time reversal carry a minus.
    rotations_cartesian : ndarray, (n_operations, 3, 3)
        The same for Cartesian vectors such as velocities; orthogonal.
    edge : float, eV
        Energy of the band edge.
    width : float, eV
        States up to this far from the edge are inside.
    lattice : ndarray, (3, 3) Å
        Lattice vectors of the cell, rows.
    spin_degeneracy : int
        Carriers per state: 2, or 1 for spinors.
    n_diagonalised : int
        Points at which bands were diagonalised for this window.
    rotated : bool
        Whether coefficients were carried by symmetry. False where the orbitals cannot be turned
        (spinors, or orbitals of unknown angular momentum): all points were diagonalised, and only
        energies and velocities are those of the representative.
    residual : float, eV
        Largest norm of (H - εS)c over states carried by each operation to one point: how well
        the Hamiltonian has the symmetry that was used.
    """

    carrier: Carrier
    divisions: Integers
    bands: tuple[int, int]
    addresses: Integers
    energies: Array
    inside: Booleans
    velocities: Array
    velocity_products: Array
    coefficients: Complex
    irreducible: Integers
    representative: Integers
    operation: Integers
    operations: Integers
    rotations_cartesian: Array
    edge: float
    width: float
    lattice: Array
    spin_degeneracy: int
    n_diagonalised: int = 0
    rotated: bool = True
    residual: float = 0.0

    def __post_init__(self) -> None:
        n, m = len(self.addresses), self.bands[1] - self.bands[0]
        for name, shape, dtype in (
            ("divisions", (3,), np.int64),
            ("addresses", (n, 3), np.int64),
            ("energies", (n, m), float),
            ("inside", (n, m), bool),
            ("velocities", (n, m, 3), float),
            ("velocity_products", (len(self.irreducible), m, 3, 3), float),
            ("coefficients", (n, None, m), complex),
            ("irreducible", (None,), np.int64),
            ("representative", (n,), np.int64),
            ("operation", (n,), np.int64),
            ("operations", (None, 3, 3), np.int64),
            ("rotations_cartesian", (len(self.operations), 3, 3), float),
            ("lattice", (3, 3), float),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape, dtype))

    @property
    def n_points(self) -> int:
        """Number of points with a state in the window."""
        return len(self.addresses)

    @property
    def n_mesh(self) -> int:
        """Number of points of the whole mesh."""
        return int(np.prod(self.divisions))

    @property
    def n_states(self) -> int:
        """Number of states in the window."""
        return int(self.inside.sum())

    @property
    def k_points(self) -> Array:
        """Points in the reciprocal lattice, (n_points, 3) in [0, 1)."""
        return np.asarray(self.addresses / self.divisions)

    @property
    def steps(self) -> Array:
        """Steps of the mesh b_i/N_i with 2π, (3, 3) Å⁻¹, rows."""
        return np.asarray(2.0 * np.pi * np.linalg.inv(self.lattice).T / self.divisions[:, None])

    @cached_property
    def full_states(self) -> Integers:
        """All states in the window as (point, band position), (n_full, 2)."""
        return np.argwhere(self.inside)

    @cached_property
    def irreducible_states(self) -> Integers:
        """One state of each star as (position in ``irreducible``, band position), (n, 2)."""
        return np.argwhere(self.inside[self.irreducible])

    @cached_property
    def images(self) -> Integers:
        """Irreducible state of every full state, (n_full,)."""
        table = np.full((len(self.irreducible), self.energies.shape[1]), -1)
        table[tuple(self.irreducible_states.T)] = np.arange(len(self.irreducible_states))
        points, bands = self.full_states.T
        return np.asarray(table[self.representative[points], bands])

    @cached_property
    def weights(self) -> Array:
        """Share of the mesh in the star of each irreducible state, (n,)."""
        star = np.bincount(self.representative, minlength=len(self.irreducible))
        return np.asarray(star[self.irreducible_states[:, 0]] / self.n_mesh)

    def state_space(self) -> StateSpace:
        """Return the states in the window as the solvers take them: always the same object."""
        return self._state_space

    @cached_property
    def _state_space(self) -> StateSpace:
        position, band = self.irreducible_states.T
        points = self.irreducible[position]
        v = self.velocities[points, band]
        spread = self.velocity_products[position, band] - v[:, :, None] * v[:, None]
        projections = little_group_projections(
            self.k_points[self.irreducible], self.operations, self.rotations_cartesian
        )
        return StateSpace(
            carrier=self.carrier,
            energies=self.energies[points, band],
            weights=self.weights,
            velocities=v,
            velocity_spread=spread,
            images=self.images,
            rotations=self.rotations_cartesian[self.operation[self.full_states[:, 0]]],
            volume=float(abs(np.linalg.det(self.lattice))),
            spin_degeneracy=self.spin_degeneracy,
            projections=projections[position],
        )

    def coarsened(self, strides: Sequence[int]) -> WindowStates:
        """Return the states on every n-th point of the mesh along each axis, at no cost.

        Parameters
        ----------
        strides : sequence of int, (3,)
            Divisors of the divisions.

        Raises
        ------
        ValueError
            If they do not divide the mesh, or the coarser mesh lacks its symmetry.
        """
        stride = np.asarray(strides, dtype=np.int64)
        if stride.shape != (3,) or (stride < 1).any() or (self.divisions % stride).any():
            raise ValueError(f"strides {list(strides)} do not divide {self.divisions.tolist()}")
        kept = (self.addresses % stride == 0).all(axis=1)
        if (kept != kept[self.irreducible][self.representative]).any():
            raise ValueError(f"a mesh with strides {list(strides)} lacks the symmetry of the mesh")
        point = np.cumsum(kept) - 1
        stars = kept[self.irreducible]
        return replace(
            self,
            divisions=self.divisions // stride,
            addresses=self.addresses[kept] // stride,
            energies=self.energies[kept],
            inside=self.inside[kept],
            velocities=self.velocities[kept],
            velocity_products=self.velocity_products[stars],
            coefficients=self.coefficients[kept],
            irreducible=point[self.irreducible[stars]],
            representative=(np.cumsum(stars) - 1)[self.representative[kept]],
            operation=self.operation[kept],
        )


def window_states(
    hamiltonian: LocalOrbitalHamiltonian,
    symmetry: Symmetry | None,
    divisions: Sequence[int],
    carrier: Carrier,
    width: float,
    *,
    edges: BandEdges | None = None,
    interpolation: BandInterpolation | None = None,
    progress: Progress | None = None,
) -> WindowStates:
    """Return the states within ``width`` of the band edge on a Γ-centred mesh.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    symmetry : Symmetry or None
        Of the crystal; None for time reversal alone.
    divisions : sequence of int, (3,)
    carrier : {"electron", "hole"}
    width : float, eV
    edges : BandEdges, optional
        Searched for where absent.
    interpolation : BandInterpolation, optional
        From :func:`elphant.electron.band_edges.edge_interpolation`; made where it is needed.
    progress : callable, optional
        Called with the numbers of points diagonalised and of all that are known to be needed.

    Raises
    ------
    PhysicsError
        If the mesh has no state in the window, or the crystal is a metal.
    ValueError
        If the width is not positive.
    """
    if not width > 0:
        raise ValueError(f"a window of {width} eV is not positive")
    if edges is None:
        if interpolation is None:
            interpolation = _interpolation(hamiltonian, symmetry)
        edges = find_band_edges(
            hamiltonian, interpolation.mesh.mesh, symmetry, interpolation=interpolation
        )
    rotations = None if symmetry is None else symmetry.rotations
    mesh = irreducible_mesh(divisions, rotations)
    search = WindowSearch(hamiltonian, mesh, edges, carrier, width, progress)
    if search.is_cheap:
        found = search.with_exact_energies()
    else:
        interpolation = interpolation or _interpolation(hamiltonian, symmetry)
        found = search.with_interpolation(interpolation)
    if not len(found.points):
        raise PhysicsError(
            f"no {carrier} state of the mesh {mesh.mesh.tolist()} lies within {width:g} eV of the "
            "band edge.",
            "The mesh is so coarse that it misses the valley.",
            "Use a finer mesh.",
        )
    return _assembled(search, found, _orbital_symmetry(hamiltonian, symmetry))


def _interpolation(
    hamiltonian: LocalOrbitalHamiltonian, symmetry: Symmetry | None
) -> BandInterpolation:
    mesh = mesh_from_spacing(hamiltonian.crystal.lattice, MODEL_SPACING)
    return edge_interpolation(hamiltonian, mesh, symmetry)


def _orbital_symmetry(
    hamiltonian: LocalOrbitalHamiltonian, symmetry: Symmetry | None
) -> OrbitalSymmetry | None:
    """Return how orbitals turn; None where they cannot be turned."""
    if hamiltonian.basis.is_spinor:
        return None
    try:
        if symmetry is not None:
            return OrbitalSymmetry.of(hamiltonian.crystal, symmetry, hamiltonian.basis)
    except ValueError:
        return None
    n_atoms = hamiltonian.crystal.n_atoms
    return OrbitalSymmetry(
        rotations=np.eye(3, dtype=np.int64)[None],
        atoms=np.arange(n_atoms)[None],
        shifts=np.zeros((1, n_atoms, 3), dtype=np.int64),
        matrices=(tuple(np.eye(size) for size in hamiltonian.basis.sizes.tolist()),),
        sizes=hamiltonian.basis.sizes,
    )


def _assembled(
    search: WindowSearch, found: FoundStates, orbital_symmetry: OrbitalSymmetry | None
) -> WindowStates:
    """Carry the irreducible states to all points of their stars."""
    hamiltonian, mesh = search.hamiltonian, search.mesh
    rotations = _cartesian(mesh.rotations, hamiltonian.crystal.lattice)
    v, products = _velocities(hamiltonian, found.states)
    little = _little_groups(mesh.points[found.points], mesh.rotations)
    count = little.sum(axis=0)[:, None, None]
    v = np.einsum("gn,gab,nmb->nma", little, rotations, v, optimize=True) / count
    turned = np.einsum("gab,nmbc,gdc,gn->nmad", rotations, products, rotations, little,
                       optimize=True)  # fmt: skip
    products = turned / count[..., None]
    # Bands that nowhere reach into the window were there to tell whether sets are whole.
    used = np.flatnonzero(found.inside.any(axis=0))
    chosen = slice(int(used.min()), int(used.max()) + 1)
    bands = (found.bands[0] + chosen.start, found.bands[0] + chosen.stop)
    position = np.full(mesh.n_points, -1)
    position[found.points] = np.arange(len(found.points))
    points = np.flatnonzero(position[mesh.representative] >= 0)
    representative = position[mesh.representative[points]]
    operation = mesh.operation[points]
    own = mesh.points[found.points][representative]
    is_own = np.abs(mesh.full_points[points] - own).max(axis=1) < 1e-12
    irreducible = np.empty(len(found.points), dtype=np.int64)
    irreducible[representative[is_own]] = np.flatnonzero(is_own)
    c = found.states.coefficients[:, :, chosen]
    residual = 0.0
    if orbital_symmetry is None:
        coefficients = search.solved_at(mesh.full_points[points], bands).coefficients
    else:
        coefficients = _carried(orbital_symmetry, mesh, points, operation, c[representative])
        # The representative keeps the eigenvectors that were found there.
        coefficients[irreducible] = c
        energies = found.states.energies[:, chosen][representative]
        residual = _residual(
            hamiltonian, mesh.full_points[points], operation, energies, coefficients
        )
    return WindowStates(
        carrier=search.carrier,
        divisions=mesh.mesh,
        bands=bands,
        addresses=np.rint(mesh.full_points[points] * mesh.mesh).astype(np.int64),
        energies=found.states.energies[:, chosen][representative],
        inside=found.inside[:, chosen][representative],
        velocities=np.einsum("pab,pmb->pma", rotations[operation], v[:, chosen][representative]),
        velocity_products=products[:, chosen],
        coefficients=coefficients,
        irreducible=irreducible,
        representative=representative,
        operation=operation,
        operations=mesh.rotations,
        rotations_cartesian=rotations,
        edge=search.edge,
        width=search.width,
        lattice=hamiltonian.crystal.lattice,
        spin_degeneracy=hamiltonian.spin_degeneracy,
        n_diagonalised=search.n_diagonalised,
        rotated=orbital_symmetry is not None,
        residual=residual,
    )


def _cartesian(operations: Integers, lattice: Array) -> Array:
    """Return operations on fractional k as orthogonal Cartesian matrices."""
    columns = np.linalg.inv(lattice)
    # The lattice has the symmetry to within a tolerance only: the nearest orthogonal matrix.
    left, _, right = np.linalg.svd(columns @ operations @ np.linalg.inv(columns))
    return np.asarray(left @ right)


def _velocities(hamiltonian: LocalOrbitalHamiltonian, states: EigenStates) -> tuple[Array, Array]:
    """Return means over degenerate sets of v (n, m, 3) Å/ps and of v⊗v (n, m, 3, 3)."""
    n, m = states.energies.shape
    v, products = np.empty((n, m, 3)), np.empty((n, m, 3, 3))
    same = _same_set(states.energies)
    mean = same / same.sum(axis=2, keepdims=True)
    for part in batches(n, 2 * hamiltonian.n_orbitals):
        some = EigenStates(
            k_points=states.k_points[part],
            energies=states.energies[part],
            coefficients=states.coefficients[part],
        )
        matrices = velocity_matrices(hamiltonian, some) / HBAR_EV_PS
        diagonal = np.diagonal(matrices, axis1=-2, axis2=-1).real.swapaxes(1, 2)
        v[part] = mean[part] @ diagonal
        squares = velocity_products(matrices, some.energies)
        products[part] = np.einsum("kab,kbxy->kaxy", mean[part], squares)
    return v, products


def _same_set(energies: Array) -> Booleans:
    """Return whether two bands of a point are degenerate, (n, m, m)."""
    steps = np.diff(energies, axis=1, prepend=energies[:, :1]) > DEGENERACY_TOLERANCE
    label = np.cumsum(steps, axis=1)
    return np.asarray(label[:, :, None] == label[:, None])


def _little_groups(k_points: Array, operations: Integers) -> Array:
    """Return 1 where an operation leaves a point where it is, (n_operations, n), else 0."""
    moved = np.einsum("gab,nb->gna", operations, k_points) - k_points
    return np.asarray((np.abs(moved - np.rint(moved)).max(axis=2) < 1e-8).astype(float))


def _carried(
    symmetry: OrbitalSymmetry, mesh: KMesh, points: Integers, operation: Integers, c: Complex
) -> Complex:
    """Return coefficients (n, n_orbitals, m) at ``points`` from those of their representatives."""
    n_orbitals = c.shape[1]
    starts = np.repeat(np.arange(len(symmetry.sizes)), symmetry.sizes)
    result = np.empty_like(c)
    inverse = np.rint(np.linalg.inv(symmetry.rotations)).astype(np.int64)
    on_k = np.swapaxes(inverse, 1, 2)
    for number in np.unique(operation).tolist():
        matrix = mesh.rotations[number]
        with_reversal, space = _space_operation(on_k, matrix)
        D = symmetry.coefficients(np.eye(n_orbitals), np.zeros(3), space)[1].real
        shifts = np.empty((len(symmetry.sizes), 3))
        shifts[symmetry.atoms[space]] = symmetry.shifts[space]
        here = np.flatnonzero(operation == number)
        phases = np.exp(-2j * np.pi * (mesh.full_points[points[here]] @ shifts[starts].T))
        source = c[here].conj() if with_reversal else c[here]
        result[here] = phases[:, :, None] * (D @ source)
    return result


def _space_operation(on_k: Integers, matrix: Integers) -> tuple[bool, int]:
    """Return whether time reversal is needed, and the space-group operation with this action."""
    for reversal, sign in ((False, 1), (True, -1)):
        equal = np.flatnonzero((on_k == sign * matrix).all(axis=(1, 2)))
        if len(equal):
            return reversal, int(equal[0])
    raise ValueError("an operation of the mesh is none of the space group")


def _residual(
    hamiltonian: LocalOrbitalHamiltonian,
    k_points: Array,
    operation: Integers,
    energies: Array,
    c: Complex,
) -> float:
    """Return the largest norm of (H - εS)c at one point of each operation, eV."""
    _, some = np.unique(operation, return_index=True)
    largest = 0.0
    for part in batches(len(some), hamiltonian.n_orbitals):
        chosen = some[part]
        H, S = hamiltonian.at(k_points[chosen])
        rest = H @ c[chosen] - (S @ c[chosen]) * energies[chosen][:, None]
        largest = max(largest, float(np.linalg.norm(rest, axis=1).max()))
    return largest
