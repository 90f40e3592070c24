"""Stage: mobility and the other transport coefficients of electrons and holes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.config.models import TransportConfig
from elphant.coupling.impurities import ImpurityScattering
from elphant.coupling.long_range import LongRangeCoupling
from elphant.coupling.mobility import (
    CarrierMobility,
    MobilitySettings,
    carrier_mobility,
)
from elphant.coupling.polar_modes import PolarModes, polar_modes
from elphant.coupling.scattering import DeltaSettings, PairSums
from elphant.coupling.vertex import CouplingVertex
from elphant.coupling.vertex_difference import vertex_difference
from elphant.crystal import AXES, Frame, Symmetry
from elphant.electron.conductivity_mass import Carrier
from elphant.electron.transport.onsager import OnsagerCoefficients
from elphant.electron.transport.solution import TransportSolution
from elphant.electron.transport.spherical import FrohlichBand
from elphant.electron.transport.state_space import StateSpace
from elphant.electron.transport.valleys import find_valleys
from elphant.electron.transport.window import WindowStates, window_states
from elphant.errors import PhysicsError
from elphant.grids import extrapolated, mesh_from_spacing
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.force_constants import ForceConstants
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.quality import QualityFlag, check_below
from elphant.store.stage import Arrays, Stage
from elphant.tensors import TransportTensor
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS, INVERSE_MASS_PER_EV_A2, PLANCK_EV_PS
from elphant.workflow.context import RunContext
from elphant.workflow.stages.bands import BandsResult
from elphant.workflow.stages.derivatives import DerivativesResult
from elphant.workflow.stages.hamiltonian import HamiltonianResult

VERSION = 3

Mesh = tuple[int, int, int]
Records = list[dict[str, Any]]

MOBILITY_UNIT = "cm^2 V^-1 s^-1"

#: Coarser meshes of the convergence series, as a share of the divisions of the finest.
SERIES = {1: (1.0,), 2: (0.75, 1.0), 3: (0.6, 0.8, 1.0)}

#: Relative distance from the limit of a dense mesh that counts as a doubt.
MESH_LIMIT = 0.1

#: Long-range parameters of the sensitivity check, as factors on the chosen one.
RANGE_FACTORS = (0.5, 2.0)

#: Change of a mobility with the range parameter that counts as a doubt.
RANGE_LIMIT = 0.1

#: The picture of particles fails where the mean free path is shorter than this (Å), a bond, or the
#: width of a state exceeds kT this many times.
SHORTEST_PATH, WIDEST = 3.0, 4.0

#: Difference of two forms of the vertex, relative to the largest element, that counts as a doubt.
VERTEX_LIMIT = 0.05

#: Speed of the fastest state (Å/ps) below which a mesh holds nothing but band edges.
SLOWEST = 1e-2

#: Share of the current in states with rates that are not positive that a relaxation time bears.
NEGATIVE_SHARE = 0.01

#: Share of a mobility in degenerate points, which in-scattering does not reach, that counts as a
#: doubt.
DEGENERATE_LIMIT = 0.05

#: Fröhlich's constant above which polarons matter.
STRONG_COUPLING = 2.0

#: HamEPC's defaults: exp(-x²/σ²)/(√π σ) with σ = 25 meV, and no phonons below 2 meV.
PARITY_WIDTH, PARITY_LOWEST_EV = 0.025 / 2.0**0.5, 0.002

#: What remains different from HamEPC in the mode of that name.
PARITY_DIFFERENCES = (
    "wave vectors: every point of a symmetric mesh, not random ones with a Cauchy distribution",
    "dipole field: taken off the derivatives before it is added; there it is only added",
    "gradient of H: central differences with sum rule and symmetry; there forward differences",
    "overlap: S c = c e exactly; there an inverse of S in a truncated cluster",
    "longitudinal modes: by Q·Z·e of every mode; there the branches 2 and 5",
    "phonon eigenvectors carry the phase of the atoms in the short-range part too",
    "holes: 1 - f over valence bands; there not implemented",
    "no state is given an infinite rate",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MobilityResult:
    """Transport of carriers as records and arrays.

    Attributes
    ----------
    records : dict
        ``mobility``, ``seebeck``, ``electrical_conductivity``,
        ``electronic_thermal_conductivity``, ``lorenz_number``, ``carrier_transport``,
        ``attribution`` and ``validity`` of ``results.json``.
    arrays : list of (name, values, unit, axes)
    flags : tuple of QualityFlag
    references : list of str
    """

    records: dict[str, Any]
    arrays: list[tuple[str, Any, str, str]]
    flags: tuple[QualityFlag, ...]
    references: list[str]


def mobility_stage(
    context: RunContext,
    result: HamiltonianResult,
    bands: BandsResult,
    symmetry: Symmetry,
    derivatives: DerivativesResult,
    force_constants: ForceConstants,
    force_constants_key: str,
    dielectric: DielectricData | None,
    quadrupoles: NDArray[np.float64] | None = None,
) -> MobilityResult:
    """Compute the mobility of the carriers of the configuration.

    Raises
    ------
    PhysicsError
        If a mesh has no state near the band edge, or nothing scatters.
    StructureError
        If force constants and Hamiltonian belong to different structures.
    """
    options = context.config.transport
    range_parameter = derivatives.range_parameter
    inputs = {
        "hamiltonian": result.key,
        "bands": bands.key,
        "derivatives": derivatives.key,
        "force_constants": force_constants_key,
        "dielectric": None if dielectric is None else dielectric.to_dict(),
        "range_parameter": range_parameter,
        "quadrupoles": None if quadrupoles is None else quadrupoles.tolist(),
        "options": options.model_dump(mode="json"),
        "tolerance": symmetry.tolerance,
    }

    def compute(_: Stage) -> tuple[Mapping[str, Any], Arrays]:
        start = time.perf_counter()
        run = _Run(
            context, result, bands, symmetry, derivatives, force_constants, dielectric, quadrupoles
        )
        for carrier in carriers_of(options):
            run.add(carrier)
        record = run.finished(time.perf_counter() - start)
        return record, run.arrays

    output = context.reuse_or_compute("mobility", VERSION, inputs, compute)
    record = dict(output.record)
    flags = tuple(QualityFlag(**flag) for flag in record.pop("flags"))
    names = record.pop("arrays")
    polar = dielectric is not None and range_parameter is not None
    references = ["ponce2020"]
    references += ["verdi2015"] if polar else []
    references += ["brunin2020"] if quadrupoles is not None else []
    references += ["gunst2016"] if options.vertex == "projected" else []
    references += ["brooks1955", "chattopadhyay1981"] if options.impurities is not None else []
    return MobilityResult(
        records=record,
        arrays=[
            (f"electrons/transport/{name}", np.array(output.arrays[key]), unit, axes)
            for key, name, unit, axes in names
        ],
        flags=flags,
        references=references,
    )


def carriers_of(options: TransportConfig) -> tuple[Carrier, ...]:
    """Return the carriers that are wanted."""
    if options.carriers == "both":
        return ("electron", "hole")
    return (options.carriers,)


def require_motion(window: WindowStates) -> None:
    """Refuse a mesh of which only the band edge itself lies in the window: nothing moves there.

    Raises
    ------
    PhysicsError
    """
    speed = float(np.abs(window.velocities[tuple(window.full_states.T)]).max())
    if speed < SLOWEST:
        raise PhysicsError(
            f"none of the {len(window.full_states)} {window.carrier} states on the mesh "
            f"{'x'.join(str(n) for n in window.divisions)} moves: the fastest has "
            f"{speed:.1e} Å/ps.",
            "The mesh is so coarse that only the band edge itself lies near the band edge.",
            "Give a denser --mesh.",
        )


def transport_meshes(
    options: TransportConfig, carrier: Carrier, lattice: NDArray[np.float64]
) -> list[Mesh]:
    """Return the meshes of one carrier, coarse to fine."""
    own = options.mesh_electron if carrier == "electron" else options.mesh_hole
    finest = own or options.mesh or mesh_from_spacing(lattice, options.mesh_spacing)
    meshes: list[Mesh] = []
    for factor in SERIES[options.n_meshes]:
        a, b, c = (max(1, round(n * factor)) for n in finest)
        meshes.append((a, b, c))
    return list(dict.fromkeys(meshes))


def mobility_settings(options: TransportConfig) -> MobilitySettings:
    """Return the settings of the solver."""
    if isinstance(options.broadening, float):
        delta = DeltaSettings(kind="gaussian", width=options.broadening)
    else:
        delta = DeltaSettings(kind=options.broadening, scale=options.width_scale)
    return MobilitySettings(
        temperatures=options.temperatures,
        densities=options.densities,
        levels=options.levels,
        delta=delta,
        variant=options.mrta_variant,
        screening=options.screening,
        attribution=options.attribution,
    )


class _Run:
    """Collects the records of the carriers."""

    def __init__(
        self,
        context: RunContext,
        result: HamiltonianResult,
        bands: BandsResult,
        symmetry: Symmetry,
        derivatives: DerivativesResult,
        force_constants: ForceConstants,
        dielectric: DielectricData | None,
        quadrupoles: NDArray[np.float64] | None,
    ) -> None:
        self.context, self.options = context, context.config.transport
        self.hamiltonian, self.symmetry = result.hamiltonian, symmetry
        self.derivatives, self.dielectric = derivatives, dielectric
        self.quadrupoles = quadrupoles
        crystal = self.hamiltonian.crystal
        self.frame = Frame.of(crystal, symmetry)
        self.interpolation, self.edges = bands.models.interpolation, bands.models.edges
        self.phonons = UnitCellPhonons(force_constants, crystal)
        self.vertex = CouplingVertex(self.hamiltonian, derivatives.derivatives, self.options.vertex)
        self.long_range = self._long_range(derivatives.range_parameter)
        self.settings = mobility_settings(self.options)
        self.records: dict[str, Records] = {
            name: []
            for name in (
                "mobility", "seebeck", "electrical_conductivity",
                "electronic_thermal_conductivity", "lorenz_number", "attribution", "validity",
            )
        }  # fmt: skip
        self.transport: dict[str, Any] = {
            "mesh": {}, "window_ev": {}, "n_states": {}, "n_pairs": {}, "pair_seconds": {},
            "broadening": self.settings.delta.label, "vertex": self.options.vertex,
            "range_parameter": None if self.long_range is None else derivatives.range_parameter,
            "quadrupoles": quadrupoles is not None,
            "derivatives": derivatives.record, "convergence": [], "parity": None,
            "range_sensitivity": [], "frohlich": {}, "mrta_variant": self.options.mrta_variant,
            "impurities": self.options.impurities, "screening": self.options.screening,
        }  # fmt: skip
        self.arrays: dict[str, NDArray[np.float64]] = {}
        self.names: list[tuple[str, str, str, str]] = []
        self.flags: list[QualityFlag] = []

    def _long_range(self, range_parameter: float | None) -> LongRangeCoupling | None:
        if self.dielectric is None or range_parameter is None:
            return None
        return LongRangeCoupling(
            crystal=self.hamiltonian.crystal,
            dielectric=self.dielectric,
            range_parameter=range_parameter,
            quadrupoles=self.quadrupoles,
        )

    def add(self, carrier: Carrier) -> None:
        """Compute one carrier on all its meshes."""
        meshes = transport_meshes(self.options, carrier, self.hamiltonian.crystal.lattice)
        series: list[CarrierMobility] = []
        for mesh in meshes:
            settings = self.settings
            if mesh != meshes[-1]:
                settings = replace(settings, attribution=False)
            window = self._window(carrier, mesh)
            start = time.perf_counter()
            found = self._solved(window, settings)
            series.append(found)
            seconds = time.perf_counter() - start
        finest = series[-1]
        self.transport["mesh"][carrier] = list(meshes[-1])
        self.transport["window_ev"][carrier] = finest.window.width
        self.transport["n_states"][carrier] = finest.space.n_states
        self.transport["n_pairs"][carrier] = finest.n_pairs
        self.transport["pair_seconds"][carrier] = round(seconds, 2)
        self._frohlich(carrier, finest)
        self.flags += [_of_carrier(flag, carrier) for flag in finest.flags]
        self._coefficients(carrier, series, meshes)
        self._degenerate_share(carrier, finest)
        self._attribution(carrier, finest)
        self._validity(carrier, finest)
        self._store(carrier, finest)
        if self.options.range_sensitivity and self.long_range is not None:
            self._range_sensitivity(carrier, finest.window, finest)
        if self.options.parity:
            self._parity(carrier, finest.window)

    def finished(self, seconds: float) -> dict[str, Any]:
        """Return the record of the stage."""
        self.transport["seconds"] = round(seconds, 2)
        return {
            **self.records,
            "carrier_transport": self.transport,
            "flags": [flag.to_dict() for flag in _distinct(self.flags)],
            "arrays": self.names,
        }

    def _window(self, carrier: Carrier, mesh: Mesh) -> WindowStates:
        width = self.options.window * BOLTZMANN_EV * max(self.options.temperatures)
        window = window_states(
            self.hamiltonian, self.symmetry, mesh, carrier, width, edges=self.edges,
            interpolation=self.interpolation,
        )  # fmt: skip
        self.context.progress.decided(
            f"{carrier}s: mesh {'x'.join(map(str, mesh))}, {len(window.full_states)} states within "
            f"{1e3 * width:.0f} meV, {len(window.irreducible_states)} of them irreducible"
        )
        require_motion(window)
        return window

    def _solved(
        self,
        window: WindowStates,
        settings: MobilitySettings,
        vertex: CouplingVertex | None = None,
        long_range: LongRangeCoupling | None = None,
    ) -> CarrierMobility:
        vertex = vertex or self.vertex
        long_range = long_range or self.long_range
        impurities = None
        if self.options.impurities is not None:
            sums = PairSums(window, vertex, self.phonons, None, settings.delta)
            impurities = ImpurityScattering(
                sums, self.options.impurities,
                float(self.options.impurity_charge), self._static_permittivity(),
            )  # fmt: skip
        valley = find_valleys(window, self.edges).labels if settings.attribution else None
        passes = 2 if settings.attribution else 1
        total = len(window.irreducible_states)
        label = f"{window.carrier} scattering, {'x'.join(str(n) for n in window.divisions)}"
        with self.context.progress.task(label, passes * total) as task:
            done = 0

            def observe(step: int, _: int) -> None:
                nonlocal done
                # Every pass counts from the start again.
                task.advance(step - done if step > done else step)
                done = step

            return carrier_mobility(
                window, vertex, self.phonons, long_range, settings,
                directions=self.hamiltonian.crystal.axis_directions,
                valley=valley, impurities=impurities, observe=observe,
            )  # fmt: skip

    def _static_permittivity(self) -> NDArray[np.float64]:
        if self._polar is None:
            raise PhysicsError(
                "impurity scattering needs the permittivity of the crystal.",
                "Their charges are screened by electrons and lattice.",
                "Give --born FILE, or leave out --impurities.",
            )
        return np.asarray(self._polar.epsilon_static)

    @cached_property
    def _polar(self) -> PolarModes | None:
        """Polar modes at Γ, where the phonons know Born charges."""
        return None if self.phonons.dielectric is None else polar_modes(self.phonons)

    def _coefficients(
        self, carrier: Carrier, series: Sequence[CarrierMobility], meshes: Sequence[Mesh]
    ) -> None:
        for index, entry in enumerate(series[-1].entries):
            solution = entry.solution
            common = {
                "carrier": carrier,
                "temperature": entry.temperature,
                "density": entry.density,
                "solver": solution.level,
                "variant": solution.variant,
            }
            if not has_mobility(solution):
                self.flags.append(_no_mobility(carrier, entry.part, solution.level))
                if entry.part != "total":
                    continue
            tensors = [found.entries[index].solution.mobility for found in series]
            along = np.array([self._along(tensor) for tensor in tensors])
            _, error = extrapolated(meshes, list(along))
            self._record(
                "mobility", solution.mobility, MOBILITY_UNIT,
                common | {
                    "part": entry.part,
                    "extrapolated_error": None if not np.isfinite(error).all() else dict(
                        zip(AXES, error.tolist(), strict=True)
                    ),
                },
            )  # fmt: skip
            if entry.part != "total":
                continue
            onsager = OnsagerCoefficients.of(solution)
            for name, values, unit in (
                ("electrical_conductivity", onsager.conductivity, "S m^-1"),
                ("seebeck", onsager.seebeck, "uV K^-1"),
                (
                    "electronic_thermal_conductivity",
                    onsager.thermal_conductivity,
                    "W m^-1 K^-1",
                ),
                ("lorenz_number", onsager.lorenz_number, "W Ohm K^-2"),
            ):
                self._record(name, 0.5 * (values + values.T), unit, common)
            first = entry.temperature == self.settings.temperatures[0]
            if first and entry.density == self.settings.densities[0]:
                self._convergence(carrier, solution.level, meshes, along, error)

    def _convergence(
        self,
        carrier: Carrier,
        level: str,
        meshes: Sequence[Mesh],
        along: NDArray[np.float64],
        error: NDArray[np.float64],
    ) -> None:
        for mesh, values in zip(meshes, along, strict=True):
            self.transport["convergence"].append(
                {
                    "carrier": carrier, "solver": level, "mesh": list(mesh),
                    "axes": dict(zip(AXES, values.tolist(), strict=True)),
                }
            )  # fmt: skip
        if len(meshes) < 2 or level != self.settings.levels[-1]:
            return
        relative = float(np.max(error / np.abs(along[-1])))
        if relative > MESH_LIMIT:
            axis = AXES[int(np.argmax(error / np.abs(along[-1])))]
            self.flags.append(
                QualityFlag(
                    name="mobility_mesh",
                    severity="warning",
                    message=f"{carrier} mobility along {axis} is estimated to be "
                    f"{100 * relative:.0f} % away from its value on a dense k mesh",
                    value=relative,
                    threshold=MESH_LIMIT,
                )
            )

    def _degenerate_share(self, carrier: Carrier, found: CarrierMobility) -> None:
        """Tell how much of the current of the last level flows in degenerate points."""
        level = self.settings.levels[-1]
        solution = next(
            e.solution for e in found.entries if e.part == "total" and e.solution.level == level
        )
        if not has_mobility(solution):
            return
        shares = self._along(solution.degenerate_mobility) / self._along(solution.mobility)
        axis = int(np.argmax(shares))
        self.flags.append(
            check_below(
                "degenerate_points",
                float(shares[axis]),
                DEGENERATE_LIMIT,
                f"{carrier}s: {100 * shares[axis]:.2g} % of the mobility along {AXES[axis]} is "
                "that of degenerate points, whose currents decay without in-scattering; where "
                "bands stick together at the border of the zone, an odd number of divisions "
                "avoids these points",
            )
        )

    def _along(self, tensor: NDArray[np.float64]) -> NDArray[np.float64]:
        d = self.hamiltonian.crystal.axis_directions
        return np.asarray(np.einsum("xa,ab,xb->x", d, tensor, d))

    def _record(
        self, name: str, values: NDArray[np.float64], unit: str, common: dict[str, Any]
    ) -> None:
        tensor = TransportTensor(values=values, unit=unit, frame=self.frame).to_dict()
        self.records[name].append(common | tensor)

    def _attribution(self, carrier: Carrier, found: CarrierMobility) -> None:
        for entry in found.shares:
            for axis, direction in zip(AXES, self.frame.axis_directions, strict=True):
                shares = entry.shares.along(np.asarray(direction))
                total = sum(shares.spectrum.values())
                assert not isinstance(total, int)
                self.records["attribution"].append(
                    {
                        "carrier": carrier,
                        "temperature": entry.temperature,
                        "density": entry.density,
                        "solver": entry.level,
                        "variant": None,
                        "axis": axis,
                        "by_part": shares.parts,
                        "by_valley": {"intra": shares.intra, "inter": shares.inter},
                        "by_mode": [
                            {
                                "frequency_low": float(shares.edges[i]),
                                "frequency_high": float(shares.edges[i + 1]),
                                "share": float(total[i]),
                                **{n: float(v[i]) for n, v in shares.spectrum.items()},
                            }
                            for i in range(len(total))
                        ],
                    }
                )

    def _validity(self, carrier: Carrier, found: CarrierMobility) -> None:
        lengths = self.hamiltonian.crystal.lengths
        difference = self._vertex_difference(carrier, found.window)
        for entry in found.validity:
            thermal = BOLTZMANN_EV * entry.temperature
            phonon = self._phonon_energy(found, entry.temperature)
            worst = "valid"
            for i, axis in enumerate(AXES):
                width, path = float(entry.broadening[i]), float(entry.mean_free_path[i])
                verdict = _verdict(width, thermal, path, float(lengths[i]))
                worst = verdict if VERDICTS.index(verdict) > VERDICTS.index(worst) else worst
                self.records["validity"].append(
                    {
                        "carrier": carrier,
                        "temperature": entry.temperature,
                        "axis": axis,
                        "hbar_over_tau_ev": width,
                        "kt_ev": thermal,
                        "hbar_omega_ev": phonon,
                        "mean_free_path_A": path,
                        "lattice_A": float(lengths[i]),
                        "vertex_difference": difference,
                        "verdict": verdict,
                    }
                )
            if worst != "valid":
                self.flags.append(_boltzmann_flag(carrier, entry.temperature, worst))

    def _vertex_difference(self, carrier: Carrier, window: WindowStates) -> float | None:
        """Return how far co-moving and projected elements differ; add a doubt if that is much."""
        sums = PairSums(window, self.vertex, self.phonons, None, self.settings.delta)
        difference = vertex_difference(sums, self.phonons)
        if difference is not None:
            self.flags.append(
                check_below(
                    "vertex_difference",
                    difference,
                    VERTEX_LIMIT,
                    f"{carrier}s: co-moving and projected matrix elements differ by up to "
                    f"{100 * difference:.2g} % of the largest one where energy is conserved",
                )
            )
        return difference

    def _phonon_energy(self, found: CarrierMobility, temperature: float) -> float | None:
        for entry in found.shares:
            if entry.temperature == temperature:
                mean = np.mean(
                    [entry.shares.along(d).mean_frequency for d in self.frame.axis_directions]
                )
                return float(PLANCK_EV_PS * mean)
        return None

    def _store(self, carrier: Carrier, found: CarrierMobility) -> None:
        sign = 1.0 if carrier == "electron" else -1.0
        edge = self.edges.conduction if carrier == "electron" else self.edges.valence
        rows: list[tuple[str, Any, str, str]] = [
            ("energy", sign * (found.space.energies - edge.energy), "eV", "state"),
            ("velocity", found.space.velocities, "Angstrom ps^-1", "state, xyz"),
            ("weight", found.space.weights, "1", "state"),
            ("temperature", np.array(self.settings.temperatures), "K", "temperature"),
        ]
        named = {"total": "rate", "polar": "rate_polar", "short": "rate_short",
                 "interference": "rate_interference", "impurity": "rate_impurity"}  # fmt: skip
        for name, values in found.rates.items():
            rows.append((named[name], values, "ps^-1", "temperature, state"))
        for name, values, unit, axes in rows:
            key = f"{carrier}_{name}"
            self.arrays[key] = np.asarray(values, dtype=float)
            self.names.append((key, f"{carrier}/{name}", unit, axes))

    def _frohlich(self, carrier: Carrier, found: CarrierMobility) -> None:
        """Record Fröhlich's constant with the mass of the mobile carriers."""
        polar = self._polar
        if polar is None or not polar.inverse_difference > 0.0:
            return
        mass = thermal_mass(found.space, self.settings.temperatures[0])
        if mass is None:
            return
        coupling = polar.frohlich(mass)
        self.transport["frohlich"][carrier] = coupling.to_dict() | {"mass": mass.tolist()}
        band = FrohlichBand(
            mass=3.0 / float(np.trace(np.linalg.inv(mass))),
            frequency=coupling.omega_thz,
            alpha=coupling.alpha,
        )
        self.transport["frohlich"][carrier]["one_mode_mobility"] = {
            level: band.mobility(self.settings.temperatures[0], level)
            for level in ("serta", "mrta", "bte")
        }
        if coupling.alpha > STRONG_COUPLING:
            self.flags.append(
                QualityFlag(
                    name=f"strong_coupling_{carrier}",
                    severity="warning",
                    message=f"{carrier}s: Fröhlich's constant is {coupling.alpha:.1f}; "
                    "perturbation theory in the coupling is in doubt, polarons form",
                    value=coupling.alpha,
                    threshold=STRONG_COUPLING,
                )
            )

    def _range_sensitivity(
        self, carrier: Carrier, window: WindowStates, found: CarrierMobility
    ) -> None:
        """Repeat with other range parameters: what is added back was taken off."""
        assert self.derivatives.range_parameter is not None
        settings = replace(
            self.settings, attribution=False, temperatures=self.settings.temperatures[:1],
            densities=self.settings.densities[:1], levels=self.settings.levels[-1:],
        )  # fmt: skip
        level = settings.levels[0]
        reference = next(
            e.solution.mobility
            for e in found.entries
            if e.part == "total" and e.solution.level == level
        )
        base = self._along(reference)
        for factor in RANGE_FACTORS:
            other = self.derivatives.with_range(factor * self.derivatives.range_parameter)
            vertex = CouplingVertex(self.hamiltonian, other.derivatives, self.options.vertex)
            solved = self._solved(window, settings, vertex, self._long_range(other.range_parameter))
            along = self._along(solved.entries[0].solution.mobility)
            change = along / base - 1.0
            self.transport["range_sensitivity"].append(
                {
                    "carrier": carrier, "solver": level, "range_parameter": other.range_parameter,
                    "relative_change": dict(zip(AXES, change.tolist(), strict=True)),
                }
            )  # fmt: skip
            if np.abs(change).max() > RANGE_LIMIT:
                self.flags.append(
                    QualityFlag(
                        name="range_parameter",
                        severity="warning",
                        message=f"{carrier} mobility changes by up to "
                        f"{100 * np.abs(change).max():.0f} % when the range parameter is "
                        f"multiplied by {factor:g}: the derivatives reach beyond their supercell",
                        value=float(np.abs(change).max()),
                        threshold=RANGE_LIMIT,
                    )
                )

    def _parity(self, carrier: Carrier, window: WindowStates) -> None:
        """Repeat with the choices of HamEPC that a careful calculation can share."""
        settings = replace(
            self.settings, attribution=False, levels=("serta",),
            temperatures=self.settings.temperatures[:1], densities=self.settings.densities[:1],
            delta=DeltaSettings(kind="gaussian", width=PARITY_WIDTH),
            lowest_thz=PARITY_LOWEST_EV / PLANCK_EV_PS,
        )  # fmt: skip
        vertex = CouplingVertex(self.hamiltonian, self.derivatives.derivatives, "projected")
        found = self._solved(window, settings, vertex)
        parity = self.transport["parity"] or {"differences": list(PARITY_DIFFERENCES), "values": []}
        for entry in found.entries:
            if not has_mobility(entry.solution):
                continue
            along = self._along(entry.solution.mobility)
            parity["values"].append(
                {
                    "carrier": carrier, "part": entry.part, "temperature": entry.temperature,
                    "density": entry.density, "unit": MOBILITY_UNIT,
                    "axes": dict(zip(AXES, along.tolist(), strict=True)),
                }
            )  # fmt: skip
        self.transport["parity"] = parity


