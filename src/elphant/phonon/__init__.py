"""L3: phonons from force constants: harmonic properties, scattering and thermal conductivity.

The names below are the public interface; they are imported when first used, so that importing
this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    # force constants
    "ForceConstants": "force_constants",
    "SparseForceConstants": "sparse_force_constants",
    "DisplacementSettings": "displacement",
    "plan_displacements": "displacement",
    "fit_force_constants": "fitting",
    "load_force_constants": "adapters.import_files",
    "write_shengbte_files": "adapters.shengbte_files",
    "third_order_clusters": "adapters.cluster_adapter",
    # one level of theory
    "LevelSettings": "levels",
    "LevelScattering": "levels",
    "solve_level": "levels",
    "relative_errors": "levels",
    "ThermalConductivity": "conductivity_data",
    # scattering and transport
    "Broadening": "scattering.broadening",
    "ReciprocalMesh": "scattering.mesh",
    "MeshModes": "scattering.modes",
    "solve_modes": "adapters.modes_adapter",
    "ThreePhononScattering": "scattering.three_phonon",
    "FourPhononScattering": "scattering.four_phonon",
    "IsotopeScattering": "scattering.isotope",
    "CollisionOperator": "scattering.operator",
    "solve_bte": "transport.boltzmann",
    "coherence_conductivity": "transport.coherence",
    # phonons of one temperature
    "RenormalizedForceConstants": "renormalization.result",
    "LoopSettings": "renormalization.loop",
    "solve_loop": "renormalization.loop",
    "StochasticSettings": "renormalization.stochastic",
    "solve_stochastic": "renormalization.stochastic",
    "static_bubble": "renormalization.bubble",
    "bubble_shifts": "renormalization.bubble",
    "with_bubble": "renormalization.bubble",
    # analysis
    "accumulate": "analysis.cumulative",
    "mode_gruneisen": "analysis.gruneisen",
    "plan_scan": "analysis.force_asymmetry",
    "analyse_scan": "analysis.force_asymmetry",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
