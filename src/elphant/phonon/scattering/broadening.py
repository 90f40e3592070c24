r"""Delta functions of the energy of a process.

The energy of a process is :math:`x = \sum_i s_i \nu_i` with signs +1 for absorbed and -1 for
emitted modes; frequencies are ordinary ones in THz, delta functions in 1/THz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from elphant.errors import ConfigurationError

Kind = Literal["adaptive", "gaussian", "tetrahedron"]

#: Half width of the window of a Gaussian, in standard deviations.
DEFAULT_WINDOW = 4.0

#: Factor on the adaptive widths. Si: 106.5 and 119.1 W/mK on 9³ and 15³ points, where linear
#: tetrahedra give 107.9 and 118.8; the full width of a cell would give 90 and 105.
DEFAULT_SCALE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadening:
    r"""How energy conservation is applied on a finite mesh.

    Attributes
    ----------
    kind : {"adaptive", "gaussian", "tetrahedron"}
        ``adaptive``: a Gaussian whose variance is the sum of the variances of all modes of the
        process over one mesh cell (:meth:`MeshModes.widths`). ``gaussian``: one width for all.
        ``tetrahedron``: linear tetrahedra (three phonons only).
    sigma_thz : float or None
        Standard deviation of ``gaussian``.
    scale : float
        Factor on the adaptive widths.
    window : float
        Gaussians are cut at this many standard deviations and normalised inside.
    normalized : bool
        False leaves the weight outside the window away; see :meth:`fourphonon`.
    """

    kind: Kind = "adaptive"
    sigma_thz: float | None = None
    scale: float = DEFAULT_SCALE
    window: float = DEFAULT_WINDOW
    normalized: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("adaptive", "gaussian", "tetrahedron"):
            raise ConfigurationError(
                f"broadening {self.kind!r} is unknown.",
                fix="Use adaptive, tetrahedron, or the width of a Gaussian in THz.",
            )
        if (self.kind == "gaussian") != (self.sigma_thz is not None):
            raise ConfigurationError("a Gaussian of fixed width needs sigma_thz, others have none.")
        for name in ("sigma_thz", "scale", "window"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise ConfigurationError(f"broadening {name} is {value}; it must be positive.")

    @classmethod
    def fourphonon(cls, scale: float = 1.0) -> Broadening:
        """Return the window of the FourPhonon code for four-phonon scattering, for comparison.

        Its Gaussian ``exp(-x² / s²)`` ends at ``|x| = s``, which is the square root of two
        standard deviations, and is not normalised inside: 0.843 of the weight (Z. Han, X. Yang,
        W. Li, T. Feng and X. Ruan, Comput. Phys. Commun. 270, 108179 (2022)). The widths stay
        those of this package. Only for exact sums.
        """
        return cls(scale=scale, window=math.sqrt(2.0), normalized=False)

    @property
    def label(self) -> str:
        """Label stored in ``results.json``."""
        if self.kind == "gaussian":
            return f"gaussian {self.sigma_thz:g} THz"
        return self.kind if self.scale == DEFAULT_SCALE else f"{self.kind} x {self.scale:g}"

    @property
    def gaussian_prefactor(self) -> float:
        r"""Return :math:`1 / (\sqrt{2\pi}\, \mathrm{erf}(w/\sqrt 2))`; divide it by sigma."""
        inside = math.erf(self.window / math.sqrt(2.0)) if self.normalized else 1.0
        return 1.0 / (math.sqrt(2.0 * math.pi) * inside)
