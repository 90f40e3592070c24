"""Compact groups of points in space, and the orbitals that reach each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.orbitals.basis import OrbitalBasis
from elphant.orbitals.harmonics import solid_harmonic_gradients, solid_harmonics
from elphant.orbitals.radial import RadialFunction

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shell:
    """Orbitals with one radial function and the same m, on one atom or several.

    Attributes
    ----------
    radial : RadialFunction
    l : int
    columns : ndarray of int, (n_m,)
        Columns of the solid harmonics of degree l that occur: m + l.
    cutoff : float
        Distance (Å) from which on the orbitals are zero.
    atoms : ndarray of int, (n_members,)
    orbitals : ndarray of int, (n_members, n_m)
    """

    radial: RadialFunction
    l: int  # noqa: E741  the field's own letter
    columns: Integers
    cutoff: float
    atoms: Integers
    orbitals: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images of one shell that reach a brick.

    Attributes
    ----------
    shell : Shell
    centres : ndarray, (n_images, 3) Å
    rows : ndarray of int, (n_images, n_m)
        Where each orbital stands among the orbitals of the brick.
    """

    shell: Shell
    centres: Array
    rows: Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Brick:
    """A compact group of points and the orbital images that are not zero on all of them.

    Attributes
    ----------
    index : ndarray of int, (n_points,)
        Which of all points these are.
    points : ndarray, (n_points, 3) Å
    orbitals : ndarray of int, (n_active,)
        Orbital of the home cell of each image, ascending within each cell.
    cells : ndarray of int, (n_active, 3)
        Lattice vector of each image.
    images : tuple of Images
        The same images by shell, for evaluation.
    """

    index: Integers
    points: Array
    orbitals: Integers
    cells: Integers
    images: tuple[Images, ...]

    def values(self) -> Array:
        """Return the orbitals at the points, (n_active, n_points) Å^(-3/2)."""
        total = np.empty((len(self.orbitals), len(self.points)))
        for images in self.images:
            r, inside, squared = _displacements(images, self.points)
            f = images.shell.radial.evaluate(squared)[0] * inside
            harmonics = _by_image(solid_harmonics(images.shell.l, r), f.shape)
            total[images.rows] = f[:, None] * harmonics[:, images.shell.columns]
        return total

    def gradients(self) -> Array:
        """Return the Cartesian gradients of the orbitals, (3, n_active, n_points) Å^(-5/2)."""
        total = np.empty((3, len(self.orbitals), len(self.points)))
        for images in self.images:
            shell = images.shell
            r, inside, squared = _displacements(images, self.points)
            f, slope = (part * inside for part in shell.radial.evaluate(squared))
            harmonics = _by_image(solid_harmonics(shell.l, r), f.shape)[:, shell.columns]
            harmonics *= slope[:, None]
            derivative = solid_harmonic_gradients(shell.l, r)
            for axis in range(3):
                change = _by_image(derivative[:, :, axis], f.shape)[:, shell.columns]
                along = r[:, axis].reshape(f.shape)
                total[axis, images.rows] = along[:, None] * harmonics + f[:, None] * change
        return total


def find_shells(basis: OrbitalBasis, floor: float | None) -> tuple[Shell, ...]:
    """Return the shells of ``basis``; a shell is cut where its radial part falls below ``floor``.

    ``floor`` is in Å^(-3/2); None leaves the cut-off of the radial functions.
    """
    assert basis.radial_index is not None
    # Orbitals of one atom and radial function, then atoms with the same set of m.
    by_atom: dict[tuple[int, int, int], list[int]] = {}
    for orbital in range(basis.n_orbitals):
        key = (int(basis.atom[orbital]), int(basis.radial_index[orbital]), int(basis.l[orbital]))
        by_atom.setdefault(key, []).append(orbital)
    members: dict[tuple[int, int, tuple[int, ...]], list[tuple[int, list[int]]]] = {}
    for (atom, radial, ell), orbitals in by_atom.items():
        columns = tuple(int(m) + ell for m in basis.m[orbitals])
        members.setdefault((radial, ell, columns), []).append((atom, orbitals))
    return tuple(
        Shell(
            radial=basis.radial[radial],
            l=ell,
            columns=np.array(columns),
            cutoff=radial_cutoff(basis.radial[radial], ell, floor),
            atoms=np.array([atom for atom, _ in found]),
            orbitals=np.array([orbitals for _, orbitals in found]),
        )
        for (radial, ell, columns), found in members.items()
    )


def radial_cutoff(radial: RadialFunction, l: int, floor: float | None) -> float:  # noqa: E741
    """Return the distance (Å) beyond which ``|R(r)|`` stays below ``floor`` (Å^(-3/2))."""
    reach = radial.cutoff
    if floor is None:
        return reach
    r = np.linspace(0.0, reach, 2001)
    large = np.flatnonzero(np.abs(radial.evaluate(r * r)[0]) * r**l > floor)
    return float(r[min(large[-1] + 1, len(r) - 1)]) if len(large) else 0.0


