r"""Derivatives of S and H0 over the positions of atoms, analytic.

Two-centre terms (S and T) follow the bond. A three-centre term :math:`\sum_h \langle a|p_h\rangle
E \langle p_h|b\rangle\, d(R_{ab})` changes when a, b or the centre h moves: with
:math:`G = \partial \langle a|p_h\rangle / \partial(\mathbf r_h - \mathbf r_a)`,

.. math:: \partial_{\tau_h} = (G_a E B_b^T + B_a E G_b^T)\, d, \qquad
          \partial_{\tau_a} = -G_a E B_b^T\, d - V_{ab}\, d'\, \hat{\mathbf R}_{ab},

and likewise for b; G is zero where the orbital's own atom is the centre. The part with d' depends
on the bond alone and is stored with the two-centre terms. Those of spin-orbit coupling have a
matrix with :math:`W^T = -W` in place of the strengths E, which changes the sign of every transpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.models.hamiltonians.openmx.angular import Directions
from elphant.models.hamiltonians.openmx.database import OpenMXData
from elphant.models.hamiltonians.openmx.integrals import grouped
from elphant.models.hamiltonians.openmx.matrices import (
    Images,
    Setup,
    spin_orbit_sums,
    spin_orbit_weights,
    three_centre_sums,
)
from elphant.orbitals.derivatives import (
    EnvironmentDerivative,
    HamiltonianDerivatives,
    VectorMatrix,
)
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: eV/Å of one hartree per bohr.
FORCE_UNIT = OPENMX_EV_PER_HARTREE / OPENMX_ANGSTROM_PER_BOHR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DerivativeTerms:
    """Derivatives of one real operator.

    Attributes
    ----------
    two_centre : VectorMatrix, eV/Å
        Over the bra's position, what depends on the bond alone.
    environment : EnvironmentDerivative
    """

    two_centre: VectorMatrix
    environment: EnvironmentDerivative


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpinOrbitDerivatives:
    r"""Derivatives of what spin-orbit coupling changes in the nonlocal potential.

    Attributes
    ----------
    average : DerivativeTerms
        Of :math:`\bar V - V_{NL}`, see
        :class:`~elphant.models.hamiltonians.openmx.SpinOrbitParts`.
    coupling : three DerivativeTerms
        Of A for x, y, z.
    """

    average: DerivativeTerms
    coupling: tuple[DerivativeTerms, DerivativeTerms, DerivativeTerms]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Potential:
    r"""A separable potential :math:`\sum_h b\, W\, b^T` of all centres.

    Attributes
    ----------
    weights : dict of str to callable
        For each kind of projector, from the element of the centre to W, (n_proj, n_proj) Ha.
    sign : float
        1 for symmetric W, -1 for antisymmetric ones.
    neutral_atom : bool
        Whether the neutral-atom potential, which is exact on one atom, is added.
    """

    weights: dict[str, Callable[[str], Array]]
    sign: float = 1.0
    neutral_atom: bool = False


def openmx_derivatives(
    crystal: Crystal,
    data: OpenMXData,
    *,
    basis: Mapping[str, str] | None = None,
    floor: float = 0.0,
) -> HamiltonianDerivatives:
    """Return the derivatives of S and of the scalar-relativistic H0.

    Parameters
    ----------
    crystal : Crystal
    data : OpenMXData
    basis : mapping of str to str, optional
        As in :func:`~elphant.models.hamiltonians.openmx.openmx_matrices`.
    floor : float
        Triplets whose Frobenius norm is below this (eV/Å) are left out; what is left out breaks
        the translation sum rule by as much. The default keeps all.

    Raises
    ------
    ModelError
        As :func:`~elphant.models.hamiltonians.openmx.openmx_matrices`.
    """
    setup = Setup(crystal, data, basis)
    overlap = _two_centre(setup, "overlap")
    kinetic = _two_centre(setup, "kinetic")
    ending = _ending(setup, np.sum(three_centre_sums(setup), axis=0))
    mean = _Potential(weights={"mean": _mean_weights(setup)}, neutral_atom=True)
    x, y, z = (setup.matrix(part, 1.0 / OPENMX_ANGSTROM_PER_BOHR) for part in overlap)
    two_centre = [setup.matrix(k + e, FORCE_UNIT) for k, e in zip(kinetic, ending, strict=True)]
    return HamiltonianDerivatives(
        sizes=setup.pattern.sizes,
        overlap=(x, y, z),
        two_centre=(two_centre[0], two_centre[1], two_centre[2]),
        environment=_environment(setup, mean, floor),
        details={"method": "tables of OpenMX, analytic", "floor_eV_per_A": floor},
    )


def openmx_spin_orbit_derivatives(
    crystal: Crystal, data: OpenMXData, *, basis: Mapping[str, str] | None = None
) -> SpinOrbitDerivatives:
    """Return the derivatives of what spin-orbit coupling adds to H0.

    Raises
    ------
    ModelError
        As :func:`~elphant.models.hamiltonians.openmx.openmx_matrices`.
    """
    setup = Setup(crystal, data, basis)

    def share(kind: str, axis: int) -> Callable[[str], Array]:
        """Return W of one kind: of the mean over j (axis -1), or of A along an axis."""
        sign = 1.0 if kind == "plus" or axis < 0 else -1.0

        def weights(symbol: str) -> Array:
            mean, coupling = spin_orbit_weights(setup.tables.species[symbol], kind)
            return np.diag(mean) if axis < 0 else np.asarray(sign * coupling[axis])

        return weights

    def minus_mean(symbol: str) -> Array:
        return -_mean_weights(setup)(symbol)

    sums = spin_orbit_sums(setup)
    sums[0] = sums[0] - three_centre_sums(setup)[0]
    terms = []
    for axis, values in zip((-1, 0, 1, 2), sums, strict=True):
        weights = {kind: share(kind, axis) for kind in ("plus", "minus")}
        if axis < 0:
            weights["mean"] = minus_mean
        potential = _Potential(weights=weights, sign=1.0 if axis < 0 else -1.0)
        x, y, z = (setup.matrix(part, FORCE_UNIT) for part in _ending(setup, values))
        environment = _environment(setup, potential, 0.0)
        terms.append(DerivativeTerms(two_centre=(x, y, z), environment=environment))
    return SpinOrbitDerivatives(average=terms[0], coupling=(terms[1], terms[2], terms[3]))


def openmx_overlap_derivative(
    crystal: Crystal, data: OpenMXData, *, basis: Mapping[str, str] | None = None
) -> VectorMatrix:
    r"""Return :math:`\langle \partial_\alpha i\,0 | j\,R \rangle` in Å⁻¹, on-site blocks included.

    Raises
    ------
    ModelError
        As :func:`~elphant.models.hamiltonians.openmx.openmx_matrices`.
    """
    setup = Setup(crystal, data, basis)
    parts = _two_centre(setup, "overlap")
    x, y, z = (setup.matrix(part, 1.0 / OPENMX_ANGSTROM_PER_BOHR) for part in parts)
    return x, y, z


def _two_centre(setup: Setup, kind: str) -> Array:
    """Return flat derivatives over the bra's position, (3, n_values) per bohr."""
    result = np.zeros((3, int(setup.pattern.offsets[-1])))
    first, second = setup.symbols[setup.pattern.pairs].T
    groups = setup.tables.gradients(kind, first, second, setup.pairs.vectors)
    for where, _, slopes in groups:
        for axis in range(3):
            # Moving the bra shortens the bond vector: the sign turns.
            setup.scatter(result[axis], where, -slopes[axis])
    return result


