"""Meshes that cannot carry a current."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elphant.errors import PhysicsError
from elphant.workflow.stages.mobility import require_motion


def window(speed: float) -> SimpleNamespace:
    velocities = np.zeros((1, 1, 3))
    velocities[0, 0, 1] = speed
    return SimpleNamespace(
        carrier="electron",
        divisions=np.array([6, 6, 6]),
        full_states=np.array([[0, 0]]),
        velocities=velocities,
    )


def test_a_mesh_that_holds_only_the_band_edge_is_refused() -> None:
    with pytest.raises(PhysicsError, match="1 electron states on the mesh 6x6x6 moves"):
        require_motion(window(1e-9))  # type: ignore[arg-type]


def test_moving_states_are_accepted() -> None:
    require_motion(window(500.0))  # type: ignore[arg-type]
