"""Phonons on a mesh from phonopy's dynamical matrix, carried over the stars by symmetry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.phonon.adapters.phonopy_adapter import (
    DEFAULT_TOLERANCE,
    nearest_images,
    phonopy_from,
    primitive_positions,
    run_q_points,
)
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.scattering.mesh import ReciprocalMesh
from elphant.phonon.scattering.modes import CUTOFF_THZ, DEGENERATE_THZ, MeshModes, step_metric
from elphant.units import THZ_SQUARED_FROM_DYNAMICAL_MATRIX

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
ImaginaryAction = Literal["mask", "absolute"]


def solve_modes(
    force_constants: ForceConstants,
    divisions: Sequence[int],
    *,
    mesh_symmetry: bool = True,
    imaginary: ImaginaryAction = "mask",
    symmetry_tolerance: float = DEFAULT_TOLERANCE,
) -> MeshModes:
    """Solve the phonons of a mesh.

    Parameters
    ----------
    force_constants : ForceConstants
    divisions : sequence of int, (3,)
        Along the reciprocal vectors of the primitive cell.
    mesh_symmetry : bool
        Reduce the mesh by the space group; time reversal is always used.
    imaginary : {"mask", "absolute"}
        Leave imaginary modes out, or use the absolute value of their frequency.
    symmetry_tolerance : float, Å
    """
    phonopy = phonopy_from(force_constants, tolerance=symmetry_tolerance)
    primitive = phonopy.primitive
    operations = phonopy.primitive_symmetry.symmetry_operations
    rotations, translations = operations["rotations"], operations["translations"]
    lattice = np.array(primitive.cell)
    mesh = ReciprocalMesh.build(divisions, lattice, rotations)
    metric = step_metric(lattice, mesh)
    if not mesh_symmetry:
        rotations, translations = rotations[:1], translations[:1]
        mesh = ReciprocalMesh.build(divisions, lattice, rotations)
    q_points = mesh.q_points[mesh.irreducible]
    raw, vectors, _ = run_q_points(phonopy, q_points, eigenvectors=True)
    assert vectors is not None
    frequencies = np.abs(raw) if imaginary == "absolute" else np.where(raw > 0.0, raw, 0.0)
    frequencies = np.where(frequencies < CUTOFF_THZ, 0.0, frequencies)
    _exclude_acoustic(mesh, raw, frequencies)
    ids = _degenerate_ids(raw)
    slopes = _velocity_matrices(phonopy, q_points, vectors, frequencies)
    positions = primitive_positions(primitive)
    irreducible = _lattice_phase(vectors, q_points, positions)
    return MeshModes(
        mesh=mesh,
        frequencies=_equal_in_sets(frequencies, ids)[mesh.representative],
        raw_frequencies=raw,
        eigenvectors=_over_stars(irreducible, mesh, rotations, translations, positions, lattice),
        velocities=np.einsum(
            "qab,qsb->qsa",
            mesh.star_rotations,
            _set_velocities(slopes, ids)[mesh.representative],
            optimize=True,
        ),
        velocity_matrices=slopes,
        degenerate_ids=ids,
        masses=np.array(primitive.masses),
        lattice=lattice,
        positions=positions,
        step_metric=metric,
    )


def _exclude_acoustic(mesh: ReciprocalMesh, raw: Array, frequencies: Array) -> None:
    """Set the three acoustic modes at Γ to zero, in place: they are translations."""
    at_gamma = np.flatnonzero(mesh.irreducible == 0)
    for i in at_gamma:
        frequencies[i, np.argsort(np.abs(raw[i]))[:3]] = 0.0


def _degenerate_ids(frequencies: Array) -> NDArray[np.int64]:
    """Return the first mode of the degenerate set of each mode; frequencies ascend."""
    close = np.diff(frequencies, axis=1) < DEGENERATE_THZ
    ids = np.zeros(frequencies.shape, dtype=np.int64)
    for mode in range(1, frequencies.shape[1]):
        ids[:, mode] = np.where(close[:, mode - 1], ids[:, mode - 1], mode)
    return ids


def _equal_in_sets(frequencies: Array, ids: NDArray[np.int64]) -> Array:
    """Give all modes of a degenerate set one frequency, unless one of them is excluded."""
    result = np.array(frequencies)
    for i, row in enumerate(ids):
        for first in np.unique(row):
            members = row == first
            if members.sum() > 1 and (result[i, members] > 0.0).all():
                result[i, members] = result[i, members].mean()
    return result


def _velocity_matrices(
    phonopy: Any, q_points: Array, vectors: Complex, frequencies: Array
) -> Complex:
    """Return ``<e|dD/dq|e'> / (w + w')`` in Å THz, zero where a mode takes no part."""
    result = np.zeros((len(q_points), 3, vectors.shape[-1], vectors.shape[-1]), dtype=complex)
    factor = THZ_SQUARED_FROM_DYNAMICAL_MATRIX
    for i, derivative in enumerate(_derivatives(phonopy, q_points)):
        e = vectors[i]
        slopes = e.conj().T @ derivative @ e
        total = frequencies[i][:, None] + frequencies[i][None, :]
        takes_part = (frequencies[i][:, None] > 0.0) & (frequencies[i][None, :] > 0.0)
        result[i] = (
            factor * slopes * np.divide(1.0, total, out=np.zeros_like(total), where=takes_part)
        )
    return np.asarray(0.5 * (result + result.conj().transpose(0, 1, 3, 2)), dtype=complex)


def _derivatives(phonopy: Any, q_points: Array) -> Iterator[Complex]:
    """Yield dD/dq (3, 3 n_atoms, 3 n_atoms) of the position-phase matrix, point by point.

    From phonopy where there is a non-analytical correction; else from the same sum over shortest
    images, all of them in one product per point.
    """
    if phonopy.nac_params is not None:
        from phonopy.harmonic.derivative_dynmat import DerivativeOfDynamicalMatrix

        derivative = DerivativeOfDynamicalMatrix(phonopy.dynamical_matrix)
        for q in q_points:
            derivative.run(q)
            yield np.asarray(derivative.d_dynamical_matrix)
        return
    primitive = phonopy.primitive
    n = len(primitive)
    n_supercell = len(phonopy.supercell)
    members = np.indices((n, n_supercell)).reshape(2, -1).T
    rows, vectors, shares = nearest_images(primitive, members)
    first, atom = members[rows].T
    images = vectors[:, 0]
    second = np.array([primitive.p2p_map[i] for i in primitive.s2p_map])[atom]
    masses = np.array(primitive.masses)
    weights = shares / np.sqrt(masses[first] * masses[second])
    constants = _compact_rows(phonopy)[first, atom] * weights[:, None, None]
    slopes = 2j * np.pi * (images @ np.array(primitive.cell))
    # Images of one pair of atoms of the primitive cell follow each other after sorting.
    pair = first * n + second
    order = np.argsort(pair, kind="stable")
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    filled = pair[order][starts]
    terms = (slopes[order][:, :, None, None] * constants[order][:, None]).reshape(len(order), -1)
    for q in q_points:
        phases = np.exp(2j * np.pi * images[order] @ q)
        sums = np.zeros((n * n, 27), dtype=complex)
        sums[filled] = np.add.reduceat(phases[:, None] * terms, starts, axis=0)
        blocks = sums.reshape(n, n, 3, 3, 3).transpose(2, 0, 3, 1, 4)
        matrix = blocks.reshape(3, 3 * n, 3 * n)
        yield np.asarray(0.5 * (matrix + matrix.conj().transpose(0, 2, 1)), dtype=complex)


def _compact_rows(phonopy: Any) -> Array:
    """Return the second order with rows for the atoms of the primitive cell."""
    constants = np.array(phonopy.force_constants)
    if constants.shape[0] == constants.shape[1]:
        return np.asarray(constants[np.array(phonopy.primitive.p2s_map)])
    return constants


def _set_velocities(slopes: Complex, ids: NDArray[np.int64]) -> Array:
    """Return the velocity of each mode, (n_irr, n_modes, 3); the mean in a degenerate set."""
    velocities = np.einsum("qass->qsa", slopes).real.copy()
    for i, row in enumerate(ids):
        for first in np.unique(row):
            members = row == first
            if members.sum() > 1:
                velocities[i, members] = velocities[i, members].mean(axis=0)
    return np.asarray(velocities)


def _lattice_phase(vectors: Complex, q_points: Array, positions: Array) -> Complex:
    """Return eigenvectors of the dynamical matrix with ``exp(iq·R)`` from those of phonopy's."""
    phases = np.exp(2j * np.pi * q_points @ positions.T)
    return np.asarray(vectors * np.repeat(phases, 3, axis=1)[:, :, None])


