"""Cost of the levels of theory before they are computed: memory to refuse by, time to plan with.

Everything here follows from the crystal, its symmetry and the settings: no phonons and no force
constants are needed. The counts of wave vectors are exact up to :data:`EXACT_IMAGES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.errors import ResourceError
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.levels import LevelSettings
from elphant.phonon.scattering import four_phonon, three_phonon
from elphant.phonon.scattering.mesh import ReciprocalMesh, mesh_operations
from elphant.phonon.scattering.operator import components, memory_bytes

Array = NDArray[np.float64]
Mesh = tuple[int, int, int]

#: Meshes are reduced exactly while operations times points stay below this.
EXACT_IMAGES = 20_000_000

#: Bytes of the interpreter with its libraries and a small potential, before any array is made.
BASE_BYTES = 0.4e9

#: Most work items of a stage; the rows of one item are in memory together.
MAX_ITEMS = 48

#: Draws of a point that are in memory together in the last rounds of sampling.
LARGEST_SAMPLE = 2048

#: Steps of the search for a smaller mesh.
SHRINK = 0.97


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedCrystal:
    """Primitive cell of a crystal with its symmetry.

    Attributes
    ----------
    lattice : ndarray, (3, 3) Å
        Primitive vectors as rows.
    rotations : ndarray of int, (n, 3, 3)
        Of the space group, for fractional positions in the primitive cell.
    n_atoms : int
        Of the primitive cell.
    cutoff : float or None, Å
        Largest pair distance in a cluster of the third order, where it is known.
    """

    lattice: Array
    rotations: NDArray[np.int64]
    n_atoms: int
    cutoff: float | None = None

    @classmethod
    def of(cls, crystal: Crystal, tolerance: float, cutoff: float | None = None) -> PlannedCrystal:
        """Return the primitive cell that the displacements will be made for."""
        return replace(cls._of(crystal, None, tolerance), cutoff=cutoff)

    @classmethod
    def of_force_constants(
        cls, constants: ForceConstants, tolerance: float, cutoff: float | None = None
    ) -> PlannedCrystal:
        """Return the primitive cell of given force constants."""
        crystal = cls._of(constants.unitcell, constants.primitive_matrix, tolerance)
        return replace(crystal, cutoff=cutoff)

    @classmethod
    def _of(
        cls, crystal: Crystal, primitive_matrix: Array | None, tolerance: float
    ) -> PlannedCrystal:
        phonopy = build_phonopy(
            crystal, np.eye(3, dtype=int), primitive_matrix=primitive_matrix, tolerance=tolerance
        )
        operations = phonopy.primitive_symmetry.symmetry_operations
        return cls(
            lattice=np.array(phonopy.primitive.cell),
            rotations=np.array(operations["rotations"], dtype=np.int64),
            n_atoms=len(phonopy.primitive),
        )

    @property
    def n_modes(self) -> int:
        """Branches."""
        return 3 * self.n_atoms

    def n_offsets(self, n_points: int) -> float:
        """Return a bound of the lattice vectors between two atoms of a cluster, on a mesh."""
        if self.cutoff is None:
            return float(n_points)
        volume = float(abs(np.linalg.det(self.lattice)))
        reach = 2.0 * self.cutoff + volume ** (1.0 / 3.0)
        return float(min(float(n_points), 4.0 / 3.0 * math.pi * reach**3 / volume))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedMesh:
    """Counts of a mesh.

    Attributes
    ----------
    divisions : tuple of int, (3,)
    n_irreducible : int
        Exact for meshes up to :data:`EXACT_IMAGES`; larger ones are divided by the group order.
    rotations_cartesian : ndarray, (n_operations, 3, 3)
        Operations that keep the mesh, time reversal included.
    """

    divisions: Mesh
    n_irreducible: int
    rotations_cartesian: Array

    @classmethod
    def of(cls, crystal: PlannedCrystal, divisions: Mesh, *, exact: bool = True) -> PlannedMesh:
        """Count the points of a mesh; without ``exact`` a lower bound of the irreducible ones."""
        _, kept, _, _ = mesh_operations(np.array(divisions), crystal.lattice, crystal.rotations)
        n_points = math.prod(divisions)
        if exact and n_points * len(kept) <= EXACT_IMAGES:
            mesh = ReciprocalMesh.build(divisions, crystal.lattice, crystal.rotations)
            return cls(
                divisions=divisions,
                n_irreducible=mesh.n_irreducible,
                rotations_cartesian=mesh.rotations_cartesian,
            )
        return cls(
            divisions=divisions,
            n_irreducible=-(-n_points // len(kept)),
            rotations_cartesian=kept,
        )

    @property
    def n_points(self) -> int:
        """Points of the whole mesh."""
        return math.prod(self.divisions)

    @property
    def n_operations(self) -> int:
        """Operations that keep the mesh."""
        return len(self.rotations_cartesian)


@dataclass(frozen=True, slots=True, kw_only=True)
class FourthOrder:
    """Whether there will be four-phonon scattering, and whether all pairs are summed."""

    wanted: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMemory:
    """Estimated peaks, GB.

    Attributes
    ----------
    scattering : float
        Of each process that computes scattering.
    solution : float
        Of the process that joins the pieces and solves.
    """

    scattering: float
    solution: float

    def peak(self, n_workers: int = 1) -> float:
        """Return the peak of all processes together."""
        return max(self.scattering * n_workers, self.solution)


def level_memory(
    crystal: PlannedCrystal, mesh: PlannedMesh, settings: LevelSettings, orders: FourthOrder
) -> LevelMemory:
    """Return the estimated memory of one level.

    Notes
    -----
    Between 1 and 2.5 times the peak that was measured, from argon (3 branches) to Sb2Se3 (60).
    """
    n, n_points, n_t = float(crystal.n_modes), float(mesh.n_points), len(settings.temperatures)
    fourth = orders.wanted
    # Eigenvectors and their copies for the kernels, velocity matrices, images of the points.
    modes = 16.0 * n_points * n * n * (3.5 if fourth else 2.5)
    modes += 16.0 * 8.0 * mesh.n_irreducible * n * n + 24.0 * mesh.n_operations * n_points
    # Third order of one point (four copies while it is folded), and one chunk of bands.
    folded = 16.0 * crystal.n_offsets(mesh.n_points) * n**3
    per_band = 80.0 * n * n * n_points
    chunk = max(per_band, min(n * per_band, three_phonon.CHUNK_BYTES))
    tetrahedra = 24.0 * 8.0 * n_points * n * n if settings.broadening.kind == "tetrahedron" else 0.0
    kernel = 4.0 * folded + 3.0 * chunk + tetrahedra
    if fourth:
        draws = n_points**2 if orders.exact else min(n_points**2, float(LARGEST_SAMPLE))
        elements = max(n**4, min(four_phonon.CHUNK_BYTES / 16.0, draws * n**4))
        element = 8.0 if settings.single_precision else 16.0
        # Force constants between atoms, two products, the weights in double precision; then what
        # every draw of a point leaves.
        quartets = elements * (3.0 * element + 4.0 * 8.0) + draws * (100.0 * n_t * n + 200.0)
        kernel = max(kernel, quartets)
    rows = solution = 0.0
    if settings.collision:
        sizes = memory_bytes(mesh, crystal.n_modes, n_t)
        per_item = -(-mesh.n_irreducible // MAX_ITEMS)
        # Rows over the whole mesh, their copy while they are folded, and those of one item.
        rows = 3.0 * 8.0 * n_t * n * n_points * n + (1.0 + per_item) * sizes["row"]
        # The pieces and the whole while a stage is joined; later the operator is what counts.
        solution = max(2.0 * sizes["rows"], sizes["operator"] + 3.0 * sizes["row"])
    fixed = BASE_BYTES + modes
    return LevelMemory(scattering=(fixed + kernel + rows) / 1e9, solution=(fixed + solution) / 1e9)


def require_mesh_memory(
    crystal: PlannedCrystal,
    settings: LevelSettings,
    limit_gb: float,
    orders: FourthOrder,
    n_workers: int = 1,
) -> float:
    """Return the estimated peak, GB.

    Raises
    ------
    ResourceError
        If it exceeds the limit; the message names a mesh of about the same shape that fits.
    """
    peak = _peak(crystal, settings, settings.mesh, orders, n_workers, exact=True)
    if peak <= limit_gb:
        return peak
    smaller = largest_fitting_mesh(crystal, settings, limit_gb, orders, n_workers)
    ways = []
    if settings.collision:
        ways.append("only --solver rta")
    if len(settings.temperatures) > 1 and settings.collision:
        ways.append("fewer temperatures")
    if n_workers > 1:
        ways.append("fewer --workers")
    advice = f"Use {', '.join(ways)} or a larger --memory." if ways else "Or a larger --memory."
    if smaller is None:
        advice = f"No mesh of this shape fits. {advice.replace('Or', 'Use', 1)}"
    else:
        text = ",".join(str(n) for n in smaller)
        advice = f"A mesh that fits: --mesh {text}. {advice}"
    raise ResourceError(
        f"scattering on a {'×'.join(map(str, settings.mesh))} mesh needs about {peak:.1f} GB, "
        f"more than the bound of {limit_gb:.1f} GB.",
        "The collision operator grows with the square of the number of irreducible points."
        if settings.collision
        else "Eigenvectors and matrix elements of the mesh must fit.",
        advice,
    )


def largest_fitting_mesh(
    crystal: PlannedCrystal,
    settings: LevelSettings,
    limit_gb: float,
    orders: FourthOrder,
    n_workers: int = 1,
) -> Mesh | None:
    """Return the finest coarser mesh of about the same shape that fits, or None."""
    for mesh in _coarser(settings.mesh):
        # The lower bound is cheap and rules out most.
        if all(
            _peak(crystal, settings, mesh, orders, n_workers, exact=exact) <= limit_gb
            for exact in (False, True)
        ):
            return mesh
    return None


def _coarser(mesh: Sequence[int]) -> Iterator[Mesh]:
    shape, last = np.array(mesh, dtype=float), tuple(mesh)
    while max(last) > 1:
        shape = shape * SHRINK
        n_a, n_b, n_c = (max(1, int(np.rint(n))) for n in shape)
        if (n_a, n_b, n_c) != last:
            last = (n_a, n_b, n_c)
            yield (n_a, n_b, n_c)


def _peak(
    crystal: PlannedCrystal,
    settings: LevelSettings,
    divisions: Mesh,
    orders: FourthOrder,
    n_workers: int,
    *,
    exact: bool,
) -> float:
    mesh = PlannedMesh.of(crystal, divisions, exact=exact)
    chosen = replace(settings, mesh=divisions)
    return level_memory(crystal, mesh, chosen, orders).peak(n_workers)


# --- time -----------------------------------------------------------------------------------------

#: Constants of one core, measured on Si (6 branches) and Sb2Se3 (60): estimates are good to about a
#: factor of two on a similar processor.
GEMM_FLOPS = 9e9
SECONDS_PER_PROCESS = 3.5e-8
SECONDS_PER_PROCESS_AND_TEMPERATURE = 1.0e-8
SECONDS_PER_TRANSFORMED = 3e-9
FOURTH_FLOPS = {True: 40e9, False: 22e9}
SECONDS_PER_QUARTET = 7 * 8e-9
SECONDS_PER_QUARTET_AND_TEMPERATURE = 6e-9
SECONDS_PER_ELEMENT = 5e-6
SECONDS_PER_ROW_ELEMENT = 1.8e-7

#: Seconds per point that the size of the crystal does not explain.
SECONDS_PER_POINT = 3e-3

#: Spread of what single draws say about the conductivity, in units of it, times the number of
#: branches to the power 3/2: each draw holds that many squared processes per mode. Found on argon
#: (3 branches) and Sb2Se3 (60). The number of draws goes with the square of the spread.
TYPICAL_SPREAD = 5.0

#: Iterations that the loop usually needs at one temperature.
TYPICAL_LOOP_ITERATIONS = 15

#: Batches that the stochastic variant usually needs.
TYPICAL_BATCHES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FourPhononCost:
    """Estimate of one set of phonons with four-phonon scattering.

    Attributes
    ----------
    draws : int
        Per irreducible point.
    exact : bool
        Whether all pairs are summed.
    seconds : float
    """

    draws: int
    exact: bool
    seconds: float


def three_phonon_seconds(mesh: PlannedMesh, n_modes: int, settings: LevelSettings) -> float:
    """Return the estimated time of three-phonon scattering at all irreducible points, one core.

    Each irreducible point has about ``N w / 2g`` pairs of partners, with the star w and the g
    operations of the mesh: in all :math:`N^2 / 2g`.
    """
    n, n_points, n_t = float(n_modes), float(mesh.n_points), len(settings.temperatures)
    pairs = max(n_points**2 / (2.0 * mesh.n_operations), float(mesh.n_irreducible))
    per_process = SECONDS_PER_PROCESS + n_t * SECONDS_PER_PROCESS_AND_TEMPERATURE * (
        3.0 if settings.collision else 1.0
    )
    if settings.broadening.kind == "tetrahedron":
        per_process *= 2.0
    return float(
        pairs * (16.0 * n**4 / GEMM_FLOPS + per_process * n**3)
        + mesh.n_irreducible
        * (
            SECONDS_PER_POINT
            + n**3 * n_points * SECONDS_PER_TRANSFORMED * math.log2(2.0 + n_points)
            + 8.0 * n**4 * min(n_points, 50.0) / GEMM_FLOPS
        )
    )


def four_phonon_cost(
    mesh: PlannedMesh,
    n_modes: int,
    settings: LevelSettings,
    *,
    tolerance: float,
    exact: bool,
    max_rounds: int,
) -> FourPhononCost:
    """Return the estimated draws and time of four-phonon scattering, one core.

    The counts of the sample are a guess: how much single draws differ is known only afterwards.
    """
    n, n_t, population = float(n_modes), len(settings.temperatures), mesh.n_points**2
    strata = min(settings.strata_for(n_modes), mesh.n_points)
    rounds = 2
    wanted = (TYPICAL_SPREAD / n**1.5 / tolerance) ** 2 / mesh.n_irreducible
    while strata * 2 ** (rounds - 1) < wanted and rounds < max_rounds:
        rounds += 1
    draws = strata * 2 ** (rounds - 1)
    exact = exact or draws > population / 2
    if exact:
        draws = population
    # Exchange and the little group leave fewer distinct triples of the whole population.
    distinct = population * mesh.n_irreducible / 6.0 * mesh.n_irreducible / mesh.n_points
    clusters = max(distinct, 1.0) if exact else float(draws * mesh.n_irreducible)
    collision = 3.0 if settings.collision else 1.0
    per_cluster = (
        4.0 * 8.0 * n**5 / FOURTH_FLOPS[settings.single_precision]
        + n**4 * (SECONDS_PER_QUARTET + collision * n_t * SECONDS_PER_QUARTET_AND_TEMPERATURE)
        + 1e-4
    )
    return FourPhononCost(
        draws=draws,
        exact=exact,
        seconds=float(clusters * per_cluster + mesh.n_irreducible * SECONDS_PER_POINT),
    )


def solution_seconds(mesh: PlannedMesh, n_modes: int, settings: LevelSettings) -> float:
    """Return the estimated time of solving one level with every solver, one core."""
    n_elements = float(mesh.n_points) * n_modes**2
    seconds = SECONDS_PER_ELEMENT * n_elements
    if settings.collision:
        size = float(mesh.n_irreducible * n_modes)
        n_components = float(len(components(mesh)))
        # Rows are read, averaged and symmetrised; the iterations themselves are few.
        seconds += SECONDS_PER_ELEMENT * n_elements
        seconds += len(settings.temperatures) * SECONDS_PER_ROW_ELEMENT * n_components * size**2
    return seconds


def loop_seconds(n_modes: int, n_cells: float, n_temperatures: int) -> float:
    """Return the estimated time of loop self-consistent phonons.

    Parameters
    ----------
    n_cells : float
        Primitive cells of the second-order supercell, or points of the mesh of the average.
    """
    per_iteration = 0.5 * n_cells * (25.0 * n_modes**3 * 4.0 / 2e9 + 2e-4) + 0.02
    return 0.5 + n_temperatures * TYPICAL_LOOP_ITERATIONS * per_iteration
