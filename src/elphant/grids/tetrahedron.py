r"""Linear tetrahedra: densities of states and numbers of states of bands on a mesh.

Each cell of the mesh is cut into six tetrahedra around its shortest body diagonal, and energies and
properties are linear inside each. Weights of the corners: for the delta function from
A. H. MacDonald, S. H. Vosko and P. T. Coleridge, J. Phys. C 12, 2991 (1979); for the step function
from P. E. Blöchl, O. Jepsen and O. K. Andersen, Phys. Rev. B 49, 16223 (1994), appendix B, without
their curvature correction.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.grids.irreducible import KMesh

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: (Tetrahedron, energy) pairs handled at a time.
PIECE = 200_000


def mesh_tetrahedra(mesh: KMesh, lattice: ArrayLike) -> Integers:
    """Return the tetrahedra of a mesh as indices of irreducible points, (6 n_full, 4).

    Parameters
    ----------
    mesh : KMesh
    lattice : array_like, (3, 3) Å
        Of the cell whose reciprocal lattice is divided, rows: lengths are compared in Cartesian
        space.
    """
    n_a, n_b, _ = mesh.mesh.tolist()
    index = np.arange(mesh.n_full)
    address = np.stack([index % n_a, index // n_a % n_b, index // (n_a * n_b)], axis=1)
    steps = np.linalg.inv(np.asarray(lattice, dtype=float)).T / mesh.mesh[:, None]
    tetrahedra = []
    for corners in cell_tetrahedra(steps):
        points = np.mod(address[:, None] + corners, mesh.mesh)
        tetrahedra.append((points[..., 2] * n_b + points[..., 1]) * n_a + points[..., 0])
    return np.asarray(mesh.representative[np.concatenate(tetrahedra)])


def cell_tetrahedra(steps: ArrayLike) -> Integers:
    """Return the six tetrahedra of a cell of a mesh as steps from its corner, (6, 4, 3).

    Parameters
    ----------
    steps : array_like, (3, 3)
        Edges of the cell, rows. The tetrahedra share the shortest body diagonal, the first of
        equals.
    """
    starts = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    lengths = np.linalg.norm((1 - 2 * starts) @ np.asarray(steps, dtype=float), axis=1)
    start = starts[int(np.argmax(lengths < lengths.min() * (1.0 + 1e-9)))]
    tetrahedra = []
    for order in permutations(range(3)):
        corner, corners = start.copy(), [start.copy()]
        for axis in order:
            corner[axis] = 1 - corner[axis]
            corners.append(corner.copy())
        tetrahedra.append(corners)
    return np.array(tetrahedra)


def tetrahedron_sums(
    energies: ArrayLike, tetrahedra: Integers, targets: ArrayLike, properties: ArrayLike
) -> tuple[Array, Array]:
    r"""Return density and number of states, each weighted with properties, per cell and spin.

    .. math:: g_p(E) = \sum_n \int_{BZ} \frac{dk}{V_{BZ}} p_{nk}\, \delta(E - \varepsilon_{nk})

    and the same with a step function, :math:`\theta(E - \varepsilon_{nk})`.

    Parameters
    ----------
    energies : array_like, (n_points, n_bands)
    tetrahedra : ndarray of int, (n_tetrahedra, 4)
        From :func:`mesh_tetrahedra`.
    targets : array_like, (n_targets,)
        Ascending.
    properties : array_like, (n_points, n_bands, n_properties)

    Returns
    -------
    density, number : ndarray, (n_targets, n_properties)
    """
    energies, targets = np.asarray(energies, float), np.asarray(targets, float)
    properties = np.asarray(properties, dtype=float)
    shape = (len(targets), properties.shape[2])
    density, number = np.zeros(shape), np.zeros(shape)
    # What lies wholly below a target counts from that target on.
    filled = np.zeros((len(targets) + 1, shape[1]))
    for band in range(energies.shape[1]):
        corners = energies[tetrahedra, band]
        order = np.argsort(corners, axis=1)
        corners = np.take_along_axis(corners, order, axis=1)
        points = np.take_along_axis(tetrahedra, order, axis=1)
        first = np.searchsorted(targets, corners[:, 0], side="right")
        last = np.searchsorted(targets, corners[:, 3], side="left")
        mean = properties[:, band][points].mean(axis=1)
        for p in range(shape[1]):
            filled[:, p] += np.bincount(last, weights=mean[:, p], minlength=len(targets) + 1)
        counts = np.maximum(last - first, 0)
        hit = np.flatnonzero(counts)
        for some in np.array_split(hit, max(1, int(counts.sum()) // PIECE)):
            which = np.repeat(some, counts[some])
            rank = np.arange(len(which)) - np.repeat(np.cumsum(counts[some]) - counts[some],
                                                     counts[some])  # fmt: skip
            target = first[which] + rank
            delta, step = corner_weights(corners[which].T, targets[target])
            values = properties[:, band][points[which]]
            for weights, result in ((delta, density), (step, number)):
                for p in range(shape[1]):
                    terms = np.einsum("cn,nc->n", weights, values[:, :, p])
                    result[:, p] += np.bincount(target, weights=terms, minlength=len(targets))
    number += np.cumsum(filled[:-1], axis=0)
    return density / len(tetrahedra), number / len(tetrahedra)


def corner_weights(e: Array, energy: Array) -> tuple[Array, Array]:
    """Return delta- and step-function weights of the four corners, each (4, n).

    Parameters
    ----------
    e : ndarray, (4, n)
        Ascending energies of the corners.
    energy : ndarray, (n,)
        Strictly between the lowest and the highest corner. For a tetrahedron of volume 1: the
        weights of a step above all corners would be 1/4 each.
    """
    delta, step = np.empty_like(e), np.empty_like(e)
    low = energy <= e[1]
    high = ~low & (energy >= e[2])
    middle = ~low & ~high
    for case, formula in ((low, _low), (middle, _middle), (high, _high)):
        if case.any():
            delta[:, case], step[:, case] = formula(energy[case], *e[:, case])
    return delta, step


def _low(w: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> tuple[Array, Array]:
    """Below the second corner; ``f`` are the fractions of the edges that are below."""
    x = w - e1
    f2, f3, f4 = x / (e2 - e1), x / (e3 - e1), x / (e4 - e1)
    rest = 4.0 - f2 - f3 - f4
    slope = f2 * f3 / (e4 - e1)
    part = 0.25 * f2 * f3 * f4
    corners = np.array([rest - 1.0, f2, f3, f4])
    return slope * corners, part * np.array([rest, f2, f3, f4])


def _high(w: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> tuple[Array, Array]:
    """Above the third corner; ``f`` are the fractions of the edges that are above."""
    x = e4 - w
    f1, f2, f3 = x / (e4 - e1), x / (e4 - e2), x / (e4 - e3)
    rest = 4.0 - f1 - f2 - f3
    slope = f2 * f3 / (e4 - e1)
    part = 0.25 * f1 * f2 * f3
    corners = np.array([f1, f2, f3, rest - 1.0])
    return slope * corners, 0.25 - part * np.array([f1, f2, f3, rest])


def _middle(w: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> tuple[Array, Array]:
    f31, f41 = (w - e1) / (e3 - e1), (w - e1) / (e4 - e1)
    f32, f42 = (w - e2) / (e3 - e2), (w - e2) / (e4 - e2)
    f13, f14, f23, f24 = 1.0 - f31, 1.0 - f41, 1.0 - f32, 1.0 - f42
    # The section is a quadrangle: two triangles.
    a, b = f31 * f23 / (e4 - e1), f32 * f24 / (e4 - e1)
    delta = np.array(
        [a * (f13 + f14) + b * f14, a * f23 + b * (f23 + f24), a * (f31 + f32) + b * f32,
         a * f41 + b * (f41 + f42)]
    )  # fmt: skip
    # The part below is three tetrahedra.
    c1, c2, c3 = 0.25 * f31 * f41, 0.25 * f41 * f32 * f13, 0.25 * f32 * f42 * f14
    all_three = c1 + c2 + c3
    step = np.array(
        [
            c1 + (c1 + c2) * f13 + all_three * f14,
            all_three + (c2 + c3) * f23 + c3 * f24,
            (c1 + c2) * f31 + (c2 + c3) * f32,
            all_three * f41 + c3 * f42,
        ]
    )
    return delta, step
