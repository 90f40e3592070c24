r"""What the network knows of an edge: radial functions, harmonics, and the frame of the edge."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from elphant.models.hamiltonians.hamgnn.irreps import (
    Features,
    rotation_matrices,
    spherical_harmonics,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeGeometry:
    """Edges as the layers see them; either ``harmonics`` or ``frames`` is filled.

    Attributes
    ----------
    radial : Tensor, (n_edges, n_radial)
        Radial functions times the envelope.
    harmonics : tuple of Tensor, one (n_edges, 2 l + 1) per l
        For products in the frame of the crystal.
    frames : tuple of Tensor, one (n_edges, 2 l + 1, 2 l + 1) per l
        Rotations from the crystal to the edge, which lies along z there.
    """

    radial: Tensor
    harmonics: tuple[Tensor, ...] = ()
    frames: tuple[Tensor, ...] = ()

    def window(self, start: int, stop: int) -> EdgeGeometry:
        """Return edges ``start`` to ``stop``."""
        return EdgeGeometry(
            radial=self.radial[start:stop],
            harmonics=tuple(part[start:stop] for part in self.harmonics),
            frames=tuple(part[start:stop] for part in self.frames),
        )

    def take(self, index: Tensor) -> EdgeGeometry:
        """Return the edges of the given indices."""
        return EdgeGeometry(
            radial=self.radial[index],
            harmonics=tuple(part[index] for part in self.harmonics),
            frames=tuple(part[index] for part in self.frames),
        )

    def inward(self, features: Features) -> Features:
        """Return features of the edges, seen from their frames."""
        return self._rotated(features, transposed=False) if self.frames else features

    def outward(self, features: Features) -> Features:
        """Return features of the edges, seen from the crystal."""
        return self._rotated(features, transposed=True) if self.frames else features

    def _rotated(self, features: Features, *, transposed: bool) -> Features:
        # Both parities of one l turn alike: one product for them together.
        rotated = {irrep: part for irrep, part in features.items() if irrep.l == 0}
        for degree in sorted({irrep.l for irrep in features} - {0}):
            irreps = [irrep for irrep in features if irrep.l == degree]
            matrix = self.frames[degree]
            matrix = matrix.transpose(1, 2) if transposed else matrix
            parts = [features[irrep] for irrep in irreps]
            stacked = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
            turned = torch.bmm(matrix, stacked.transpose(0, 1)).transpose(0, 1).contiguous()
            sizes = [part.shape[2] for part in parts]
            rotated |= dict(zip(irreps, torch.split(turned, sizes, dim=2), strict=True))
        return rotated


def edge_geometry(
    vectors: Tensor, *, cutoff: float, n_radial: int, l_max: int, dtype: torch.dtype, rotated: bool
) -> EdgeGeometry:
    """Return the geometry of edges, computed in the precision of ``vectors``.

    Parameters
    ----------
    vectors : Tensor, (n_edges, 3) bohr
        From the first atom to the second.
    cutoff : float, bohr
    n_radial, l_max : int
    dtype : dtype
        Precision of the result.
    rotated : bool
        Whether to make frames (then ``l_max`` is that of the frames) or harmonics.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=-1)
    directions = vectors / lengths[:, None]
    radial = radial_functions(lengths, cutoff, n_radial).to(dtype)
    if rotated:
        frames = rotation_matrices(l_max, edge_frames(directions))
        return EdgeGeometry(radial=radial, frames=tuple(part.to(dtype) for part in frames))
    harmonics = spherical_harmonics(l_max, directions)
    return EdgeGeometry(radial=radial, harmonics=tuple(part.to(dtype) for part in harmonics))


def radial_functions(lengths: Tensor, cutoff: float, n_radial: int) -> Tensor:
    r"""Return spherical Bessel functions times a cosine envelope.

    .. math:: b_n(r) = \frac{\sin(n \pi r / r_c)}{r} \cdot
              \tfrac12 \left(\cos(\pi r / r_c) + 1\right) \quad (r < r_c), \qquad n = 1 \ldots

    Returns (n_edges, n_radial), 1/bohr.
    """
    order = torch.arange(1, n_radial + 1, dtype=lengths.dtype, device=lengths.device)
    r = lengths[:, None]
    envelope = 0.5 * (torch.cos(pi * r / cutoff) + 1.0) * (r < cutoff)
    return torch.sin(order * pi / cutoff * r) / r * envelope


def edge_frames(directions: Tensor) -> Tensor:
    r"""Return rotations R with R n = z, smooth on each half of the sphere.

    For :math:`n_z \ge 0` the shortest rotation; else a half turn about x comes first:

    .. math:: R(n) = \begin{pmatrix} 1 - n_x^2/(1+n_z) & -n_x n_y/(1+n_z) & -n_x \\
              -n_x n_y/(1+n_z) & 1 - n_y^2/(1+n_z) & -n_y \\ n_x & n_y & n_z \end{pmatrix}

    The angle about the edge is arbitrary: no result depends on it.

    Parameters
    ----------
    directions : Tensor, (n, 3)

    Returns
    -------
    Tensor, (n, 3, 3)
    """
    below = directions[:, 2] < 0
    flip = torch.ones_like(directions)
    flip[:, 1:] = torch.where(below, -1.0, 1.0)[:, None].to(flip.dtype)
    flip = flip.detach()
    x, y, z = (directions * flip).unbind(dim=1)
    share = 1.0 / (1.0 + z)
    rows = [1 - x * x * share, -x * y * share, -x, -x * y * share, 1 - y * y * share, -y, x, y, z]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3) * flip[:, None, :]
