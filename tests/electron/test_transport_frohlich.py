"""The Fröhlich model: closed forms, the equation between rungs, and the general solvers."""

from __future__ import annotations

import numpy as np
import pytest

from elphant.electron.transport.collision import CollisionOperator
from elphant.electron.transport.onsager import OnsagerCoefficients
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.transport.spherical import (
    FrohlichBand,
    frohlich_alpha,
    frohlich_mobility,
    frohlich_states,
    mrta_rates,
    serta_rates,
)
from elphant.units import BOLTZMANN_EV

#: Mobility in e/(2mαω) by k_B T/ħω: serta, mrta, bte. Two independent implementations.
TABLE = {
    0.10: (22836.539089, 70586.688738, 25092.958256),
    0.20: (145.344622, 457.588078, 171.819654),
    0.30: (22.545955, 70.527423, 28.973665),
    0.50: (3.950783, 11.297475, 6.044775),
    0.75: (1.492646, 3.799492, 2.698198),
    1.00: (0.902138, 2.215254, 1.845018),
    1.50: (0.529717, 1.375011, 1.290391),
    2.00: (0.391399, 1.105458, 1.073114),
    2.45: (0.323162, 0.975431, 0.958003),
    5.00: (0.177897, 0.670202, 0.667335),
    10.0: (0.105504, 0.474657, 0.474012),
}


@pytest.mark.parametrize("ratio", TABLE)
def test_closed_forms_and_ladder_reproduce_the_table(ratio):
    found = [frohlich_mobility(ratio, level) for level in ("serta", "mrta", "bte")]
    # The last digit of the table is 5e-6 of the smallest entry.
    assert found == pytest.approx(TABLE[ratio], rel=5e-6)


@pytest.mark.parametrize("ratio", TABLE)
def test_the_general_solvers_reproduce_the_table(ratio):
    band = FrohlichBand(mass=0.3, frequency=5.0, alpha=1.7)
    temperature = ratio * band.quantum / BOLTZMANN_EV
    space, kernel = frohlich_states(band, temperature)
    operator = CollisionOperator(space, kernel, -60.0 * BOLTZMANN_EV * temperature, temperature)
    assert operator.row_sum_error < 1e-12
    assert operator.asymmetry < 1e-10
    solutions = [solve_serta(operator), solve_mrta(operator), solve_bte(operator)]
    found = [s.mobility / band.mobility_unit for s in solutions]
    for tensor, exact in zip(found, TABLE[ratio], strict=True):
        assert tensor == pytest.approx(exact * np.eye(3), rel=3e-5, abs=1e-10 * exact)
    assert all(s.positive for s in solutions)
    assert {f.severity for s in solutions for f in s.flags} == {"info"}


def test_general_rates_are_the_closed_forms():
    band = FrohlichBand(mass=0.5, frequency=4.0, alpha=1.2)
    temperature = 300.0
    space, kernel = frohlich_states(band, temperature)
    operator = CollisionOperator(space, kernel, -1.0, temperature)
    x = np.sqrt(space.energies / band.quantum)
    occupation = 1.0 / np.expm1(band.quantum / (BOLTZMANN_EV * temperature))
    unit = band.alpha * 2 * np.pi * band.frequency
    inside = x < np.sqrt(30.0)
    assert operator.rates[inside] == pytest.approx(
        unit * serta_rates(x, occupation)[inside], rel=1e-9
    )
    assert solve_mrta(operator).rates[inside] == pytest.approx(
        unit * mrta_rates(x, occupation)[inside], rel=1e-7
    )


def test_cold_limits():
    occupation = 1.0 / np.expm1(20.0)
    assert frohlich_mobility(0.05, "serta") * occupation == pytest.approx(1.0, rel=0.1)
    assert frohlich_mobility(0.05, "mrta") * occupation == pytest.approx(3.0, rel=0.1)
    assert frohlich_mobility(0.05, "bte") * occupation == pytest.approx(1.0, rel=0.1)


def test_small_arguments_are_smooth():
    x = np.array([1e-6, 0.049999, 0.050001])
    rates = mrta_rates(x, 1.0)
    assert rates[0] == pytest.approx(2.0 / 3.0, rel=1e-10)
    assert rates[1] == pytest.approx(rates[2], rel=1e-7)


@pytest.mark.parametrize(
    ("mass", "electronic", "static", "frequency", "alpha", "serta", "bte"),
    [(0.35, 13.52, 76.27, 2.57, 1.29, 39, 116), (0.90, 13.52, 76.27, 2.57, 2.07, 9.5, 28),
     (0.40, 10.26, 68.76, 3.49, None, 27, 71)],
)  # fmt: skip
def test_antimony_chalcogenides(mass, electronic, static, frequency, alpha, serta, bte):
    coupling = frohlich_alpha(mass, frequency, electronic, static)
    if alpha is not None:
        assert coupling == pytest.approx(alpha, abs=0.005)
    band = FrohlichBand(mass=mass, frequency=frequency, alpha=coupling)
    assert band.mobility(300.0, "serta") == pytest.approx(serta, rel=0.02)
    assert band.mobility(300.0, "bte") == pytest.approx(bte, rel=0.02)


def test_seebeck_of_the_full_solution_needs_no_second_solve():
    """Λ1 from the response to the field equals that from the response to the gradient."""
    band = FrohlichBand(mass=0.3, frequency=5.0, alpha=1.0)
    space, kernel = frohlich_states(band, 300.0)
    solution = solve_bte(CollisionOperator(space, kernel, -0.8, 300.0))
    op = solution.operator
    e = (space.energies - op.reference_energy)[:, None]
    w = space.weights[:, None]
    first = (w * op.drive * e * solution.response).sum()
    second = (w * op.drive * solution.heat_response).sum()
    assert first == pytest.approx(second, rel=1e-8)
    assert abs(first) > 0
    s = OnsagerCoefficients.of(solution).seebeck
    assert -3500 < s[0, 0] < -2500


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_refuses_meaningless_parameters(bad):
    with pytest.raises(ValueError, match="positive"):
        FrohlichBand(mass=bad, frequency=1.0, alpha=1.0)
    with pytest.raises(ValueError, match="positive"):
        frohlich_mobility(bad, "bte")
