"""Isotope scattering: against the plain sum, in limits, in other bases, and against phono3py."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from toy_crystal import toy_crystal

from elphant.errors import ConfigurationError
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.isotope_adapter import natural_mass_variances
from elphant.phonon.adapters.modes_adapter import solve_modes
from elphant.phonon.adapters.phono3py_adapter import ThreePhononEngine
from elphant.phonon.scattering.broadening import Broadening
from elphant.phonon.scattering.isotope import IsotopeScattering, isotope_rates
from elphant.phonon.scattering.occupation import half_sinh
from elphant.units import rate_from_linewidth

ORTHORHOMBIC = np.diag([3.0, 3.4, 3.9])
VARIANCES = (2e-4, 1e-3)
KINDS = (Broadening(kind="gaussian", sigma_thz=0.3), Broadening(scale=1.0),
         Broadening(kind="tetrahedron"))  # fmt: skip


@pytest.fixture(scope="module")
def modes():
    return solve_modes(toy_crystal(ORTHORHOMBIC), (3, 4, 2))


def test_natural_isotopes():
    # Si 2.01e-4, Na and Mn one isotope, Ge 5.87e-4, Sb 6.6e-5, Se 4.6e-4 (tabulated widely).
    g = natural_mass_variances([14, 11, 32, 51, 34])
    np.testing.assert_allclose(g, [2.007e-4, 0.0, 5.87e-4, 6.61e-5, 4.63e-4], rtol=5e-3)
    with pytest.raises(ConfigurationError, match="Tc has no natural isotopes"):
        natural_mass_variances([43])


def test_rates_equal_the_plain_sum(modes):
    sigma = 0.3
    broadening = Broadening(kind="gaussian", sigma_thz=sigma)
    omega = 2.0 * np.pi * modes.frequencies
    n_points, n = omega.shape
    vectors = modes.eigenvectors.reshape(n_points, 2, 3, n)
    expected = np.zeros((modes.mesh.n_irreducible, n))
    for i, q in enumerate(modes.mesh.irreducible):
        for b, p, k in np.ndindex(n, n_points, n):
            x = (omega[q, b] - omega[p, k]) / (2.0 * np.pi * sigma)
            if abs(x) > 4.0:
                continue
            delta = math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) / (2 * math.pi * sigma)
            delta /= math.erf(4.0 / math.sqrt(2.0))
            overlap = sum(
                g * abs(np.vdot(vectors[q, a, :, b], vectors[p, a, :, k])) ** 2
                for a, g in enumerate(VARIANCES)
            )
            expected[i, b] += math.pi / 2 / n_points * omega[q, b] * omega[p, k] * overlap * delta
    np.testing.assert_allclose(
        isotope_rates(modes, VARIANCES, broadening), modes.degenerate_means(expected), rtol=1e-11
    )


@pytest.mark.parametrize("broadening", KINDS, ids=lambda b: b.kind)
def test_rows_sum_to_the_rates(modes, broadening):
    """The matrix is a Laplacian in the variable sqrt(n(n+1)) g."""
    import torch

    isotopes = IsotopeScattering(modes, VARIANCES, broadening)
    rates = isotopes.rates()
    assert (rates >= 0.0).all()
    assert rates.max() > 0.0
    a = half_sinh(torch.from_numpy(np.array(modes.frequencies)), 300.0).numpy()
    inverse = np.divide(1.0, a, out=np.zeros_like(a), where=a > 0.0)
    for i, point in enumerate(modes.mesh.irreducible):
        own, row = isotopes.row(int(point), [300.0])
        np.testing.assert_array_equal(own, rates[i])
        assert (row <= 0.0).all()
        total = np.einsum("lqk,qk->l", row[0], inverse) * inverse[point]
        np.testing.assert_allclose(modes.degenerate_means(
            np.broadcast_to(-total, rates.shape))[i], rates[i], rtol=1e-11, atol=1e-14)  # fmt: skip


@pytest.mark.parametrize("kind", [0, 1])
def test_strengths_are_symmetric(modes, kind):
    isotopes = IsotopeScattering(modes, VARIANCES, KINDS[kind])
    strengths = {int(q): isotopes.strengths(int(q)) for q in modes.mesh.irreducible[:5]}
    for q, p in ((0, 1), (1, 3), (2, 4)):
        first, second = (int(modes.mesh.irreducible[i]) for i in (q, p))
        np.testing.assert_allclose(
            strengths[first][:, second], strengths[second][:, first].T, rtol=1e-12, atol=1e-16
        )


@pytest.mark.parametrize("broadening", KINDS, ids=lambda b: b.kind)
def test_basis_of_degenerate_sets_and_phases_do_not_matter(broadening):
    cubic = solve_modes(toy_crystal(3.2 * np.eye(3)), (4, 4, 4))
    random = np.random.default_rng(1)
    vectors = np.array(cubic.eigenvectors)
    ids = cubic.degenerate_ids[cubic.mesh.representative]
    n_sets = 0
    for q, row in enumerate(ids):
        for first in np.unique(row):
            members = np.flatnonzero(row == first)
            z = random.normal(size=(len(members),) * 2) + 1j * random.normal(
                size=(len(members),) * 2
            )
            vectors[q][:, members] = vectors[q][:, members] @ np.linalg.qr(z)[0]
            n_sets += len(members) > 1
    assert n_sets > 10
    turned = replace(cubic, eigenvectors=vectors)
    expected = isotope_rates(cubic, VARIANCES, broadening)
    np.testing.assert_allclose(
        isotope_rates(turned, VARIANCES, broadening), expected, rtol=1e-10, atol=1e-14
    )


def test_mesh_symmetry_does_not_matter():
    crystal = toy_crystal(ORTHORHOMBIC)
    reduced, full = (solve_modes(crystal, (3, 4, 2), mesh_symmetry=on) for on in (True, False))
    for broadening in KINDS[:2]:
        one = isotope_rates(reduced, VARIANCES, broadening)[reduced.mesh.representative]
        other = isotope_rates(full, VARIANCES, broadening)[full.mesh.representative]
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)


def test_silicon_equals_phono3py(fixtures):
    """All modes of a 5³ mesh with tetrahedra; phono3py's weights averaged like ours."""
    silicon = load_force_constants(fixtures / "Si_phono3py" / "phono3py_params_Si.yaml.xz")
    mesh = (5, 5, 5)
    modes = solve_modes(silicon, mesh)
    ours = isotope_rates(modes, natural_mass_variances([14, 14]), Broadening(kind="tetrahedron"))
    engine = ThreePhononEngine(silicon, mesh, degenerate_average=True)
    points = modes.mesh.index(np.rint(engine.phonons().q_points * 5).astype(int))
    order = np.argsort(modes.mesh.representative[points])
    widths = engine._isotope_widths(engine.grid_points, None)[order]
    theirs = modes.degenerate_means(rate_from_linewidth(widths))
    assert theirs.max() > 1e-3
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-9)
