r"""Scattering of carriers by phonons on a mesh.

.. math:: K_{\lambda l'} = \frac{2\pi}{\hbar N} \sum_\nu |g_{l'\lambda\nu}|^2\,
          \frac{\delta(\varepsilon' - \varepsilon - \hbar\omega)
          + \delta(\varepsilon' - \varepsilon + \hbar\omega)}{2 \sinh(\hbar\omega / 2 k_B T)},
          \qquad g_\nu = \sum_{\kappa\alpha} \sqrt{\frac{\hbar}{2 M_\kappa \omega_\nu}}\,
          e_{\kappa\alpha,\nu}(q)\, g_{\kappa\alpha}, \quad q = k' - k

(S. Poncé, W. Li, S. Reichardt and F. Giustino, Rep. Prog. Phys. 83, 036501 (2020), section 3,
multiplied by :math:`\sqrt{f(1-f)}` of both states, which makes it symmetric and independent of
the chemical potential.) λ runs over irreducible states, l' over all states of the window.

States are sorted by energy, so that a block of initial states meets only the final states within
the largest phonon energy. :class:`PairSums` yields blocks of pairs with everything resolved by
phonon mode; kernels and attributions are different sums over the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from elphant.coupling.long_range import LongRangeCoupling
from elphant.coupling.vertex import BlochStates, CouplingVertex, Kets
from elphant.electron.transport.delta import (
    CUT,
    TetrahedronTable,
    adaptive_widths,
    gaussian_weights,
    pair_widths,
    phonon_gaussians,
    step_metric,
    thermal_balance,
)
from elphant.electron.transport.window import WindowStates
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS, PLANCK_EV_PS, ZERO_POINT_SQUARE

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]
Kind = Literal["adaptive", "gaussian", "tetrahedron"]

#: Parts of |g|²: long-range, short-range, and their interference.
PARTS = ("polar", "short", "interference")

#: Modes below this frequency (THz) are left out: the acoustic ones at q = 0, and imaginary ones.
LOWEST_THZ = 0.02

#: Initial and final states handled at a time.
KETS_AT_ONCE, BRAS_AT_ONCE = 64, 192

#: Bytes of phonon modes contracted at a time.
MODE_BYTES = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSettings:
    """Energy conservation on a finite mesh.

    Attributes
    ----------
    kind : {"adaptive", "gaussian", "tetrahedron"}
        Gaussians with the spread of the energy over a mesh cell, or of one width; or linear
        tetrahedra of the electron energies.
    width : float or None, eV
        Standard deviation of a fixed Gaussian.
    scale : float
        Factor on adaptive widths.
    """

    kind: Kind = "adaptive"
    width: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if (self.kind == "gaussian") != (self.width is not None):
            raise ValueError("a fixed Gaussian needs a width, others have none")

    @property
    def label(self) -> str:
        """Label stored in ``results.json``."""
        if self.width is not None:
            return f"gaussian {self.width:g} eV"
        return self.kind if self.scale == 1.0 else f"{self.kind} x {self.scale:g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairBlock:
    """Pairs of states with couplings resolved by mode.

    Attributes
    ----------
    row : ndarray of int, (n,)
        Irreducible states λ.
    column : ndarray of int, (n,)
        Full states l'.
    square : dict of str to ndarray, (n, n_modes) eV²
        Polar, short-range and interference parts of |g|².
    omega : ndarray, (n, n_modes) eV
        Phonon energies.
    delta : ndarray, (n, n_modes) eV⁻¹
        Sum of the delta functions of absorption and emission.
    difference : ndarray, (n,) eV
        Energy of the final state less that of the initial one.
    """

    row: Integers
    column: Integers
    square: dict[str, Array]
    omega: Array
    delta: Array
    difference: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatteringKernels:
    """Collision kernels at several temperatures.

    Attributes
    ----------
    temperatures : tuple of float, K
    parts : dict of str to list of csr_array, (n, n_full) ps⁻¹
        For each of :data:`PARTS`, one kernel per temperature.
    n_pairs : int
        Pairs of states whose matrix elements were computed.
    """

    temperatures: tuple[float, ...]
    parts: dict[str, list[csr_array]]
    n_pairs: int

    def total(self, index: int) -> csr_array:
        """Return the whole kernel at one temperature."""
        return csr_array(sum(self.parts[name][index] for name in self.parts))

    def remaining(self, index: int) -> csr_array:
        """Return what the polar part leaves: short range and interference."""
        kept = [self.parts[name][index] for name in self.parts if name != "polar"]
        return csr_array(sum(kept)) if kept else csr_array(self.total(index).shape)


class PairSums:
    """All pairs of states of a window that phonons connect.

    Parameters
    ----------
    window : WindowStates
    vertex : CouplingVertex
    phonons : UnitCellPhonons
    long_range : LongRangeCoupling or None
    delta : DeltaSettings
    lowest_thz : float
        Modes below this frequency are left out.
    """

    def __init__(
        self,
        window: WindowStates,
        vertex: CouplingVertex,
        phonons: UnitCellPhonons,
        long_range: LongRangeCoupling | None,
        delta: DeltaSettings,
        *,
        lowest_thz: float = LOWEST_THZ,
    ) -> None:
        self.window, self.vertex, self.delta = window, vertex, delta
        self._lowest = lowest_thz * PLANCK_EV_PS
        self.long_range, self._phonons = long_range, phonons
        self.energies = window.energies[tuple(window.full_states.T)]
        self.columns = np.argsort(self.energies, kind="stable")
        point, band = window.irreducible_states.T
        self._row_points = window.irreducible[point]
        self._row_bands = band
        self.row_energies = window.energies[self._row_points, band]
        self.rows = np.argsort(self.row_energies, kind="stable")

    @property
    def n_points(self) -> int:
        """Points of the full mesh."""
        return int(np.prod(self.window.divisions))

    @cached_property
    def modes(self) -> _Modes:
        """Phonons at all wave vectors between the irreducible and all points."""
        return _Modes.of(self.window, self._phonons, self.long_range)

    @cached_property
    def widths(self) -> Array:
        """Standard deviation of the delta function of every full state, (n_full,) eV.

        Of Gaussians; for tetrahedra the reach of a mesh cell, which bounds the search for partners.
        """
        if self.delta.width is not None:
            return np.full(len(self.energies), self.delta.width)
        w = self.window
        # Averaged over the point group, so that equivalent states have equal widths.
        metric = step_metric(w.steps, w.rotations_cartesian)
        velocities = w.velocities[tuple(w.full_states.T)]
        return adaptive_widths(velocities, metric, scale=self.delta.scale)

    @cached_property
    def _tetrahedra(self) -> TetrahedronTable:
        table = TetrahedronTable.of(self.window)
        # States of a degenerate set have a common weight, as they have a common width.
        average = _averaging(self._row_points, self.row_energies)
        return table if average is None else replace(table, values=average @ table.values)

    def blocks(self, observe: Callable[[int, int], None] | None = None) -> Iterator[PairBlock]:
        """Yield all pairs; ``observe`` is told how many of how many initial states are done."""
        bras = self._bras
        reach = self.modes.largest_energy + CUT * float(self.widths.max())
        ordered = self.energies[self.columns]
        for start in range(0, len(self.rows), KETS_AT_ONCE):
            rows = self.rows[start : start + KETS_AT_ONCE]
            e = self.row_energies[rows]
            first = int(np.searchsorted(ordered, e.min() - reach))
            last = int(np.searchsorted(ordered, e.max() + reach, side="right"))
            kets = self._kets(rows)
            for begin in range(first, last, BRAS_AT_ONCE):
                part = slice(begin, min(begin + BRAS_AT_ONCE, last))
                block = self._block(bras.part(part), kets, self.columns[part], rows)
                if block is not None:
                    yield block
            if observe is not None:
                observe(min(start + KETS_AT_ONCE, len(self.rows)), len(self.rows))

    def elastic_blocks(self) -> Iterator[tuple[Integers, Integers, Array, Array, Array]]:
        """Yield row, column, Cartesian q (Å⁻¹), squared overlap and delta of elastic pairs.

        The shortest image of q is taken; a state with itself is left out, since scattering by zero
        changes nothing.
        """
        w = self.window
        inverse = np.linalg.inv(self.vertex.hamiltonian.crystal.lattice)
        reciprocal = np.asarray(2.0 * np.pi * inverse.T)
        bras = self._bras
        reach = CUT * float(self.widths.max())
        ordered = self.energies[self.columns]
        fractional = self.vertex.hamiltonian.crystal.fractional
        place = np.argsort(self.columns)
        for start in range(0, len(self.rows), KETS_AT_ONCE):
            rows = self.rows[start : start + KETS_AT_ONCE]
            e = self.row_energies[rows]
            first = int(np.searchsorted(ordered, e.min() - reach))
            last = int(np.searchsorted(ordered, e.max() + reach, side="right"))
            # The rows are among the final states, and charges need no derivative of H.
            kets = bras.part(place[self._full_of_row[rows]])
            for begin in range(first, last, BRAS_AT_ONCE):
                part = slice(begin, min(begin + BRAS_AT_ONCE, last))
                columns = self.columns[part]
                rho = self.vertex.transition_charges(bras.part(part), kets)[:, :, 0, 0]
                steps = (
                    w.addresses[w.full_states[columns, 0]][:, None]
                    - w.addresses[self._row_points[rows]][None]
                )
                fraction = steps.astype(np.float64) / w.divisions
                q = _shortest(fraction - np.rint(fraction), reciprocal)
                overlap = np.abs((rho * np.exp(2j * np.pi * (q @ fractional.T))).sum(axis=2)) ** 2
                x = self.energies[columns][:, None] - self.row_energies[rows][None]
                full_of_row = self._full_of_row[rows]
                sigma = pair_widths(self.widths[columns][:, None], self.widths[full_of_row][None])
                delta = gaussian_weights(x, sigma)
                keep = (delta > 0.0) & (columns[:, None] != full_of_row[None])
                column, row = np.nonzero(keep)
                yield rows[row], columns[column], q[keep] @ reciprocal, overlap[keep], delta[keep]

    @cached_property
    def _bras(self) -> BlochStates:
        """Return all states as points with one band each, sorted by energy."""
        w = self.window
        points, bands = w.full_states[self.columns].T
        c = w.coefficients[points, :, bands][:, :, None]
        energies = w.energies[points, bands][:, None]
        return self.vertex.bras(w.k_points[points], energies, c)

    def _kets(self, rows: Integers) -> Kets:
        w = self.window
        points, bands = self._row_points[rows], self._row_bands[rows]
        c = w.coefficients[points, :, bands][:, :, None]
        return self.vertex.kets(w.k_points[points], w.energies[points, bands][:, None], c)

    def _block(
        self, bras: BlochStates, kets: Kets, columns: Integers, rows: Integers
    ) -> PairBlock | None:
        w, modes = self.window, self.modes
        final = w.addresses[w.full_states[columns, 0]]
        initial = w.addresses[self._row_points[rows]]
        place, conjugated = modes.find(final[:, None] - initial[None])
        difference = self.energies[columns][:, None] - self.row_energies[rows][None]
        sigma = pair_widths(
            self.widths[columns][:, None], self.widths[self._full_of_row[rows]][None]
        )
        near = np.abs(difference) < modes.largest_energy + CUT * sigma
        if not near.any():
            return None
        omega = modes.energies[place[near]]
        delta = self._delta(near, columns, rows, difference[near], omega, sigma[near])
        delta[omega < self._lowest] = 0.0
        alive = (delta > 0.0).any(axis=1)
        if not alive.any():
            return None
        near[near] = alive
        omega, delta = omega[alive], delta[alive]
        where, flip = place[near], conjugated[near]
        short = long = None
        if self.vertex.has_short_range:
            g = self.vertex.couple(bras, kets)[:, :, 0, 0][near]
            short = mode_sums(g.reshape(len(g), -1), modes.amplitudes, where, flip)
        if self.long_range is not None:
            rho = self.vertex.transition_charges(bras, kets.states)[:, :, 0, 0][near]
            assert modes.potentials is not None
            long = mode_sums(rho, modes.potentials, where, flip)
        column, row = np.nonzero(near)
        return PairBlock(
            row=rows[row],
            column=columns[column],
            square=_squares(short, long),
            omega=omega,
            delta=delta,
            difference=difference[near],
        )

    def _delta(
        self,
        near: NDArray[np.bool_],
        columns: Integers,
        rows: Integers,
        difference: Array,
        omega: Array,
        sigma: Array,
    ) -> Array:
        """Return the sum of both delta functions of the pairs marked in ``near``."""
        if self.delta.kind != "tetrahedron":
            return phonon_gaussians(difference, omega, sigma)
        final, initial = np.nonzero(near)
        image = self.window.images[columns[final]]
        return self._tetrahedra.phonon_weights(
            rows[initial], image, self.row_energies[rows[initial]],
            self.energies[columns[final]], omega,
        )  # fmt: skip

    @cached_property
    def _full_of_row(self) -> Integers:
        """Position among the full states of every irreducible state."""
        w = self.window
        table = {tuple(entry): i for i, entry in enumerate(w.full_states.tolist())}
        keys = zip(self._row_points.tolist(), self._row_bands.tolist(), strict=True)
        return np.array([table[key] for key in keys], dtype=np.int64)


def scattering_kernels(
    sums: PairSums,
    temperatures: Sequence[float],
    observe: Callable[[int, int], None] | None = None,
) -> ScatteringKernels:
    """Return the collision kernels of all parts at all temperatures."""
    shape = (len(sums.rows), len(sums.columns))
    parts = [
        name
        for name in PARTS
        if (name != "polar" or sums.long_range is not None)
        and (name != "short" or sums.vertex.has_short_range)
        and (name != "interference" or (sums.long_range and sums.vertex.has_short_range))
    ]
    rows, columns = [], []
    values: dict[str, list[list[Array]]] = {name: [[] for _ in temperatures] for name in parts}
    n_pairs = 0
    for block in sums.blocks(observe):
        rows.append(block.row)
        columns.append(block.column)
        n_pairs += len(block.row)
        for index, temperature in enumerate(temperatures):
            for name, rates in pair_rates(sums, block, temperature).items():
                values[name][index].append(rates.sum(axis=1))
    if not rows:
        empty = csr_array(shape)
        kernels = {name: [empty for _ in temperatures] for name in parts}
        return ScatteringKernels(temperatures=tuple(temperatures), parts=kernels, n_pairs=0)
    index_pair = (np.concatenate(rows), np.concatenate(columns))
    rows.clear()
    columns.clear()
    kernels = {}
    for name in parts:
        kernels[name] = []
        for per_temperature in values[name]:
            kernel = csr_array(coo_array((np.concatenate(per_temperature), index_pair), shape))
            per_temperature.clear()
            kernels[name].append(over_sets(sums.window, kernel))
    return ScatteringKernels(
        temperatures=tuple(float(t) for t in temperatures), parts=kernels, n_pairs=n_pairs
    )


def pair_rates(sums: PairSums, block: PairBlock, temperature: float) -> dict[str, Array]:
    """Return K of each pair, resolved by part and mode, (n, n_modes) ps⁻¹."""
    thermal = 2.0 * np.pi / (HBAR_EV_PS * sums.n_points) * block.delta
    thermal = thermal * _half_sinh(block.omega, temperature)
    thermal *= thermal_balance(np.abs(block.difference)[:, None] - block.omega, temperature)
    return {name: square * thermal for name, square in block.square.items()}


def over_sets(window: WindowStates, kernel: csr_array) -> csr_array:
    """Average a kernel over degenerate sets, of which single states have no meaning."""
    full, rows = window.full_states, window.irreducible_states
    right = _averaging(full[:, 0], window.energies[tuple(full.T)])
    points = window.irreducible[rows[:, 0]]
    left = _averaging(rows[:, 0], window.energies[points, rows[:, 1]])
    if left is not None:
        kernel = csr_array(left @ kernel)
    return kernel if right is None else csr_array(kernel @ right)


def _averaging(point: Integers, energy: Array) -> csr_array | None:
    """Return the matrix that averages over equal energies of one point; None if there are none."""
    from elphant.electron.velocity import DEGENERACY_TOLERANCE

    order = np.lexsort((energy, point))
    new = (np.diff(point[order], prepend=-1) != 0) | (
        np.diff(energy[order], prepend=-np.inf) > DEGENERACY_TOLERANCE
    )
    label = np.empty(len(order), dtype=np.int64)
    label[order] = np.cumsum(new) - 1
    count = np.bincount(label)
    if count.max(initial=1) == 1:
        return None
    n = len(label)
    member = csr_array((np.ones(n), (np.arange(n), label)), shape=(n, len(count)))
    scaled = csr_array((1.0 / count[label], (label, np.arange(n))), shape=(len(count), n))
    return csr_array(member @ scaled)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Modes:
    """Phonons at the wave vectors that pairs need; q and -q are stored once.

    Attributes
    ----------
    divisions : ndarray of int, (3,)
    place : ndarray of int, (n_mesh,)
        Where the phonons of each mesh point are stored; -1 where none are needed.
    flipped : ndarray of bool, (n_mesh,)
        Whether the stored ones are those of the opposite wave vector.
    energies : ndarray, (n_stored, n_modes) eV
    amplitudes : ndarray, (n_stored, 3 n_atoms, n_modes) Å
        Zero-point displacements, lattice phase.
    potentials : ndarray, (n_stored, n_atoms, n_modes) eV, or None
        Long-range potential of each mode on each atom.
    """

    divisions: Integers
    place: Integers
    flipped: NDArray[np.bool_]
    energies: Array
    amplitudes: Complex
    potentials: Complex | None

    @property
    def largest_energy(self) -> float:
        """Largest phonon energy, eV."""
        return float(self.energies.max())

    @classmethod
    def of(
        cls, window: WindowStates, phonons: UnitCellPhonons, long_range: LongRangeCoupling | None
    ) -> _Modes:
        divisions = np.asarray(window.divisions, dtype=np.int64)
        needed = np.zeros(int(divisions.prod()), dtype=bool)
        for origin in window.addresses[window.irreducible]:
            needed[_flat(window.addresses - origin, divisions)] = True
        addresses = np.stack(np.unravel_index(np.flatnonzero(needed), divisions), axis=-1)
        own = _flat(addresses, divisions)
        opposite = _flat(-addresses, divisions)
        stored = np.unique(np.minimum(own, opposite))
        place = np.full(len(needed), -1)
        place[own] = np.searchsorted(stored, np.minimum(own, opposite))
        flipped = np.zeros(len(needed), dtype=bool)
        flipped[own] = opposite < own
        q = np.stack(np.unravel_index(stored, divisions), axis=-1) / divisions
        q = q - np.rint(q)
        modes = phonons.modes(q)
        energies = np.maximum(modes.frequencies, 0.0) * PLANCK_EV_PS
        frequencies = np.maximum(modes.frequencies, LOWEST_THZ)
        zero_point = np.sqrt(
            ZERO_POINT_SQUARE / (np.repeat(modes.masses, 3)[None, :, None] * frequencies[:, None])
        )
        amplitudes = modes.eigenvectors * zero_point
        potentials = None
        if long_range is not None:
            potentials = np.empty((len(q), len(modes.masses), amplitudes.shape[2]), complex)
            for start in range(0, len(q), 1024):
                part = slice(start, start + 1024)
                W = long_range.site_potentials(q[part])
                W = W.reshape(*W.shape[:2], -1)
                potentials[part] = W @ amplitudes[part]
        return cls(
            divisions=divisions, place=place, flipped=flipped, energies=energies,
            amplitudes=amplitudes, potentials=potentials,
        )  # fmt: skip

    def find(self, difference: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        """Return place and whether to conjugate for differences (..., 3) of addresses."""
        index = _flat(difference, self.divisions)
        return self.place[index], self.flipped[index]


def _shortest(q: NDArray[Any], reciprocal: Array) -> Array:
    """Return the shortest images of wave vectors (..., 3) in [-1/2, 1/2]."""
    best, length = q, np.linalg.norm(q @ reciprocal, axis=-1)
    for shift in product((-1, 0, 1), repeat=3):
        image = q + np.array(shift)
        other = np.linalg.norm(image @ reciprocal, axis=-1)
        shorter = other < length - 1e-9
        best = np.where(shorter[..., None], image, best)
        length = np.where(shorter, other, length)
    return np.asarray(best)


def _flat(address: Integers, divisions: Integers) -> Integers:
    wrapped = np.mod(address, divisions)
    return np.asarray(
        (wrapped[..., 0] * divisions[1] + wrapped[..., 1]) * divisions[2] + wrapped[..., 2]
    )


def _half_sinh(omega: Array, temperature: float) -> Array:
    """Return 1/(2 sinh(ħω/2kT)) = sqrt(n(n+1)); zero where there is no phonon."""
    x = np.maximum(omega, LOWEST_THZ * PLANCK_EV_PS) / (2.0 * BOLTZMANN_EV * temperature)
    return np.asarray(1.0 / (2.0 * np.sinh(np.minimum(x, 350.0))))


def mode_sums(g: Complex, modes: Complex, where: Integers, flip: NDArray[np.bool_]) -> Complex:
    """Return sums over displacements or atoms for each pair and mode, up to a phase.

    Parameters
    ----------
    g : ndarray, (n, x)
    modes : ndarray, (n_stored, x, n_modes)
    where : ndarray of int, (n,)
        Which of the stored modes each pair has.
    flip : ndarray of bool, (n,)
        Pairs whose modes are the conjugates of the stored ones; their sums are returned conjugated,
        which changes no product of two of them.
    """
    order = np.argsort(where, kind="stable")
    g = np.where(flip[:, None], g.conj(), g)[order]
    sums = np.empty((len(g), modes.shape[2]), dtype=np.complex128)
    # Few enough at a time for the processor's cache.
    size = max(1, int(MODE_BYTES / modes[0].nbytes))
    for start in range(0, len(g), size):
        part = slice(start, start + size)
        sums[order[part]] = np.matmul(g[part, None], modes[where[order[part]]])[:, 0]
    return sums


def _squares(short: Complex | None, long: Complex | None) -> dict[str, Array]:
    """Return the parts of |g|²."""
    square: dict[str, Array] = {}
    if long is not None:
        square["polar"] = np.abs(long) ** 2
    if short is not None:
        square["short"] = np.abs(short) ** 2
    if short is not None and long is not None:
        square["interference"] = 2.0 * (short.conj() * long).real
    return square
