"""Hyper-parameters of a HamGNN network, read from its configuration and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn.irreps import Irrep, Irreps

#: Values of switches for which the network is implemented.
REPRESENTATION_CHOICES: dict[str, tuple[object, ...]] = {
    "cutoff_func": ("cos",),
    "rbf_func": ("bessel",),
    "edge_sh_normalization": ("component",),
    "edge_sh_normalize": (True,),
    "use_kan": (False,),
    "lite_mode": (False,),
    "use_corr_prod": (False,),
    "build_internal_graph": (False,),
    "radius_type": ("openmx",),
}
OUTPUT_CHOICES: dict[str, tuple[object, ...]] = {
    "ham_type": ("openmx",),
    "ham_only": (True,),
    "symmetrize": (True,),
    "add_H0": (True,),
    "soc_basis": ("so3",),
    "nonlinearity_type": ("gate",),
    "spin_constrained": (False,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What defines the shape of a network.

    Attributes
    ----------
    irreps : Irreps
        Features of nodes and edges; no representation occurs twice.
    harmonics : Irreps
        Spherical harmonics of the edges: one channel per l from 0, natural parity.
    n_types : int
        Length of the one-hot vector of the atomic number (index is the number itself).
    n_layers : int
    n_radial : int
        Bessel functions.
    hidden : tuple of int
        Hidden widths of the radial networks.
    cutoff : float
        End of the radial envelope, bohr.
    n_orbitals : int
        Orbitals of a padded block: 13, 14, 19 or 26.
    legacy_edge_update : bool
        The first pair block exists but its result is discarded.
    spin_orbit : bool
        Whether the network has the heads of spin-orbit coupling.
    """

    irreps: Irreps
    harmonics: Irreps
    n_types: int
    n_layers: int
    n_radial: int
    hidden: tuple[int, ...]
    cutoff: float
    n_orbitals: int
    legacy_edge_update: bool
    spin_orbit: bool = False

    def __post_init__(self) -> None:
        natural = tuple((1, Irrep(degree, (-1) ** degree)) for degree in range(self.l_max + 1))
        if self.harmonics.slots != natural:
            raise _unsupported("irreps_edge_sh", self.harmonics, "0e + 1o + 2e ..., one of each")
        if not self.irreps.is_unique:
            raise _unsupported("irreps_node_features", self.irreps, "each representation once")
        gated = [irrep for _, irrep in self.irreps if irrep.l > 0]
        if gated != sorted(gated):
            # The order of the gates would have to be guessed.
            raise _unsupported("irreps_node_features", self.irreps, "sorted by l, odd before even")
        if Irrep(0, 1) not in self.irreps.multiplicities:
            raise _unsupported("irreps_node_features", self.irreps, "some channels 0e")
        if self.n_layers < 1 or self.cutoff <= 0:
            raise _unsupported("num_layers, cutoff", (self.n_layers, self.cutoff), "positive")

    @property
    def l_max(self) -> int:
        """Largest l of the harmonics."""
        return len(self.harmonics.slots) - 1

    @property
    def largest_degree(self) -> int:
        """Largest l that any vector of this network has."""
        head = 6 if self.n_orbitals == 26 else 4
        return max(head, *(irrep.l for _, irrep in self.irreps))

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, spin_orbit: bool | None = None
    ) -> NetworkSettings:
        """Return the settings written in a configuration.

        Parameters
        ----------
        config : mapping
            Either with the parts ``representation`` and ``output``, or a training configuration
            with ``representation_nets.HamGNN_pre`` and ``output_nets.HamGNN_out``.
        spin_orbit : bool, optional
            Whether this is the network with spin-orbit coupling; read from ``soc_switch`` when not
            given.

        Raises
        ------
        ModelError
            If a value is missing or asks for something that is not implemented.
        """
        representation, output = _parts(config)
        for part, choices in (
            (representation, REPRESENTATION_CHOICES),
            (output, OUTPUT_CHOICES),
        ):
            for name, allowed in choices.items():
                value = part.get(name, allowed[0])
                value = value.lower() if isinstance(value, str) else value
                if value not in allowed:
                    raise _unsupported(name, value, " or ".join(map(str, allowed)))
        switch = output.get("soc_switch", False) if spin_orbit is None else spin_orbit
        try:
            return cls(
                irreps=Irreps.parse(str(representation["irreps_node_features"])),
                harmonics=Irreps.parse(str(representation["irreps_edge_sh"])),
                n_types=int(representation["num_types"]),
                n_layers=int(representation["num_layers"]),
                n_radial=int(representation["num_radial"]),
                hidden=tuple(int(n) for n in representation["radial_MLP"]),
                cutoff=float(representation["cutoff"]),
                n_orbitals=int(output["nao_max"]),
                legacy_edge_update=bool(representation.get("legacy_edge_update", True)),
                spin_orbit=switch is True,
            )
        except KeyError as error:
            raise ModelError(
                f"the configuration of the network has no {error}.",
                "Hyper-parameters are read, never guessed.",
                "Use the configuration that was stored with the weights.",
            ) from error
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"the configuration of the network cannot be read: {error}.",
                fix="Use the configuration that was stored with the weights.",
            ) from error


def _parts(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if "representation" in config and "output" in config:
        return config["representation"], config["output"]
    try:
        return (
            config["representation_nets"]["HamGNN_pre"],
            config["output_nets"]["HamGNN_out"],
        )
    except (KeyError, TypeError) as error:
        raise ModelError(
            "the configuration of the network lacks its two parts.",
            "Expected are 'representation' and 'output', or 'representation_nets.HamGNN_pre' and "
            "'output_nets.HamGNN_out'.",
            "Use the configuration that was stored with the weights.",
        ) from error


def _unsupported(name: str, value: object, allowed: str) -> ModelError:
    return ModelError(
        f"'{name}' of the network is {value}; implemented is: {allowed}.",
        "The network would give other numbers than the one that was trained.",
        "Use a HamGNN version 2 network for OpenMX with the usual settings.",
    )
