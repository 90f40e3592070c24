"""Two forms of the vertex on the energy shell: equal without overlap, close in silicon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from silicon_model import Model, silicon, springs

from elphant.coupling.scattering import LOWEST_THZ, PairSums
from elphant.coupling.vertex import CouplingVertex
from elphant.coupling.vertex_difference import vertex_difference
from elphant.units import PLANCK_EV_PS, ZERO_POINT_SQUARE


@pytest.fixture(scope="module")
def holes() -> Model:
    crystal = silicon(masses=(28.0, 51.0))
    return Model.of(crystal, springs(crystal), (6, 6, 6), "hole", 0.5)


def with_vertex(model: Model, vertex: CouplingVertex) -> PairSums:
    return PairSums(model.window, vertex, model.phonons, None, model.delta)


def test_all_pairs_are_those_of_the_whole_kernel(holes):
    """With every pair drawn: maxima over both forms computed in one piece."""
    w, sums = holes.window, holes.sums
    points, bands = w.full_states.T
    states = (
        w.k_points[points], w.energies[points, bands][:, None],
        w.coefficients[points, :, bands][:, :, None],
    )  # fmt: skip
    shape = (len(points), len(points), -1)
    g = {}
    for form in ("co-moving", "projected"):
        vertex = CouplingVertex(holes.vertex.hamiltonian, holes.vertex.derivatives, form)
        g[form] = vertex.couple(vertex.bras(*states), vertex.kets(*states)).reshape(shape)
    step = (w.addresses[points][:, None] - w.addresses[points][None]) / w.divisions
    modes = holes.phonons.modes(step.reshape(-1, 3))
    omega = modes.frequencies.reshape(shape) * PLANCK_EV_PS
    x = np.abs(sums.energies[:, None] - sums.energies[None])[..., None]
    sigma = np.sqrt(0.5 * (sums.widths[:, None] ** 2 + sums.widths[None] ** 2))[..., None]
    shell = (np.abs(x - omega) < sigma) & (omega > LOWEST_THZ * PLANCK_EV_PS)
    vectors = modes.eigenvectors.reshape(*shape[:2], *modes.eigenvectors.shape[1:])
    mass = np.repeat(modes.masses, 3)
    factor = np.sqrt(ZERO_POINT_SQUARE * PLANCK_EV_PS / np.maximum(omega, 1e-9))
    found = {
        form: np.einsum("mnx,mnxv,x->mnv", element, vectors, mass**-0.5) * factor
        for form, element in g.items()
    }
    difference = np.abs(found["co-moving"] - found["projected"])[shell].max()
    expected = difference / np.abs(found["co-moving"])[shell].max()
    n = len(points)
    assert vertex_difference(sums, holes.phonons, n_initial=n, n_final=n) == pytest.approx(
        expected, rel=1e-6
    )
    assert 1e-4 < expected < 0.5


def test_a_sample_tells_the_order_and_is_reproducible(holes):
    n = len(holes.window.full_states)
    whole = vertex_difference(holes.sums, holes.phonons, n_initial=n, n_final=n)
    found = vertex_difference(holes.sums, holes.phonons)
    assert found == vertex_difference(holes.sums, holes.phonons)
    assert found == pytest.approx(whole, rel=0.5)
    assert found != vertex_difference(holes.sums, holes.phonons, seed=1)


def test_the_form_of_the_calculation_does_not_matter(holes):
    other = replace_form(holes, "projected")
    found = vertex_difference(with_vertex(holes, other), holes.phonons)
    assert found == pytest.approx(vertex_difference(holes.sums, holes.phonons), rel=1e-12)


def replace_form(model: Model, form) -> CouplingVertex:
    return CouplingVertex(model.vertex.hamiltonian, model.vertex.derivatives, form)


def test_without_overlap_the_forms_are_equal(holes):
    derivatives = replace(holes.vertex.derivatives, overlap=None)
    hamiltonian = replace(holes.vertex.hamiltonian, overlap=None)
    sums = with_vertex(holes, CouplingVertex(hamiltonian, derivatives))
    assert vertex_difference(sums, holes.phonons) == pytest.approx(0.0, abs=1e-14)


def test_nothing_to_compare(holes):
    bare = CouplingVertex(holes.vertex.hamiltonian, None)
    assert vertex_difference(with_vertex(holes, bare), holes.phonons) is None


def test_the_difference_goes_with_the_energy_of_the_phonon(holes):
    """Heavier atoms: lower phonons, more elastic transitions."""
    phonons = holes.phonons
    heavy = silicon(masses=(2800.0, 5100.0))
    slow = Model.of(heavy, springs(heavy), (6, 6, 6), "hole", 0.5).phonons
    narrow = replace(holes.delta, scale=0.05)
    found = []
    for each in (phonons, slow):
        sums = PairSums(holes.window, holes.vertex, each, None, narrow)
        n = len(holes.window.full_states)
        found.append(vertex_difference(sums, each, n_initial=n, n_final=n))
    assert found[1] < 0.5 * found[0]
