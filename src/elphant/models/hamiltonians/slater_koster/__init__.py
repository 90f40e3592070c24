"""L2: the two-centre provider, a fast test double with exact derivatives."""

from elphant.models.hamiltonians.slater_koster.parameters import (
    PARAMETER_SETS,
    SlaterKosterParameters,
    read_parameters,
)
from elphant.models.hamiltonians.slater_koster.provider import SlaterKosterProvider

__all__ = [
    "PARAMETER_SETS",
    "SlaterKosterParameters",
    "SlaterKosterProvider",
    "read_parameters",
]
