"""Elastic scattering: acoustic phonons in an anisotropic band, ionised impurities."""

from __future__ import annotations

import numpy as np
import pytest
from model_states import thermal_nodes
from scipy.linalg import block_diag

from elphant.electron.transport.attribution import attribute
from elphant.electron.transport.collision import CollisionOperator, ReducedKernel
from elphant.electron.transport.impurity import (
    IonisedImpurities,
    brooks_herring_rates,
    screening_square,
)
from elphant.electron.transport.solution import solve_bte, solve_mrta, solve_serta
from elphant.electron.transport.spherical import (
    FrohlichBand,
    elastic_kernel,
    frohlich_states,
    spherical_states,
)
from elphant.electron.transport.state_space import StateSpace
from elphant.units import (
    BOLTZMANN_EV,
    COULOMB_EV_ANGSTROM,
    GPA_PER_EV_A3,
    HBAR_EV_PS,
    INVERSE_MASS_PER_EV_A2,
)

TEMPERATURE = 300.0
THERMAL = BOLTZMANN_EV * TEMPERATURE


def ellipsoidal_states(masses, n_energies=24):
    """Return a band with three masses as directions on shells of energy, without symmetry."""
    energies, weights = thermal_nodes(TEMPERATURE, n=n_energies)
    c, w = np.polynomial.legendre.leggauss(4)
    azimuth = 2 * np.pi * (np.arange(6) + 0.5) / 6
    s = np.sqrt(1 - c**2)
    n = np.array(
        [[a * np.cos(p), a * np.sin(p), b] for a, b in zip(s, c, strict=True) for p in azimuth]
    )
    share = np.repeat(w / 2 / 6, 6)
    inverse = INVERSE_MASS_PER_EV_A2 * np.asarray(masses)
    # States per cell, energy and spin, with the density-of-states mass.
    density = np.sqrt(2 * energies) * np.sqrt(np.prod(inverse)) / (2 * np.pi**2) * 100.0
    v = np.sqrt(2 * energies)[:, None, None] * n / np.sqrt(inverse) / HBAR_EV_PS
    size = v.shape[0] * v.shape[1]
    space = StateSpace(
        carrier="electron",
        energies=np.repeat(energies, len(n)),
        weights=((density * weights)[:, None] * share).ravel(),
        velocities=v.reshape(-1, 3),
        velocity_spread=np.zeros((size, 3, 3)),
        images=np.arange(size),
        rotations=np.broadcast_to(np.eye(3), (size, 3, 3)),
        volume=100.0,
        spin_degeneracy=2,
    )
    return space, density / 100.0, share


def acoustic_kernel(space, density, share, deformation=8.0, stiffness=100.0):
    strength = deformation**2 * THERMAL * GPA_PER_EV_A3 / stiffness
    rates = 2 * np.pi / HBAR_EV_PS * strength * density
    return block_diag(*[np.tile(rate * share, (len(share), 1)) for rate in rates])


def test_acoustic_phonons_in_an_anisotropic_band():
    """m = (0.2, 0.4, 0.8), C = 100 GPa, D = 8 eV, 300 K: all levels agree."""
    space, density, share = ellipsoidal_states((0.2, 0.4, 0.8))
    op = CollisionOperator(space, acoustic_kernel(space, density, share), -0.5, TEMPERATURE)
    assert op.row_sum_error < 1e-12
    exact = np.diag([1886.9642527, 943.4821264, 471.7410632])
    for solve in (solve_serta, solve_mrta, lambda o: solve_mrta(o, "directions"), solve_bte):
        result = solve(op)
        assert result.mobility == pytest.approx(exact, rel=2e-6, abs=1e-6)
        assert result.positive


def impurities(screening=2e-4, concentration=1e17):
    return IonisedImpurities(
        concentration=concentration, charge=1.0, dielectric=12.0 * np.eye(3), screening=screening
    )


def impurity_band(mass=0.3, screening=2e-4, n_energies=40):
    """Return a band, its kernel of impurities, and the energies."""
    energies, weights = thermal_nodes(TEMPERATURE, n=n_energies)
    k = np.sqrt(2 * mass * INVERSE_MASS_PER_EV_A2 * energies)
    # 1 - cos + width is the denominator: logarithmic nodes.
    width = screening / (12.0 * 2 * k**2)
    t, w = np.polynomial.legendre.leggauss(30)
    top = np.log1p(2 / width)[:, None]
    u = 0.5 * (t + 1) * top
    cosines = 1 - width[:, None] * np.expm1(u)
    cosine_weights = 0.5 * w * top * width[:, None] * np.exp(u)
    space = spherical_states(mass, energies, weights, cosines, cosine_weights, 100.0)
    q = k[space.images, None] * (space.rotations[:, :, 2] - np.array([0, 0, 1.0]))
    values = impurities(screening).kernel(
        q, 1.0, 1.0 / weights[space.images], space.full_weights, 100.0
    )
    kernel = np.zeros((len(energies), len(space.images)))
    kernel[space.images, np.arange(len(space.images))] = values
    return space, kernel, energies


