"""An argon crystal with an analytic potential, and the command line called in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from elphant.cli import app

FIXTURES = Path(__file__).parents[1] / "fixtures"

OPTIONS = """\
displacements: {length_second: 10.0, length_third: 10.0, cutoff_third: 4.5, cutoff_fourth: 4.2}
conductivity: {mesh: [3, 3, 3], temperatures: [40, 80]}
phonons: {mesh: [6, 6, 6]}
potential: {model: 'lj_argon:factory'}
hamiltonian: {model: none}
"""


@pytest.fixture
def argon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with ``Ar.cif``, ``options.yaml`` and the module of the potential."""
    bulk("Ar", "fcc", a=5.3).write(tmp_path / "Ar.cif")
    (tmp_path / "options.yaml").write_text(OPTIONS)
    shutil.copy(FIXTURES / "lj_argon.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def elphant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call the command line and return its exit status."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["elphant", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        code = ended.value.code
        return code if isinstance(code, int) else int(np.bool_(code))

    return call
