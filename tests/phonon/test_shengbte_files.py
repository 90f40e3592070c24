"""Files of ShengBTE and FourPhonon: what is written is read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from elphant.crystal import Crystal
from elphant.crystal.io import from_ase
from elphant.errors import ResourceError, StoreError
from elphant.models.dielectric.dielectric_data import DielectricData
from elphant.phonon.adapters import shengbte_files
from elphant.phonon.adapters.cluster_adapter import (
    dense_constants,
    home_numbers,
    order_basis,
    supercell_to_clusters,
    third_order_clusters,
)
from elphant.phonon.adapters.import_files import load_force_constants
from elphant.phonon.adapters.phonopy_adapter import build_phonopy, phonopy_from, run_q_points
from elphant.phonon.adapters.shengbte_files import write_shengbte_files
from elphant.phonon.force_constants import ForceConstants

Q_POINTS = np.array([[0.1, 0.2, 0.3], [0.5, 0.0, 0.0], [0.37, 0.11, -0.4]])


def _random_constants(
    crystal: Crystal, matrix, cutoffs, primitive=None, **fields
) -> ForceConstants:
    """Return random force constants that obey all rules."""
    phonopy = build_phonopy(crystal, matrix, primitive_matrix=primitive)
    generator = np.random.default_rng(0)
    blocks, members = {}, {}
    for order, cutoff in cutoffs.items():
        basis = order_basis(phonopy, order, cutoff)
        members[order] = basis.members
        blocks[order] = basis.blocks(generator.normal(size=basis.n_parameters))
    dense = {k: dense_constants(phonopy, members[k], blocks[k]) for k in (2, 3)}
    return ForceConstants(
        unitcell=crystal,
        primitive_matrix=np.array(phonopy.primitive_matrix),
        supercell_matrix_second=matrix,
        second=dense[2],
        supercell_matrix_third=matrix,
        third=dense[3],
        fourth=supercell_to_clusters(phonopy, home_numbers(phonopy, members[4]), blocks[4]),
        **fields,
    )


@pytest.fixture(scope="module")
def zincblende() -> ForceConstants:
    """The primitive cell is no diagonal part of the supercell."""
    crystal = from_ase(bulk("GaAs", "zincblende", a=4.2, cubic=True))
    charges = np.array([(1.5 if n == 31 else -1.5) * np.eye(3) for n in crystal.numbers])
    return _random_constants(
        crystal,
        2 * np.eye(3, dtype=int),
        {2: None, 3: 3.2, 4: 3.0},
        dielectric=DielectricData(
            epsilon_infinity=np.diag([10.0, 11.0, 12.0]), born_charges=charges, source="test"
        ),
    )


@pytest.fixture(scope="module")
def orthorhombic() -> ForceConstants:
    crystal = Crystal(
        lattice=np.array([[3.0, 0.0, 0.0], [0.0, 3.4, 0.0], [0.0, 0.5, 3.8]]),
        # Coordinates outside the cell: cells of a cluster depend on where its atoms are counted.
        fractional=np.array([[0.0, 0.0, 0.0], [1.5, -0.5, 0.45]]),
        numbers=np.array([14, 32]),
    )
    tensor = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 0.3], [0.0, -0.2, 4.0]])
    return _random_constants(
        crystal,
        np.diag([2, 3, 1]),
        {2: None, 3: 3.2, 4: 2.9},
        primitive=np.eye(3),
        dielectric=DielectricData(
            epsilon_infinity=np.diag([10.0, 11.0, 12.0]),
            born_charges=np.array([tensor, -tensor]),
            source="test",
        ),
    )


@pytest.mark.parametrize("case", ["zincblende", "orthorhombic"])
def test_round_trip(case, request, tmp_path):
    written = request.getfixturevalue(case)
    files = write_shengbte_files(written, tmp_path)
    assert [file.name for file in files] == [
        "CONTROL",
        "FORCE_CONSTANTS_2ND",
        "FORCE_CONSTANTS_3RD",
        "FORCE_CONSTANTS_4TH",
    ]
    read = load_force_constants(tmp_path)
    assert read.source == "imported"
    assert read.third is None
    np.testing.assert_allclose(read.primitive_lattice, written.primitive_lattice, atol=1e-12)
    for ours, expected in (
        (read.third_clusters, third_order_clusters(written, images="perimeter")),
        (read.fourth, written.fourth),
    ):
        np.testing.assert_array_equal(ours.atoms, expected.atoms)
        np.testing.assert_array_equal(ours.cells, expected.cells)
        scale = np.abs(expected.blocks).max()
        np.testing.assert_allclose(ours.blocks, expected.blocks, rtol=1e-10, atol=1e-14 * scale)
    without = replace(written, dielectric=None), replace(read, dielectric=None)
    one, two = (run_q_points(phonopy_from(fc), Q_POINTS)[0] for fc in without)
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        read.dielectric.born_charges, written.dielectric.born_charges[:2], atol=1e-12
    )
    np.testing.assert_allclose(read.dielectric.epsilon_infinity, np.diag([10.0, 11.0, 12.0]))


def test_control_as_people_write_it(orthorhombic, tmp_path):
    write_shengbte_files(orthorhombic, tmp_path)
    text = (tmp_path / "CONTROL").read_text()
    lattice = orthorhombic.primitive_lattice
    for i, row in enumerate(lattice, start=1):
        line = next(part for part in text.splitlines() if f"lattvec(:,{i})" in part)
        numbers = ", ".join(f"{value / 10:.12f}d0" for value in row)
        text = text.replace(line, f"  LATTVEC(:, {i}) = {numbers} ! nm")
    text = text.replace("lfactor=0.1", "lfactor=1.0,").replace("&end", "/")
    text = text.replace("scell(:)=2 3 1", "scell(1)=2\n scell(2)=3, scell(3)=1*1")
    (tmp_path / "CONTROL").write_text("! my crystal, a = 3\n" + text)
    read = load_force_constants(tmp_path / "CONTROL")
    np.testing.assert_allclose(read.unitcell.lattice, lattice, atol=1e-10)
    np.testing.assert_array_equal(read.supercell_matrix_second, np.diag([2, 3, 1]))
    assert read.unitcell.symbols == ("Si", "Ge")


def _poscar(cell) -> str:
    rows = "\n".join(" ".join(f"{x:.14f}" for x in row) for row in cell.cell)
    sites = "\n".join(" ".join(f"{x:.14f}" for x in row) for row in cell.scaled_positions)
    return f"crystal\n1.0\n{rows}\n{' '.join(cell.symbols)}\n1 1\nDirect\n{sites}\n"


def test_the_supercell_is_found_from_the_constants_when_they_tell_it(orthorhombic, tmp_path):
    crystal = orthorhombic.unitcell
    constants = _random_constants(
        crystal, np.diag([2, 3, 2]), {2: None, 3: 3.2, 4: 2.9}, primitive=np.eye(3)
    )
    write_shengbte_files(constants, tmp_path)
    (tmp_path / "CONTROL").unlink()
    with pytest.raises(StoreError, match="no crystal"):
        load_force_constants(tmp_path)
    (tmp_path / "POSCAR").write_text(_poscar(phonopy_from(constants).primitive))
    read = load_force_constants(tmp_path)
    np.testing.assert_array_equal(read.supercell_matrix_second, np.diag([2, 3, 2]))
    np.testing.assert_allclose(
        _positions(constants.fourth, constants), _positions(read.fourth, read), atol=1e-9
    )
    # phonopy's compact format has no second row per atom that could show the periodicity.
    lines = (tmp_path / "FORCE_CONSTANTS_2ND").read_text().splitlines()[1:]
    rows = lines[: 4 * 24] + lines[4 * 12 * 24 : 4 * 13 * 24]
    (tmp_path / "FORCE_CONSTANTS_2ND").write_text("\n".join(["2 24", *rows]) + "\n")
    with pytest.raises(StoreError, match="scell"):
        load_force_constants(tmp_path)


def test_atoms_outside_the_cell_keep_their_clusters(orthorhombic, tmp_path):
    """Translations in the files count from the coordinates of the file."""
    write_shengbte_files(orthorhombic, tmp_path)
    before = load_force_constants(tmp_path)
    control, fourth = (tmp_path / name for name in ("CONTROL", "FORCE_CONSTANTS_4TH"))
    fractional = np.array(phonopy_from(orthorhombic).primitive.scaled_positions)[1]
    text = control.read_text()
    old = " ".join(f"{x:.14f}" for x in fractional)
    assert old in text
    control.write_text(text.replace(old, " ".join(f"{x:.14f}" for x in fractional + np.eye(3)[0])))
    # Atom 2 counted one cell further along a: its translations shrink by a, seen from atom 1.
    clusters = before.fourth
    away = (clusters.atoms == 1).astype(int)
    shift = away[:, 1:, None] - away[:, :1, None]
    cells = clusters.cells - shift * np.array([1, 0, 0])
    _write_clusters_to(fourth, replace(clusters, cells=cells), orthorhombic.primitive_lattice)
    after = load_force_constants(tmp_path)
    assert after.unitcell.fractional[1, 0] > 1
    np.testing.assert_allclose(
        _positions(after.fourth, after), _positions(before.fourth, before), atol=1e-9
    )


def _write_clusters_to(path, clusters, lattice) -> None:
    with path.open("w") as file:
        shengbte_files._write_clusters(file, clusters, lattice)


def _positions(clusters, force_constants) -> np.ndarray:
    """Return vectors from the first atom to the others, Å."""
    fractional = np.array(phonopy_from(force_constants).primitive.scaled_positions)
    vectors = clusters.cells + fractional[clusters.atoms[:, 1:]] - fractional[clusters.atoms[:, :1]]
    return vectors @ force_constants.primitive_lattice


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("FORCE_CONSTANTS_4TH", lambda text: text[:-200], "cut short"),
        ("FORCE_CONSTANTS_3RD", lambda text: text.replace("\n2 ", "\n9 ", 1), "ShengBTE|index|out"),
        ("FORCE_CONSTANTS_2ND", lambda text: text[: len(text) // 2], "cut short"),
        ("CONTROL", lambda text: text.replace("positions", "places"), "CONTROL"),
        ("CONTROL", lambda text: text.replace("scell(:)=2 3 1", "scell(:)=2 2 2"), "scell"),
        ("CONTROL", lambda text: text.replace("lfactor=0.1", "lfactor=0.11"), "lattice"),
    ],
)
def test_damaged_files_are_named(orthorhombic, tmp_path, name, change, message):
    write_shengbte_files(orthorhombic, tmp_path)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(change(text))
    with pytest.raises(StoreError, match=message):
        load_force_constants(tmp_path)


def test_a_missing_second_order_is_an_error(orthorhombic, tmp_path):
    write_shengbte_files(orthorhombic, tmp_path)
    (tmp_path / "FORCE_CONSTANTS_2ND").unlink()
    with pytest.raises(StoreError, match="FORCE_CONSTANTS_2ND"):
        load_force_constants(tmp_path)


def test_files_of_gigabytes_are_refused(tmp_path):
    """Five by five hexagonal cells are periodic after fifteen rhombohedral vectors."""
    cell = Crystal(
        lattice=rhombohedral_lattice(3.64, 17.67),
        fractional=np.array([[0.0, 0.0, 0.0], [0.2578] * 3, [0.7422] * 3]),
        numbers=[12, 17, 17],
    )
    matrix = np.array([[5, -5, 0], [0, 5, -5], [1, 1, 1]]).T
    constants = ForceConstants(
        unitcell=cell, supercell_matrix_second=matrix, primitive_matrix=np.eye(3),
        second=np.zeros((3, 225, 3, 3)),
    )  # fmt: skip
    with pytest.raises(ResourceError, match=r"supercell of 15x15x15 primitive cells \(10125 atoms"):
        write_shengbte_files(constants, tmp_path / "shengbte")
    assert not (tmp_path / "shengbte").exists()


def rhombohedral_lattice(a, c):
    """Return the obverse primitive vectors of a hexagonal cell with lengths a and c."""
    x, y = a / 2.0, a / (2.0 * np.sqrt(3.0))
    return np.array([[x, y, c / 3.0], [-x, y, c / 3.0], [0.0, -2.0 * y, c / 3.0]])
