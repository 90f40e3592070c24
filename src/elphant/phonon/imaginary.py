"""What to do with imaginary modes: an explicit policy, counted and reported, never silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elphant.errors import PhysicsError
from elphant.quality import QualityFlag, Severity

#: Share of imaginary modes above which a conductivity means nothing, whatever is done with them.
INVALID_FRACTION = 0.05

ImaginaryAction = Literal["error", "mask", "absolute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaginaryModePolicy:
    """Treatment of modes with negative eigenvalue (written as negative frequencies).

    Attributes
    ----------
    action : {"error", "mask", "absolute"}
        ``error`` refuses to give a conductivity. ``mask`` leaves the modes out altogether: they
        carry no heat and no phonon scatters with them, so the rates of the other modes come out
        too low. ``absolute`` lets a mode of frequency -w take part as a mode of frequency w.
    threshold_thz : float
        Modes below ``-threshold_thz`` count as imaginary. Smaller negative values are rounding
        and interpolation noise of the acoustic branches; they are treated alike but only counted.
    """

    action: ImaginaryAction = "mask"
    threshold_thz: float = 0.05

    def __post_init__(self) -> None:
        if self.action not in ("error", "mask", "absolute"):
            raise ValueError(f"action is {self.action!r}; expected error, mask or absolute")
        if not self.threshold_thz >= 0.0:
            raise ValueError(f"threshold_thz is {self.threshold_thz}; expected a value >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeCensus:
    """How many modes of a whole mesh were left out or changed, and why.

    Attributes
    ----------
    n_modes : int
        Modes on the whole mesh, ``n_points * n_branches``.
    n_acoustic_gamma : int
        Acoustic modes at Gamma, always excluded: they are rigid translations.
    n_imaginary : int
        Modes below minus the threshold of the policy.
    n_noise : int
        Modes between minus the threshold and the lower cut-off, without the ones at Gamma.
    n_masked : int
        Modes that neither carry heat nor scatter (imaginary and noise unless made positive).
    minimum_frequency : float
        Lowest frequency on the mesh without the acoustic modes at Gamma, THz.
    """

    n_modes: int
    n_acoustic_gamma: int
    n_imaginary: int
    n_noise: int
    n_masked: int
    minimum_frequency: float

    @property
    def imaginary_fraction(self) -> float:
        """Fraction of all modes of the mesh that are imaginary."""
        return self.n_imaginary / self.n_modes

    @property
    def masked_fraction(self) -> float:
        """Fraction of all modes of the mesh that are masked."""
        return self.n_masked / self.n_modes


def acoustic_at_gamma(q_points: ArrayLike, frequencies: ArrayLike) -> NDArray[np.bool_]:
    """Return the mask of the three modes nearest to zero at q = 0, (n_q, n_modes).

    Parameters
    ----------
    q_points : array_like, (n_q, 3)
        Fractional coordinates.
    frequencies : array_like, (n_q, n_modes) THz
        Frequencies, imaginary ones negative.
    """
    q, values = np.asarray(q_points, dtype=float), np.asarray(frequencies, dtype=float)
    mask = np.zeros(values.shape, dtype=bool)
    for iq in np.flatnonzero(np.abs(q - np.rint(q)).max(axis=1) < 1e-9):
        mask[iq, np.argsort(np.abs(values[iq]), kind="stable")[:3]] = True
    return mask


def census(
    q_points: ArrayLike,
    weights: ArrayLike,
    frequencies: ArrayLike,
    policy: ImaginaryModePolicy,
    cutoff_thz: float,
) -> ModeCensus:
    """Count the modes that a policy concerns.

    Parameters
    ----------
    q_points : array_like, (n_q, 3)
        Irreducible points, fractional coordinates.
    weights : array_like, (n_q,)
        Number of mesh points each of them stands for.
    frequencies : array_like, (n_q, n_modes) THz
        Frequencies before the policy acts, imaginary ones negative.
    policy : ImaginaryModePolicy
    cutoff_thz : float
        Lowest frequency that takes part in the calculation.
    """
    values = np.asarray(frequencies, dtype=float)
    multiplicity = np.broadcast_to(np.asarray(weights, dtype=int)[:, None], values.shape)
    acoustic = acoustic_at_gamma(q_points, values)
    imaginary = ~acoustic & (values < -policy.threshold_thz)
    noise = ~acoustic & ~imaginary & (values < cutoff_thz)
    final = np.abs(values) if policy.action == "absolute" else values
    return ModeCensus(
        n_modes=int(multiplicity.sum()),
        n_acoustic_gamma=int(multiplicity[acoustic].sum()),
        n_imaginary=int(multiplicity[imaginary].sum()),
        n_noise=int(multiplicity[noise].sum()),
        n_masked=int(multiplicity[~acoustic & (final < cutoff_thz)].sum()),
        minimum_frequency=float(values[~acoustic].min()) if (~acoustic).any() else 0.0,
    )


def apply_policy(counts: ModeCensus, policy: ImaginaryModePolicy) -> tuple[QualityFlag, ...]:
    """Return the flags that go with a conductivity, or refuse to compute one.

    The first flag is always present: it says how many modes are imaginary, also when none is.

    Raises
    ------
    PhysicsError
        If there are imaginary modes and the policy is ``error``.
    """
    flags = [_imaginary_flag(counts, policy)]
    if counts.n_imaginary and policy.action == "error":
        raise PhysicsError(
            f"{counts.n_imaginary} of {counts.n_modes} modes of the mesh are imaginary; the lowest "
            f"has {counts.minimum_frequency:.3f} THz.",
            "The harmonic crystal is not stable there, so a conductivity has no clear meaning.",
            "Relax the structure more tightly or use a larger supercell; or choose the policy "
            "'mask' or 'absolute' for imaginary modes and quote the flagged fraction.",
        )
    if counts.n_noise:
        flags.append(_noise_flag(counts, policy))
    flags.append(
        QualityFlag(
            name="gamma_acoustic_modes",
            severity="info",
            message=f"{counts.n_acoustic_gamma} acoustic modes at Gamma (rigid translations) are "
            "excluded from all sums.",
            value=float(counts.n_acoustic_gamma),
        )
    )
    return tuple(flags)


def _imaginary_flag(counts: ModeCensus, policy: ImaginaryModePolicy) -> QualityFlag:
    if not counts.n_imaginary:
        message = (
            f"No imaginary mode below -{policy.threshold_thz:g} THz on the mesh; lowest "
            f"frequency {counts.minimum_frequency:.4f} THz."
        )
    else:
        done = {
            "error": "the calculation is refused",
            "mask": "they are left out as carriers and as scattering partners, so the other "
            "rates are too low",
            "absolute": "they take part with the absolute value of their frequency",
        }[policy.action]
        message = (
            f"{counts.n_imaginary} of {counts.n_modes} modes on the mesh "
            f"({100 * counts.imaginary_fraction:.3f} %) are imaginary, lowest "
            f"{counts.minimum_frequency:.3f} THz; {done}."
        )
    return QualityFlag(
        name="imaginary_modes_mesh",
        severity=_severity(counts),
        message=message,
        value=counts.imaginary_fraction,
        threshold=0.0,
    )


def _severity(counts: ModeCensus) -> Severity:
    if counts.imaginary_fraction > INVALID_FRACTION:
        return "invalid"
    return "warning" if counts.n_imaginary else "info"


def _noise_flag(counts: ModeCensus, policy: ImaginaryModePolicy) -> QualityFlag:
    treatment = (
        "made positive where negative" if policy.action == "absolute" else "left out of all sums"
    )
    return QualityFlag(
        name="near_zero_modes_mesh",
        severity="info" if counts.n_noise <= 0.001 * counts.n_modes else "warning",
        message=f"{counts.n_noise} of {counts.n_modes} modes lie between "
        f"-{policy.threshold_thz:g} THz and zero; {treatment}.",
        value=counts.n_noise / counts.n_modes,
        threshold=0.001,
    )
