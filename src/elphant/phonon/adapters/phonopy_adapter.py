"""phonopy: crystals, supercells, displacements of second order, and harmonic properties."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.crystal import Crystal
from elphant.phonon.force_constants import ForceConstants

if TYPE_CHECKING:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import Primitive

Array = NDArray[np.float64]

#: Distance tolerance (Å) with which phonopy looks for symmetry when none is given.
DEFAULT_TOLERANCE = 1e-5


def to_phonopy_atoms(crystal: Crystal) -> PhonopyAtoms:
    """Return the phonopy object of a crystal: same frame, atom order and masses."""
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        cell=crystal.lattice,
        scaled_positions=crystal.fractional,
        numbers=crystal.numbers,
        masses=crystal.masses,
    )


def from_phonopy_atoms(atoms: PhonopyAtoms, *, name: str = "") -> Crystal:
    """Return the crystal of a phonopy object: same frame, atom order and masses."""
    return Crystal(
        lattice=np.array(atoms.cell),
        fractional=np.array(atoms.scaled_positions),
        numbers=np.array(atoms.numbers),
        masses=np.array(atoms.masses),
        name=name,
    )


def build_phonopy(
    unitcell: Crystal,
    supercell_matrix: ArrayLike,
    *,
    primitive_matrix: ArrayLike | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    symmetry: bool = True,
) -> Phonopy:
    """Return a phonopy object without force constants.

    Parameters
    ----------
    unitcell : Crystal
        The user's cell.
    supercell_matrix : (3, 3) array of int
        phonopy convention (column lattice vectors).
    primitive_matrix : (3, 3) array, optional
        phonopy convention; found from the symmetry (``"auto"``) when left out.
    tolerance : float, Å
        Symmetry tolerance.
    symmetry : bool
        Search for the symmetry; not needed where only cells and images are asked for.
    """
    from phonopy import Phonopy

    primitive = "auto" if primitive_matrix is None else np.array(primitive_matrix, dtype=float)
    with warnings.catch_warnings():
        # phonopy warns that the automatic primitive cell is smaller than the unit cell: intended.
        warnings.simplefilter("ignore")
        return Phonopy(
            to_phonopy_atoms(unitcell),
            np.array(supercell_matrix, dtype=int),
            primitive_matrix=primitive,
            symprec=tolerance,
            is_symmetry=symmetry,
        )


def primitive_to_unitcell(phonopy: Phonopy) -> NDArray[np.int64]:
    """Return the index in the unit cell of each atom of the primitive cell."""
    supercell = phonopy.supercell
    to_unitcell = supercell.u2u_map
    in_supercell = phonopy.primitive.p2s_map
    return np.array([to_unitcell[supercell.s2u_map[i]] for i in in_supercell], dtype=int)


def primitive_numbers(force_constants: ForceConstants) -> NDArray[np.int64]:
    """Return the atomic numbers of the atoms of phonopy's primitive cell."""
    return np.array(phonopy_from(force_constants).primitive.numbers, dtype=int)


def primitive_positions(primitive: PhonopyAtoms) -> Array:
    """Return fractional positions in the primitive cell, in [0, 1) but for rounding.

    phonopy wraps them after a division that may give 0 or 1 for the same atom, depending on the
    supercell. Phases of clusters and of eigenvectors must refer to the same images.
    """
    positions = np.array(primitive.scaled_positions)
    return np.asarray(positions - np.floor(positions + 1e-6))


