"""Reading structures: every way in, the frame that comes out, and bad input."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from elphant.crystal import Crystal, find_symmetry
from elphant.crystal.io import (
    from_ase,
    read_crystal,
    shortest_distance,
    to_ase,
    write_structure_files,
)
from elphant.errors import StructureError

MONOCLINIC_CELL = (12.23, 3.04, 5.80, 90, 103.7, 90)


def cif(
    path: Path, cell: tuple[float, ...], sites: str, *, group: str = "", loop: str = ""
) -> Path:
    """Write a small CIF by hand; ``loop`` names further columns of the site table."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_test", *(f"_cell_{n} {v}" for n, v in zip(names, cell, strict=True)), group]
    columns = ["label", "fract_x", "fract_y", "fract_z", *loop.split()]
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns), sites, ""]
    path.write_text("\n".join(lines))
    return path


# --- every way in ---


@pytest.mark.parametrize("setting", ["Pnma", "Pbnm"])
def test_cif_and_poscar_agree(structures: Path, setting: str) -> None:
    from_cif = read_crystal(structures / f"Sb2Se3_PBEsol_{setting}.cif")
    poscar = read_crystal(structures / f"Sb2Se3_PBEsol_{setting}.vasp")
    assert from_cif.formula == poscar.formula == "Sb2Se3"
    np.testing.assert_allclose(from_cif.lattice, poscar.lattice, atol=1e-8)
    # Other atom order: every CIF atom has one POSCAR atom of its kind at the same place.
    offset = from_cif.fractional[:, None] - poscar.fractional[None]
    offset -= np.round(offset)
    same = (np.linalg.norm(offset @ poscar.lattice, axis=-1) < 1e-6) & (
        from_cif.numbers[:, None] == poscar.numbers[None]
    )
    assert (same.sum(axis=0) == 1).all()
    assert (same.sum(axis=1) == 1).all()


def test_poscar_keeps_its_rotated_frame(structures: Path) -> None:
    text = (structures / "Sb2Se3_PBEsol_rotated.vasp").read_text().splitlines()
    lattice = [[float(word) for word in line.split()] for line in text[2:5]]
    crystal = read_crystal(structures / "Sb2Se3_PBEsol_rotated.vasp")
    np.testing.assert_allclose(crystal.lattice, lattice, rtol=1e-15)


def test_cif_frame_is_that_of_ase(tmp_path: Path) -> None:
    path = cif(tmp_path / "m.cif", MONOCLINIC_CELL, "Ga 0 0 0\nO 0.5 0.5 0.5")
    lattice = read_crystal(path).lattice
    beta = np.radians(103.7)
    expected = [[12.23, 0, 0], [0, 3.04, 0], [5.80 * np.cos(beta), 0, 5.80 * np.sin(beta)]]
    np.testing.assert_allclose(lattice, expected, atol=1e-12)


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".cif", ".vasp", ".json", ".traj", ".xsf"])
def test_formats_of_ase(tmp_path: Path, pnma: Crystal, suffix: str) -> None:
    path = tmp_path / f"crystal{suffix}"
    to_ase(pnma).write(path)
    back = read_crystal(path)
    np.testing.assert_allclose(back.lengths, pnma.lengths, atol=1e-5)
    assert sorted(back.numbers) == sorted(pnma.numbers)
    assert find_symmetry(back, 1e-3).number == 62


def test_name_with_at_sign_and_str_path(tmp_path: Path, silicon: Crystal) -> None:
    path = tmp_path / "si@300K.vasp"
    to_ase(silicon).write(path, format="vasp")
    assert read_crystal(str(path)).n_atoms == 2


def test_last_image_of_a_trajectory(tmp_path: Path) -> None:
    from ase.io import write

    images = [bulk("Si", a=a) for a in (5.3, 5.4)]
    write(tmp_path / "two.extxyz", images)
    assert read_crystal(tmp_path / "two.extxyz").volume == pytest.approx(5.4**3 / 4)


def test_ase_object_with_masses() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.69)
    assert read_crystal(atoms).masses[0] == pytest.approx(22.98976928)
    atoms.set_masses([22.0, 36.0])
    np.testing.assert_array_equal(read_crystal(atoms).masses, [22.0, 36.0])


