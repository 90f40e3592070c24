"""Text of volumetric files that other programs draw: Gaussian cube and XCrySDen XSF."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from elphant.arrays import checked_array
from elphant.crystal import Crystal
from elphant.units import ANGSTROM_PER_BOHR

#: Numbers per line of both formats.
PER_LINE = 6


def cube_text(crystal: Crystal, values: ArrayLike, title: str) -> str:
    """Return a cube file of a periodic field; lengths are in bohr, values as given.

    Parameters
    ----------
    crystal : Crystal
    values : array_like, (n1, n2, n3)
        On grid points i/n of the cell. Programs expect a density in e/bohr³; see
        :func:`density_per_bohr`.
    title : str
        First line.
    """
    values = checked_array("values", values, (None, None, None))
    lines = [title.splitlines()[0] if title else "", "elphant: c runs fastest, lengths in bohr"]
    lines.append(_row(crystal.n_atoms, (0.0, 0.0, 0.0)))
    for count, vector in zip(values.shape, crystal.lattice, strict=True):
        lines.append(_row(count, vector / count / ANGSTROM_PER_BOHR))
    for number, position in zip(crystal.numbers, crystal.positions, strict=True):
        x, y, z = position / ANGSTROM_PER_BOHR
        lines.append(f"{number:5d}{float(number):12.6f}{x:14.8f}{y:14.8f}{z:14.8f}")
    rows = values.reshape(-1, values.shape[2])
    return "\n".join(lines) + "\n" + "".join(_numbers(row) for row in rows)


def density_per_bohr(density: ArrayLike) -> np.ndarray:
    """Return a density in e/bohr³ from e/Å³."""
    return np.asarray(density, dtype=float) * ANGSTROM_PER_BOHR**3


def xsf_text(crystal: Crystal, values: ArrayLike, name: str) -> str:
    """Return an XSF file of a crystal and a periodic field; lengths are in Å, values as given.

    The grid of the format is a general one: its last points repeat the first along each axis, so it
    holds (n1 + 1)(n2 + 1)(n3 + 1) values, a running fastest.

    Parameters
    ----------
    crystal : Crystal
    values : array_like, (n1, n2, n3)
        On grid points i/n of the cell.
    name : str
        Name of the data, without spaces.
    """
    values = checked_array("values", values, (None, None, None))
    name = "_".join(name.split()) or "field"
    vectors = ["".join(f"{x:16.9f}" for x in vector) for vector in crystal.lattice]
    lines = ["CRYSTAL", "PRIMVEC", *vectors, "PRIMCOORD", f"{crystal.n_atoms} 1"]
    for number, position in zip(crystal.numbers, crystal.positions, strict=True):
        lines.append(f"{number:4d}" + "".join(f"{x:16.9f}" for x in position))
    closed = np.pad(values, ((0, 1),) * 3, mode="wrap")
    lines += ["BEGIN_BLOCK_DATAGRID_3D", name, f"BEGIN_DATAGRID_3D_{name}"]
    lines.append(" ".join(str(count) for count in closed.shape))
    lines += ["".join(f"{0.0:16.9f}" for _ in range(3)), *vectors]
    tail = "END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n"
    return "\n".join(lines) + "\n" + _numbers(closed.ravel(order="F")) + tail


def _row(count: int, vector: ArrayLike) -> str:
    x, y, z = np.asarray(vector, dtype=float)
    return f"{count:5d}{x:14.8f}{y:14.8f}{z:14.8f}"


def _numbers(values: np.ndarray) -> str:
    """Return the values in lines of six."""
    full, rest = divmod(len(values), PER_LINE)
    layout = ("%13.5E" * PER_LINE + "\n") * full + ("%13.5E" * rest + "\n" if rest else "")
    return layout % tuple(values.tolist())