VERDICTS = ("valid", "doubtful", "invalid")


def has_mobility(solution: TransportSolution) -> bool:
    """Return whether a solution is one: finite, and without much current in negative rates."""
    if not np.isfinite(solution.mobility).all():
        return False
    if solution.level == "bte":
        return solution.positive
    lost = [flag.value or 0.0 for flag in solution.flags if flag.name == "non_positive_rates"]
    return max(lost, default=0.0) < NEGATIVE_SHARE


def thermal_mass(space: StateSpace, temperature: float) -> NDArray[np.float64] | None:
    """Return the conductivity-mass tensor (m_e) of few carriers; None if it is not positive."""
    middle = float(space.energies.mean())
    far = middle + (-5.0 if space.carrier == "electron" else 5.0)
    logs = 2.0 * space.log_amplitudes(far, temperature)
    share = space.weights * np.exp(logs - logs.max())
    products = space.velocities[:, :, None] * space.velocities[:, None] + space.velocity_spread
    mean = (share[:, None, None] * space.star_mean(products)).sum(axis=0) / share.sum()
    inverse = mean * HBAR_EV_PS**2 * INVERSE_MASS_PER_EV_A2 / (BOLTZMANN_EV * temperature)
    if np.linalg.eigvalsh(inverse).min() <= 0.0:
        return None
    return np.asarray(np.linalg.inv(inverse))