def test_crystal_passes_through(pnma: Crystal) -> None:
    assert read_crystal(pnma) is pnma


def test_phonopy_objects(silicon: Crystal) -> None:
    phonopy = pytest.importorskip("phonopy")
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = PhonopyAtoms(
        cell=silicon.lattice, scaled_positions=silicon.fractional, numbers=silicon.numbers
    )
    assert read_crystal(atoms).volume == pytest.approx(silicon.volume)
    phonon = phonopy.Phonopy(atoms, supercell_matrix=np.eye(3, dtype=int))
    assert read_crystal(phonon).n_atoms == 2


class PymatgenLike(list):
    """The part of a pymatgen Structure that is read, without pymatgen."""

    def __init__(self, crystal: Crystal, *, ordered: bool = True) -> None:
        super().__init__(SimpleNamespace(specie=SimpleNamespace(Z=int(z))) for z in crystal.numbers)
        self.lattice = SimpleNamespace(matrix=crystal.lattice)
        self.frac_coords = crystal.fractional
        self.is_ordered = ordered


def test_pymatgen_like_object(pnma: Crystal) -> None:
    back = read_crystal(PymatgenLike(pnma))
    np.testing.assert_array_equal(back.lattice, pnma.lattice)
    np.testing.assert_array_equal(back.numbers, pnma.numbers)


def test_pymatgen_structure(pnma: Crystal) -> None:
    core = pytest.importorskip("pymatgen.core", reason="the pymatgen extra is not installed")
    structure = core.Structure(pnma.lattice, pnma.symbols, pnma.fractional)
    assert find_symmetry(read_crystal(structure)).number == 62


def test_written_files_keep_order_and_digits(tmp_path: Path, pnma: Crystal) -> None:
    poscar, cif_file = write_structure_files(pnma, tmp_path / "relaxed")
    back = read_crystal(poscar)
    np.testing.assert_array_equal(back.numbers, pnma.numbers)
    np.testing.assert_allclose(back.lattice, pnma.lattice, atol=1e-14)
    np.testing.assert_allclose(back.fractional, pnma.fractional, atol=1e-14)
    assert find_symmetry(read_crystal(cif_file), 1e-3).number == 62


# --- what is mended on the way in ---


def test_rounded_special_positions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = cif(
        tmp_path / "ZnO.cif",
        (3.2495, 3.2495, 5.2069, 90, 90, 120),
        "Zn 0.3333 0.6667 0\nO 0.3333 0.6667 0.3821",
        group="_space_group_IT_number 186\n_symmetry_space_group_name_H-M 'P 63 m c'",
    )
    with caplog.at_level(logging.INFO):
        crystal = read_crystal(path)
    assert "rounding" in caplog.text
    assert find_symmetry(crystal, 1e-7).international == "P6_3mc"
    np.testing.assert_allclose(crystal.fractional[0], [1 / 3, 2 / 3, 0], atol=1e-10)


def test_exact_cif_is_not_touched(structures: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ase.io import read

    path = structures / "Sb2Se3_PBEsol_Pnma.cif"
    with caplog.at_level(logging.INFO):
        crystal = read_crystal(path)
    assert "rounding" not in caplog.text
    np.testing.assert_array_equal(crystal.fractional, read(path).get_scaled_positions(wrap=False))


def test_left_handed_lattice_is_reversed_not_rotated(silicon: Crystal) -> None:
    swapped = silicon.lattice[[1, 0, 2]]
    atoms = Atoms("Si2", cell=swapped, scaled_positions=[[0, 0, 0], [0.25] * 3], pbc=True)
    crystal = read_crystal(atoms)
    assert np.linalg.det(crystal.lattice) > 0
    np.testing.assert_allclose(crystal.lattice, -swapped)
    np.testing.assert_allclose(crystal.positions, atoms.positions, atol=1e-14)
    assert find_symmetry(crystal).number == 227


# --- bad input ---


def refuse(source: object, message: str) -> StructureError:
    with pytest.raises(StructureError, match=message) as caught:
        read_crystal(source)
    assert caught.value.what
    assert caught.value.fix, "every message says what to do"
    return caught.value


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "none.cif", r"none\.cif' does not exist")


def test_folder(tmp_path: Path) -> None:
    refuse(tmp_path, "is a folder")