def nearest_images(
    primitive: Primitive, members: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return phono3py's images: each other atom at its nearest images as seen from the first.

    Parameters
    ----------
    primitive : Primitive
        phonopy's primitive cell.
    members : ndarray of int, (n, order)
        First the index of an atom of the primitive cell, then indices in the supercell.

    Returns
    -------
    rows : ndarray of int, (n_images,)
        The tuple that each image belongs to, ascending.
    vectors : ndarray, (n_images, order - 1, 3)
        From the first atom to the others, in primitive lattice vectors.
    shares : ndarray, (n_images,)
        One over the number of images of the tuple.
    """
    smallest: Any = primitive.get_smallest_vectors()
    vectors, multiplicity = np.array(smallest[0]), np.array(smallest[1])
    count = multiplicity[members[:, 1:], members[:, :1], 0]
    start = multiplicity[members[:, 1:], members[:, :1], 1]
    rows, position = ragged(count.prod(axis=1))
    chosen = np.zeros((len(rows), members.shape[1] - 1, 3))
    for other in reversed(range(members.shape[1] - 1)):
        # Mixed radix: the last atom runs fastest.
        chosen[:, other] = vectors[start[rows, other] + position % count[rows, other]]
        position = position // count[rows, other]
    return rows, chosen, 1.0 / count.prod(axis=1)[rows]


def ragged(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group and the position within it of every element of groups of these sizes."""
    group = np.repeat(np.arange(len(counts)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    return group, np.arange(len(group)) - first[group]


def nac_parameters(force_constants: ForceConstants, phonopy: Phonopy) -> dict[str, Any] | None:
    """Return phonopy's record of the non-analytical correction (Gonze and Lee), or None."""
    data = force_constants.dielectric
    if data is None:
        return None
    return {
        "born": data.born_charges[primitive_to_unitcell(phonopy)],
        "dielectric": np.array(data.epsilon_infinity),
        "factor": data.coulomb_constant,
        "method": "gonze",
    }


def phonopy_from(
    force_constants: ForceConstants, *, tolerance: float = DEFAULT_TOLERANCE
) -> Phonopy:
    """Return a phonopy object with the second-order force constants and the correction set.

    The force constants are kept in the compact layout; masses are those of the unit cell.
    """
    phonopy = build_phonopy(
        force_constants.unitcell,
        force_constants.supercell_matrix_second,
        primitive_matrix=force_constants.primitive_matrix,
        tolerance=tolerance,
    )
    expected = (len(phonopy.primitive), len(phonopy.supercell))
    if force_constants.second.shape[:2] != expected:
        raise ValueError(
            f"second has shape {force_constants.second.shape}; its supercell needs {expected}"
        )
    phonopy.force_constants = np.array(force_constants.second, order="C")
    parameters = nac_parameters(force_constants, phonopy)
    if parameters is not None:
        phonopy.nac_params = parameters
    return phonopy


def systematic_displacements(phonopy: Phonopy, amplitude: float) -> Array:
    """Return symmetry-reduced one-atom displacements, (n_snapshots, n_atoms, 3) Å.

    A displacement is accompanied by its opposite unless a site symmetry maps one onto the other.
    """
    phonopy.generate_displacements(distance=amplitude, is_plusminus="auto", is_diagonal=True)
    dataset: Any = phonopy.dataset
    dense = np.zeros((len(dataset["first_atoms"]), len(phonopy.supercell), 3))
    for i, entry in enumerate(dataset["first_atoms"]):
        dense[i, entry["number"]] = entry["displacement"]
    return dense


def unsymmetrized_second(phonopy: Phonopy, displacements: Array, forces: Array) -> Array:
    """Return compact Φ2 straight from one-atom displacements, without imposing any sum rule.

    Used only to report how large the violations of the sum rules were before the fit.
    """
    first_atoms = []
    for u, f in zip(displacements, forces, strict=True):
        atom = int(np.argmax(np.linalg.norm(u, axis=1)))
        first_atoms.append({"number": atom, "displacement": u[atom], "forces": f})
    phonopy.dataset = {"natom": len(phonopy.supercell), "first_atoms": first_atoms}
    phonopy.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    return np.array(phonopy.force_constants)


def to_primitive_q(phonopy: Phonopy, q_points: ArrayLike) -> Array:
    """Return q points given in the reciprocal unit cell in units of the reciprocal primitive cell.

    With ``primitive (columns) = unit cell (columns) @ P`` and q·r invariant, q_p = Pᵀ q_u.
    """
    of_unitcell = np.asarray(q_points, dtype=float).reshape(-1, 3)
    return np.asarray(of_unitcell @ np.asarray(phonopy.primitive_matrix))


def run_q_points(
    phonopy: Phonopy,
    q_points: Array,
    *,
    eigenvectors: bool = False,
    group_velocities: bool = False,
    nac_direction: ArrayLike | None = None,
) -> tuple[Array, NDArray[np.complex128] | None, Array | None]:
    """Return frequencies, eigenvectors and group velocities at q of the reciprocal primitive cell.

    Returns
    -------
    frequencies : ndarray, (n_q, n_modes) THz
    eigenvectors : ndarray, (n_q, 3 n_atoms, n_modes) or None
    group_velocities : ndarray, (n_q, n_modes, 3) Å THz, or None
    """
    options: dict[str, Any] = {
        "with_eigenvectors": eigenvectors,
        "with_group_velocities": group_velocities,
    }
    if nac_direction is not None:
        options["nac_q_direction"] = np.asarray(nac_direction, dtype=float)
    phonopy.run_qpoints(q_points, **options)
    result = phonopy.qpoints
    assert result is not None
    vectors = np.array(result.eigenvectors) if eigenvectors else None
    velocities = np.array(result.group_velocities) if group_velocities else None
    return np.array(result.frequencies), vectors, velocities


def run_mesh(
    phonopy: Phonopy, mesh: Sequence[int], *, eigenvectors: bool = False
) -> tuple[Array, Array, NDArray[np.int64], NDArray[np.complex128] | None]:
    """Return q points, frequencies (THz), weights and eigenvectors of a Γ-centred primitive mesh.

    Time reversal and the point group reduce the mesh; the weights count the points they stand for.
    Eigenvectors have shape (n_q, 3 n_atoms, n_modes).
    """
    phonopy.run_mesh(
        list(mesh), is_gamma_center=True, is_mesh_symmetry=True, with_eigenvectors=eigenvectors
    )
    result: Any = phonopy.mesh
    vectors = np.array(result.eigenvectors) if eigenvectors else None
    return np.array(result.qpoints), np.array(result.frequencies), np.array(result.weights), vectors