def _verdict(width: float, thermal: float, path: float, lattice: float) -> str:
    """Return how far the Boltzmann equation can be trusted."""
    if path < SHORTEST_PATH or width > WIDEST * thermal:
        return "invalid"
    return "doubtful" if path < lattice or width > thermal else "valid"


def _boltzmann_flag(carrier: Carrier, temperature: float, worst: str) -> QualityFlag:
    what = (
        "the mean free path along some axis is shorter than a bond, or the width of the states far "
        "above kT: the mobility is a number without the picture behind it"
        if worst == "invalid"
        else "the mean free path along some axis is shorter than the cell, or the width of the "
        "states above kT"
    )
    return QualityFlag(
        name=f"boltzmann_picture_{carrier}",
        severity="warning",
        message=f"{carrier}s at {temperature:g} K: {what}; see the table of validity",
    )


def _no_mobility(carrier: Carrier, part: str, level: str) -> QualityFlag:
    return QualityFlag(
        name=f"no_{part}_mobility_{carrier}_{level}",
        severity="warning",
        message=f"{carrier}s: the {part} scattering alone has no positive solution at the level "
        f"{level}"
        + (
            ": interference with the polar part outweighs it, so it has no mobility of its own"
            if part == "remaining"
            else ""
        ),
    )


def _of_carrier(flag: QualityFlag, carrier: Carrier) -> QualityFlag:
    return replace(flag, message=f"{carrier}s: {flag.message}")


def _distinct(flags: Sequence[QualityFlag]) -> list[QualityFlag]:
    return list({(flag.name, flag.message): flag for flag in flags}.values())
