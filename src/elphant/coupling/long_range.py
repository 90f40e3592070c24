r"""Potential of an electron in the field of displaced Born charges.

.. math:: V_{a,\kappa\alpha}(q) = i\, \frac{4\pi}{\Omega}\, \frac{e^2}{4\pi\epsilon_0}
          \sum_{Q = q + G \ne 0} \frac{(Q \cdot Z_\kappa)_\alpha
          - \frac{i}{2} Q_\beta Q_\gamma \mathcal Q_{\kappa,\alpha\beta\gamma}}
          {Q \cdot \varepsilon \cdot Q}\, e^{-Q \cdot \varepsilon \cdot Q / 4\Lambda^2}\,
          e^{iQ \cdot (\tau_a - \tau_\kappa)}

is the potential energy of an electron at the site of atom a in the home cell when atom κ of every
cell R moves by :math:`e^{iq \cdot R}` along α (C. Verdi and F. Giustino, Phys. Rev. Lett. 115,
176401 (2015), equation 4; quadrupoles: G. Brunin et al., Phys. Rev. Lett. 125, 136601 (2020),
equation 2). The first index of Z is the field, the second the displacement. At q = 0, where the
term G = 0 is missing, the same expression is the potential in a crystal, or a supercell, in which
all images move alike: this is what finite differences contain, and what is taken off them.

Orbitals move with their atoms, and so do the sites at which the potential is wanted. What they see
differs from V by their own motion in the potential at rest,

.. math:: W_{a,\kappa\alpha}(q) = V_{a,\kappa\alpha}(q)
          - \delta_{a\kappa} \sum_{\kappa'} V_{a,\kappa'\alpha}(0).

The last sum is the gradient at a of the potential of all other charges; it vanishes at centres of
inversion, and in general W, not V, has :math:`\sum_\kappa W_{a,\kappa\alpha}(0) = 0`: nothing
changes when the whole crystal moves. Without it, acoustic phonons of long wavelength would scatter
by a potential that does not exist. It plays the part of the last term of the dynamical matrix in
:mod:`elphant.phonon.unit_cell_modes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcinv

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.plane_wave_sums import PlaneWaveSums, shortest_images

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

#: Terms of the sum are left out where the Gaussian has fallen below exp of minus this.
EXPONENT = 20.0

#: Bytes of intermediate arrays.
CHUNK_BYTES = 96e6

#: A wave vector shorter than this (Å⁻¹) is zero: its field has no direction.
ZERO_WAVE = 1e-9

#: Share of the field of a charge that is still missing at the distance of
#: :func:`default_range_parameter`.
MISSING_SHARE = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class LongRangeCoupling:
    r"""Dipole (and quadrupole) potentials of a crystal.

    Attributes
    ----------
    crystal : Crystal
    dielectric : DielectricData
        ε∞ and Born charges in the working frame, atoms in the order of the crystal. The charges
        should add up to zero: a sum Z leaves a divergence in the acoustic modes.
    range_parameter : float, Å⁻¹
        Λ of the Gaussian screening.
    quadrupoles : ndarray, (n_atoms, 3, 3, 3) e Å, or None
        Dynamical quadrupoles: displacement, then the two directions of the field gradient. They are
        the second moments :math:`\int \rho\, r_\beta r_\gamma` of the charge that unit displacement
        induces, neither traceless nor divided by a number; only the symmetric part counts.
    screening : float, Å⁻²
        Square of the wave vector of screening by free carriers, in vacuum units; each term is
        divided by :math:`1 + q_{TF}^2 / (Q \cdot \varepsilon \cdot Q)`. Zero for none. Potentials
        that are taken off finite differences are not screened by carriers.

    Raises
    ------
    ValueError
        If the number of charges is not that of the atoms, or a parameter has the wrong sign.
    """

    crystal: Crystal
    dielectric: DielectricData
    range_parameter: float
    quadrupoles: Array | None = None
    screening: float = 0.0
    _sums: PlaneWaveSums = field(init=False, repr=False)
    _own_motion: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n = self.crystal.n_atoms
        if len(self.dielectric.born_charges) != n:
            raise ValueError(
                f"{len(self.dielectric.born_charges)} Born charges given for {n} atoms"
            )
        if not self.range_parameter > 0.0 or self.screening < 0.0:
            raise ValueError("the range parameter must be positive, the screening not negative")
        set_field = object.__setattr__
        if self.quadrupoles is not None:
            checked = checked_array("quadrupoles", self.quadrupoles, (n, 3, 3, 3))
            set_field(self, "quadrupoles", checked)
        set_field(self, "_sums", PlaneWaveSums(self.crystal, self._waves()))
        set_field(self, "_own_motion", self._fixed(np.zeros((1, 3)))[0].sum(axis=1).real)

    @property
    def reciprocal(self) -> Array:
        """Reciprocal lattice vectors as rows, 2π included, Å⁻¹."""
        return np.asarray(2.0 * np.pi * np.linalg.inv(self.crystal.lattice).T)

    def site_potentials(self, q_points: ArrayLike) -> Complex:
        """Return W, (n_q, n_atoms, n_atoms, 3) eV/Å: site, moved atom, direction; lattice phase.

        Parameters
        ----------
        q_points : array_like, (n_q, 3)
            In the reciprocal lattice of the cell, anywhere: W is periodic.
        """
        potentials = self.fixed_potentials(q_points)
        atoms = np.arange(self.crystal.n_atoms)
        potentials[:, atoms, atoms] -= self._own_motion
        return potentials

    def fixed_potentials(self, q_points: ArrayLike) -> Complex:
        """Return V, (n_q, n_atoms, n_atoms, 3) eV/Å, at sites that do not move."""
        # The sum is complete around the wave vectors of the first zone.
        q = shortest_images(np.atleast_2d(np.asarray(q_points, dtype=float)), self.crystal)
        n_atoms = self.crystal.n_atoms
        result = np.empty((len(q), n_atoms, n_atoms, 3), dtype=np.complex128)
        n_components = 3 if self.quadrupoles is None else 9
        size = max(1, int(CHUNK_BYTES / self._sums.bytes_per_point(n_components)))
        for start in range(0, len(q), size):
            result[start : start + size] = self._fixed(q[start : start + size])
        return result

    def _waves(self) -> Integers:
        """Return the integer G whose terms matter for some q of the first zone, (n_G, 3)."""
        reciprocal, epsilon = self.reciprocal, self.dielectric.epsilon_infinity
        # The first zone lies within the ball through its farthest corner, and that ball within the
        # one through the corner of the parallelepiped.
        corners = np.array(list(product((-0.5, 0.5), repeat=3))) @ reciprocal
        farthest = float(np.linalg.norm(corners, axis=1).max())
        values = np.linalg.eigvalsh(epsilon)
        reach = 2.0 * self.range_parameter * EXPONENT**0.5
        longest = reach / float(values.min()) ** 0.5 + farthest
        limit = [ceil(longest * a / (2.0 * np.pi)) for a in self.crystal.lengths]
        axes = [np.arange(-n, n + 1) for n in limit]
        G = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        Q = G @ reciprocal
        metric = ((Q @ epsilon) * Q).sum(axis=1) ** 0.5
        return np.asarray(G[metric < reach + farthest * float(values.max()) ** 0.5])

    def _fixed(self, q: Array) -> Complex:
        """Return V at wave vectors of the first zone."""
        data, sums = self.dielectric, self._sums
        Q = sums.wave_vectors(q)
        metric = ((Q @ data.epsilon_infinity) * Q).sum(axis=2)
        exponent = metric / (4.0 * self.range_parameter**2)
        weight = np.exp(-exponent) / np.maximum(metric + self.screening, ZERO_WAVE**2)
        weight *= 4.0 * np.pi * data.coulomb_constant / self.crystal.volume
        # The same Q whatever the q they belong to: sums of cell and supercell have equal terms.
        weight[(exponent > EXPONENT) | ((Q**2).sum(axis=2) < ZERO_WAVE**2)] = 0.0
        Q = Q.transpose(2, 0, 1)
        vectors = sums(q, np.stack([weight * Q[b] for b in range(3)], axis=1))
        result = np.zeros((*vectors.shape[:1], *vectors.shape[2:], 3), dtype=np.complex128)
        for b in range(3):
            result += 1j * vectors[:, b, :, :, None] * data.born_charges[:, b]
        if self.quadrupoles is not None:
            pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
            tensors = sums(q, np.stack([weight * Q[b] * Q[c] for b, c in pairs], axis=1))
            for index, (b, c) in enumerate(pairs):
                moment = 0.5 * self.quadrupoles[:, :, b, c]
                if b != c:
                    moment = moment + 0.5 * self.quadrupoles[:, :, c, b]
                result += tensors[:, index, :, :, None] * moment
        return result


def default_range_parameter(
    epsilon_infinity: ArrayLike, radius: float, *, missing: float = MISSING_SHARE
) -> float:
    r"""Return Λ (Å⁻¹) with which the field of a charge is complete beyond a radius.

    The Gaussian leaves :math:`\mathrm{erf}(\Lambda s)` of the potential of a charge, with
    :math:`s^2 = r \cdot \varepsilon^{-1} \cdot r`; the rest has to lie inside the radius within
    which derivatives of the Hamiltonian are known, in the direction of the largest ε:

    .. math:: \mathrm{erfc}(\Lambda\, r / \sqrt{\varepsilon_{max}}) = \text{missing}

    Parameters
    ----------
    epsilon_infinity : array_like, (3, 3)
    radius : float, Å
        Half the shortest height of the supercell, or the distance up to which a network sees atoms.
    missing : float
        Share that may be missing.
    """
    if not radius > 0.0 or not 0.0 < missing < 1.0:
        raise ValueError("the radius must be positive, the missing share between 0 and 1")
    largest = float(np.linalg.eigvalsh(np.asarray(epsilon_infinity, dtype=float)).max())
    return float(erfcinv(missing) * largest**0.5 / radius)
