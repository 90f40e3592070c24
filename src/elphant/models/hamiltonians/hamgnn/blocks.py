r"""From the components that the heads give to blocks between orbitals in OpenMX's order.

A block couples a row shell with a column shell. Its components have the angular momenta of the
product of the two shells,

.. math:: B_{ab} = \sum_L \sqrt{2L+1} \sum_M C^{l_i l_j L}_{abM}\, c_{LM},

one channel each, shells of the row outermost. All of this is one orthogonal matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elphant.crystal.elements import symbols_of
from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn.graph import OrbitalGraph
from elphant.models.hamiltonians.hamgnn.irreps import Features, Irrep, Irreps, coupling

#: Angular momenta of the shells of a padded block, by its number of orbitals.
PADDED_SHELLS: dict[int, tuple[int, ...]] = {
    13: (0, 0, 1, 1, 2),
    14: (0, 0, 0, 1, 1, 2),
    19: (0, 0, 0, 1, 1, 2, 2),
    26: (0, 0, 0, 1, 1, 2, 2, 3),
}

#: Where each of OpenMX's orbitals of a shell is in the order m = -l ... l.
OPENMX_ORDER: dict[int, tuple[int, ...]] = {
    0: (0,),
    1: (2, 0, 1),
    2: (2, 4, 0, 3, 1),
    3: (3, 4, 2, 5, 1, 6, 0),
}

#: Number of s, p, d, f shells of each element in OpenMX's 26-orbital table.
ELEMENT_SHELLS: dict[tuple[int, int, int, int], str] = {
    (2, 1, 0, 0): "H He",
    (3, 2, 0, 0): "Li",
    (2, 2, 0, 0): "Be",
    (2, 2, 1, 0): "B C N O F Ne Al Si P S Cl Ar",
    (3, 2, 1, 0): "Na Mg K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn",
    (3, 2, 2, 0): "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Xe Cs Ba",
    (3, 2, 2, 1): "Te I La Ce Pr Nd Pm Sm Dy Ho Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi",
}


def padded_shells(n_orbitals: int) -> tuple[int, ...]:
    """Return l of the shells of a padded block.

    Raises
    ------
    ModelError
        If no table has this number of orbitals.
    """
    if n_orbitals not in PADDED_SHELLS:
        raise ModelError(
            f"blocks of {n_orbitals} orbitals are not known.",
            f"OpenMX networks have {', '.join(map(str, PADDED_SHELLS))}.",
            "Use a model for OpenMX.",
        )
    return PADDED_SHELLS[n_orbitals]


def head_irreps(n_orbitals: int, kind: str) -> Irreps:
    """Return the components of a block in their stored order.

    Parameters
    ----------
    n_orbitals : int
    kind : str
        ``hamiltonian``, or ``ksi`` for the strengths of spin-orbit coupling.
    """
    shells = padded_shells(n_orbitals)
    if kind == "ksi":
        return Irreps(((n_orbitals**2, Irrep(0, 1)),))
    return Irreps(
        tuple(
            (1, Irrep(total, (-1) ** (row + column)))
            for row in shells
            for column in shells
            for total in range(abs(row - column), row + column + 1)
        )
    )


@cache
def openmx_permutation(n_orbitals: int) -> NDArray[np.int64]:
    """Return where OpenMX's orbitals are among those in the order m = -l ... l."""
    order, start = [], 0
    for degree in padded_shells(n_orbitals):
        order += [start + i for i in OPENMX_ORDER[degree]]
        start += 2 * degree + 1
    return np.array(order, dtype=np.int64)