@pytest.mark.parametrize("name", ["empty.cif", "POSCAR", "empty.extxyz"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refuse(tmp_path / name, "is empty")


@pytest.mark.parametrize("name", ["x.cif", "POSCAR", "x.vasp", "x.extxyz", "x.unknown", "x"])
@pytest.mark.parametrize(
    "content",
    [b"this is no crystal\n", bytes(range(256)) * 4, b"\n\n\n"],
    ids=["text", "binary", "blank"],
)
def test_garbage(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path / name, "cannot be read|contains no atoms|not usable|lattice vectors")


def test_cut_short(tmp_path: Path, structures: Path) -> None:
    text = (structures / "Sb2Se3_PBEsol_Pnma.vasp").read_text()
    (tmp_path / "POSCAR").write_text(text[: len(text) // 2])
    refuse(tmp_path / "POSCAR", "cannot be read")


def test_not_a_number(tmp_path: Path, structures: Path) -> None:
    text = (structures / "Sb2Se3_PBEsol_Pnma.vasp").read_text()
    (tmp_path / "POSCAR").write_text(text.replace("3.9808128500000000", "nan"))
    refuse(tmp_path / "POSCAR", "lattice|cannot be read")


def test_overlapping_atoms() -> None:
    atoms = bulk("Si", a=5.43)
    atoms.positions[1] = atoms.positions[0] + 0.1
    refuse(atoms, r"only 0\.173 Å apart")


def test_overlap_through_the_boundary() -> None:
    atoms = Atoms("Si2", cell=[4, 4, 4], scaled_positions=[[0.01, 0, 0], [0.99, 0, 0]], pbc=True)
    refuse(atoms, r"only 0\.080 Å apart")


def test_overlapping_atoms_in_a_cif(tmp_path: Path) -> None:
    path = cif(tmp_path / "o.cif", (5, 5, 5, 90, 90, 90), "Si 0 0 0\nSe 0.02 0 0")
    refuse(path, "apart")


def test_partial_occupancy(tmp_path: Path) -> None:
    path = cif(
        tmp_path / "d.cif",
        (5, 5, 5, 90, 90, 90),
        "Na1 0 0 0 Na 1.0\nCl1 0.5 0.5 0.5 Cl 0.8",
        loop="type_symbol occupancy",
    )
    error = refuse(path, "disordered.*Cl 0.8")
    assert "ordered approximant" in error.fix


def test_mixed_site(tmp_path: Path) -> None:
    path = cif(
        tmp_path / "d.cif",
        (5, 5, 5, 90, 90, 90),
        "S1 0.5 0.5 0.5 S 0.5\nSe1 0.5 0.5 0.5 Se 0.5\nNa1 0 0 0 Na 1",
        loop="type_symbol occupancy",
    )
    refuse(path, "disordered")


def test_disordered_pymatgen_object(pnma: Crystal) -> None:
    refuse(PymatgenLike(pnma, ordered=False), "disordered")


def test_molecule_without_cell(tmp_path: Path) -> None:
    water = molecule("H2O")
    refuse(water, "0 lattice vectors")
    water.write(tmp_path / "water.xyz")
    refuse(tmp_path / "water.xyz", "lattice vectors|not periodic")


def test_slab() -> None:
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    refuse(slab, "not periodic along c")


def test_dummy_atom() -> None:
    refuse(Atoms("X", cell=[3, 3, 3], pbc=True), "not chemical elements")


def test_unknown_object() -> None:
    refuse(42, "type int")
    refuse(None, "type NoneType")


# --- distances ---


def test_shortest_distance_of_a_skewed_cell() -> None:
    # a strongly skewed description of simple cubic with lattice constant 3
    lattice = 3.0 * np.array([[1, 0, 0], [7, 1, 0], [-5, 4, 1]])
    crystal = Crystal(lattice=lattice, fractional=[[0.2, 0.1, 0.7]], numbers=[14])
    assert shortest_distance(crystal) == pytest.approx(3.0)


def test_shortest_distance_of_silicon(silicon: Crystal) -> None:
    bond = 5.43 * np.sqrt(3) / 4
    assert shortest_distance(silicon) == pytest.approx(bond)
    assert shortest_distance(from_ase(bulk("Si", a=5.43, cubic=True))) == pytest.approx(bond)
