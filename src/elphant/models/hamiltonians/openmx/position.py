r"""Matrix elements of the position between pseudo-atomic orbitals, for dipoles and Born charges.

About its own centre

.. math:: r_\alpha \varphi_{lm} = \sqrt{4\pi/3} \sum_{l'm'} G^{l'm'}_{lm,1\alpha}\,
          r R(r)\, Y_{l'm'}, \qquad l' = l \pm 1 :

the integrals are overlaps with these functions. To them comes the position of the ket times the
overlap.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.hamiltonians.openmx.database import OpenMXData
from elphant.models.hamiltonians.openmx.matrices import Setup
from elphant.orbitals.derivatives import VectorMatrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR

Array = NDArray[np.float64]


def openmx_position(
    crystal: Crystal, data: OpenMXData, *, basis: Mapping[str, str] | None = None
) -> VectorMatrix:
    r"""Return :math:`\langle i\,0 | r_\alpha | j\,R \rangle` about the Cartesian origin, Å.

    The blocks are those of the overlap.

    Parameters
    ----------
    crystal : Crystal
    data : OpenMXData
    basis : mapping of str to str, optional
        As for :func:`elphant.models.hamiltonians.openmx.openmx_matrices`.

    Raises
    ------
    ModelError
        If tables are missing or unusable, or two atoms nearly coincide.
    """
    setup = Setup(crystal, data, basis)
    pattern = setup.pattern
    first, second = setup.symbols[pattern.pairs].T
    overlap = setup.two_centre("overlap")
    kets = crystal.positions[pattern.pairs[:, 1]] + pattern.cells @ crystal.lattice
    lengths = np.diff(pattern.offsets)
    about_kets = np.zeros((3, len(overlap)))
    for where, blocks in setup.tables.blocks("position", first, second, setup.pairs.vectors):
        components = setup.tables.species[second[where[0]]].position_components
        for axis in range(3):
            setup.scatter(about_kets[axis], where, blocks @ components[axis])
    x, y, z = (
        pattern.with_values(
            about_kets[axis] * OPENMX_ANGSTROM_PER_BOHR
            + np.repeat(kets[:, axis], lengths) * overlap
        )
        for axis in range(3)
    )
    return x, y, z
