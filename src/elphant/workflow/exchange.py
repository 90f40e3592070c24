"""Files for other programs: what phonopy, phono3py or a spreadsheet can read of a run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from elphant.phonon.adapters.export_files import write_exchange
from elphant.store.atomic import translated_io_errors, write_text
from elphant.store.run_directory import RunDirectory
from elphant.tensors import matrix_to_voigt

if TYPE_CHECKING:
    from elphant.workflow.results import PhononRun

VOIGT_NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


def write_exchange_files(directory: RunDirectory, run: PhononRun) -> None:
    """Write phonopy and phono3py files and ``tensors.csv`` into ``exchange/``."""
    with translated_io_errors(directory.exchange):
        directory.exchange.mkdir(parents=True, exist_ok=True)
        write_exchange(directory.exchange, run.force_constants.force_constants, run.conductivities)
    write_text(directory.exchange / "tensors.csv", _tensor_table(run))


def _tensor_table(run: PhononRun) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["solver", "temperature_K", *(f"kappa_{ij}_W/mK" for ij in VOIGT_NAMES)])
    for solver, result in run.conductivities.items():
        for temperature, values in zip(result.temperatures, result.conductivity, strict=True):
            voigt = matrix_to_voigt(np.asarray(values))
            writer.writerow([solver, f"{temperature:g}", *(f"{v:.8g}" for v in voigt)])
    return stream.getvalue()
