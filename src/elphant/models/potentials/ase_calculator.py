"""Both directions between elphant potentials and ASE calculators."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from elphant.crystal import Crystal
from elphant.crystal.io import from_ase, to_ase
from elphant.errors import DependencyError, ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials.checks import build_evaluation
from elphant.models.potentials.protocol import Evaluation, Potential

logger = logging.getLogger(__name__)

#: Strain of the central difference by which a missing stress is computed.
STRAIN_STEP = 1e-4


class AsePotential:
    """Any ASE calculator as an elphant potential, one structure at a time.

    Parameters
    ----------
    factory : str or ase Calculator
        ``module:factory``, where ``factory()`` returns a calculator (a class will do), or the
        calculator itself. The module may lie in the current directory.

    Raises
    ------
    ModelError
        If the module or the factory is missing, or what it returns is no ASE calculator.
    """

    def __init__(self, factory: str | Calculator) -> None:
        source = factory if isinstance(factory, str) else type(factory).__name__
        self._calculator: Any = _build(factory) if isinstance(factory, str) else factory
        properties = getattr(self._calculator, "implemented_properties", ())
        if not {"energy", "forces"} <= set(properties):
            raise ModelError(
                f"'{source}' does not give an ASE calculator with energy and forces.",
                f"It returned an object of type {type(self._calculator).__name__}.",
                "Let the factory return a calculator instance (ase.calculators.calculator).",
            )
        self._has_stress = "stress" in properties
        notes = "ASE calculator given by the user; elphant knows nothing about its accuracy."
        if not self._has_stress:
            notes += (
                " It has no stress of its own: the stress is the central finite difference of the "
                f"energy with strains of ±{STRAIN_STEP:g}."
            )
        self._card = ModelCard(
            name=source,
            provider="ase",
            level_of_theory="not stated (ASE calculator)",
            licence="not stated (ASE calculator)",
            references=("ase",),
            source=source,
            notes=notes,
        )

    @property
    def card(self) -> ModelCard:
        """Description of the model."""
        return self._card

    def evaluate(self, crystals: Sequence[Crystal]) -> list[Evaluation]:
        """Return energy, forces and stress of each crystal.

        Raises
        ------
        ModelError
            If the calculator fails (an unknown element, for example) or returns non-finite values.
        """
        return [self._evaluate(crystal) for crystal in crystals]

    def close(self) -> None:
        """Drop the calculator's cached structure."""
        reset = getattr(self._calculator, "reset", None)
        if callable(reset):
            reset()

    def _evaluate(self, crystal: Crystal) -> Evaluation:
        atoms = to_ase(crystal)
        atoms.calc = self._calculator
        try:
            # Forces are asked for first: some calculators skip them when only energies are wanted.
            forces = atoms.get_forces()
            energy = float(atoms.get_potential_energy())
            stress = atoms.get_stress(voigt=False) if self._has_stress else None
        except Exception as error:
            raise ModelError(
                f"the calculator '{self._card.name}' failed for {crystal.formula}: "
                f"{type(error).__name__}: {error}",
                "It may not know one of the elements " + ", ".join(crystal.elements) + ".",
                "Check its parameters, or choose another potential.",
            ) from error
        if stress is None:
            stress = self._finite_strain_stress(crystal)
        return build_evaluation(self._card, crystal, energy, forces, stress)

    def _finite_strain_stress(self, crystal: Crystal) -> NDArray[np.float64]:
        """Return dE/d(strain)/V by central differences (12 energies)."""
        stress = np.zeros((3, 3))
        for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5
            strain[j, i] += 0.5
            energies = []
            for step in (STRAIN_STEP, -STRAIN_STEP):
                atoms = to_ase(
                    crystal.replaced(lattice=crystal.lattice @ (np.eye(3) + step * strain))
                )
                atoms.calc = self._calculator
                energies.append(float(atoms.get_potential_energy()))
            value = (energies[0] - energies[1]) / (2.0 * STRAIN_STEP * crystal.volume)
            stress[i, j] = stress[j, i] = value
        return stress


class PotentialCalculator(Calculator):  # type: ignore[misc]
    """An elphant potential as an ASE calculator, for ASE's optimisers.

    Energy, forces and stress come from one ``evaluate`` call and are kept until the structure
    changes.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012  ASE's API

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential
        self.n_evaluations = 0

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        """Fill ``results`` (ASE calls this when the structure has changed)."""
        super().calculate(atoms, properties, system_changes)
        result = self.potential.evaluate([from_ase(self.atoms)])[0]
        self.n_evaluations += 1
        self.results = {
            "energy": result.energy,
            "free_energy": result.energy,
            "forces": np.array(result.forces),
            "stress": full_3x3_to_voigt_6_stress(result.stress),
        }


def _build(spec: str) -> Any:
    module_name, _, attribute = spec.partition(":")
    try:
        module = _import(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.split(".")[0] == error.name.split(".")[0]:
            raise ModelError(
                f"module '{module_name}' of potential '{spec}' cannot be found.",
                "It is neither installed nor a file in the current directory.",
                "Write module:factory, where module.py is importable.",
            ) from error
        raise DependencyError(
            f"module '{module_name}' needs '{error.name}', which is not installed here.",
            fix="Install it, or use --potential-python with an environment that has it.",
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ModelError(
            f"module '{module_name}' has no callable '{attribute}'.",
            fix="Name a function or class that returns an ASE calculator when called.",
        )
    try:
        return factory()
    except Exception as error:
        raise ModelError(
            f"'{spec}' failed to build a calculator: {type(error).__name__}: {error}",
            fix="The factory is called without arguments; wrap it in a function that needs none.",
        ) from error


def _import(name: str) -> ModuleType:
    """Import an installed module, or ``name.py`` of the current directory."""
    local = Path.cwd().joinpath(*name.split(".")).with_suffix(".py")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0] or not local.is_file():
            raise
    # Loaded by path, so that sys.path stays as it is.
    spec = importlib.util.spec_from_file_location(name, local)
    if spec is None or spec.loader is None:
        raise ModelError(f"'{local}' cannot be imported.", fix="Check the file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
