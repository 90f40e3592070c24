"""Silicon of two-centre integrals and springs, in any cell: everything a scattering test needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from ase.build import bulk

from elphant.coupling.long_range import LongRangeCoupling
from elphant.coupling.scattering import (
    DeltaSettings,
    PairSums,
    ScatteringKernels,
    scattering_kernels,
)
from elphant.coupling.vertex import CouplingVertex
from elphant.crystal import Crystal, Symmetry, find_symmetry
from elphant.crystal.io import read_crystal
from elphant.electron.band_edges import BandEdges, edge_interpolation, find_band_edges
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.window import WindowStates, window_states
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.models.hamiltonians.slater_koster import SlaterKosterProvider
from elphant.phonon.adapters.phonopy_adapter import build_phonopy
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.unit_cell_modes import UnitCellPhonons

SIDE = 5.431
TEMPERATURE, DENSITY = 300.0, 1e16


def silicon(*, cubic: bool = False, masses: tuple[float, float] | None = None) -> Crystal:
    """Return silicon; with two masses for its sublattices it is zincblende."""
    crystal = read_crystal(bulk("Si", a=SIDE, cubic=cubic))
    if masses is None:
        return crystal
    return replace(crystal, masses=np.where(on_first_sublattice(crystal), *masses))


def strained(crystal: Crystal, strain) -> Crystal:
    """Return the crystal in a lattice with another metric, at the same fractional positions."""
    deformation = np.eye(3) + np.asarray(strain)
    return crystal.replaced(lattice=crystal.lattice @ deformation.T)


def on_first_sublattice(crystal: Crystal):
    """Return which atoms a lattice vector of diamond leads to from the first, undistorted."""
    offset = (crystal.fractional - crystal.fractional[0]) @ crystal.lattice
    cells = offset @ np.linalg.inv(read_crystal(bulk("Si", a=SIDE)).lattice)
    return np.abs(cells - np.rint(cells)).max(axis=1) < 0.1


def symmetry_of(crystal: Crystal) -> Symmetry:
    """Return the space group, which tells atoms of different mass apart."""
    kinds = np.unique(np.round(crystal.masses, 6), return_inverse=True)[1]
    return find_symmetry(replace(crystal, numbers=14 + kinds))


def springs(crystal: Crystal, repeats: tuple[int, int, int] = (3, 3, 3)) -> ForceConstants:
    """Return force constants of springs to first and second neighbours."""
    matrix = np.diag(repeats)
    phonopy = build_phonopy(crystal, matrix, primitive_matrix=np.eye(3))
    positions = np.array(phonopy.supercell.positions)
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ phonopy.supercell.cell
    second = np.zeros((crystal.n_atoms, len(positions), 3, 3))
    for row, i in enumerate(phonopy.primitive.p2s_map):
        bonds = positions[None] - positions[i] + images[:, None]
        lengths = np.linalg.norm(bonds, axis=2)
        for image, j in np.argwhere((lengths > 1e-3) & (lengths < 4.2)):
            bond, length = bonds[image, j], lengths[image, j]
            spring = np.outer(bond, bond) / length**2 * (9.0 if length < 3.0 else 0.9)
            second[row, i] += spring
            second[row, j] -= spring
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.eye(3),
        supercell_matrix_second=matrix,
        second=second,
    )


def charges(crystal: Crystal, range_parameter: float = 0.8, **options) -> LongRangeCoupling:
    """Return the coupling to made-up charges of opposite sign on both sublattices."""
    sign = np.where(on_first_sublattice(crystal), 1.0, -1.0)
    data = DielectricData(
        epsilon_infinity=11.0 * np.eye(3),
        born_charges=1.7 * sign[:, None, None] * np.eye(3),
        source="test",
    )
    return LongRangeCoupling(
        crystal=crystal, dielectric=data, range_parameter=range_parameter, **options
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """One carrier of one crystal on one mesh."""

    crystal: Crystal
    phonons: UnitCellPhonons
    vertex: CouplingVertex
    window: WindowStates
    edges: BandEdges
    long_range: LongRangeCoupling | None
    delta: DeltaSettings

    @classmethod
    def of(
        cls,
        crystal: Crystal,
        force_constants: ForceConstants,
        mesh,
        carrier="electron",
        width: float = 0.4,
        *,
        symmetric: bool = True,
        long_range: LongRangeCoupling | None = None,
        delta: DeltaSettings | None = None,
        edge_mesh=(6, 6, 6),
    ) -> Model:
        provider = SlaterKosterProvider("si")
        symmetry = symmetry_of(crystal) if symmetric else None
        hamiltonian = provider.predict(crystal)
        interpolation = edge_interpolation(hamiltonian, edge_mesh, symmetry)
        edges = find_band_edges(hamiltonian, edge_mesh, symmetry, interpolation=interpolation)
        window = window_states(
            hamiltonian, symmetry, mesh, carrier, width, edges=edges, interpolation=interpolation
        )
        return cls(
            crystal=crystal,
            phonons=UnitCellPhonons(force_constants, crystal),
            vertex=CouplingVertex(hamiltonian, provider.derivatives(crystal)),
            window=window,
            edges=edges,
            long_range=long_range,
            delta=delta or DeltaSettings(),
        )

    def with_(self, **changes) -> Model:
        return replace(self, **changes)

    @cached_property
    def sums(self) -> PairSums:
        return PairSums(self.window, self.vertex, self.phonons, self.long_range, self.delta)

    @cached_property
    def kernels(self) -> ScatteringKernels:
        return scattering_kernels(self.sums, [TEMPERATURE])

    @cached_property
    def space(self):
        return self.window.state_space()

    @property
    def level(self) -> float:
        return self.space.chemical_potential(DENSITY, TEMPERATURE)

    @cached_property
    def folded(self) -> dict[str, ReducedKernel]:
        return {n: ReducedKernel.fold(self.space, k[0]) for n, k in self.kernels.parts.items()}

    def operator(self, kernel: ReducedKernel | None = None) -> CollisionOperator:
        kernel = kernel or ReducedKernel.fold(self.space, self.kernels.total(0))
        return CollisionOperator(self.space, kernel, self.level, TEMPERATURE)
