"""Checks that every provider makes before and after it evaluates a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials.protocol import Evaluation


def check_dtype(dtype: str) -> None:
    """Raise :class:`ModelError` unless ``dtype`` is ``float64`` or ``float32``."""
    if dtype not in ("float64", "float32"):
        raise ModelError(f"dtype '{dtype}' is not supported.", fix="Use float64 or float32.")


def check_elements(card: ModelCard, crystals: Sequence[Crystal]) -> None:
    """Raise :class:`ModelError` naming the elements that the model does not know."""
    if not card.elements:
        return
    present = {symbol for crystal in crystals for symbol in crystal.elements}
    unknown = sorted(present - set(card.elements))
    if unknown:
        raise ModelError(
            f"model '{card.name}' does not know {', '.join(unknown)}.",
            f"It was trained on {len(card.elements)} elements.",
            "Choose a model that covers all elements of the crystal (elphant models info NAME).",
        )


def build_evaluation(
    card: ModelCard, crystal: Crystal, energy: float, forces: ArrayLike, stress: ArrayLike
) -> Evaluation:
    """Return an :class:`Evaluation` after checking that all numbers are finite.

    Raises
    ------
    ModelError
        If a number is not finite: the structure is far outside the training data, or overflows.
    """
    values = np.asarray(forces, dtype=float), np.asarray(stress, dtype=float)
    if not (np.isfinite(energy) and all(np.isfinite(v).all() for v in values)):
        raise ModelError(
            f"model '{card.name}' returned non-finite numbers for {crystal.formula}.",
            "The structure is far from anything the model was trained on, or atoms overlap.",
            "Check the structure; relax it; or use another model.",
        )
    symmetric = 0.5 * (values[1] + values[1].T)
    return Evaluation(energy=float(energy), forces=values[0], stress=symmetric)
