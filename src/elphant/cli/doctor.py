"""``elphant doctor``: is everything there that a run needs?"""

from __future__ import annotations

import importlib.util
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

REQUIRED = ("ase", "h5py", "numpy", "phono3py", "phonopy", "scipy", "seekpath", "spglib", "symfc",
            "torch")  # fmt: skip
OPTIONAL = {
    "sevenn": "embedded potential: pip install 'elphant[sevennet]'",
    "mace-torch": "MACE potentials: pip install 'elphant[mace]' in an environment of its own",
    "dftd3": "D3(BJ) dispersion: pip install 'elphant[dispersion]'",
}


def print_diagnosis(console: Console) -> None:
    """Print one line per check.

    Raises
    ------
    DependencyError
        If a required package is missing.
    """
    from elphant.errors import DependencyError
    from elphant.store.provenance import physical_memory_gb

    missing = [package for package in REQUIRED if not _report(console, package, "required")]
    for package, advice in OPTIONAL.items():
        _report(console, package, advice)
    _report_versions_that_clash(console)
    _report_device(console)
    console.print(f"[green]ok[/green]    memory {physical_memory_gb():.1f} GB", highlight=False)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    mark = "[green]ok[/green]   " if free > 2 else "[yellow]low[/yellow]  "
    console.print(f"{mark} disk   {free:.1f} GB free here", highlight=False)
    if missing:
        raise DependencyError(
            f"required packages are missing: {', '.join(missing)}.", fix="pip install elphant"
        )


def _report(console: Console, package: str, advice: str) -> bool:
    try:
        console.print(f"[green]ok[/green]    {package} {version(package)}", highlight=False)
    except PackageNotFoundError:
        console.print(f"[yellow]none[/yellow]  {package} ({escape(advice)})", highlight=False)
        return False
    return True


def _report_versions_that_clash(console: Console) -> None:
    """Warn when both providers share an environment: one of them then has the wrong e3nn."""
    if importlib.util.find_spec("sevenn") and importlib.util.find_spec("mace"):
        console.print(
            "[yellow]clash[/yellow] sevenn needs e3nn >= 0.5 and mace-torch needs e3nn 0.4.4; "
            "keep them in two environments and use --potential-python",
            highlight=False,
        )


def _report_device(console: Console) -> None:
    if importlib.util.find_spec("torch") is None:
        return
    from elphant.engine.device import resolve_device

    console.print(f"[green]ok[/green]    device {resolve_device('auto')}", highlight=False)
