"""What a user can choose of the provider ``uni-hamgnn``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

#: none; through the j-dependent nonlocal potential of the tables; the same with what the second
#: network of the checkpoint adds.
SpinOrbit = Literal["none", "pseudopotential", "network"]
Precision = Literal["float64", "float32"]

#: Largest element (eV/Å) of blocks of the network's derivative that are left out.
DERIVATIVE_THRESHOLD = 5e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class UniHamGNNSettings:
    r"""Choices that change numbers, apart from ``device``.

    Attributes
    ----------
    spin_orbit : {"none", "pseudopotential", "network"}
        Spin-orbit coupling: left out; that of the nonlocal potential,
        :math:`\bar V + i \sum_\alpha A_\alpha \sigma_\alpha`; or as the published networks are
        combined, :math:`V_{NL} + i \sum_\alpha (A_\alpha + X_\alpha) \sigma_\alpha` with X of the
        second network. V_NL has projectors averaged over j, the mean :math:`\bar V` of their
        outer products differs from it by a few meV.
    dtype : {"float64", "float32"}
        In which the network runs; everything else is float64.
    reach : float or None, Å
        Atoms farther from the moved one keep their features in derivatives of the network.
    threshold : float, eV/Å
        Blocks of the network's derivative without a larger element are left out.
    symmetry : bool
        Derivatives of the network over symmetry-equivalent atoms are rotated, not computed.
    symmetry_tolerance : float, Å
        With which the space group is found.
    device : str
        ``cpu``, ``cuda``, ``cuda:1``, or ``auto``.
    """

    spin_orbit: SpinOrbit = "none"
    dtype: Precision = "float64"
    reach: float | None = None
    threshold: float = DERIVATIVE_THRESHOLD
    symmetry: bool = True
    symmetry_tolerance: float = 1e-5
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, kinds in (("spin_orbit", SpinOrbit), ("dtype", Precision)):
            if getattr(self, name) not in get_args(kinds):
                known = ", ".join(get_args(kinds))
                raise ValueError(f"{name} is {getattr(self, name)!r}; known are {known}")
        if self.reach is not None and not self.reach > 0:
            raise ValueError(f"a reach of {self.reach} Å is not positive")
        if not self.threshold >= 0:
            raise ValueError(f"a threshold of {self.threshold} eV/Å is negative")

    def identity(self) -> dict[str, Any]:
        """Return what determines the numbers: plain JSON."""
        record = asdict(self)
        record.pop("device")
        return record
