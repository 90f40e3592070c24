r"""High-frequency permittivity as a sum over states, for independent particles.

.. math::
    \varepsilon_{\alpha\beta} = \delta_{\alpha\beta} + \frac{e^2}{\varepsilon_0}
        \frac{2 g_s}{\Omega N} \sum_{k v c}
        \frac{\mathrm{Re}[r_{vc,\alpha}\, r_{cv,\beta}]}{\varepsilon_c - \varepsilon_v}

(S. L. Adler, Phys. Rev. 126, 413 (1962); N. Wiser, Phys. Rev. 129, 62 (1963), the head of the
dielectric matrix). The field inside the cell counts as uniform (no local fields), and electron and
hole do not interact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from elphant.arrays import checked_array
from elphant.crystal import Symmetry
from elphant.electron.dielectric.position import bond_dipoles, interband_position, position_flag
from elphant.errors import PhysicsError
from elphant.grids.irreducible import irreducible_mesh
from elphant.models.dielectric.symmetrization import symmetrized_permittivity
from elphant.orbitals import LocalOrbitalHamiltonian
from elphant.orbitals.eigenproblem import batches, solve
from elphant.quality import QualityFlag, check_below
from elphant.units import COULOMB_EV_ANGSTROM, INVERSE_MASS_PER_EV_A2

Array = NDArray[np.float64]
Mesh = tuple[int, int, int]

#: Matrices of one k point held at once: H, S, D with three derivatives each, and work space.
_MATRICES_PER_POINT = 16

#: Relative change between the two finest meshes above which the permittivity is doubtful.
MESH_LIMIT = 0.02

#: Meshes are extrapolated where a change is at most this share of the one before.
LARGEST_RATIO = 0.6

#: Oscillator strength per electron above which positions and energies do not fit each other.
STRENGTH_LIMIT = 1.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeshPermittivity:
    """Permittivity on one k mesh.

    Attributes
    ----------
    epsilon : ndarray, (3, 3)
        Relative permittivity, Cartesian.
    mesh : tuple of int
        Divisions along the reciprocal lattice vectors.
    direct_gap, gap : float, eV
        On the mesh, without the scissor.
    strength : float
        Oscillator strength of all transitions of the basis per electron, averaged over directions
        (the f-sum). One for a complete basis and a local potential.
    """

    epsilon: Array
    mesh: Mesh
    direct_gap: float
    gap: float
    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", checked_array("epsilon", self.epsilon, (3, 3)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Permittivity:
    """High-frequency permittivity, converged over k meshes.

    Attributes
    ----------
    epsilon : ndarray, (3, 3)
        Extrapolated where the meshes allow it, else that of the finest mesh.
    uncertainty : ndarray, (3, 3)
        Of the k mesh alone: the larger one of the last two changes. Infinite for a single mesh.
    extrapolated : bool
    meshes : tuple of MeshPermittivity
        Coarse to fine.
    scissor : float, eV
        Added to every transition energy.
    flags : tuple of QualityFlag
    """

    epsilon: Array
    uncertainty: Array
    extrapolated: bool
    meshes: tuple[MeshPermittivity, ...]
    scissor: float
    flags: tuple[QualityFlag, ...]

    def source(self) -> str:
        """Return one line that says how the numbers were made."""
        mesh = "x".join(str(n) for n in self.meshes[-1].mesh)
        scissor = f", scissor {self.scissor:g} eV" if self.scissor else ""
        end = ", extrapolated" if self.extrapolated else ""
        return f"sum over states of independent particles, k mesh {mesh}{end}{scissor}"


def mesh_permittivity(
    hamiltonian: LocalOrbitalHamiltonian,
    mesh: Mesh,
    symmetry: Symmetry | None = None,
    *,
    scissor: float = 0.0,
    shift: Mesh = (1, 1, 1),
) -> MeshPermittivity:
    """Return the permittivity on one mesh.

    Parameters
    ----------
    hamiltonian : LocalOrbitalHamiltonian
    mesh : three int
    symmetry : Symmetry, optional
        Space group of the crystal: only irreducible points are summed, and the tensor is averaged
        over the point group. Without it, time reversal alone is used.
    scissor : float, eV
        Rigid shift of the conduction bands; positions of the electrons stay (r, not v, is kept).
    shift : three int
        Half steps of the mesh off Γ. Small direct gaps at Γ weigh too much on centred meshes.

    Raises
    ------
    PhysicsError
        If the bands are not filled, or there is no gap on the mesh.
    """
    n_filled, crystal = hamiltonian.n_occupied, hamiltonian.crystal
    if n_filled == hamiltonian.n_orbitals:
        raise PhysicsError(
            "the basis has no empty bands.",
            "A sum over states needs states to sum over.",
            "Use a basis with more orbitals than occupied bands.",
        )
    points = irreducible_mesh(mesh, None if symmetry is None else symmetry.rotations, shift=shift)
    dipoles = bond_dipoles(hamiltonian)
    lower, upper = slice(0, n_filled), slice(n_filled, None)
    tensor, strength = np.zeros((3, 3)), 0.0
    valence, conduction, direct = -np.inf, np.inf, np.inf
    for part in _parts(len(points.points), hamiltonian.n_orbitals):
        states = solve(hamiltonian, points.points[part])
        transition = (states.energies[:, None, upper] - states.energies[:, lower, None]).copy()
        valence = max(valence, float(states.energies[:, lower].max()))
        conduction = min(conduction, float(states.energies[:, upper].min()))
        direct = min(direct, float(transition.min()))
        if direct <= 0 or conduction <= valence:
            break
        r = interband_position(hamiltonian, states, lower, upper, dipoles=dipoles)
        weight = points.weights[part]
        shifted = transition + scissor
        if shifted.min() <= 0:
            raise PhysicsError(
                f"a scissor of {scissor:g} eV closes the gap of {direct:.3f} eV.",
                fix="Give a smaller shift.",
            )
        scaled = weight[:, None, None, None] * r / shifted[:, None]
        tensor += np.einsum("kavc,kbvc->ab", scaled, r.conj(), optimize=True).real
        squares = (np.abs(r) ** 2).sum(axis=1)
        strength += float((weight[:, None, None] * squares * transition).sum())
    if direct <= 0 or conduction <= valence:
        raise PhysicsError(
            f"the bands overlap: the gap on the {mesh[0]}x{mesh[1]}x{mesh[2]} mesh is "
            f"{conduction - valence:.3f} eV.",
            "The high-frequency permittivity of a metal is infinite.",
            "Check the electron number and the functional; PBE closes small gaps.",
        )
    g = hamiltonian.spin_degeneracy
    epsilon = np.eye(3) + 4 * np.pi * COULOMB_EV_ANGSTROM * 2 * g / crystal.volume * tensor
    epsilon = 0.5 * (epsilon + epsilon.T)
    if symmetry is not None:
        epsilon, _ = symmetrized_permittivity(epsilon, crystal, symmetry)
    return MeshPermittivity(
        epsilon=epsilon,
        mesh=mesh,
        direct_gap=direct,
        gap=conduction - valence,
        strength=2 * g * INVERSE_MASS_PER_EV_A2 * strength / (3 * hamiltonian.n_electrons),
    )


def permittivity(
    hamiltonian: LocalOrbitalHamiltonian,
    meshes: Sequence[Mesh],
    symmetry: Symmetry | None = None,
    *,
    scissor: float = 0.0,
) -> Permittivity:
    """Return the permittivity of a sequence of meshes, coarse to fine; see :func:`extrapolated`.

    Raises
    ------
    PhysicsError
        As :func:`mesh_permittivity`.
    """
    if not meshes:
        raise ValueError("at least one mesh is needed")
    steps = tuple(
        mesh_permittivity(hamiltonian, mesh, symmetry, scissor=scissor) for mesh in meshes
    )
    value, uncertainty, is_extrapolated = extrapolated(steps)
    return Permittivity(
        epsilon=value,
        uncertainty=uncertainty,
        extrapolated=is_extrapolated,
        meshes=steps,
        scissor=scissor,
        flags=_flags(hamiltonian, value, uncertainty, steps[-1].strength),
    )


def _flags(
    hamiltonian: LocalOrbitalHamiltonian, value: Array, uncertainty: Array, strength: float
) -> tuple[QualityFlag, ...]:
    relative = float(np.abs(uncertainty).max() / np.abs(value).max())
    known = bool(np.isfinite(relative))
    return (
        QualityFlag(
            name="independent_particles",
            severity="warning",
            message=(
                "The permittivity is that of independent particles without local fields, which "
                "usually lies some percent too high; gaps of a semilocal functional are too small "
                "and raise it further."
            ),
        ),
        check_below(
            "oscillator_strength",
            strength,
            STRENGTH_LIMIT,
            f"All transitions of the basis hold {strength:.2f} of an oscillator strength per "
            "electron; a complete basis holds 1, and much more means positions that do not fit "
            "the Hamiltonian.",
        ),
        check_below(
            "permittivity_mesh",
            relative if known else 1.0,
            MESH_LIMIT,
            f"The permittivity is converged over k meshes to {relative:.1%}."
            if known
            else "The permittivity was computed on a single k mesh: convergence is unknown.",
        ),
        position_flag(hamiltonian),
    )


def extrapolated(steps: Sequence[MeshPermittivity]) -> tuple[Array, Array, bool]:
    r"""Return the limit of fine meshes, its uncertainty, and whether it was extrapolated.

    For an insulator the integrand is analytic and periodic, so the error of a mesh falls like
    :math:`\rho^N`. Three meshes N, N + p, N + 2p then give the limit by Aitken's rule from the
    trace; all components are extrapolated by the same factor, which keeps the symmetry. The
    uncertainty is the larger one of the last two changes: small gaps in a small part of the zone
    converge more slowly than the trend of coarse meshes says.
    """
    values = [step.epsilon for step in steps]
    if len(values) == 1:
        return values[0], np.full((3, 3), np.inf), False
    changes = np.diff(values[-3:], axis=0)
    uncertainty = np.abs(changes).max(axis=0)
    increments = [np.subtract(b.mesh, a.mesh).tolist() for a, b in pairwise(steps[-3:])]
    if len(increments) == 2 and increments[0] == increments[1]:
        before, last = (float(np.trace(change)) for change in changes)
        ratio = last / before if before else 1.0
        if 0 < ratio < LARGEST_RATIO:
            return values[-1] + changes[-1] * ratio / (1 - ratio), uncertainty, True
    return values[-1], uncertainty, False


def _parts(n_k: int, n_orbitals: int) -> list[slice]:
    """Return slices of k points; every point needs several matrices at once."""
    return batches(n_k, round(n_orbitals * _MATRICES_PER_POINT**0.5))
