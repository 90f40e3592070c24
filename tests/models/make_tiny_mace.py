"""Write a tiny MACE model with random weights: two heads, elements Si, Se and Sb.

Run by the Python of the environment that has mace-torch::

    PYTHON make_tiny_mace.py OUTPUT.model
"""

from __future__ import annotations

import sys
import warnings

warnings.simplefilter("ignore")

import mace  # noqa: E402, F401  first: it sets the variable that e3nn 0.4.4 needs
import numpy as np  # noqa: E402
import torch  # noqa: E402
from e3nn import o3  # noqa: E402
from mace import modules  # noqa: E402

HEADS = ["omat_pbe", "matpes_r2scan"]


def tiny_model(seed: int = 7) -> torch.nn.Module:
    """Return a random two-layer network in float32, as published models are stored."""
    torch.manual_seed(seed)
    return modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        num_interactions=2,
        num_elements=3,
        hidden_irreps=o3.Irreps("8x0e+8x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([[-1.0, -2.0, -3.0], [-1.5, -2.5, -3.5]]),
        avg_num_neighbors=8.0,
        atomic_numbers=[14, 34, 51],
        correlation=2,
        radial_MLP=[8, 8],
        heads=HEADS,
        atomic_inter_scale=[0.5, 0.7],
        atomic_inter_shift=[0.0, 0.1],
    )


if __name__ == "__main__":
    torch.save(tiny_model(), sys.argv[1])
