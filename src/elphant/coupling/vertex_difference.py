r"""How far two forms of the matrix elements differ where energy is conserved.

.. math:: \max_{\text{shell}} |g^{co}_\nu - g^{pr}_\nu| \,\big/ \max_{\text{shell}} |g^{co}_\nu|

The co-moving and the projected form (:mod:`elphant.coupling.vertex`) agree for elastic transitions
and differ by the energy of a phonon times overlaps of orbitals with their slopes otherwise. The
difference tells how much the choice between them can matter for a rate.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from elphant.coupling.scattering import LOWEST_THZ, PairSums
from elphant.coupling.vertex import CouplingVertex, Form
from elphant.electron.transport.delta import pair_widths
from elphant.phonon.unit_cell_modes import UnitCellPhonons
from elphant.units import PLANCK_EV_PS, ZERO_POINT_SQUARE

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Initial states, and final states of each, that are drawn.
N_INITIAL, N_FINAL = 20, 10


def vertex_difference(
    sums: PairSums,
    phonons: UnitCellPhonons,
    *,
    n_initial: int = N_INITIAL,
    n_final: int = N_FINAL,
    seed: int = 0,
) -> float | None:
    """Return the largest difference on the energy shell over the largest co-moving element.

    Of the short-range part alone, over random pairs of states of the window and the modes whose
    energy lies within the width of the delta function from the shell.

    Parameters
    ----------
    sums : PairSums
        Of the carrier and mesh; the vertex may have either form.
    phonons : UnitCellPhonons
    n_initial, n_final : int
        Initial states, and final states of each, at most.
    seed : int
        Of the draw.

    Returns
    -------
    float or None
        None where no derivatives of the Hamiltonian are known, or no pair lies on the shell.
    """
    vertex, window = sums.vertex, sums.window
    if not vertex.has_short_range:
        return None
    forms: dict[Form, CouplingVertex] = {
        form: CouplingVertex(vertex.hamiltonian, vertex.derivatives, form)
        for form in get_args(Form)
    }
    one = forms["co-moving"]
    generator = np.random.default_rng(seed)
    points, bands = window.full_states.T
    # Pairs may be farther apart by one phonon and the width only; zone-boundary modes tell how far.
    corners = np.stack(np.meshgrid(*3 * [[0.0, 0.5]], indexing="ij"), axis=-1).reshape(-1, 3)
    top = float(phonons.modes(corners).frequencies.max()) * PLANCK_EV_PS
    largest = {"element": 0.0, "difference": 0.0}
    for initial in _some(np.arange(len(points)), n_initial, generator):
        distance = sums.energies - sums.energies[initial]
        width = pair_widths(sums.widths, sums.widths[initial])
        near = np.flatnonzero(np.abs(distance) < top + width)
        final = _some(near, n_final, generator)
        step = window.addresses[points[final]] - window.addresses[points[initial]]
        modes = phonons.modes(step / np.asarray(window.divisions))
        energy = np.maximum(modes.frequencies, 0.0) * PLANCK_EV_PS
        shell = np.abs(np.abs(distance[final])[:, None] - energy) < width[final][:, None]
        shell &= modes.frequencies > LOWEST_THZ
        if not shell.any():
            continue
        sides = []
        for states in (final, np.array([initial])):
            p, b = points[states], bands[states]
            c = window.coefficients[p, :, b][:, :, None]
            sides.append((window.k_points[p], window.energies[p, b][:, None], c))
        bras, kets = one.bras(*sides[0]), one.kets(*sides[1])
        masses = np.repeat(modes.masses, 3)[None, :, None]
        frequencies = np.maximum(modes.frequencies, LOWEST_THZ)[:, None]
        amplitudes = modes.eigenvectors * np.sqrt(ZERO_POINT_SQUARE / (masses * frequencies))
        g = {
            form: np.einsum("px,pxn->pn", _flattened(each.couple(bras, kets)), amplitudes)[shell]
            for form, each in forms.items()
        }
        difference = np.abs(g["co-moving"] - g["projected"])
        largest["element"] = max(largest["element"], float(np.abs(g["co-moving"]).max()))
        largest["difference"] = max(largest["difference"], float(difference.max()))
    if largest["element"] == 0.0:
        return None
    return largest["difference"] / largest["element"]


def _some(values: Integers, count: int, generator: np.random.Generator) -> Integers:
    """Return at most ``count`` of some values, drawn without replacement."""
    if len(values) <= count:
        return values
    return np.asarray(generator.choice(values, count, replace=False))


def _flattened(g: Complex) -> Complex:
    """Return the elements with one initial state, (n_final, 3 n_atoms)."""
    return np.asarray(g[:, 0, 0, 0].reshape(len(g), -1))