def test_ionised_impurities_are_those_of_brooks_and_herring():
    space, kernel, energies = impurity_band()
    op = CollisionOperator(space, kernel, -0.4, TEMPERATURE)
    exact = brooks_herring_rates(energies, 0.3, 12.0, impurities())
    serta, mrta, bte = solve_serta(op), solve_mrta(op), solve_bte(op)
    assert mrta.rates == pytest.approx(exact, rel=1e-6)
    assert solve_mrta(op, "directions").rates == pytest.approx(exact, rel=1e-6)
    # Forward scattering, ever more so at higher energy, loses little momentum.
    assert (np.diff(serta.rates / mrta.rates) > 0).all()
    assert serta.rates[0] > mrta.rates[0]
    assert bte.mobility == pytest.approx(mrta.mobility, rel=1e-9, abs=1e-6)
    assert bte.mobility[0, 0] > 1.5 * serta.mobility[0, 0]


def test_rates_of_impurities_in_known_units():
    """Si-like: n_I = 1e17 per cm³, m = 0.26, 300 K: some ps⁻¹, from SI constants."""
    e, hbar, m, eps = 1.602176634e-19, 1.054571817e-34, 0.26 * 9.1093837139e-31, 8.8541878188e-12
    energy = 0.05
    length = 4.1e-9
    b = 8 * m * energy * e * length**2 / hbar**2
    rate = 1e23 * e**4 / (16 * np.sqrt(2 * m) * np.pi * (11.7 * eps) ** 2)
    rate *= (np.log1p(b) - b / (1 + b)) * (energy * e) ** -1.5
    model = IonisedImpurities(
        concentration=1e17,
        charge=1.0,
        dielectric=11.7 * np.eye(3),
        screening=11.7 / (length * 1e10) ** 2,
    )
    assert brooks_herring_rates(energy, 0.26, 11.7, model) == pytest.approx(rate * 1e-12, rel=1e-7)


def test_screening_of_few_carriers_is_debyes():
    energies, weights = thermal_nodes(TEMPERATURE)
    space = spherical_states(0.5, energies, weights, [-0.5, 0.5], [1.0, 1.0], 100.0)
    level = space.chemical_potential(1e15, TEMPERATURE)
    debye = 4 * np.pi * COULOMB_EV_ANGSTROM * 1e15 * 1e-24 / THERMAL
    assert screening_square(space, level, TEMPERATURE) == pytest.approx(debye, rel=1e-3)
    with pytest.raises(ValueError, match="screening"):
        impurities(screening=0.0)
    with pytest.raises(ValueError, match="negative"):
        impurities(concentration=-1.0)


def test_anisotropic_permittivity():
    model = IonisedImpurities(
        concentration=1e17, charge=2.0, dielectric=np.diag([10.0, 20.0, 30.0]), screening=1e-3
    )
    q = np.array([[0.1, 0, 0], [0, 0, 0.1]])
    expected = 8 * np.pi * COULOMB_EV_ANGSTROM / np.array([0.101, 0.301])
    assert model.potential(q) == pytest.approx(expected)


def test_phonons_and_impurities_together():
    """Monotone in the impurities; shares of both sum to one."""
    band = FrohlichBand(mass=0.3, frequency=5.0, alpha=1.0)
    space, phonons = frohlich_states(band, TEMPERATURE)
    elastic = elastic_kernel(space, np.full(space.n_states, 5.0))
    parts = {"phonons": ReducedKernel.fold(space, phonons),
             "defects": ReducedKernel.fold(space, elastic)}  # fmt: skip
    before, share = np.inf, -1.0
    for strength in (0.0, 0.5, 1.0, 4.0):
        kernels = {"phonons": parts["phonons"], "defects": strength * parts["defects"]}
        total = kernels["phonons"] + kernels["defects"]
        solution = solve_bte(CollisionOperator(space, total, -0.8, TEMPERATURE))
        assert solution.mobility[0, 0] < before
        before = solution.mobility[0, 0]
        found = attribute(solution, kernels)
        assert found.total == pytest.approx(1.0, abs=1e-12)
        assert found.shares["defects"][0] > share
        share = found.shares["defects"][0]
        assert found.shares["defects"] == pytest.approx(share, abs=1e-10)
    assert 0.3 < share < 1.0
