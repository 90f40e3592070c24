"""The layers import downwards only, third-party libraries have one home, and import is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import elphant
from import_rules import imports_of, modules_of, violations

PACKAGE_FOLDER = Path(elphant.__file__).parent

#: Libraries that take long to import; none is needed to show a help text.
HEAVY = ("torch", "phonopy", "phono3py", "symfc", "matplotlib", "pymatgen", "ase", "sevenn",
         "mace", "scipy", "h5py", "spglib", "seekpath")  # fmt: skip


def test_no_forbidden_import() -> None:
    modules = modules_of(PACKAGE_FOLDER)
    assert len(modules) > 20, "the package was not found"
    problems = [
        problem
        for name, path in modules
        for problem in violations(
            path.read_text(encoding="utf-8"), name, is_package=path.name == "__init__.py"
        )
    ]
    assert not problems, "\n" + "\n".join(problems)


FORBIDDEN = [
    # module, source, part of the message
    ("elphant.units", "import elphant.crystal", "upward"),
    ("elphant.crystal.io", "from elphant.models.card import ModelCard", "upward"),
    ("elphant.crystal.io", "from elphant import models", "upward"),
    ("elphant.crystal.io", "from ..models import card", "upward"),
    ("elphant.crystal.io", "from .. import store", "sideways"),
    ("elphant.crystal.io", "def f():\n    from elphant.store import stage", "sideways"),
    ("elphant.engine.work", "import elphant.store.atomic as atomic", "sideways"),
    ("elphant.store.stage", "from elphant.engine.shard import Shard", "sideways"),
    (
        "elphant.tensors.transport_tensor",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from elphant.grids import mesh",
        "sideways",
    ),
    ("elphant.models.card", "from elphant.tensors import TransportTensor", "sideways"),
    ("elphant.phonon.harmonic", "from elphant.electron import bands", "sideways"),
    ("elphant.electron.bands", "from elphant.phonon import harmonic", "sideways"),
    ("elphant.phonon.harmonic", "from elphant.coupling import vertex", "upward"),
    ("elphant.phonon.harmonic", "from elphant.store import atomic", "knows no files"),
    ("elphant.config.models", "from elphant.workflow import run", "sideways"),
    ("elphant.workflow.run", "from elphant.report import html", "upward"),
    ("elphant.report.html", "import elphant.cli.app", "upward"),
    ("elphant.crystal.io", "from elphant import run", "package root"),
    ("elphant.crystal.io", "import elphant\nelphant.run('x.cif')", "package root"),
    ("elphant.crystal.io", "import elphant\nelphant.models.card", "upward"),
    ("elphant.phonon.harmonic", "import phonopy", "phonon.adapters"),
    ("elphant.workflow.run", "import phono3py.file_IO", "phonon.adapters"),
    ("elphant.models.registry", "from sevenn.util import x", "models.potentials"),
    ("elphant.phonon.fitting", "from symfc import Symfc", "phonon.adapters"),
    ("elphant.workflow.run", "from importlib import import_module\nimport_module('mace')", "mace"),
    ("elphant.workflow.run", "__import__('ase.io')", "crystal or models"),
    ("elphant.workflow.run", "def f():\n    import ase", "crystal or models"),
    ("elphant.store.stage", "import torch", "free of torch"),
    ("elphant.report.html", "from torch import nn", "free of torch"),
    ("elphant.workflow.run", "from pydantic import BaseModel", "belongs in config"),
    ("elphant.helpers.things", "import math", "layer table"),
]


@pytest.mark.parametrize(("module", "source", "message"), FORBIDDEN)
def test_checker_finds_forbidden_imports(module: str, source: str, message: str) -> None:
    problems = violations(source, module)
    assert len(problems) == 1
    assert message in problems[0]


ALLOWED = [
    ("elphant.crystal.io", "from elphant.errors import StructureError\nimport ase.io"),
    ("elphant.crystal.io", "from .crystal import Crystal"),
    ("elphant.tensors.transport_tensor", "from elphant.crystal import Frame"),
    ("elphant.models.potentials.mace", "import mace, torch"),
    ("elphant.phonon.adapters.phonopy_adapter", "def f():\n    from phonopy import Phonopy"),
    ("elphant.workflow.run", "from elphant.config import RunConfig\nfrom elphant.store import x"),
    ("elphant.cli.app", "from elphant.workflow import run\nfrom elphant.report import html"),
    ("elphant.store.provenance", "from elphant import __version__"),
    ("elphant.store.provenance", "import elphant\nv = elphant.__version__"),
    ("elphant.arrays", "from elphant.errors import ElphantError"),
    ("elphant", "from elphant.workflow import run"),
]


@pytest.mark.parametrize(("module", "source"), ALLOWED)
def test_checker_accepts_downward_imports(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_are_resolved() -> None:
    found = imports_of("from . import a\nfrom .b import c", "elphant.crystal", is_package=True)
    assert [item.module for item in found] == ["elphant.crystal", "elphant.crystal.b"]
    found = imports_of("from ..b import c", "elphant.crystal.io", is_package=False)
    assert [item.module for item in found] == ["elphant.b"]


@pytest.mark.parametrize("module", ["elphant", "elphant.cli.app", "elphant.config"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


def test_import_has_no_side_effect(tmp_path: Path) -> None:
    code = (
        "import logging, os, warnings\n"
        "before = dict(os.environ), list(logging.getLogger().handlers), list(warnings.filters)\n"
        "import elphant, elphant.crystal.io, elphant.tensors\n"
        "after = dict(os.environ), list(logging.getLogger().handlers), list(warnings.filters)\n"
        "assert before[:2] == after[:2]\n"
        "assert not os.listdir()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
