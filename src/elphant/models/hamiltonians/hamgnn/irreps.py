r"""Irreducible representations of O(3): bookkeeping, harmonics, coupling and rotation matrices.

Real spherical harmonics in the order m = -l ... l about z, every one with a positive polynomial, so
l = 1 is (y, z, x). Features are kept as one tensor per irreducible representation, components
first and channels last: the linear maps of a network are then plain matrix products.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Irrep:
    """One irreducible representation; sorted by l, odd parity before even.

    Attributes
    ----------
    l : int
        Angular momentum.
    p : int
        Parity, 1 or -1.
    """

    l: int  # noqa: E741  the field's own letter
    p: int

    @property
    def dim(self) -> int:
        """Number of components."""
        return 2 * self.l + 1

    def couples(self, other: Irrep, result: Irrep) -> bool:
        """Return whether ``result`` is part of the product of this one with ``other``."""
        inside = abs(self.l - other.l) <= result.l <= self.l + other.l
        return inside and self.p * other.p == result.p

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p > 0 else 'o'}"


#: Channels of each irreducible representation: (2l + 1, n, multiplicity).
Features = dict[Irrep, Tensor]


@dataclass(frozen=True, slots=True)
class Irreps:
    """A list of irreducible representations with multiplicities, in the order of a flat vector.

    Attributes
    ----------
    slots : tuple of (int, Irrep)
        Multiplicity and representation; one representation may occur in several slots.
    """

    slots: tuple[tuple[int, Irrep], ...]

    @classmethod
    def parse(cls, text: str) -> Irreps:
        """Return the list written as ``64x0e + 1o``.

        Raises
        ------
        ValueError
            If the text is written otherwise.
        """
        slots = []
        for term in text.split("+"):
            match = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(\d+)([eo])\s*", term)
            if not match:
                raise ValueError(f"'{term.strip()}' in '{text}' is not written like 16x1o")
            slots.append((int(match[1] or 1), Irrep(int(match[2]), 1 if match[3] == "e" else -1)))
        return cls(tuple(slot for slot in slots if slot[0]))

    @property
    def dim(self) -> int:
        """Number of components of a flat vector."""
        return sum(n * irrep.dim for n, irrep in self.slots)

    @property
    def multiplicities(self) -> dict[Irrep, int]:
        """Channels of each representation, all slots together."""
        counts: dict[Irrep, int] = {}
        for n, irrep in self.slots:
            counts[irrep] = counts.get(irrep, 0) + n
        return counts

    @property
    def is_unique(self) -> bool:
        """Whether no representation occurs twice."""
        return len(self.multiplicities) == len(self.slots)

    def simplified(self) -> Irreps:
        """Return the same list with adjacent slots of one representation joined."""
        slots: list[tuple[int, Irrep]] = []
        for n, irrep in self.slots:
            if slots and slots[-1][1] == irrep:
                slots[-1] = (slots[-1][0] + n, irrep)
            else:
                slots.append((n, irrep))
        return Irreps(tuple(slots))

    def flatten(self, features: Features) -> Tensor:
        """Return features as flat vectors, (n, dim), each slot channel by channel."""
        used = dict.fromkeys(features, 0)
        parts = []
        for n, irrep in self.slots:
            start = used[irrep]
            used[irrep] += n
            part = features[irrep][..., start : start + n]
            parts.append(part.permute(1, 2, 0).reshape(part.shape[1], -1))
        return torch.cat(parts, dim=1)

    def unflatten(self, flat: Tensor) -> Features:
        """Return flat vectors (n, dim) as one tensor per representation."""
        parts: dict[Irrep, list[Tensor]] = {}
        start = 0
        for n, irrep in self.slots:
            piece = flat[:, start : start + n * irrep.dim].reshape(len(flat), n, irrep.dim)
            parts.setdefault(irrep, []).append(piece.permute(2, 0, 1))
            start += n * irrep.dim
        return {irrep: torch.cat(pieces, dim=2).contiguous() for irrep, pieces in parts.items()}

    def zeros(self, n: int, like: Tensor) -> Features:
        """Return features of ``n`` vectors that are all zero."""
        return {
            irrep: torch.zeros(irrep.dim, n, count, dtype=like.dtype, device=like.device)
            for irrep, count in self.multiplicities.items()
        }

    def __iter__(self) -> Iterator[tuple[int, Irrep]]:
        return iter(self.slots)

    def __str__(self) -> str:
        return "+".join(f"{n}x{irrep}" for n, irrep in self.slots)


def add(first: Features, second: Features) -> Features:
    """Return the sum; a representation that only one of them has is taken from there."""
    total = dict(first)
    for irrep, part in second.items():
        total[irrep] = total[irrep] + part if irrep in total else part
    return total


def take(features: Features, index: Tensor) -> Features:
    """Return the vectors of the given indices."""
    return {irrep: part.index_select(1, index) for irrep, part in features.items()}


def window(features: Features, start: int, stop: int) -> Features:
    """Return vectors ``start`` to ``stop`` as views."""
    return {irrep: part[:, start:stop] for irrep, part in features.items()}


def join(parts: Sequence[Features]) -> Features:
    """Return the vectors of all parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    return {irrep: torch.cat([part[irrep] for part in parts], dim=1) for irrep in parts[0]}


