"""Band edges and gaps: a scan of a mesh, then refinement off it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.electron.extremum import Objective, equal_points, find_minimum, local_minima, star
from elphant.electron.interpolation import BandInterpolation
from elphant.electron.velocity import DEGENERACY_TOLERANCE
from elphant.errors import PhysicsError
from elphant.grids.irreducible import irreducible_mesh, reciprocal_operations
from elphant.orbitals import LocalOrbitalHamiltonian, band_energies

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Other valleys are listed up to this far (eV) from the edge.
VALLEY_WINDOW = 0.1

#: Minima of the scan up to this far (eV) from the lowest are refined, at most MAX_CANDIDATES.
SCAN_WINDOW, MAX_CANDIDATES = 0.2, 6

#: Points of the scan per step of the mesh.
SCAN_REFINEMENT = 4

#: Valleys at one energy (eV) to this accuracy count as equally deep.
EQUAL_ENERGY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandEdge:
    """An extremum of a band.

    Attributes
    ----------
    k_point : ndarray, (3,)
        In the reciprocal lattice of the cell, in (-1/2, 1/2].
    energy : float, eV
        On the energy zero of the Hamiltonian.
    band : int
        Counted from 0.
    degeneracy : int
        Bands that meet there.
    multiplicity : int
        Number of equivalent points in the Brillouin zone.
    """

    k_point: Array
    energy: float
    band: int
    degeneracy: int
    multiplicity: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k_point", checked_array("k_point", self.k_point, (3,)))

    def to_dict(self, zero: float = 0.0) -> dict[str, Any]:
        """Return plain JSON, with the energy relative to ``zero``."""
        return {
            "k_point": self.k_point.tolist(),
            "energy": self.energy - zero,
            "band": self.band,
            "degeneracy": self.degeneracy,
            "multiplicity": self.multiplicity,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BandEdges:
    """Edges and gaps of a semiconductor.

    Attributes
    ----------
    valence, conduction : BandEdge
        The valence-band maximum and the conduction-band minimum.
    gap : float, eV
    kind : {"direct", "indirect"}
        Whether the two edges share a k point.
    direct_gap : float, eV
        Smallest vertical gap, at ``direct_gap_k`` (3,).
    valence_valleys, conduction_valleys : tuple of BandEdge
        Inequivalent extrema within the window, the edge itself first.
    """

    valence: BandEdge
    conduction: BandEdge
    gap: float
    kind: Literal["direct", "indirect"]
    direct_gap: float
    direct_gap_k: Array
    valence_valleys: tuple[BandEdge, ...]
    conduction_valleys: tuple[BandEdge, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the ``band_gap`` record of ``results.json``; energies from the valence edge."""
        zero = self.valence.energy
        return {
            "value": self.gap,
            "unit": "eV",
            "kind": self.kind,
            "direct_value": self.direct_gap,
            "direct_k_point": self.direct_gap_k.tolist(),
            "valence": self.valence.to_dict(zero),
            "conduction": self.conduction.to_dict(zero),
            "valence_valleys": [valley.to_dict(zero) for valley in self.valence_valleys],
            "conduction_valleys": [valley.to_dict(zero) for valley in self.conduction_valleys],
            "is_metal": False,
        }


def find_band_edges(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: Sequence[int] | Integers,
    symmetry: Symmetry | None = None,
    *,
    interpolation: BandInterpolation | None = None,
    window: float = VALLEY_WINDOW,
) -> BandEdges:
    """Find the band edges, other valleys near them, and the direct gap.

    k·p models at the points of the mesh are scanned on a finer mesh; the position and energy of
    every minimum are then refined with exact bands, limited by H(R) alone.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : sequence of int, (3,)
        Γ-centred mesh; :func:`elphant.grids.mesh_from_spacing` with 0.2 Å⁻¹ or finer.
    symmetry : Symmetry, optional
        Of the crystal. Without it only time reversal is used.
    interpolation : BandInterpolation, optional
        Models of :func:`edge_interpolation` for this mesh, where they exist already.
    window : float, eV
        Valleys up to this far from the edge are listed.

    Raises
    ------
    PhysicsError
        If bands cross the gap: a metal or semimetal.
    """
    occupied = hamiltonian.n_occupied
    if not 0 < occupied < hamiltonian.n_orbitals:
        raise PhysicsError(
            f"{hamiltonian.n_electrons:g} electrons fill {occupied} of "
            f"{hamiltonian.n_orbitals} bands.",
            "There is no gap without filled and empty bands.",
            "Check the electron number, or use a basis with more orbitals.",
        )
    rotations = np.eye(3, dtype=np.int64)[None] if symmetry is None else symmetry.rotations
    operations = reciprocal_operations(rotations)
    if interpolation is None:
        interpolation = edge_interpolation(hamiltonian, mesh, symmetry)
    search = _Search(interpolation, operations)
    valence, conduction, direct_k, direct_gap = search.edges(occupied, window)
    gap = conduction[0].energy - valence[0].energy
    _require_gap(valence[0].energy, conduction[0].energy)
    shared = any(
        equal_points(v.k_point, image)
        for v in valence
        if valence[0].energy - v.energy < EQUAL_ENERGY
        for c in conduction
        if c.energy - conduction[0].energy < EQUAL_ENERGY
        for image in star(c.k_point, operations)
    )
    return BandEdges(
        valence=valence[0],
        conduction=conduction[0],
        gap=gap,
        kind="direct" if shared else "indirect",
        direct_gap=direct_gap,
        direct_gap_k=direct_k,
        valence_valleys=valence,
        conduction_valleys=conduction,
    )