def _mean_weights(setup: Setup) -> Callable[[str], Array]:
    """Return W of the nonlocal potential of projectors averaged over j."""
    return lambda symbol: np.asarray(np.diag(setup.tables.strengths("mean", symbol)))


def _ending(setup: Setup, values: Array) -> Array:
    """Return the part of the derivative in which the damping factor changes, (3, n_values).

    ``values`` are the flat blocks without damping.
    """
    lengths = np.where(setup.pairs.is_own, 1.0, setup.pairs.lengths)
    slopes = -setup.damping_slopes[:, None] * setup.pairs.vectors / lengths[:, None]
    return np.asarray(np.repeat(slopes.T, np.diff(setup.pattern.offsets), axis=1) * values)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Triplets:
    """Blocks that change when one centre moves, of one shape.

    Attributes
    ----------
    moved : int
    pairs, cells : ndarray of int, (n, 2) and (n, 2, 3)
        Relative to the moved atom.
    blocks : ndarray of int, (n,)
        Place of each pair in the pattern.
    values : ndarray, (n, 3, n_i, n_j) Ha/bohr
    """

    moved: int
    pairs: Integers
    cells: Integers
    blocks: Integers
    values: Array


def _environment(setup: Setup, potential: _Potential, floor: float) -> EnvironmentDerivative:
    """Return all triplets of a potential, eV/Å."""
    # Derivatives over the position of the bra at fixed centres, summed over these.
    by_bra = np.zeros((3, int(setup.pattern.offsets[-1])))
    parts: list[_Triplets] = []
    for centre in range(setup.crystal.n_atoms):
        parts += _centre_moved(setup, potential, centre, by_bra)
    for part in parts:
        _add_own_motion(setup, part, by_bra, potential.sign)
    if floor > 0.0:
        parts = [_above(part, floor / FORCE_UNIT) for part in parts]
    return EnvironmentDerivative(
        sizes=setup.pattern.sizes,
        moved=np.concatenate([np.full(len(part.blocks), part.moved) for part in parts]),
        pairs=np.concatenate([part.pairs for part in parts]),
        cells=np.concatenate([part.cells for part in parts]),
        values=np.concatenate([part.values.ravel() for part in parts]) * FORCE_UNIT,
    )