def side_by_side(first: Features, second: Features) -> Features:
    """Return the channels of both, per representation those of ``first`` before ``second``."""
    return {irrep: torch.cat([part, second[irrep]], dim=2) for irrep, part in first.items()}


def cast(features: Features, dtype: torch.dtype) -> Features:
    """Return the features in another precision."""
    return {irrep: part.to(dtype) for irrep, part in features.items()}


@cache
def coupling(l1: int, l2: int, l3: int) -> Array:
    r"""Return the invariant of three real representations, with the sum of its squares one.

    .. math:: C_{abc} \propto \sum_{m_1 m_2 m_3} Q^{l_1}_{m_1 a} Q^{l_2}_{m_2 b}
              \langle l_1 m_1\, l_2 m_2 | l_3 m_3 \rangle \overline{Q^{l_3}_{m_3 c}}

    with the matrices Q of :func:`_complex_from_real`, whose phase makes the result real; the
    Clebsch-Gordan coefficients are those of Condon and Shortley.

    Returns
    -------
    ndarray, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)
    """
    q1, q2, q3 = (_complex_from_real(degree) for degree in (l1, l2, l3))
    values = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            values[l1 + m1, l2 + m2, l3 + m1 + m2] = _clebsch_gordan(l1, m1, l2, m2, l3)
    real = np.einsum("ia,jb,kc,ijk->abc", q1, q2, q3.conj(), values, optimize=True).real
    real /= np.linalg.norm(real)
    real[np.abs(real) < 1e-15] = 0.0
    real.setflags(write=False)
    return np.asarray(real)


def _complex_from_real(degree: int) -> NDArray[np.complex128]:
    """Return Q with |l m> = sum_a Q[m, a] |real a>, times (-i)^l."""
    q = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=complex)
    q[degree, degree] = 1.0
    for m in range(1, degree + 1):
        q[degree - m, degree + m] = 1 / sqrt(2)
        q[degree - m, degree - m] = -1j / sqrt(2)
        q[degree + m, degree + m] = (-1) ** m / sqrt(2)
        q[degree + m, degree - m] = 1j * (-1) ** m / sqrt(2)
    return np.asarray((-1j) ** degree * q)


def _clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l3: int) -> float:
    """Return <l1 m1 l2 m2 | l3 m1+m2> by Racah's sum, in integers until the last step."""
    m3 = m1 + m2
    f = factorial
    numerator = (2 * l3 + 1) * f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3)
    numerator *= f(l3 + m3) * f(l3 - m3) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    total = 0.0
    for k in range(max(0, l2 - l3 - m1, l1 - l3 + m2), min(l1 + l2 - l3, l1 - m1, l2 + m2) + 1):
        denominator = f(k) * f(l1 + l2 - l3 - k) * f(l1 - m1 - k) * f(l2 + m2 - k)
        denominator *= f(l3 - l2 + m1 + k) * f(l3 - l1 - m2 + k)
        total += (-1) ** k / denominator
    return float(sqrt(numerator / f(l1 + l2 + l3 + 1)) * total)


