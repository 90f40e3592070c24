"""What Hamiltonian and derivatives of uni-hamgnn will take, for ``--dry-run``."""

from __future__ import annotations

from elphant.crystal import Crystal, Symmetry
from elphant.errors import ElphantError
from elphant.models.hamiltonians.hamgnn.estimates import (
    atoms_within,
    derivative_memory,
    reached_pairs,
)
from elphant.units import OPENMX_ANGSTROM_PER_BOHR
from elphant.workflow.hamiltonian_source import HamiltonianSource

#: Stage, what it does, estimated seconds on one core.
CostLine = tuple[str, str, float]

#: Radius (bohr) of most orbitals of uni-hamgnn, and weights of its networks at the documented
#: defaults; those of networks that were added are read.
PLANNED_RADIUS, PLANNED_WEIGHTS, PLANNED_LAYERS = 7.0, 5.6e6, 3

#: Seconds of uni-hamgnn on one core, measured with 20 atoms of Sb2Se3: to make the tables of an
#: ordered pair of elements; per centre and pair of atoms around it for H0, its derivatives, and
#: those of spin-orbit coupling; per pair and weight for a run of a network; and the same per pair
#: in reach of a moved atom.
TABLE_SECONDS = 0.75
TRIPLE_SECONDS, TRIPLE_DERIVATIVE_SECONDS, TRIPLE_SPIN_ORBIT_SECONDS = 2.7e-5, 1.6e-4, 2.8e-4
WEIGHT_SECONDS, WEIGHT_DERIVATIVE_SECONDS = 3.1e-10, 7e-10

#: Numbers of a block of Sb or Se.
BLOCK_SIZE = 19**2


class NetworkCost:
    """What Hamiltonian and derivatives of uni-hamgnn take.

    Parameters
    ----------
    crystal : Crystal
    symmetry : Symmetry
    source : HamiltonianSource
    """

    def __init__(self, crystal: Crystal, symmetry: Symmetry, source: HamiltonianSource) -> None:
        self._crystal, self._options = crystal, source.config
        self._spinor = source.config.spin_orbit != "none"
        self._n_networks = 2 if source.config.spin_orbit == "network" else 1
        self._n_inequivalent = len(set(symmetry.equivalent_atoms.tolist()))
        self._list_radius = 2.0 * PLANNED_RADIUS * OPENMX_ANGSTROM_PER_BOHR
        self._weights, self._layers = _network_size()

    @property
    def _pairs_per_atom(self) -> float:
        return atoms_within(self._crystal, self._list_radius)

    @property
    def _triples(self) -> float:
        return self._crystal.n_atoms * self._pairs_per_atom**2

    @property
    def _reach(self) -> float:
        """Distance (Å) up to which atoms feel a displacement; one list radius for each layer."""
        return self._options.reach or self._layers * self._list_radius

    @property
    def _reached_pairs(self) -> float:
        return reached_pairs(self._crystal, self._pairs_per_atom, self._reach)

    @property
    def hamiltonian(self) -> CostLine:
        """The line of H and S."""
        pairs = self._crystal.n_atoms * self._pairs_per_atom
        seconds = TABLE_SECONDS * len(self._crystal.elements) ** 2
        seconds += TRIPLE_SECONDS * self._triples * (2.0 if self._spinor else 1.0)
        seconds += WEIGHT_SECONDS * pairs * self._weights * self._n_networks
        text = f"uni-hamgnn, {self._crystal.n_atoms} atoms, about {pairs:.0f} pairs"
        if self._spinor:
            text += f", spin-orbit coupling: {self._options.spin_orbit}"
        return ("hamiltonian", text, seconds)

    @property
    def derivatives(self) -> CostLine:
        """The line of their derivatives."""
        seconds = TRIPLE_DERIVATIVE_SECONDS * self._triples
        seconds += TRIPLE_SPIN_ORBIT_SECONDS * self._triples if self._spinor else 0.0
        per_atom = WEIGHT_DERIVATIVE_SECONDS * self._reached_pairs * self._weights
        seconds += per_atom * self._n_inequivalent * self._n_networks
        reach = f"{self._reach:g} Å" if self._options.reach else f"about {self._reach:.0f} Å"
        text = (
            f"analytic, uni-hamgnn: {self._n_inequivalent} inequivalent atoms, each felt by others "
            f"within {reach} ({self._reached_pairs:.0f} pairs)"
        )
        return ("derivatives", text, seconds)

    @property
    def memory_gb(self) -> float:
        """Memory of the derivatives of all atoms while they are assembled, GB."""
        return derivative_memory(self._crystal.n_atoms, self._reached_pairs, BLOCK_SIZE)


def _network_size() -> tuple[float, int]:
    """Return weights and layers of the network that was added, or of the documented one."""
    from elphant.models.hamiltonians.hamgnn.checkpoint_resources import uni_hamgnn_record

    try:
        network = uni_hamgnn_record()["networks"]["nonsoc"]
        layers = int(network["config"]["representation"]["num_layers"])
        return float(network["n_parameters"]), layers
    except (ElphantError, KeyError):
        # The run itself says what is missing; beside phonons it is only a doubt.
        return PLANNED_WEIGHTS, PLANNED_LAYERS