def _over_stars(
    irreducible: Complex,
    mesh: ReciprocalMesh,
    rotations: NDArray[np.int64],
    translations: Array,
    positions: Array,
    lattice: Array,
) -> Complex:
    """Return the eigenvectors at all points from those at the irreducible ones.

    The operation {S|t} puts atom k of the displacement pattern u on k' in the cell shifted by L:
    ``S τ_k + t = τ_k' + L``. With ``u(R, k) = ẽ_k exp(iq·R)`` this gives
    ``ẽ'_k' = S ẽ_k exp(-iq'·L)`` at ``q' = S q``, up to a common phase. Time reversal conjugates.
    """
    inverse = np.linalg.inv(lattice)
    n_atoms, n_modes = len(positions), irreducible.shape[-1]
    q_points = mesh.q_points
    result = np.empty((mesh.n_points, 3 * n_atoms, n_modes), dtype=complex)
    for g in np.unique(mesh.operation):
        points = np.flatnonzero(mesh.operation == g)
        source = irreducible[mesh.representative[points]].reshape(-1, n_atoms, 3, n_modes)
        s = mesh.space_operation[g]
        cartesian = (inverse @ rotations[s].T @ lattice).T
        target, shift = _moved_atoms(positions, rotations[s], translations[s], lattice)
        rotated = np.einsum("ab,nkbs->nkas", cartesian, source)
        # For a reversed operation q = -S q0: the pattern belongs to S q0 = -q.
        sign = -1.0 if mesh.reversed[g] else 1.0
        phases = np.exp(-2j * np.pi * sign * q_points[points] @ shift.T)
        rotated = rotated * phases[:, :, None, None]
        placed = np.empty_like(rotated)
        placed[:, target] = rotated
        placed = placed.reshape(len(points), 3 * n_atoms, n_modes)
        result[points] = placed.conj() if mesh.reversed[g] else placed
    return result


def _moved_atoms(
    positions: Array, rotation: NDArray[np.int64], translation: Array, lattice: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the atom onto which each atom goes and the lattice vector in between."""
    moved = positions @ rotation.T + translation
    difference = moved[:, None, :] - positions[None, :, :]
    shift = np.rint(difference)
    distance = np.linalg.norm((difference - shift) @ lattice, axis=-1)
    target = distance.argmin(axis=1)
    atoms = np.arange(len(positions))
    assert len(set(target.tolist())) == len(positions), "an operation does not map the crystal"
    return target, shift[atoms, target].astype(np.int64)