def spherical_harmonics(l_max: int, directions: Tensor) -> list[Tensor]:
    r"""Return real harmonics of unit vectors, normalised to :math:`\sum_m Y_{lm}^2 = 2l + 1`.

    .. math:: Y_{l,\pm m} = \sqrt{(2l+1)\,(2-\delta_{m0}) \frac{(l-m)!}{(l+m)!}}\; \Pi_{lm}(z)\;
              \{\Re, \Im\}\,(x + iy)^m

    with :math:`\Pi_{lm}` the Legendre functions without :math:`(1-z^2)^{m/2}` and without the sign
    of Condon and Shortley: polynomials, smooth everywhere.

    Parameters
    ----------
    l_max : int
    directions : Tensor, (n, 3)

    Returns
    -------
    list of Tensor, one (n, 2 l + 1) per l
    """
    x, y, z = directions.unbind(dim=-1)
    cosine, sine = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(l_max):
        cosine, sine = (
            [*cosine, x * cosine[-1] - y * sine[-1]],
            [*sine, x * sine[-1] + y * cosine[-1]],
        )
    legendre: dict[tuple[int, int], Tensor] = {}
    for m in range(l_max + 1):
        legendre[m, m] = torch.full_like(x, float(np.prod(np.arange(1, 2 * m, 2))))
        if m < l_max:
            legendre[m + 1, m] = (2 * m + 1) * z * legendre[m, m]
        for degree in range(m + 2, l_max + 1):
            upper, lower = legendre[degree - 1, m], legendre[degree - 2, m]
            legendre[degree, m] = ((2 * degree - 1) * z * upper - (degree + m - 1) * lower) / (
                degree - m
            )
    result = []
    for degree in range(l_max + 1):
        columns = []
        for m in range(-degree, degree + 1):
            k = abs(m)
            ratio = factorial(degree - k) / factorial(degree + k)
            norm = sqrt((2 * degree + 1) * (2 if k else 1) * ratio)
            columns.append(norm * legendre[degree, k] * (sine[k] if m < 0 else cosine[k]))
        result.append(torch.stack(columns, dim=-1))
    return result


def rotation_matrices(l_max: int, rotation: Tensor) -> list[Tensor]:
    r"""Return D^l(R), with :math:`Y_l(R\,n) = D^l(R)\,Y_l(n)`, as polynomials in the elements of R.

    .. math:: D^l_{MN} = (2l+1) \sum_{abcd} C_{abM}\, D^{l-1}_{ac}\, D^1_{bd}\, C_{cdN},
              \qquad C = C^{(l-1,1,l)}

    There are no angles, so nothing is singular and derivatives pass through.

    Parameters
    ----------
    l_max : int
    rotation : Tensor, (n, 3, 3)
        Proper rotations of Cartesian vectors (columns).

    Returns
    -------
    list of Tensor, one (n, 2 l + 1, 2 l + 1) per l
    """
    order = [1, 2, 0]
    first = rotation[:, order][:, :, order]
    matrices = [torch.ones_like(rotation[:, :1, :1]), first][: l_max + 1]
    for degree in range(2, l_max + 1):
        c = sqrt(2 * degree + 1) * torch.as_tensor(
            coupling(degree - 1, 1, degree).reshape(-1, 2 * degree + 1).copy(),
            dtype=rotation.dtype, device=rotation.device,
        )  # fmt: skip
        n_pairs = 3 * (2 * degree - 1)
        pairs = torch.einsum("nac,nbd->nabcd", matrices[-1], first).reshape(-1, n_pairs, n_pairs)
        matrices.append(c.T @ (pairs @ c))
    return matrices