def edge_interpolation(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: Sequence[int] | Integers,
    symmetry: Symmetry | None = None,
    progress: Callable[[int], None] | None = None,
) -> BandInterpolation:
    """Return the interpolation of the bands on both sides of the gap from a Γ-centred mesh.

    One diagonalisation per irreducible point. The highest four valence and the lowest four
    conduction bands are wanted; the models contain more.
    """
    occupied = hamiltonian.n_occupied
    bands = (max(occupied - 4, 0), min(occupied + 4, hamiltonian.n_orbitals))
    rotations = None if symmetry is None else symmetry.rotations
    return BandInterpolation(hamiltonian, irreducible_mesh(mesh, rotations), bands, progress)


def _require_gap(top: float, bottom: float) -> None:
    if bottom - top < DEGENERACY_TOLERANCE:
        raise PhysicsError(
            f"the highest valence energy lies {top - bottom:.3f} eV above the lowest conduction "
            "energy: the crystal is a metal or semimetal in this Hamiltonian.",
            "Band edges, masses and carriers of a semiconductor are not defined. Semilocal "
            "functionals and small basis sets also close small gaps.",
            "Check the structure, the electron number and the level of theory.",
        )


class _Search:
    """Refinement of what a scan of interpolated bands finds."""

    def __init__(self, interpolation: BandInterpolation, operations: Integers) -> None:
        self.hamiltonian, self.operations = interpolation.hamiltonian, operations
        self.first_band, self.coarse = interpolation.bands[0], interpolation.mesh
        # Rotations and their inverse transposes on k exchange roles; the group is the same.
        rotations = np.swapaxes(np.rint(np.linalg.inv(operations)).astype(np.int64), 1, 2)
        self.mesh = irreducible_mesh(self.coarse.mesh * SCAN_REFINEMENT, rotations)
        self.energies = interpolation.energies(self.mesh.points)
        occupied = self.hamiltonian.n_occupied - self.first_band
        models = [interpolation.model(i).all_energies for i in range(self.coarse.n_points)]
        exact = np.array(models)[:, self.first_band : interpolation.bands[1]]
        _require_gap(float(exact[:, occupied - 1].max()), float(exact[:, occupied].min()))

    def edges(
        self, occupied: int, window: float
    ) -> tuple[tuple[BandEdge, ...], tuple[BandEdge, ...], Array, float]:
        """Return valence and conduction valleys, and k point and size of the direct gap."""
        valence = self.minima(Objective(terms=((occupied - 1, -1),)))
        conduction = self.minima(Objective(terms=((occupied, 1),)))
        starts = [valence[0][0], conduction[0][0]]
        direct = self.minima(Objective(terms=((occupied, 1), (occupied - 1, -1))), starts)
        # What one search found is a start for the others: no gap above the direct gap.
        starts = [direct[0][0], *starts]
        valence = self.minima(Objective(terms=((occupied - 1, -1),)), starts, valence)
        conduction = self.minima(Objective(terms=((occupied, 1),)), starts, conduction)
        edges = [
            tuple(
                self._edge(k, sign * value, band)
                for k, value in found
                if value - found[0][1] <= window
            )
            for found, sign, band in ((valence, -1, occupied - 1), (conduction, 1, occupied))
        ]
        return edges[0], edges[1], *direct[0]

    def minima(
        self,
        objective: Objective,
        starts: Sequence[Array] = (),
        known: Sequence[tuple[Array, float]] | None = None,
    ) -> list[tuple[Array, float]]:
        """Return refined minima (k point, value), inequivalent, the lowest first.

        They start from the minima of the scan (unless results are ``known``), and from ``starts``.
        """
        points = list(starts)
        if known is None:
            values = objective.of(self.energies, self.first_band)[self.mesh.representative]
            found = local_minima(values, self.mesh.mesh)
            found = found[values[found] < values.min() + SCAN_WINDOW]
            irreducible = list(dict.fromkeys(self.mesh.representative[found].tolist()))
            points = self._distinct([self.mesh.points[i] for i in irreducible]) + points
        box = 0.3 / np.maximum(self.coarse.mesh, 2)
        results = list(known or ())
        for start in points:
            if any(equal_points(k, start, 1e-3) for other, _ in results for k in self._star(other)):
                continue
            k, value = find_minimum(self.hamiltonian, start, objective, box, self.operations)
            images = self._star(k)
            if not any(equal_points(k_, other, 1e-3) for k_ in images for other, _ in results):
                results.append((_representative(images), value))
        return sorted(results, key=lambda result: result[1])

    def _distinct(self, points: Sequence[Array]) -> list[Array]:
        """Return the first points, without those within half a coarse step of an earlier one."""
        kept: list[Array] = []
        for point in points:
            images = self._star(point)
            offsets = [image - other for other in kept for image in images]
            steps = [(offset - np.rint(offset)) * self.coarse.mesh for offset in offsets]
            if all(np.abs(step).max() > 0.51 for step in steps):
                kept.append(point)
        return kept[:MAX_CANDIDATES]

    def _star(self, k: Array) -> Array:
        return star(k, self.operations)

    def _edge(self, k: Array, energy: float, band: int) -> BandEdge:
        energies = band_energies(self.hamiltonian, k[None])[0]
        return BandEdge(
            k_point=k,
            energy=energy,
            band=band,
            degeneracy=int((np.abs(energies - energies[band]) <= DEGENERACY_TOLERANCE).sum()),
            multiplicity=len(star(k, self.operations)),
        )


def _representative(images: Array) -> Array:
    """Return the point of a star with the most positive components, a stable choice."""
    rounded = np.round(images, 6)
    order = np.lexsort((-rounded[:, 2], -rounded[:, 1], -rounded[:, 0], (rounded < 0).sum(axis=1)))
    return np.asarray(images[order[0]] + 0.0)