def _centre_moved(
    setup: Setup, potential: _Potential, centre: int, by_bra: Array
) -> list[_Triplets]:
    """Return the triplets of one centre, and add what its potentials do to moving bras."""
    symbol, sign = str(setup.symbols[centre]), potential.sign
    images = setup.images(centre)
    own = int(np.flatnonzero((images.atoms == centre) & ~images.cells.any(axis=1))[0])

    def product_of(kind: str, weights: Array) -> Array:
        """Return G W B^T, (3, n_rows, n_rows)."""
        b, slopes = _overlap_gradients(setup, images, kind, symbol)
        slopes[:, images.starts[own] : images.starts[own + 1]] = 0.0
        return np.asarray(np.matmul(slopes, weights @ b.T))

    nonlocal_product = both = sum(
        (product_of(kind, weights(symbol)) for kind, weights in potential.weights.items()),
        start=np.zeros(()),
    )
    own_slopes: list[Array] | None = None
    if potential.neutral_atom:
        strengths = np.diag(setup.tables.strengths("neutral", symbol))
        both = nonlocal_product + product_of("neutral", strengths)
        own_slopes = _potential_gradients(setup, images, symbol, own)
    triplets = []
    for a, atom in enumerate(images.atoms.tolist()):
        index = setup.places.find(atom, images.atoms, images.cells - images.cells[a])
        rows = slice(int(images.starts[a]), int(images.starts[a + 1]))
        for where, columns in images.groups:
            kept = np.flatnonzero(index[where] >= 0)
            if not len(kept):
                continue
            kets, places = where[kept], index[where][kept]
            by_first = both[:, rows][:, :, columns[kept]].transpose(2, 0, 1, 3)
            by_second = sign * both[:, columns[kept], rows].transpose(1, 0, 3, 2)
            same = np.flatnonzero(kets == a)
            if len(same) and own_slopes is not None:
                # Between orbitals of one atom V_NA is exact, not by projectors.
                nonlocal_ = nonlocal_product[:, rows, rows]
                half = 0.5 * own_slopes[a]
                by_first[same] = nonlocal_ + half
                by_second[same] = nonlocal_.transpose(0, 2, 1) + half
            factor = setup.damping_factors[places][:, None, None, None]
            by_first, by_second = by_first * factor, by_second * factor
            for axis in range(3):
                setup.scatter(by_bra[axis], places, -by_first[:, axis])
            ends = np.stack([np.full(len(kets), atom), images.atoms[kets]], axis=1)
            cells = np.stack(
                [np.broadcast_to(images.cells[a], (len(kets), 3)), images.cells[kets]], axis=1
            )
            triplets.append(
                _Triplets(
                    moved=centre, pairs=ends, cells=cells, blocks=places,
                    values=by_first + by_second,
                )
            )  # fmt: skip
    return triplets


