"""The layer table and a checker of import statements, used by ``test_layers.py``."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "elphant"

#: Layer of each first-level module or package. Imports go downwards only; two names of one layer
#: do not import each other, except as MAY_SIDEWAYS says.
LAYERS = {
    "units": 0,
    "errors": 0,
    "quality": 0,
    "arrays": 0,
    "version": 0,
    "crystal": 1,
    "store": 1,
    "engine": 1,
    "grids": 2,
    "tensors": 2,
    "orbitals": 2,
    "models": 2,
    "phonon": 3,
    "electron": 3,
    "coupling": 4,
    "config": 5,
    "workflow": 5,
    "report": 6,
    "cli": 7,
    "__main__": 8,
}

#: (importing, imported) pairs inside one layer that are allowed.
MAY_SIDEWAYS = {("workflow", "config"), ("models", "orbitals"), ("models", "grids")} | {
    (upper, lower)
    for upper in ("errors", "quality", "arrays")
    for lower in ("errors", "units", "version")
    if upper != lower
}

#: Downward imports that are refused all the same: physics knows nothing of files on disk.
REFUSED = {(physics, "store") for physics in ("phonon", "electron", "coupling")}

#: Where a third-party library may be imported; prefixes of module paths below the package.
CONFINED = {
    "phonopy": ("phonon.adapters",),
    "phono3py": ("phonon.adapters",),
    "phonors": ("phonon.adapters",),
    "symfc": ("phonon.adapters",),
    "sevenn": ("models.potentials",),
    "mace": ("models.potentials",),
    "e3nn": ("models.potentials",),
    "dftd3": ("models.potentials",),
    "pyscf": ("models.hamiltonians",),
    "sisl": ("models.hamiltonians",),
    "ase": ("crystal", "models"),
    "spglib": ("crystal",),
    "seekpath": ("grids",),
    "pydantic": ("config",),
    "typer": ("cli",),
    "matplotlib": ("report",),
    "jinja2": ("report",),
}

#: Packages that stay free of torch.
TORCH_FREE = ("units", "errors", "quality", "arrays", "version", "crystal", "store", "config",
              "report", "cli")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module: dotted name and line."""

    module: str
    line: int


def imports_of(source: str, module: str, *, is_package: bool) -> list[Import]:
    """Return every module that ``source`` imports anywhere: also in functions and type checks.

    Parameters
    ----------
    source : str
        Python source.
    module : str
        Its dotted name, for relative imports.
    is_package : bool
        True for an ``__init__.py``.
    """
    found: list[Import] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            # A bare ``import elphant`` imports what is then taken from it; see below.
            names = [alias.name for alias in node.names if alias.name != PACKAGE]
            found += [Import(module=name, line=node.lineno) for name in names]
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
                found.append(Import(module=f"{PACKAGE}.{node.attr}", line=node.lineno))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                keep = len(parents) - node.level + (1 if is_package else 0)
                base = ".".join([*parents[:keep], *([node.module] if node.module else [])])
            # ``from elphant import crystal`` imports elphant.crystal.
            found += [
                Import(module=f"{base}.{alias.name}" if base == PACKAGE else base, line=node.lineno)
                for alias in node.names
            ]
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = node.args[0]
            if (
                name in {"import_module", "__import__"}
                and isinstance(target, ast.Constant)
                and isinstance(target.value, str)
            ):
                found.append(Import(module=target.value, line=node.lineno))
    return found


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return one sentence per forbidden import of a module of the package."""
    own = module.split(".")[1] if "." in module else ""
    path = module.partition(".")[2]
    if not own:
        return []  # the package root only collects public names, lazily
    problems = []
    if own not in LAYERS:
        return [f"{module}: '{own}' has no place in the layer table"]
    for item in imports_of(source, module, is_package=is_package):
        reason = _reason(own, path, item.module)
        if reason:
            problems.append(f"{module}:{item.line} imports {item.module}: {reason}")
    return sorted(set(problems))


def _reason(own: str, path: str, imported: str) -> str:
    top, _, rest = imported.partition(".")
    if top == PACKAGE:
        return _internal_reason(own, rest.split(".")[0])
    if top == "torch" and own in TORCH_FREE:
        return f"{own} stays free of torch"
    allowed = CONFINED.get(top)
    if allowed and not any(path == home or path.startswith(home + ".") for home in allowed):
        return f"{top} belongs in {' or '.join(allowed)}"
    return ""


def _internal_reason(own: str, other: str) -> str:
    if other == own or (other.startswith("__") and other.endswith("__")):
        return ""
    if other not in LAYERS:
        return "import from the module that defines the name, not from the package root"
    if LAYERS[other] > LAYERS[own]:
        return f"upward import from layer {LAYERS[own]} to layer {LAYERS[other]}"
    if LAYERS[other] == LAYERS[own] and (own, other) not in MAY_SIDEWAYS:
        return f"sideways import inside layer {LAYERS[own]}"
    if (own, other) in REFUSED:
        return f"{own} receives arrays and settings and knows no files"
    return ""


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """Return dotted name and path of every module below the package folder."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(folder).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        found.append((".".join(parts), path))
    return found
