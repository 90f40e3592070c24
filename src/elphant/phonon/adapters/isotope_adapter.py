"""Natural isotope distributions from phonopy's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elphant.crystal.elements import symbols_of
from elphant.errors import ConfigurationError


def natural_mass_variances(numbers: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mass variance of the natural isotopes of each atom.

    ``g = sum_i f_i (1 - m_i / mean)²`` with fractions and masses of J. R. de Laeter et al., Pure
    Appl. Chem. 75, 683 (2003), as tabulated in phonopy.

    Parameters
    ----------
    numbers : sequence of int, (n_atoms,)
        Atomic numbers.

    Returns
    -------
    ndarray, (n_atoms,)

    Raises
    ------
    ConfigurationError
        For an element without natural isotopes.
    """
    from phonopy.structure.atomic_data import get_atomic_data

    table = get_atomic_data().isotope_data
    result = []
    for symbol in symbols_of([int(number) for number in numbers]):
        isotopes = table.get(symbol)
        if isotopes is None:
            raise ConfigurationError(
                f"{symbol} has no natural isotopes in the table.",
                "Isotope scattering needs their masses and fractions.",
                "Switch isotope scattering off.",
            )
        _, masses, fractions = np.array(isotopes, dtype=float).T
        mean = masses @ fractions
        result.append(float(fractions @ (1.0 - masses / mean) ** 2))
    return np.array(result)
