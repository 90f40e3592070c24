"""The same crystal in other settings and orientations has the same κ along the same directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import elphant
from elphant.crystal import Crystal

FIXTURES = Path(__file__).parents[1] / "fixtures"
LENGTHS = np.array([5.18, 5.27, 5.42])
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
CYCLE = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # (a, b, c) -> (c, a, b): a proper rotation


def argon(cell: np.ndarray, fractional: np.ndarray) -> Crystal:
    return Crystal(lattice=cell, fractional=fractional, numbers=np.full(4, 18))


def conductivity(crystal: Crystal, output: Path, solver: str) -> dict[str, float]:
    result = elphant.run(
        crystal,
        output=output,
        potential={"model": "lj_argon:nearest_neighbours"},
        relaxation={"enabled": False},
        displacements={
            "method": "finite-difference",
            "length_second": 10.0,
            "length_third": 10.0,
            "cutoff_third": 4.2,
            "check_gamma": False,
            "amplitude_second": 0.002,
            "amplitude_third": 0.002,
        },
        phonons={"mesh": (2, 2, 2)},
        conductivity={"mesh_spacing": 0.45, "temperatures": (60.0,), "solver": (solver,)},
    )
    tensor = result.thermal_conductivity(60.0, solver)
    standard = result.frame.standard_axes
    return {standard[axis]: value for axis, value in tensor.along_axes().items()}


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["rta", "bte"])
def test_setting_and_orientation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    monkeypatch.syspath_prepend(str(FIXTURES))
    cell = np.diag(LENGTHS)
    rotation = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    frames = {
        "plain": argon(cell, FCC),
        "permuted": argon(np.diag(CYCLE @ LENGTHS), FCC @ CYCLE.T),
        "rotated": argon(cell @ rotation.T, FCC),
    }
    results = {
        name: conductivity(crystal, tmp_path / f"{name}.run", solver)
        for name, crystal in frames.items()
    }
    plain = results["plain"]
    assert len(set(np.round(list(plain.values()), 3))) == 3, "the three axes must differ"
    assert results["rotated"] == pytest.approx(plain, rel=1e-9)
    # The permuted cell is displaced along other directions, so the finite-difference errors,
    # of second order in the amplitude of 0.002 Å, are not the same ones.
    assert results["permuted"] == pytest.approx(plain, rel=1.5e-5)
