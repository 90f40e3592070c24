"""Seebeck coefficient, heat conductivity and Lorenz number against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_states import lattice_model, thermal_nodes

from elphant.electron.occupation import CarrierStates
from elphant.electron.transport.collision import CollisionOperator
from elphant.electron.transport.onsager import OnsagerCoefficients
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.transport.spherical import elastic_kernel, spherical_states
from elphant.electron.transport.state_space import carrier_chemical_potential
from elphant.errors import PhysicsError
from elphant.units import BOLTZMANN_EV, HBAR_EV_PS, INVERSE_MASS_PER_EV_A2

MASS, TEMPERATURE, TIME = 0.3, 300.0, 0.02
THERMAL = BOLTZMANN_EV * TEMPERATURE
#: k_B/e in µV/K; its square in V²/K².
KB = BOLTZMANN_EV * 1e6
SQUARE = BOLTZMANN_EV**2


def band(carrier="electron", reach=45.0, n=60):
    energies, weights = thermal_nodes(TEMPERATURE, reach, n)
    cosines = np.polynomial.legendre.leggauss(6)
    return energies, spherical_states(MASS, energies, weights, *cosines, 100.0, carrier)


def solved(carrier, level, power, reach=45.0, n=60, solve=solve_bte):
    """Solve for elastic isotropic rates that grow with the energy to some power."""
    energies, space = band(carrier, reach, n)
    kernel = elastic_kernel(space, (energies / THERMAL) ** power / TIME)
    return solve(CollisionOperator(space, kernel, level, TEMPERATURE))


@pytest.mark.parametrize("carrier", ["electron", "hole"])
@pytest.mark.parametrize(("power", "moment"), [(0.0, 2.5), (0.5, 2.0)])
def test_few_carriers(carrier, power, moment):
    """Constant time: S = (k/e)(5/2 - η), L = 5/2 (k/e)²; acoustic phonons: 2 instead of 5/2."""
    eta = -12.0
    sign = -1.0 if carrier == "electron" else 1.0
    result = solved(carrier, -sign * eta * THERMAL, power)
    onsager = OnsagerCoefficients.of(result)
    assert onsager.seebeck == pytest.approx(sign * KB * (moment - eta) * np.eye(3), rel=1e-5)
    assert onsager.lorenz_number == pytest.approx(moment * SQUARE * np.eye(3), rel=1e-5)


def test_constant_time_gives_the_drude_mobility_at_every_level():
    per_mass = 1e-4 * TIME / (MASS * INVERSE_MASS_PER_EV_A2 * HBAR_EV_PS**2)
    for solve in (solve_serta, solve_mrta, solve_bte):
        for level in (-10 * THERMAL, 5 * THERMAL):
            result = solved("electron", level, 0.0, reach=60.0, solve=solve)
            assert result.mobility == pytest.approx(per_mass * np.eye(3), rel=1e-6)
            assert result.effective_time == pytest.approx(TIME, rel=1e-9)
    assert result.level == "bte"


def test_conductivity_is_density_times_mobility():
    result = solved("electron", -3 * THERMAL, 0.5)
    onsager = OnsagerCoefficients.of(result)
    # S/m from 1/cm³, C and cm²/(V s).
    expected = result.density * 1e6 * 1.602176634e-19 * result.mobility * 1e-4
    assert onsager.conductivity == pytest.approx(expected, rel=1e-10)


def test_many_carriers_obey_wiedemann_and_franz():
    result = solved("electron", 200 * THERMAL, 0.0, reach=245.0, n=900)
    onsager = OnsagerCoefficients.of(result)
    assert onsager.lorenz_number == pytest.approx(np.pi**2 / 3 * SQUARE * np.eye(3), rel=1e-3)
    # Mott: S = -(π²/3)(k/e) k_B T (3/2)/μ.
    mott = -(np.pi**2) / 3 * KB * 1.5 / 200
    assert onsager.seebeck == pytest.approx(mott * np.eye(3), rel=1e-3)


def test_electrons_and_holes_side_by_side():
    """The bipolar heat conductivity of a gap."""
    gap, level = 0.3, 0.13
    energies, electrons = band("electron")
    _, holes = band("hole")
    electrons = replace(electrons, energies=electrons.energies + gap)
    kernel = elastic_kernel(electrons, np.full(len(energies), 1.0 / TIME))
    both = [
        solve_bte(CollisionOperator(space, factor * kernel, level, TEMPERATURE))
        for space, factor in ((electrons, 1.0), (holes, 3.0))
    ]
    e, h = (OnsagerCoefficients.of(s) for s in both)
    total = OnsagerCoefficients.of(*both)
    reverse = OnsagerCoefficients.of(*both[::-1])
    se, sh, ce, ch = (x[0, 0] for x in (e.seebeck, h.seebeck, e.conductivity, h.conductivity))
    assert se < 0 < sh
    assert total.conductivity[0, 0] == pytest.approx(ce + ch)
    assert total.seebeck[0, 0] == pytest.approx((ce * se + ch * sh) / (ce + ch), rel=1e-10)
    bipolar = TEMPERATURE * ce * ch / (ce + ch) * (1e-6 * (se - sh)) ** 2
    plain = e.thermal_conductivity[0, 0] + h.thermal_conductivity[0, 0]
    assert total.thermal_conductivity[0, 0] == pytest.approx(plain + bipolar, rel=1e-9)
    assert bipolar > 0.1 * plain
    assert reverse.seebeck == pytest.approx(total.seebeck, rel=1e-9, abs=1e-9)
    elsewhere = OnsagerCoefficients.of(
        solve_serta(CollisionOperator(holes, kernel, level + 0.01, TEMPERATURE))
    )
    with pytest.raises(ValueError, match="levels"):
        _ = e + elsewhere
    with pytest.raises(ValueError, match="no solutions"):
        OnsagerCoefficients.of()


def test_figure_of_merit():
    onsager = OnsagerCoefficients.of(solved("electron", -2 * THERMAL, 0.5))
    lattice = np.diag([1.0, 2.0, 4.0])
    zt = onsager.figure_of_merit(lattice)
    s, c, k = (
        x[0, 0] for x in (onsager.seebeck, onsager.conductivity, onsager.thermal_conductivity)
    )
    for i in range(3):
        expected = TEMPERATURE * (1e-6 * s) ** 2 * c / (lattice[i, i] + k)
        assert zt[i, i] == pytest.approx(expected, rel=1e-9)
    assert zt[0, 0] > 0
    assert onsager.power_factor[0, 0] == pytest.approx((1e-6 * s) ** 2 * c)


def test_the_reference_energy_does_not_matter():
    reduced, kernel, _, _ = lattice_model("-3m")
    a = OnsagerCoefficients.of(solve_bte(CollisionOperator(reduced, kernel, -0.1, 500.0)))
    b = a.around(a.reference_energy + 0.07)
    for name in ("conductivity", "seebeck", "thermal_conductivity", "lorenz_number"):
        one, two = getattr(a, name), getattr(b, name)
        assert one == pytest.approx(two, rel=1e-7, abs=1e-9 * np.abs(one).max())


def test_level_of_a_density_of_states():
    """N_c(300 K, m = 1) = 2.509412e19 per cm³."""
    energies, weights = thermal_nodes(300.0)
    k = np.sqrt(2 * INVERSE_MASS_PER_EV_A2 * energies)
    per_cell = 100.0 * 2 * weights * k**3 / (2 * energies) / (2 * np.pi**2)
    states = CarrierStates(
        electron_levels=energies + 1.0,
        electron_states=per_cell,
        hole_levels=-energies,
        hole_states=per_cell,
    )
    for density in (1e10, 1e16):
        expected = 1.0 + THERMAL * np.log(density / 2.509412e19)
        level = carrier_chemical_potential(states, "electron", 300.0, density, 100.0)
        assert level == pytest.approx(expected, abs=5e-4 * THERMAL)
        mirrored = carrier_chemical_potential(states, "hole", 300.0, density, 100.0)
        assert mirrored == pytest.approx(1.0 - level, abs=1e-9)
    with pytest.raises(PhysicsError, match="do not fit"):
        carrier_chemical_potential(states, "hole", 300.0, 1e30, 100.0)


def test_level_of_the_states_themselves():
    energies, weights = thermal_nodes(300.0)
    space = spherical_states(1.0, energies, weights, [-0.5, 0.5], [1.0, 1.0], 100.0)
    level = space.chemical_potential(1e14, 300.0)
    assert level == pytest.approx(THERMAL * np.log(1e14 / 2.509412e19), abs=1e-4 * THERMAL)
    assert space.density(level, 300.0) == pytest.approx(1e14, rel=1e-9)
    with pytest.raises(PhysicsError, match="window"):
        space.chemical_potential(1e25, 300.0)
