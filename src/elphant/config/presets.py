"""Presets: named sets of options that a configuration file or a flag may override."""

from __future__ import annotations

from typing import Any, Final

PRESETS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    # Minutes on two cores. Meshes and supercells are too coarse to publish; the report says so.
    "quick": {
        "displacements": {
            "length_second": 15.5,
            "length_third": 10.8,
            "cutoff_third": 5.0,
            "oversampling": 10.0,
            # Only with --orders 3,4 or --scp.
            "cutoff_fourth": 3.5,
            "amplitude_fourth": 0.08,
            "oversampling_fourth": 3.0,
        },
        "conductivity": {"mesh_spacing": 0.2, "solver": ("rta", "bte")},
        # Only for elphant mobility.
        "transport": {"mesh_spacing": 0.05, "derivative_supercell": 7.0},
    },
    # Publication settings for one crystal: hours on a laptop, minutes on a GPU.
    "standard": {
        "displacements": {
            "length_second": 20.0,
            "length_third": 15.0,
            "cutoff_third": 6.0,
            "oversampling": 12.0,
            "cutoff_fourth": 4.0,
            "oversampling_fourth": 6.0,
        },
        "phonons": {"mesh_spacing": 0.05},
        "conductivity": {
            "temperatures": (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0),
            "mesh_spacing": 0.1,
            "solver": ("rta", "bte"),
        },
        "hamiltonian": {"mesh_spacing": 0.2},
        "electrons": {"points_per_leg": 80, "mesh_spacing": 0.1, "grid_spacing": 0.08},
        "transport": {
            "mesh_spacing": 0.025,
            "derivative_supercell": 10.0,
            "range_sensitivity": True,
        },
    },
    # What phono3py itself does when nothing is asked of it: for --force-constants, so that a user
    # finds the numbers known from there. Better physics is one flag away (--isotopes, …).
    "phono3py": {
        "conductivity": {
            "backend": "phono3py",
            "broadening": "tetrahedron",
            "isotopes": False,
            "degenerate_average": False,
            "coherence": False,
            "solver": ("rta",),
        },
        "analysis": {"force_asymmetry": False, "gruneisen": False},
    },
}
