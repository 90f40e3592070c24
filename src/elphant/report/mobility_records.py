"""Records of ``results.json``, and arrays of ``data.h5``, on the transport of carriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from elphant.grids.extrapolation import extrapolated
from elphant.report.electron_records import CARRIERS
from elphant.report.records import Record

if TYPE_CHECKING:
    import h5py

Array = NDArray[np.float64]

#: Solvers of the Boltzmann equation of carriers, the simplest first.
CARRIER_SOLVERS = ("serta", "mrta", "bte")
#: Parts of the scattering that have mobilities of their own, and the whole.
PARTS = ("total", "polar", "remaining")
#: Temperature (K) of headline numbers, where it was computed.
REFERENCE_TEMPERATURE = 300.0

_TRANSPORT = "electrons/transport"
#: Relative difference below which two densities are one.
_SAME_DENSITY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierTensor(Record):
    """A transport tensor of one kind of carriers.

    Attributes
    ----------
    carrier : {"electron", "hole"}
    temperature : float, K
    density : float, carriers per cm³
    solver : {"serta", "mrta", "bte"}
    axes : mapping of a, b, c to values along them
    variant : {"velocity", "directions"} or None
        Weight of mrta.
    cartesian : list, (3, 3), or None
    principal : mapping or None
        ``values``, ``axes``, ``labels`` of the principal frame.
    unit : str
    """

    carrier: str
    temperature: float
    density: float = 0.0
    solver: str = "serta"
    axes: dict[str, float | None] = field(default_factory=dict)
    variant: str | None = None
    cartesian: list[list[float]] | None = None
    principal: dict[str, list[Any]] | None = None
    unit: str = ""

    @property
    def method(self) -> str:
        """``BTE``, ``MRTA (velocity)`` or ``SERTA``."""
        return solver_name(self.solver, self.variant)

    @property
    def rank(self) -> int:
        """Order of solvers, the most complete last."""
        return CARRIER_SOLVERS.index(self.solver) if self.solver in CARRIER_SOLVERS else -1

    def is_at(self, temperature: float, density: float) -> bool:
        """Return whether the record belongs to this temperature and density."""
        same = abs(self.density - density) <= _SAME_DENSITY * abs(density)
        return same and abs(self.temperature - temperature) < 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Mobility(CarrierTensor):
    """Mobility, cm² V⁻¹ s⁻¹.

    Attributes
    ----------
    part : {"total", "polar", "remaining"}
        Which part of the scattering acts.
    extrapolated_error : mapping of a, b, c to values, or None
        Estimated distance from the value on a dense k mesh.
    """

    part: str = "total"
    extrapolated_error: dict[str, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureOfMerit(CarrierTensor):
    """zT, and the lattice conductivity that entered it."""

    lattice_level: str | None = None
    lattice_solver: str | None = None
    lattice_coherence: bool | None = None

    @property
    def lattice(self) -> str:
        """The lattice part in words: ``SCP+3,4ph, BTE, with coherence``."""
        words = [self.lattice_level or ""]
        words += [self.lattice_solver.upper()] if self.lattice_solver else []
        words += ["with coherence"] if self.lattice_coherence else []
        return ", ".join(word for word in words if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence(Record):
    """Mobility (cm² V⁻¹ s⁻¹) along a, b, c on one k mesh."""

    carrier: str
    mesh: list[int]
    axes: dict[str, float | None] = field(default_factory=dict)
    solver: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierTransport(Record):
    """How the mobilities were computed; what depends on the carrier has one entry for each.

    Attributes
    ----------
    mesh : mapping of carrier to list of 3
    window_ev : mapping or float, eV
        Energies from the band edge that take part.
    n_states, n_pairs : mapping or int
        Irreducible states, and pairs of states.
    broadening : str
        How energy is conserved.
    range_parameter : float or None, Å⁻¹
    quadrupoles : bool or None
        Whether dynamical quadrupoles were part of the long-range coupling.
    frohlich : mapping
        ``alpha``, ``omega_thz``, ``epsilon_static``.
    derivatives : mapping or None
        How the derivatives of the Hamiltonian were made.
    convergence : tuple of Convergence
    parity : mapping or None
        Results with the choices of another program, and what remains different.
    range_sensitivity : list
        Relative change of the mobility with other range parameters.
    """

    mesh: dict[str, list[int]] = field(default_factory=dict)
    window_ev: Any = None
    n_states: Any = None
    n_pairs: Any = None
    broadening: str | None = None
    vertex: str | None = None
    range_parameter: float | None = None
    quadrupoles: bool | None = None
    frohlich: dict[str, Any] | None = None
    derivatives: dict[str, Any] | None = None
    convergence: tuple[Convergence, ...] = ()
    parity: dict[str, Any] | None = None
    range_sensitivity: list[dict[str, Any]] = field(default_factory=list)
    mrta_variant: str | None = None
    impurities: float | None = None
    screening: bool | None = None
    valleys: Any = None
    seconds: float | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the object for a record; null is the same as absent."""
        given = {key: value for key, value in record.items() if value is not None}
        meshes = [item for item in given.get("convergence", ()) if item.get("mesh")]
        given["convergence"] = tuple(Convergence.of(item) for item in meshes)
        if not isinstance(given.get("parity", {}), dict):
            del given["parity"]
        return super(CarrierTransport, cls).of(given)

    def of_carrier(self, name: str, carrier: str) -> Any:
        """Return an entry for one carrier; one value that holds for both is returned as it is."""
        value = getattr(self, name)
        by_carrier = isinstance(value, dict) and (not value or set(value) & set(CARRIERS))
        return value.get(carrier) if by_carrier else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution(Record):
    """Shares of the resistance along one axis, some of which may be negative.

    Parts and valleys sum to one, modes to one less the share of impurities.

    Attributes
    ----------
    by_part : mapping
        ``polar``, ``short``, ``interference``, ``impurity``.
    by_valley : mapping
        ``intra`` and ``inter``.
    by_mode : list of mapping
        ``frequency_low``, ``frequency_high`` (THz), ``share``, and shares by part.
    """

    carrier: str
    temperature: float
    axis: str
    density: float = 0.0
    solver: str = "serta"
    variant: str | None = None
    by_part: dict[str, float] = field(default_factory=dict)
    by_valley: dict[str, float] = field(default_factory=dict)
    by_mode: list[dict[str, float]] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """Order of solvers, the most complete last."""
        return CARRIER_SOLVERS.index(self.solver) if self.solver in CARRIER_SOLVERS else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity(Record):
    """Whether carriers scatter rarely enough along one axis: eV, Å.

    ``vertex_difference`` is that of two forms of the matrix elements on the energy shell, relative
    to the largest one, and the same for all axes and temperatures of a carrier.
    """

    carrier: str
    temperature: float
    axis: str
    verdict: str
    hbar_over_tau_ev: float | None = None
    kt_ev: float | None = None
    hbar_omega_ev: float | None = None
    mean_free_path_A: float | None = None  # noqa: N815 (name of the public schema)
    lattice_A: float | None = None  # noqa: N815
    vertex_difference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarrierRates:
    """Scattering rates of the irreducible states of one carrier.

    Attributes
    ----------
    energy : ndarray, (n,) eV
        From the band edge into the band.
    weight : ndarray, (n,)
        Share of the Brillouin zone.
    temperature : ndarray, (n_temperatures,) K
    rates : mapping of str to ndarray, (n_temperatures, n) ps⁻¹
        ``total`` and its parts ``polar``, ``short``, ``interference``, ``impurity``.
    velocity : ndarray, (n, 3) Å/ps, or None
    """

    energy: Array
    weight: Array
    temperature: Array
    rates: Mapping[str, Array]
    velocity: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportRecords:
    """Everything on the transport of carriers; all empty in a run without mobility."""

    mobility: tuple[Mobility, ...] = ()
    seebeck: tuple[CarrierTensor, ...] = ()
    electrical_conductivity: tuple[CarrierTensor, ...] = ()
    electronic_thermal_conductivity: tuple[CarrierTensor, ...] = ()
    lorenz_number: tuple[CarrierTensor, ...] = ()
    figure_of_merit: tuple[FigureOfMerit, ...] = ()
    carrier_transport: CarrierTransport | None = None
    attribution: tuple[Attribution, ...] = ()
    validity: tuple[Validity, ...] = ()

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> TransportRecords:
        """Return the records of ``results.json``, of any version of the schema."""
        kinds: dict[str, type[Record]] = {
            "mobility": Mobility, "figure_of_merit": FigureOfMerit, "attribution": Attribution,
            "validity": Validity,
        }  # fmt: skip
        tensors = (
            "seebeck", "electrical_conductivity", "electronic_thermal_conductivity",
            "lorenz_number",
        )  # fmt: skip
        kinds |= dict.fromkeys(tensors, CarrierTensor)
        found: dict[str, Any] = {
            name: tuple(kind.of(record) for record in results.get(name) or ())
            for name, kind in kinds.items()
        }
        how = results.get("carrier_transport")
        return cls(carrier_transport=CarrierTransport.of(how) if how else None, **found)

    def __bool__(self) -> bool:
        return bool(self.mobility)

    @property
    def carriers(self) -> tuple[str, ...]:
        """Carriers with a mobility, electrons first."""
        return tuple(name for name in CARRIERS if any(r.carrier == name for r in self.mobility))

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Temperatures with a mobility, K, ascending."""
        return tuple(sorted({r.temperature for r in self.mobility}))

    @property
    def densities(self) -> tuple[float, ...]:
        """Densities with a mobility, cm⁻³, ascending."""
        return tuple(sorted({r.density for r in self.mobility}))

    @property
    def solvers(self) -> tuple[str, ...]:
        """Solvers with a mobility, the most complete last."""
        records = sorted(self.mobility, key=lambda r: r.rank)
        return tuple(dict.fromkeys(r.solver for r in records))

    @property
    def reference(self) -> tuple[float, float]:
        """Temperature nearest to 300 K and the lowest density: those of the headline."""
        kelvin = min(self.temperatures, key=lambda t: abs(t - REFERENCE_TEMPERATURE))
        return kelvin, self.densities[0]

    def best(
        self, carrier: str, part: str = "total", *, at: tuple[float, float] | None = None
    ) -> Mobility | None:
        """Return the record of the most complete solver at a temperature (K) and density."""
        temperature, density = at or self.reference
        return max(self.all_solvers(carrier, part, at=(temperature, density)),
                   key=lambda r: r.rank, default=None)  # fmt: skip

    def all_solvers(
        self, carrier: str, part: str = "total", *, at: tuple[float, float] | None = None
    ) -> list[Mobility]:
        """Return the records of all solvers at a temperature and density, the simplest first."""
        temperature, density = at or self.reference
        found = [
            r for r in self.mobility
            if (r.carrier, r.part) == (carrier, part) and r.is_at(temperature, density)
        ]  # fmt: skip
        return sorted(found, key=lambda r: r.rank)

    def series(self, carrier: str, solver: str, part: str = "total") -> list[Mobility]:
        """Return the records of one solver over all temperatures and densities."""
        wanted = (carrier, solver, part)
        found = [r for r in self.mobility if (r.carrier, r.solver, r.part) == wanted]
        return sorted(found, key=lambda r: (r.density, r.temperature))

    def shares(self, carrier: str) -> dict[str, Attribution]:
        """Return the attribution along each axis, of the most complete solver near 300 K."""
        found = [r for r in self.attribution if r.carrier == carrier]
        if not found:
            return {}
        best = min(
            found,
            key=lambda r: (-r.rank, abs(r.temperature - REFERENCE_TEMPERATURE), r.density),
        )
        key = (best.solver, best.temperature, best.density)
        return {r.axis: r for r in found if (r.solver, r.temperature, r.density) == key}

    def convergence(self, carrier: str) -> list[Convergence]:
        """Return the meshes of one carrier, coarse to fine, with the most complete solver."""
        if self.carrier_transport is None:
            return []
        found = [r for r in self.carrier_transport.convergence if r.carrier == carrier]
        names = [r.solver for r in found if r.solver in CARRIER_SOLVERS]
        if names:
            last = max(names, key=lambda name: CARRIER_SOLVERS.index(str(name)))
            found = [r for r in found if r.solver == last]
        return sorted(found, key=lambda r: int(np.prod(r.mesh)))


def dense_limit(series: Sequence[Convergence], axis: str) -> float | None:
    """Return the mobility along an axis on an infinitely dense mesh; None from fewer than two.

    See :func:`elphant.grids.extrapolation.extrapolated`; ``series`` goes from coarse to fine, and
    meshes without a value are left out.
    """
    known = [(r.mesh, y) for r in series if (y := r.axes.get(axis)) is not None]
    distinct = {int(np.prod(mesh)): (mesh, y) for mesh, y in known}.values()
    if len(distinct) < 2:
        return None
    limit, _ = extrapolated([mesh for mesh, _ in distinct], [y for _, y in distinct])
    return float(limit)


def partner(records: Sequence[CarrierTensor], wanted: CarrierTensor) -> CarrierTensor | None:
    """Return the record of the same carriers, temperature, density and solver, or None."""
    key = (wanted.carrier, wanted.solver, wanted.variant)
    return next(
        (
            r for r in records
            if (r.carrier, r.solver, r.variant) == key
            and r.is_at(wanted.temperature, wanted.density)
        ),
        None,
    )  # fmt: skip


def solver_name(solver: str, variant: str | None = None) -> str:
    """Return the solver as it is printed."""
    return f"{solver.upper()} ({variant})" if variant else solver.upper()


def read_carrier_rates(file: h5py.File) -> dict[str, Any]:
    """Return the rates of RunData, by carrier; empty where the file has none."""
    found = {}
    for carrier in CARRIERS:
        group = file.get(f"{_TRANSPORT}/{carrier}")
        if group is not None and "energy" in group and "rate" in group:
            found[carrier] = _rates(group)
    return {"carrier_rates": found}


def _rates(group: h5py.Group) -> CarrierRates:
    energy = np.asarray(group["energy"][()], dtype=float)
    names = {"rate": "total"}
    names |= {name: name[5:] for name in group if name.startswith("rate_")}
    # A single temperature may have been stored without its axis.
    rates = {
        label: np.asarray(group[name][()], dtype=float).reshape(-1, len(energy))
        for name, label in names.items()
    }
    kelvin = np.full(len(rates["total"]), np.nan)
    if "temperature" in group:
        kelvin = np.atleast_1d(np.asarray(group["temperature"][()], dtype=float))
    return CarrierRates(
        energy=energy,
        weight=np.asarray(group["weight"][()], dtype=float)
        if "weight" in group
        else np.full(len(energy), 1.0 / max(len(energy), 1)),
        temperature=kelvin,
        rates=rates,
        velocity=np.asarray(group["velocity"][()], dtype=float) if "velocity" in group else None,
    )
