"""phono3py: symmetry-reduced pair displacements for third-order finite differences."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.phonon.adapters.phonopy_adapter import to_phonopy_atoms


def pair_displacements(
    unitcell: Crystal,
    supercell_matrix: NDArray[np.int64],
    primitive_matrix: NDArray[np.float64],
    *,
    amplitude: float,
    cutoff: float | None,
    tolerance: float,
) -> NDArray[np.float64]:
    """Return one- and two-atom displacements that determine Φ3, (n_snapshots, n_atoms, 3) Å.

    Pairs farther apart than ``cutoff`` (Å) are left out. Every displacement comes with its
    opposite: the fourth order of the energy then cancels, whereas one-sided pairs keep an error
    of first order in the amplitude, even where symmetry maps one atom's ``+u`` onto ``-u``.
    """
    from phono3py import Phono3py

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculation = Phono3py(
            to_phonopy_atoms(unitcell),
            supercell_matrix,
            primitive_matrix=np.array(primitive_matrix),
            symprec=tolerance,
        )
    calculation.generate_displacements(
        distance=amplitude, cutoff_pair_distance=cutoff, is_plusminus=True
    )
    dataset: Any = calculation.dataset
    n_atoms = len(calculation.supercell)
    snapshots = []
    for first in dataset["first_atoms"]:
        single = np.zeros((n_atoms, 3))
        single[first["number"]] = first["displacement"]
        snapshots.append(single)
        for second in first["second_atoms"]:
            if second.get("included", True):
                pair = single.copy()
                pair[second["number"]] += second["displacement"]
                snapshots.append(pair)
    return np.array(snapshots)