def _overlap_gradients(setup: Setup, images: Images, kind: str, centre: str) -> tuple[Array, Array]:
    """Return overlaps with the projectors of a centre and their gradients over its position.

    Shapes (n_rows, n_projectors) and (3, n_rows, n_projectors).
    """
    n_rows = int(images.starts[-1])
    n_projectors = len(setup.tables.strengths(kind, centre))
    values, slopes = np.empty((n_rows, n_projectors)), np.empty((3, n_rows, n_projectors))
    for (bra, ket), where in grouped(images.symbols, np.full(len(images.atoms), centre)):
        table = setup.tables.table(kind, bra, ket)
        blocks, gradients = table.gradients(Directions(images.to_centre[where]))
        rows = images.starts[where][:, None] + np.arange(blocks.shape[1])
        values[rows] = blocks
        for axis in range(3):
            slopes[axis][rows] = gradients[axis]
    return values, slopes


def _potential_gradients(setup: Setup, images: Images, centre: str, own: int) -> list[Array]:
    """Return how V_NA of the centre changes between orbitals of one image, (3, n, n) of each."""
    result: list[Array] = [np.empty(0)] * len(images.atoms)
    for (bra, ket), where in grouped(images.symbols, np.full(len(images.atoms), centre)):
        table = setup.tables.table("potential", bra, ket)
        _, gradients = table.gradients(Directions(images.to_centre[where]))
        for number, image in enumerate(where.tolist()):
            result[image] = gradients[:, number] * (image != own)
    return result


def _add_own_motion(setup: Setup, part: _Triplets, by_bra: Array, sign: float) -> None:
    """Add to triplets whose bra or ket is the moved atom what its own motion does at all centres.

    The derivative over the ket's position is the transpose, times ``sign``, of that over the bra's,
    of the pair seen from the other end.
    """
    n_i, n_j = part.values.shape[2:]
    at_home = (part.pairs == part.moved) & ~part.cells.any(axis=2)
    for row in np.flatnonzero(at_home[:, 0]).tolist():
        start = setup.pattern.offsets[part.blocks[row]]
        part.values[row] += by_bra[:, start : start + n_i * n_j].reshape(3, n_i, n_j)
    for row in np.flatnonzero(at_home[:, 1]).tolist():
        partner = setup.pattern.partners[part.blocks[row]]
        start = setup.pattern.offsets[partner]
        block = by_bra[:, start : start + n_i * n_j].reshape(3, n_j, n_i)
        part.values[row] += sign * block.transpose(0, 2, 1)


def _above(part: _Triplets, floor: float) -> _Triplets:
    kept = np.sqrt((part.values**2).sum(axis=(1, 2, 3))) >= floor
    return _Triplets(
        moved=part.moved, pairs=part.pairs[kept], cells=part.cells[kept],
        blocks=part.blocks[kept], values=part.values[kept],
    )  # fmt: skip
