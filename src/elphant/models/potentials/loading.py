"""From a ``--potential`` argument to a potential that is ready to evaluate crystals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from elphant.models.potentials.protocol import Potential
from elphant.models.registry import DEFAULT_MODEL, parse_potential


@dataclass(frozen=True, slots=True, kw_only=True)
class PotentialSettings:
    """Everything needed to load a potential, here or in another environment.

    Attributes
    ----------
    spec : str
        ``name``, ``name:head``, a model file, or ``module:factory``.
    dispersion : {None, "d3bj"}
        Dispersion correction to add.
    functional : str or None
        Functional of the correction; None takes the model's own.
    dtype : {"float64", "float32"}
        Floating-point type the network is evaluated in.
    device : str
        ``auto``, ``cpu`` or ``cuda[:i]``.
    python : str or None
        Interpreter of another environment in which the potential is to run.
    trust : bool
        Load a model file that is not in the registry (a pickle: loading runs code from it).
    max_batch_atoms : int or None
        Upper bound of atoms per network call; None chooses it by memory.
    """

    spec: str = DEFAULT_MODEL
    dispersion: Literal["d3bj"] | None = None
    functional: str | None = None
    dtype: Literal["float64", "float32"] = "float64"
    device: str = "auto"
    python: str | None = None
    trust: bool = False
    max_batch_atoms: int | None = None


def load_potential(settings: PotentialSettings) -> Potential:
    """Return the potential that ``settings`` describe.

    With ``settings.python`` the network lives in a worker process of that environment. The
    dispersion correction is always added in this process, outside the worker.

    Raises
    ------
    ModelError
        If the model is unknown, not on this machine, not trusted, or its head is missing.
    DependencyError
        If the package that evaluates it, or the device, is missing.
    """
    if settings.python is not None:
        from elphant.models.potentials.worker import WorkerPotential

        potential: Potential = WorkerPotential(replace(settings, dispersion=None, functional=None))
    else:
        potential = _load_here(settings)
    if settings.dispersion is None:
        return potential
    from elphant.models.potentials.dispersion import DispersionCorrected

    try:
        return DispersionCorrected(potential, settings.functional, settings.dispersion)
    except BaseException:
        potential.close()
        raise


def _load_here(settings: PotentialSettings) -> Potential:
    reference = parse_potential(settings.spec)
    if reference.provider == "ase":
        from elphant.models.potentials.ase_calculator import AsePotential

        return AsePotential(reference.name)
    from elphant.engine.device import resolve_device

    device = resolve_device(settings.device)
    if reference.provider == "sevennet":
        from elphant.models.potentials.sevennet import SevenNetPotential

        return SevenNetPotential(
            reference.name,
            head=reference.head,
            dtype=settings.dtype,
            device=device,
            trust=settings.trust,
            max_batch_atoms=settings.max_batch_atoms,
        )
    from elphant.models.potentials.mace import MacePotential

    return MacePotential(
        reference.name,
        head=reference.head,
        dtype=settings.dtype,
        device=device,
        trust=settings.trust,
        max_batch_atoms=settings.max_batch_atoms,
    )
