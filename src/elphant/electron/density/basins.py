"""Attractors of the electron localisation function and what their basins hold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.arrays import checked_array
from elphant.electron.density.localization import ElectronLocalization
from elphant.electron.density.watershed import Ascent, ascent

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Attractors that rise less than this (in ELF) above the pass to a neighbour are one with it.
PERSISTENCE = 0.005

#: Passes that differ less than this count as equal: symmetry makes them so up to round-off.
EQUAL = 1e-7

#: ELF surfaces whose enclosed volume is given for each basin.
ELF_LEVELS = (0.5, 0.6, 0.7, 0.8)

#: Curvatures along which a maximum is not refined, relative to its largest curvature.
FLATTEST = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basins:
    """Attractors of a field, highest first, and the integrals over their basins.

    Attributes
    ----------
    positions : ndarray, (n_basins, 3)
        Fractional coordinates in [0, 1) of the attractors, refined below the grid.
    maxima : ndarray, (n_basins,)
        Value of the field there.
    persistence : ndarray, (n_basins,)
        Height of the attractor above the highest pass to another basin; infinite for a single one.
    spreads : ndarray, (n_basins,) Å
        Root mean square distance of the merged maxima from the attractor: 0 for a single one, the
        radius of a ring or shell.
    populations : ndarray, (n_basins,) e
    volumes : ndarray, (n_basins,) Å³
    level_volumes : ndarray, (n_levels, n_basins) Å³
        Part of the basin in which the field exceeds each of ``levels``.
    levels : ndarray, (n_levels,)
    labels : ndarray of int, (n1, n2, n3)
        Basin of each grid point by steepest ascent along grid directions: for drawing and for
        finding neighbours. Integrals share boundary points and do not use it.
    """

    positions: Array
    maxima: Array
    persistence: Array
    spreads: Array
    populations: Array
    volumes: Array
    level_volumes: Array
    levels: Array
    labels: Integers

    def __post_init__(self) -> None:
        n = len(self.positions)
        levels = checked_array("levels", self.levels, (None,))
        object.__setattr__(self, "levels", levels)
        for name, shape in (
            ("positions", (n, 3)),
            ("maxima", (n,)),
            ("spreads", (n,)),
            ("populations", (n,)),
            ("volumes", (n,)),
            ("level_volumes", (len(levels), n)),
        ):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), shape))
        persistence = np.array(self.persistence, dtype=float)
        persistence.setflags(write=False)
        object.__setattr__(self, "persistence", persistence)
        labels = checked_array("labels", self.labels, (None, None, None), np.int64)
        object.__setattr__(self, "labels", labels)

    @property
    def n_basins(self) -> int:
        """Number of attractors."""
        return len(self.positions)


def localization_basins(
    localization: ElectronLocalization,
    *,
    persistence: float = PERSISTENCE,
    levels: ArrayLike = ELF_LEVELS,
) -> Basins:
    """Return the ELF basins of a crystal; see :func:`find_basins`.

    Where ELF is zero because the density is below its floor, basins follow the density instead,
    so that such points join the atoms around and all electrons are counted.
    """
    elf, density = np.asarray(localization.elf), localization.density
    floor = localization.density_floor
    if floor > 0.0:
        # Between -1e-3 and 0: below every point with an ELF, and never a lasting maximum.
        elf = np.where(density > floor, elf, 1e-3 * (density / floor - 1.0))
    return find_basins(
        elf, localization.crystal.lattice, density, persistence=persistence, levels=levels
    )


def find_basins(
    field: ArrayLike,
    lattice: ArrayLike,
    density: ArrayLike,
    *,
    persistence: float = PERSISTENCE,
    levels: ArrayLike = ELF_LEVELS,
) -> Basins:
    """Return attractors and basins of ``field``, with integrals of ``density`` over them.

    Parameters
    ----------
    field : array_like, (n1, n2, n3)
        On grid points i/n of the cell.
    lattice : array_like, (3, 3) Å
    density : array_like, (n1, n2, n3) e/Å³
    persistence : float
        Maxima that rise less than this above the pass to a neighbouring maximum are merged with
        it, the least lasting first: those the grid makes, and the many maxima of a ring or shell
        (an attractor that is a line or a surface). A merged attractor lies at the mean of its
        maxima that are within ``persistence`` of the highest.
    levels : array_like, (n_levels,)
        Values of the field for :attr:`Basins.level_volumes`.
    """
    field, lattice = np.asarray(field, dtype=float), np.asarray(lattice, dtype=float)
    climb = ascent(field, lattice)
    shares, lasting = merge(field.ravel()[climb.maxima], climb.saddles(), persistence)
    group = shares.argmax(axis=1)
    point_volume = abs(float(np.linalg.det(lattice))) / field.size
    thresholds = np.asarray(levels, dtype=float)
    amounts = np.stack(
        [np.asarray(density, dtype=float), np.ones_like(field)]
        + [(field > level).astype(float) for level in thresholds]
    )
    sums = point_volume * climb.collect(amounts) @ shares
    positions, heights, spreads = _attractors(climb, lattice, shares, persistence)
    return Basins(
        positions=positions,
        maxima=heights,
        persistence=lasting,
        spreads=spreads,
        populations=sums[0],
        volumes=sums[1],
        level_volumes=sums[2:],
        levels=thresholds,
        labels=group[climb.labels],
    )


def merge(
    maxima: ArrayLike, saddles: dict[tuple[int, int], float], persistence: float
) -> tuple[Array, Array]:
    """Merge maxima that do not last.

    The least lasting maximum is merged first, with the higher basin across its highest pass; among
    several passes of equal height its content is divided equally, as symmetry demands.

    Parameters
    ----------
    maxima : array_like, (n_maxima,)
        Heights, in descending order.
    saddles : dict
        Highest pass between touching pairs (a < b).
    persistence : float

    Returns
    -------
    shares : ndarray, (n_maxima, n_basins)
        Share of each maximum in the merged basins, which keep the order of their highest maxima.
    lasting : ndarray, (n_basins,)
        Height of each merged basin above its highest pass.
    """
    heights = np.asarray(maxima, dtype=float)
    shares = np.eye(len(heights))
    passes: list[dict[int, float]] = [{} for _ in heights]
    for (a, b), height in saddles.items():
        passes[a][b] = passes[b][a] = height
    alive = set(range(len(heights)))
    while True:
        # The lower of two maxima is the one with the larger number.
        least, lower = min(
            ((heights[b] - height, b) for b in alive for a, height in passes[b].items() if a < b),
            default=(np.inf, -1),
        )
        if not least < persistence:
            break
        top = heights[lower] - least
        upper = [a for a, height in passes[lower].items() if a < lower and height > top - EQUAL]
        shares[:, upper] += shares[:, lower, None] / len(upper)
        shares[:, lower] = 0.0
        alive.discard(lower)
        for other, height in passes[lower].items():
            del passes[other][lower]
            for a in upper:
                if other != a:
                    reached = max(min(height, top), passes[a].get(other, -np.inf))
                    passes[a][other] = passes[other][a] = reached
        passes[lower] = {}
    kept = sorted(alive)
    lasting = [heights[a] - max(passes[a].values(), default=-np.inf) for a in kept]
    return shares[:, kept], np.array(lasting)


def _attractors(
    climb: Ascent, lattice: Array, shares: Array, persistence: float
) -> tuple[Array, Array, Array]:
    """Return fractional positions, values and spreads of the attractors of merged basins."""
    heights = climb.field.ravel()[climb.maxima]
    n_basins = shares.shape[1]
    positions, values, spreads = np.empty((n_basins, 3)), np.empty(n_basins), np.empty(n_basins)
    for basin in range(n_basins):
        # A maximum between equal basins is divided and belongs to the place of none.
        members = np.flatnonzero(shares[:, basin] > 0.99)
        members = members[heights[members] > heights[members[0]] - persistence]
        refined = [refined_maximum(climb.field, int(climb.maxima[index])) for index in members]
        points = np.array([point for point, _ in refined])
        points -= np.round(points - points[0])
        mean = points.mean(axis=0)
        spreads[basin] = np.sqrt((((points - mean) @ lattice) ** 2).sum(axis=1).mean())
        positions[basin] = mean % 1.0
        values[basin] = max(value for _, value in refined)
    # x % 1 of a tiny negative number is 1.
    positions[positions > 1.0 - 1e-9] = 0.0
    return positions, values, spreads


#: The 27 grid points around a maximum, and the least-squares fit of a quadratic form to them.
_STENCIL = np.array(list(product((-1, 0, 1), repeat=3)))
_MONOMIALS = np.column_stack(
    [np.ones(27), _STENCIL]
    + [_STENCIL[:, a] * _STENCIL[:, b] for a in range(3) for b in range(a, 3)]
)
_FIT = np.linalg.pinv(_MONOMIALS)


def refined_maximum(field: Array, index: int) -> tuple[Array, float]:
    """Return fractional position and height of the maximum at a grid point, (3,) and a number.

    A quadratic form is fitted to the 27 points around; the correction is at most one step along
    each axis. Directions without a clear downward curvature (a ring, a plateau) are not moved.
    """
    shape = np.array(field.shape)
    address = np.array(np.unravel_index(index, field.shape))
    around = (address + _STENCIL) % shape
    values = field[around[:, 0], around[:, 1], around[:, 2]]
    c = _FIT @ values
    gradient = c[1:4]
    hessian = np.empty((3, 3))
    rows, columns = np.triu_indices(3)
    hessian[rows, columns] = hessian[columns, rows] = c[4:]
    hessian[range(3), range(3)] *= 2.0
    curvature, axes = np.linalg.eigh(hessian)
    clear = curvature < -FLATTEST * np.abs(curvature).max()
    along = axes.T @ gradient
    step = axes[:, clear] @ (-along[clear] / curvature[clear])
    if (np.abs(step) > 1.0).any():
        step = np.zeros(3)
    # The fitted form only says how much is gained over its own value at the grid point.
    gain = gradient @ step + 0.5 * step @ hessian @ step
    return (address + step) / shape, float(values[13] + max(gain, 0.0))