@cache
def _block_matrices(n_orbitals: int) -> dict[Irrep, NDArray[np.float64]]:
    """Return, for each representation, the matrix from its components to a flat OpenMX block.

    Shape ((2 L + 1) × channels, n_orbitals²), components outermost.
    """
    shells = padded_shells(n_orbitals)
    columns: dict[Irrep, list[NDArray[np.float64]]] = {}
    permutation = openmx_permutation(n_orbitals)
    starts = np.concatenate([[0], np.cumsum([2 * degree + 1 for degree in shells])])
    for i, row in enumerate(shells):
        for j, column in enumerate(shells):
            for total in range(abs(row - column), row + column + 1):
                full = np.zeros((n_orbitals, n_orbitals, 2 * total + 1))
                full[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = np.sqrt(
                    2 * total + 1
                ) * coupling(row, column, total)
                ordered = full[permutation][:, permutation].reshape(-1, 2 * total + 1)
                columns.setdefault(Irrep(total, (-1) ** (row + column)), []).append(ordered.T)
    return {
        irrep: np.stack(parts, axis=1).reshape(irrep.dim * len(parts), -1)
        for irrep, parts in columns.items()
    }


def assemble(components: Features, n_orbitals: int) -> Tensor:
    """Return blocks (n, n_orbitals, n_orbitals) in OpenMX's order from the components of a head."""
    total: Tensor | None = None
    for irrep, matrix in _block_matrices(n_orbitals).items():
        part = components[irrep].transpose(0, 1).flatten(1)
        term = part @ torch.from_numpy(matrix).to(part)
        total = term if total is None else total + term
    assert total is not None
    return total.reshape(-1, n_orbitals, n_orbitals)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Blocks of one real lattice operator, padded.

    Attributes
    ----------
    on_site : Tensor, (n_atoms, n, n)
    off_site : Tensor, (n_edges, n, n)
    """

    on_site: Tensor
    off_site: Tensor

    def __add__(self, other: Blocks) -> Blocks:
        return Blocks(on_site=self.on_site + other.on_site, off_site=self.off_site + other.off_site)

    def __neg__(self) -> Blocks:
        return Blocks(on_site=-self.on_site, off_site=-self.off_site)

    def times(self, other: Blocks) -> Blocks:
        """Return the products element by element."""
        return Blocks(on_site=self.on_site * other.on_site, off_site=self.off_site * other.off_site)

    def symmetrized(self, graph: OrbitalGraph, sign: float = 1.0) -> Blocks:
        """Return half the sum of the operator and ``sign`` times its transpose."""
        back = torch.from_numpy(graph.inverse.copy()).to(self.off_site.device)
        return Blocks(
            on_site=0.5 * (self.on_site + sign * self.on_site.transpose(1, 2)),
            off_site=0.5 * (self.off_site + sign * self.off_site[back].transpose(1, 2)),
        )

    def masked(self, graph: OrbitalGraph) -> Blocks:
        """Return the operator with zeros for orbitals that an element does not have."""
        present = torch.from_numpy(orbital_mask(graph.numbers, self.on_site.shape[-1]))
        present = present.to(self.on_site)
        start, end = torch.from_numpy(graph.edge_index.copy()).to(present.device)
        return Blocks(
            on_site=self.on_site * present[:, :, None] * present[:, None, :],
            off_site=self.off_site * present[start][:, :, None] * present[end][:, None, :],
        )


def orbital_mask(numbers: NDArray[np.int64], n_orbitals: int) -> NDArray[np.bool_]:
    """Return which orbitals of a padded block each atom has, (n_atoms, n_orbitals).

    Raises
    ------
    ModelError
        If an element is not in the table or has more shells than the block.
    """
    shells = padded_shells(n_orbitals)
    known = {symbol: counts for counts, names in ELEMENT_SHELLS.items() for symbol in names.split()}
    masks: dict[int, NDArray[np.bool_]] = {}
    for number in np.unique(numbers):
        symbol = symbols_of([int(number)])[0]
        counts = known.get(symbol)
        if counts is None or any(counts[degree] > shells.count(degree) for degree in range(4)):
            raise ModelError(
                f"{symbol} is not in the basis of {n_orbitals} orbitals.",
                "The network has never seen it.",
                "Choose a material of other elements, or another model.",
            )
        mask, seen = [], [0, 0, 0, 0]
        for degree in shells:
            mask += [seen[degree] < counts[degree]] * (2 * degree + 1)
            seen[degree] += 1
        masks[int(number)] = np.array(mask)
    return np.array([masks[int(number)] for number in numbers])


def correction_blocks(
    on_site: Features, off_site: Features, graph: OrbitalGraph, n_orbitals: int
) -> Blocks:
    """Return what the network adds to H0, symmetric and without absent orbitals, hartree."""
    raw = Blocks(on_site=assemble(on_site, n_orbitals), off_site=assemble(off_site, n_orbitals))
    return raw.symmetrized(graph).masked(graph)


def spin_orbit_blocks(
    on_site: Features, off_site: Features, momenta: tuple[Blocks, Blocks, Blocks],
    graph: OrbitalGraph, n_orbitals: int,
) -> tuple[Blocks, Blocks, Blocks]:  # fmt: skip
    r"""Return the three components of what the network adds for spin-orbit coupling, hartree.

    .. math:: X_\alpha = A(\bar\xi\, M_\alpha), \qquad
              H_{\uparrow\downarrow} = X_y + i X_x, \quad
              H_{\uparrow\uparrow} = H + i X_z, \quad H_{\downarrow\downarrow} = H - i X_z

    with A the antisymmetric part over an edge and its reverse, :math:`\bar\xi` averaged over the
    orbitals of each shell, and :math:`L_\alpha = i M_\alpha`.

    Parameters
    ----------
    on_site, off_site : Features
        From the heads ``ksi``.
    momenta : three Blocks
        M for x, y, z.
    graph : OrbitalGraph
    n_orbitals : int
    """
    strength = Blocks(
        on_site=coupling_strengths(on_site, n_orbitals),
        off_site=coupling_strengths(off_site, n_orbitals),
    )
    x, y, z = (
        strength.times(momentum).symmetrized(graph, -1.0).masked(graph) for momentum in momenta
    )
    return x, y, z


def coupling_strengths(components: Features, n_orbitals: int) -> Tensor:
    r"""Return :math:`\bar\xi`, (n, n_orbitals, n_orbitals), from what a head ``ksi`` gives."""
    (flat,) = components.values()
    xi = flat[0].reshape(-1, n_orbitals, n_orbitals)
    average = torch.from_numpy(_shell_average(n_orbitals)).to(xi)
    return average @ xi @ average


@cache
def _shell_average(n_orbitals: int) -> NDArray[np.float64]:
    matrix = np.zeros((n_orbitals, n_orbitals))
    start = 0
    for degree in padded_shells(n_orbitals):
        stop = start + 2 * degree + 1
        matrix[start:stop, start:stop] = 1.0 / (2 * degree + 1)
        start = stop
    return matrix


def spinor_blocks(
    scalar: Blocks, spin_orbit: tuple[Blocks, Blocks, Blocks], graph: OrbitalGraph
) -> Blocks:
    r"""Return complex blocks of twice the size, all of spin up before all of spin down.

    ↓↑ is the Hermitian conjugate of ↑↓, :math:`H_{\downarrow\uparrow,e} =
    (H_{\uparrow\downarrow,\bar e})^\dagger` with the reverse edge :math:`\bar e`; files of HamGNN
    store the negative of it.

    Parameters
    ----------
    scalar : Blocks
        H without spin-orbit coupling.
    spin_orbit : three Blocks
        X for x, y, z, real and antisymmetric, see :func:`spin_orbit_blocks`; those of V_NL alone,
        or with the part of a network added.
    graph : OrbitalGraph
    """
    x, y, z = spin_orbit
    back = torch.from_numpy(graph.inverse.copy()).to(scalar.off_site.device)

    def spinor(h: Tensor, x: Tensor, y: Tensor, z: Tensor, reverse: Tensor) -> Tensor:
        up_down = torch.complex(y, x)
        down_up = up_down[reverse].transpose(1, 2).conj()
        rows = [[torch.complex(h, z), up_down], [down_up, torch.complex(h, -z)]]
        return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)

    atoms = torch.arange(len(scalar.on_site), device=back.device)
    return Blocks(
        on_site=spinor(scalar.on_site, x.on_site, y.on_site, z.on_site, atoms),
        off_site=spinor(scalar.off_site, x.off_site, y.off_site, z.off_site, back),
    )
