"""Files for other programs: what phonopy, phono3py, ShengBTE or a spreadsheet can read."""

from __future__ import annotations

import csv
import io
import logging
from typing import TYPE_CHECKING

import numpy as np

from elphant.errors import ResourceError
from elphant.models.dielectric.born import write_born
from elphant.phonon.adapters.export_files import write_exchange
from elphant.phonon.adapters.shengbte_files import write_shengbte_files
from elphant.store.atomic import translated_io_errors, write_text
from elphant.store.run_directory import RunDirectory
from elphant.tensors import matrix_to_voigt

if TYPE_CHECKING:
    from elphant.workflow.phonons import PhononPart
    from elphant.workflow.results import FinishedRun

logger = logging.getLogger(__name__)

VOIGT_NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


def write_exchange_files(directory: RunDirectory, run: FinishedRun) -> None:
    """Write what other programs read into ``exchange/``.

    Phonons: phonopy, phono3py and ShengBTE files and ``tensors.csv``. Electrons: the Hamiltonian,
    cube and XSF files of density and ELF, and a BORN file of the dielectric response that was
    computed here (not of one that was given to the phonons).
    """
    folder = directory.exchange
    with translated_io_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if run.phonons:
            constants = run.phonons.force_constants.force_constants
            write_exchange(folder, constants, run.phonons.ladder.reference_results())
            try:
                write_shengbte_files(constants, folder / "shengbte")
            except ResourceError as error:
                # They serve other programs: the run is complete without them.
                logger.warning("%s", error.text())
        if run.electrons:
            from elphant.orbitals.hamiltonian_file import write_hamiltonian

            write_hamiltonian(folder / "hamiltonian.h5", run.electrons.hamiltonian)
    if run.phonons:
        write_text(folder / "tensors.csv", _tensor_table(run.phonons))
    if run.electrons and run.electrons.dielectric and run.electrons.dielectric.data:
        write_text(folder / "BORN", write_born(run.electrons.dielectric.data, run.symmetry))
    for name, text in (run.electrons.grid_files() if run.electrons else {}).items():
        write_text(folder / name, text)


def _tensor_table(phonons: PhononPart) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [f"kappa_{ij}_W/mK" for ij in VOIGT_NAMES]
    writer.writerow(["level", "solver", "coherence", "temperature_K", *names])
    for level in phonons.ladder.levels:
        for part, i, temperature in level.temperatures():
            particle = np.asarray(part.conductivity[i])
            tables = {"no": particle}
            if part.coherence is not None:
                tables["yes"] = particle + part.coherence[i]
            for coherence, values in tables.items():
                voigt = [f"{v:.8g}" for v in matrix_to_voigt(values)]
                writer.writerow([level.level, level.solver, coherence, f"{temperature:g}", *voigt])
    return stream.getvalue()