def split_points(points: Array, size: int) -> list[Integers]:
    """Return index arrays of compact groups of at most ``size`` points, halving the longest side.

    Works for any set of points, such as the symmetry-irreducible part of a grid.
    """
    groups, waiting = [], [np.arange(len(points))]
    while waiting:
        index = waiting.pop()
        if len(index) <= size:
            if len(index):
                groups.append(index)
            continue
        axis = int(np.argmax(np.ptp(points[index], axis=0)))
        # Ties are broken by the order of the points, so that the split is reproducible.
        index = index[np.argsort(points[index, axis], kind="stable")]
        waiting += [index[len(index) // 2 :], index[: len(index) // 2]]
    return groups


def build_bricks(
    crystal: Crystal, shells: tuple[Shell, ...], points: Array, size: int
) -> list[Brick]:
    """Return the bricks of ``points`` (n, 3) Å, which lie in the home cell."""
    reach = np.zeros(crystal.n_atoms)
    for shell in shells:
        np.maximum.at(reach, shell.atoms, shell.cutoff)
    atoms, cells = _images_near_cell(crystal, float(reach.max()))
    centres = crystal.positions[atoms] + cells @ crystal.lattice
    bricks = []
    for index in split_points(points, size):
        inside = points[index]
        middle = 0.5 * (inside.min(axis=0) + inside.max(axis=0))
        radius = np.linalg.norm(inside - middle, axis=1).max()
        near = np.flatnonzero(
            np.linalg.norm(centres - middle, axis=1) < reach[atoms] + radius + 1e-9
        )
        gap = np.linalg.norm(centres[near, None] - inside[None], axis=2).min(axis=1)
        bricks.append(_brick(shells, index, inside, atoms[near], cells[near], centres[near], gap))
    return bricks


def _brick(
    shells: tuple[Shell, ...],
    index: Integers,
    points: Array,
    atoms: Integers,
    cells: Integers,
    centres: Array,
    gap: Array,
) -> Brick:
    """Select the shells whose cut-off exceeds the distance ``gap`` from the image to the brick."""
    chosen: list[tuple[Shell, Integers, Integers]] = []
    for shell in shells:
        member = np.full(int(max(atoms.max(initial=0), shell.atoms.max())) + 1, -1)
        member[shell.atoms] = np.arange(len(shell.atoms))
        active = np.flatnonzero((member[atoms] >= 0) & (gap < shell.cutoff))
        if len(active):
            chosen.append((shell, active, shell.orbitals[member[atoms[active]]]))
    widths = [orbitals.size for _, _, orbitals in chosen]
    orbitals = np.concatenate([np.zeros(0, np.int64), *(found.ravel() for _, _, found in chosen)])
    image = np.concatenate(
        [np.zeros(0, np.int64)] + [np.repeat(active, found.shape[1]) for _, active, found in chosen]
    )
    order = np.lexsort((orbitals, *cells[image].T[::-1]))
    rows = np.empty(len(order), dtype=np.int64)
    rows[order] = np.arange(len(order))
    ends = np.cumsum(widths)
    return Brick(
        index=index,
        points=points,
        orbitals=orbitals[order],
        cells=cells[image[order]],
        images=tuple(
            Images(
                shell=shell,
                centres=centres[active],
                rows=rows[end - width : end].reshape(found.shape),
            )
            for (shell, active, found), width, end in zip(chosen, widths, ends, strict=True)
        ),
    )


def _images_near_cell(crystal: Crystal, reach: float) -> tuple[Integers, Integers]:
    """Return atoms (n,) and cells (n, 3) of all images within ``reach`` of the home cell's box."""
    heights = crystal.heights
    low = np.floor(-reach / heights - crystal.fractional.max(axis=0)).astype(int)
    high = np.ceil(1.0 + reach / heights - crystal.fractional.min(axis=0)).astype(int)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    scaled = crystal.fractional[None] + cells[:, None]
    margin = reach / heights
    near = ((scaled > -margin) & (scaled < 1.0 + margin)).all(axis=2)
    cell_index, atoms = np.nonzero(near)
    return atoms, cells[cell_index]


def _displacements(images: Images, points: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """Return r - centre (n_images * n_points, 3), and whether inside, and r² (n_images, n_points).

    The cut-off is sharp, so that an orbital does not depend on how points are grouped.
    """
    r = points[None] - images.centres[:, None]
    squared = np.einsum("ipa,ipa->ip", r, r)
    return r.reshape(-1, 3), squared < images.shell.cutoff**2, squared


def _by_image(values: Array, shape: tuple[int, ...]) -> Array:
    """Return (n_images * n_points, n_m) as (n_images, n_m, n_points)."""
    return values.reshape(*shape, -1).transpose(0, 2, 1)
