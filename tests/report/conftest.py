"""Synthetic runs and their reports, made once for all tests of the report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from synthetic_mobility import add_mobility
from synthetic_run import SyntheticOptions, build_run

from elphant.report.build import write_report


@pytest.fixture(scope="session")
def pnma(tmp_path_factory):
    """A run in the standard setting, quick preset."""
    return build_run(tmp_path_factory.mktemp("runs") / "pnma")


@pytest.fixture(scope="session")
def pbnm(tmp_path_factory):
    """The same crystal described in the Pbnm setting, with another potential."""
    options = SyntheticOptions(setting="Pbnm", preset="standard", potential="mace-mh-1")
    return build_run(tmp_path_factory.mktemp("runs") / "pbnm", options)


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A run with every level of theory, the anharmonic analysis and the electronic structure."""
    options = SyntheticOptions(ladder=True, electrons=True, preset="standard")
    return build_run(tmp_path_factory.mktemp("runs") / "full", options)


@pytest.fixture(scope="session")
def electrons(tmp_path_factory):
    """A run of the electronic structure alone."""
    options = SyntheticOptions(electrons=True, phonons=False, preset="standard")
    return build_run(tmp_path_factory.mktemp("runs") / "electrons", options)


@pytest.fixture(scope="session")
def mobility(electrons, tmp_path_factory):
    """The run of the electronic structure with mobilities."""
    return add_mobility(electrons, tmp_path_factory.mktemp("runs") / "mobility")


@pytest.fixture(scope="session")
def mobility_report(mobility):
    """The written report of the run with mobilities."""
    return write_report(mobility)


@pytest.fixture(scope="session")
def electrons_report(electrons):
    """The written report of the run without phonons."""
    return write_report(electrons)


@pytest.fixture(scope="session")
def full_report(full):
    """The written report of the run with every level."""
    return write_report(full)


@pytest.fixture(scope="session")
def report(pnma):
    """The written report of the quick run."""
    return write_report(pnma)
