"""Provenance: program versions, hardware and peak memory of a run."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

#: Packages whose versions are recorded when they are installed.
RECORDED_PACKAGES = (
    "ase", "dftd3", "e3nn", "h5py", "mace-torch", "matplotlib", "numpy", "phono3py", "phonopy",
    "phonors", "scipy", "seekpath", "sevenn", "spglib", "symfc", "torch",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the recorded packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, Any]:
    """Return processor, core count, memory (GB) and GPU name (None without torch or CUDA)."""
    torch = sys.modules.get("torch")  # never imported just for the record
    gpu = torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None
    return {
        "cpu": _processor_name(),
        "n_cores": os.cpu_count() or 1,
        "memory_gb": round(physical_memory_gb(), 2),
        "gpu": gpu,
    }


def physical_memory_gb() -> float:
    """Return the physical memory of the machine, GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def peak_memory_gb() -> float:
    """Return the peak resident memory (GB): this process or its largest finished child."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # ru_maxrss: bytes on macOS, KiB on Linux
    peaks = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(peaks) * unit / 1e9


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123  no Path needed
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
