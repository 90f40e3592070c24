"""Local part of GTH pseudopotentials, Hartree potential and semilocal functionals on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ModelError
from elphant.models.hamiltonians.pyscf.cell import Species
from elphant.models.hamiltonians.pyscf.grid import DensityGrid
from elphant.units import ANGSTROM_PER_BOHR

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Where plane waves leave less density than this (e/bohr³; in voids, and at nuclei whose
#: pseudo-density vanishes), its gradient is noise and ∂f/∂|∇n|² diverges: the local functional of
#: the floor is taken there.
DENSITY_FLOOR = 1e-6


def local_pseudopotential(grid: DensityGrid, species: dict[str, Species]) -> Complex:
    """Return the Fourier coefficients of the local pseudopotential of the crystal, hartree.

    The divergent -4πZ/G² of G = 0 cancels with the Hartree term; what remains of it is kept.
    C. Hartwigsen, S. Goedecker and J. Hutter, Phys. Rev. B 58, 3641 (1998), equation 5.
    """
    volume = grid.crystal.volume / ANGSTROM_PER_BOHR**3
    total = np.zeros(len(grid.squares), dtype=np.complex128)
    for symbol, entry in species.items():
        atoms = [i for i, other in enumerate(grid.crystal.symbols) if other == symbol]
        factor = np.sum([grid.structure_factor(atom) for atom in atoms], axis=0)
        total += factor * local_form_factor(entry, grid.squares)
    return total / volume


def local_form_factor(entry: Species, squares: Array) -> Array:
    """Return the local pseudopotential of one ion at squared wave numbers, hartree bohr³."""
    x = squares * entry.local_radius**2
    decay = np.exp(-0.5 * x)
    c1, c2, c3, c4 = (*entry.local_coefficients, 0.0, 0.0, 0.0, 0.0)[:4]
    polynomial = (
        c1 + c2 * (3.0 - x) + c3 * (15.0 - 10.0 * x + x**2)
        + c4 * (105.0 - 105.0 * x + 21.0 * x**2 - x**3)
    )  # fmt: skip
    short = (2.0 * pi) ** 1.5 * entry.local_radius**3 * decay * polynomial
    zero = squares < 1e-12
    long = -4.0 * pi * entry.charge * decay / np.where(zero, 1.0, squares)
    constant = 2.0 * pi * entry.charge * entry.local_radius**2
    return np.asarray(np.where(zero, constant, long) + short)


def hartree(grid: DensityGrid, density: Complex) -> Complex:
    """Return the Hartree potential (hartree) of a density (e/bohr³); the mean is zero."""
    zero = grid.squares < 1e-12
    return np.where(zero, 0.0, 4.0 * pi * density / np.where(zero, 1.0, grid.squares))


@dataclass(frozen=True, slots=True, kw_only=True)
class Functional:
    """A local or gradient-corrected exchange-correlation functional of libxc.

    Attributes
    ----------
    name : str
        As PySCF spells it.
    uses_gradient : bool
    """

    name: str
    uses_gradient: bool

    @classmethod
    def of(cls, name: str) -> Functional:
        """Look a functional up.

        Raises
        ------
        ModelError
            If it is unknown, a hybrid, or depends on the kinetic-energy density.
        """
        from pyscf.dft import libxc

        try:
            kind = libxc.xc_type(name)
            hybrid = bool(libxc.is_hybrid_xc(name))
        except Exception as error:
            raise ModelError(
                f"functional '{name}' is unknown to libxc.",
                str(error).strip(),
                "Use for example pbe, pbesol or lda,pw.",
            ) from error
        if kind not in ("LDA", "GGA") or hybrid:
            raise ModelError(
                f"functional '{name}' is {'a hybrid' if hybrid else kind}.",
                "Only local and gradient-corrected functionals are implemented.",
                "Use for example pbe, pbesol or lda,pw.",
            )
        return cls(name=name, uses_gradient=kind == "GGA")

    def evaluate(self, density: Array, gradient: Array | None) -> tuple[Array, Array, Array]:
        """Return energy per electron, ∂f/∂n and ∂f/∂|∇n|² in atomic units.

        Parameters
        ----------
        density : ndarray, (n,) e/bohr³
        gradient : ndarray, (3, n) e/bohr⁴, or None for a local functional
        """
        from pyscf.dft import libxc

        low = density < DENSITY_FLOOR
        rho: Any = np.where(low, DENSITY_FLOOR, density)
        if gradient is not None:
            rho = np.concatenate([rho[None], np.where(low, 0.0, gradient)])
        energy, potential = libxc.eval_xc(self.name, rho, spin=0, deriv=1)[:2]
        slope = np.zeros_like(density)
        if gradient is not None:
            slope = np.where(low, 0.0, potential[1])
        return np.asarray(energy), np.asarray(potential[0]), np.asarray(slope)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectivePotential:
    """Local Kohn-Sham potential of a density.

    Attributes
    ----------
    potential : ndarray, (n_points,) hartree
    energy_shift : float
        What is added to the sum of band energies (double counting removed), hartree per cell.
    """

    potential: Array
    energy_shift: float


def effective_potential(
    grid: DensityGrid, functional: Functional, ionic: Complex, density: Array
) -> EffectivePotential:
    r"""Return V_loc + V_H + V_xc of a symmetric density (n_points,) in e/bohr³.

    Gradients are taken with plane waves, so that the potential is the derivative of the
    discretised energy: J. A. White and D. M. Bird, Phys. Rev. B 50, 4954 (1994).
    """
    waves = grid.to_waves(density)
    coulomb = hartree(grid, waves)
    gradient = None
    if functional.uses_gradient:
        gradient = np.stack([grid.to_points(1j * G * waves) for G in grid.waves.T])
    chosen = grid.irreducible
    energy, first, slope = functional.evaluate(
        density[chosen], None if gradient is None else gradient[:, chosen]
    )
    xc = grid.expand(first)
    if gradient is not None:
        flux = 2.0 * grid.expand(slope) * gradient
        divergence = sum(
            1j * G * grid.to_waves(part) for G, part in zip(grid.waves.T, flux, strict=True)
        )
        xc -= grid.to_points(np.asarray(divergence))
    electrostatic = grid.to_points(coulomb)
    step = grid.volume_per_point / ANGSTROM_PER_BOHR**3
    shift = step * float(
        grid.expand(energy) @ density - xc @ density - 0.5 * electrostatic @ density
    )
    return EffectivePotential(
        potential=grid.to_points(ionic) + electrostatic + xc, energy_shift=shift
    )
