"""Matrices and derivatives from orbital tables: analytic limits, invariants, stored blocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import erf
from test_openmx_database import (
    CORE,
    CUTOFF,
    EXPONENTS,
    PROJECTOR,
    VALENCE,
    write_tables,
)

from elphant.crystal import Crystal
from elphant.errors import ModelError
from elphant.models.hamiltonians.openmx import (
    OpenMXData,
    OpenMXMatrices,
    openmx_derivatives,
    openmx_matrices,
    openmx_overlap_derivative,
)
from elphant.models.hamiltonians.openmx.angular import angular_momentum, gaunt
from elphant.orbitals import LatticeMatrix
from elphant.orbitals.derivatives import HamiltonianDerivatives, hermitian, translation_residual
from elphant.orbitals.harmonics import rotation_matrix
from elphant.units import OPENMX_ANGSTROM_PER_BOHR as BOHR
from elphant.units import OPENMX_EV_PER_HARTREE as HARTREE

BASIS = {"Si": "Si5.0-s2p1d1", "C": "C5.0-s1p2"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> OpenMXData:
    folder = tmp_path_factory.mktemp("DFT_DATA19")
    for symbol in ("Si", "C", "Te"):
        write_tables(folder, symbol, l_max=3 if symbol == "Te" else 2)
    return OpenMXData(folder)


def triclinic() -> Crystal:
    return Crystal(
        lattice=np.array([[3.1, 0.2, -0.1], [0.4, 3.3, 0.3], [-0.2, 0.5, 2.9]]),
        fractional=np.array([[0.02, 0.97, 0.1], [0.47, 0.55, 0.58]]),
        numbers=np.array([14, 6]),
    )


def molecule(*positions: list[float], numbers: tuple[int, ...] = (14, 14)) -> Crystal:
    """Return atoms at positions (bohr) in a cell so large that images do not meet."""
    lattice = 30.0 * BOHR * np.eye(3)
    return Crystal(
        lattice=lattice, fractional=np.array(positions) / 30.0, numbers=np.array(numbers)
    )


def blocks_of(matrix: LatticeMatrix) -> dict[tuple[int, ...], np.ndarray]:
    keys = np.hstack([matrix.pairs, matrix.cells]).tolist()
    return {tuple(key): matrix.block(index) for index, key in enumerate(keys)}


@pytest.fixture(scope="module")
def matrices(data: OpenMXData) -> OpenMXMatrices:
    return openmx_matrices(triclinic(), data, basis=BASIS, spin_orbit=True)


# --- analytic limits ---------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.9, 2.0, 3.7])
def test_gaussians(data: OpenMXData, distance: float) -> None:
    """S, T, V_NL and V_NA of s Gaussians are known in closed form."""
    direction = np.array([0.36, -0.48, 0.8])
    crystal = molecule([10, 10, 10], [*(10 + distance * direction)], numbers=(14, 6))
    m = openmx_matrices(crystal, data, basis={"Si": "Si5.0-s1", "C": "C5.0-s1"})
    a, b = EXPONENTS["Si"](0, 0), EXPONENTS["C"](0, 0)

    def overlap(a: float, b: float, r: float) -> float:
        return (2 * np.sqrt(a * b) / (a + b)) ** 1.5 * np.exp(-a * b / (a + b) * r * r)

    S = overlap(a, b, distance)
    mu = a * b / (a + b)
    T = mu * (3 - 2 * mu * distance**2) * S
    V = sum(overlap(a, PROJECTOR, r) * overlap(PROJECTOR, b, distance - r) for r in (0, distance))
    key = (0, 1, 0, 0, 0)
    np.testing.assert_allclose(blocks_of(m.overlap)[key], S, atol=2e-7)
    np.testing.assert_allclose(blocks_of(m.kinetic)[key] / HARTREE, T, atol=5e-7)
    np.testing.assert_allclose(blocks_of(m.nonlocal_)[key] / HARTREE, V, atol=5e-7)

    def potential(alpha: float, r: float) -> float:
        """V_NA of unit charges between s Gaussians: that of two charges of Gaussian shape."""
        widths = [np.sqrt(2 * alpha * c / (2 * alpha + c)) for c in (VALENCE, CORE)]
        if r == 0:
            return 2 / np.sqrt(np.pi) * (widths[0] - widths[1])
        return (erf(widths[0] * r) - erf(widths[1] * r)) / r

    for atom, alpha in ((0, a), (1, b)):
        expected = 4.0 * (potential(alpha, 0) + potential(alpha, distance))
        block = blocks_of(m.neutral_atom)[atom, atom, 0, 0, 0] / HARTREE
        np.testing.assert_allclose(block, expected, atol=2e-6)


def test_overlap_derivatives_of_gaussians(data: OpenMXData) -> None:
    """On-site, ⟨∂s|p⟩ is that of the ket's p function with a derivative of the s Gaussian."""
    crystal = molecule([10, 10, 10], numbers=(14,))
    derivative = openmx_overlap_derivative(crystal, data, basis={"Si": "Si5.0-s1p1"})
    a, b = EXPONENTS["Si"](0, 0), EXPONENTS["Si"](0, 1)
    # d/dX of <s(X)|p_x>: s shifted by X has p_x character 2aX x.
    expected = 2 * a * (np.sqrt(a) * np.sqrt(b)) ** 1.5 * np.sqrt(b) / (a + b) ** 2.5 * 2**1.5
    for axis in range(3):
        block = derivative[axis].block(0) * BOHR
        np.testing.assert_allclose(block[0, 1 + axis], expected, atol=1e-6)
        np.testing.assert_allclose(block, -block.T, atol=1e-8)
        block = np.delete(np.delete(block, 1 + axis, 0), 0, 1)[:1]
        assert np.abs(np.delete(block, axis, 1)).max(initial=0.0) < 1e-10


def test_angular_momentum_matrices() -> None:
    """The numbers of OpenMX's order, and the algebra of angular momentum."""
    for ell in (1, 2, 3):
        x, y, z = angular_momentum(ell)
        np.testing.assert_allclose(x @ y - y @ x, z, atol=1e-12)
        square = -(x @ x + y @ y + z @ z)
        np.testing.assert_allclose(square, ell * (ell + 1) * np.eye(2 * ell + 1), atol=1e-12)
    assert angular_momentum(1)[2, 0, 1] == pytest.approx(-1)
    assert angular_momentum(2)[0, 0, 4] == pytest.approx(np.sqrt(3))
    assert angular_momentum(3)[1, 0, 1] == pytest.approx(-np.sqrt(6))
    assert gaunt(1, 1, 0)[0, 0, 0] == pytest.approx(1 / np.sqrt(4 * np.pi))


# --- invariants --------------------------------------------------------------------------------


def test_symmetries_of_the_blocks(matrices: OpenMXMatrices) -> None:
    for name in ("overlap", "kinetic", "neutral_atom", "nonlocal_", "h0", "h0_spinor"):
        matrix = getattr(matrices, name)
        assert np.abs(matrix.values).max() > 1e-2
        assert matrix.hermitian_residual() < 1e-12, name
    assert matrices.spin_orbit is not None
    assert matrices.spin_orbit.average.hermitian_residual() < 1e-12
    for part in matrices.spin_orbit.coupling:
        assert np.abs(part.values).max() > 1e-3
        flipped = part.with_values(1j * part.values)
        assert flipped.hermitian_residual() < 1e-12  # real and antisymmetric
    assert matrices.n_electrons == 8


def test_time_reversal(matrices: OpenMXMatrices) -> None:
    """σ_y H* σ_y = H: Kramers pairs."""
    H = matrices.h0_spinor
    for block in blocks_of(H).values():
        n, m = block.shape[0] // 2, block.shape[1] // 2
        uu, ud, du, dd = block[:n, :m], block[:n, m:], block[n:, :m], block[n:, m:]
        np.testing.assert_allclose(uu, dd.conj(), atol=1e-12)
        np.testing.assert_allclose(ud, -du.conj(), atol=1e-12)


def test_without_j_dependence_spin_orbit_vanishes(data: OpenMXData, tmp_path: Path) -> None:
    folder = write_tables(tmp_path, "Si")
    path = folder / "VPS" / "Si_PBE19.vps"
    lines = path.read_text().splitlines()
    start = lines.index("<Pseudo.Potentials") + 1
    for i in range(start, len(lines) - 1):
        words = lines[i].split()
        lines[i] = " ".join([*words[:3], *(w for w in words[3::2] for _ in (0, 1))])
    text = "\n".join(lines).replace("5.000000000000000e-01 7.0", "5.000000000000000e-01 5.0")
    path.write_text(text + "\n")
    m = openmx_matrices(
        molecule([10, 10, 10], [11, 12, 13]), OpenMXData(folder),
        basis={"Si": "Si5.0-s1p1"}, spin_orbit=True,
    )  # fmt: skip
    assert m.spin_orbit is not None
    assert max(np.abs(part.values).max() for part in m.spin_orbit.coupling) < 1e-12
    np.testing.assert_allclose(m.spin_orbit.average.values, m.nonlocal_.values, atol=1e-12)


def turning(m: OpenMXMatrices, R: np.ndarray) -> list[np.ndarray]:
    """Return the rotation of each atom's orbitals."""
    result = []
    for atom in range(m.crystal.n_atoms):
        own = m.basis.atom == atom
        n, ell, magnetic = m.basis.n[own], m.basis.l[own], m.basis.m[own]
        D = np.zeros((own.sum(), own.sum()))
        for i in range(len(D)):
            for j in range(len(D)):
                if (n[i], ell[i]) == (n[j], ell[j]):
                    D[i, j] = rotation_matrix(ell[i], R)[ell[i] + magnetic[i], ell[i] + magnetic[j]]
        result.append(D)
    return result


def test_rotation_of_the_crystal(data: OpenMXData, matrices: OpenMXMatrices) -> None:
    R = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    crystal = triclinic()
    turned_crystal = Crystal(
        lattice=crystal.lattice @ R.T, fractional=crystal.fractional, numbers=crystal.numbers
    )
    turned = openmx_matrices(turned_crystal, data, basis=BASIS, spin_orbit=True)
    D = turning(matrices, R)
    for name in ("overlap", "kinetic", "neutral_atom", "nonlocal_"):
        first, second = blocks_of(getattr(matrices, name)), blocks_of(getattr(turned, name))
        assert first.keys() == second.keys()
        for (i, j, *cell), block in first.items():
            np.testing.assert_allclose(
                second[(i, j, *cell)], D[i] @ block @ D[j].T, atol=1e-10, err_msg=name
            )
    # Three components of a vector turn as well, that of the spin-orbit term as an axial one.
    pairs = [(matrices.angular_momentum, turned.angular_momentum)]
    assert matrices.spin_orbit is not None
    assert turned.spin_orbit is not None
    pairs.append((matrices.spin_orbit.coupling, turned.spin_orbit.coupling))
    for first, second in pairs:
        before, after = ([blocks_of(part) for part in parts] for parts in (first, second))
        for i, j, *cell in before[0]:
            stack = np.array([part[(i, j, *cell)] for part in before])
            expected = np.einsum("xy,yij->xij", R, D[i] @ stack @ D[j].T)
            found = np.array([part[(i, j, *cell)] for part in after])
            np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_cell_does_not_matter(data: OpenMXData, matrices: OpenMXMatrices) -> None:
    """Atoms moved by lattice vectors have the same blocks."""
    crystal = triclinic()
    shift = np.array([[1, 0, -2], [0, 3, 0]])
    moved = Crystal(
        lattice=crystal.lattice, fractional=crystal.fractional + shift, numbers=crystal.numbers
    )
    H, other = blocks_of(matrices.h0), openmx_matrices(moved, data, basis=BASIS).h0
    found = blocks_of(other)
    for (i, j, *cell), block in H.items():
        key = (i, j, *(np.array(cell) - shift[j] + shift[i]).tolist())
        np.testing.assert_allclose(found[key], block, atol=1e-10)


def test_the_end_of_the_pair_list_is_smooth(data: OpenMXData) -> None:
    """Blocks of H0 and their slopes vanish where a pair leaves the list."""
    reach = 2 * CUTOFF
    basis = {"Si": "Si5.0-s2p1d1"}
    values, slopes = [], []
    for distance in (reach - 0.5, reach - 1e-3, reach + 1e-3):
        # A third atom between them makes three-centre terms that reach across.
        crystal = molecule([5, 5, 5], [5 + distance, 5, 5], [10, 5, 5], numbers=(14, 14, 14))
        m = openmx_matrices(crystal, data, basis=basis)
        d = openmx_derivatives(crystal, data, basis=basis)
        block = blocks_of(m.h0).get((0, 1, 0, 0, 0))
        values.append(0.0 if block is None else np.abs(block).max())
        assert d.environment is not None
        pair = (d.environment.pairs == [0, 1]).all(axis=1)
        slopes.append(d.environment.norms[pair].max(initial=0.0))
    assert values[0] > 1e-7
    assert values[1] < 1e-4 * values[0]
    assert values[2] == 0.0
    assert slopes[0] > 1e-7
    assert slopes[1] < 1e-4 * slopes[0]
    assert slopes[2] == 0.0


# --- derivatives -------------------------------------------------------------------------------


def slope_of(
    d: HamiltonianDerivatives, which: str, atom: int, direction: np.ndarray
) -> dict[tuple[int, ...], np.ndarray]:
    """Return the derivative of all blocks when one atom and its images move alike."""
    total: dict[tuple[int, ...], np.ndarray] = {}
    parts = d.overlap if which == "overlap" else d.two_centre
    assert parts is not None
    values = np.einsum("x,xn->n", direction, [part.values for part in parts])
    for key, block in blocks_of(parts[0].with_values(values)).items():
        total[key] = block * (int(key[0] == atom) - int(key[1] == atom))
    if which == "overlap":
        return total
    e = d.environment
    assert e is not None
    for b in np.flatnonzero(e.moved == atom):
        i, j = e.pairs[b]
        key = (int(i), int(j), *(e.cells[b, 1] - e.cells[b, 0]).tolist())
        values = e.values[e.offsets[b] : e.offsets[b + 1]].reshape(3, e.sizes[i], e.sizes[j])
        total[key] = total[key] + np.einsum("x,xij->ij", direction, values)
    return total


@pytest.mark.parametrize("atom", [0, 1])
def test_finite_differences(data: OpenMXData, atom: int) -> None:
    crystal, direction = triclinic(), np.array([0.6, -0.48, 0.64])
    d = openmx_derivatives(crystal, data, basis=BASIS)
    found = {}
    for step in (4e-3, 2e-3):
        for sign in (1, -1):
            move = np.zeros((2, 3))
            move[atom] = sign * step * direction
            m = openmx_matrices(crystal.displaced(move), data, basis=BASIS)
            found[step, sign] = blocks_of(m.overlap), blocks_of(m.h0)
    for number, which in enumerate(("overlap", "hamiltonian")):
        exact = slope_of(d, which, atom, direction)
        scale = max(np.abs(block).max() for block in exact.values())
        checked = 0
        for key, block in exact.items():
            if not all(key in entry[number] for entry in found.values()):
                continue  # a pair at the very end of the list
            plain = [
                (found[step, 1][number][key] - found[step, -1][number][key]) / (2 * step)
                for step in (4e-3, 2e-3)
            ]
            richardson = (4 * plain[1] - plain[0]) / 3
            np.testing.assert_allclose(block, richardson, atol=1e-6 * scale)
            checked += 1
        assert checked > 50


def test_triplets_one_by_one(data: OpenMXData) -> None:
    """In a molecule every triplet of H0 is a finite difference of one block."""
    crystal = molecule([10, 10, 10], [12.1, 11.2, 9.5], [9.2, 12.5, 11.1], numbers=(14, 6, 14))
    basis = {"Si": "Si5.0-s1p1", "C": "C5.0-s1p1"}
    d = openmx_derivatives(crystal, data, basis=basis)
    direction, step = np.array([0.48, 0.6, -0.64]), 1e-3
    for atom in range(3):
        exact = slope_of(d, "hamiltonian", atom, direction)
        move = np.zeros((3, 3))
        move[atom] = step * direction
        plus, minus = (
            blocks_of(openmx_matrices(crystal.displaced(s * move), data, basis=basis).h0)
            for s in (1, -1)
        )
        for key, block in exact.items():
            np.testing.assert_allclose(block, (plus[key] - minus[key]) / (2 * step), atol=2e-4)
    # Moving the third atom changes the block of the other two.
    e = d.environment
    assert e is not None
    third = (e.moved == 2) & (e.pairs == [0, 1]).all(axis=1)
    assert e.norms[third].max() > 0.1


def test_sum_rules(data: OpenMXData) -> None:
    d = openmx_derivatives(triclinic(), data, basis=BASIS)
    assert d.environment is not None
    assert d.environment.norms.max() > 1
    _, residual = translation_residual(d.environment)
    assert residual < 1e-12
    _, change = hermitian(d.environment)
    assert change < 1e-12
    assert d.overlap is not None
    assert d.two_centre is not None
    for parts in (d.overlap, d.two_centre):
        for part in parts:
            flipped = part.with_values(1j * part.values)
            assert flipped.hermitian_residual() < 1e-12  # <∂i|O|j> = -<∂j|O|i>
    thinned = openmx_derivatives(triclinic(), data, basis=BASIS, floor=1e-3)
    assert thinned.environment is not None
    assert 0 < thinned.environment.n_blocks < d.environment.n_blocks
    assert thinned.environment.norms.min() >= 1e-3


def test_f_orbitals_and_close_atoms(data: OpenMXData) -> None:
    basis = {"Te": "Te5.0-s1p1d1f1"}
    crystal = molecule([10, 10, 10], [11.5, 10.5, 12], numbers=(52, 52))
    m = openmx_matrices(crystal, data, basis=basis)
    assert m.h0.hermitian_residual() < 1e-12
    assert m.basis.l.max() == 3
    with pytest.raises(ModelError, match="Å apart"):
        openmx_matrices(molecule([10, 10, 10], [10.1, 10, 10]), data, basis={"Si": "Si5.0-s1"})
    with pytest.raises(ModelError, match="no spin-orbit part"):
        _ = m.h0_spinor


# --- blocks of OpenMX --------------------------------------------------------------------------


class Stored:
    """Blocks written by OpenMX 3.9, hartree and bohr."""

    def __init__(self, folder: Path, name: str) -> None:
        with np.load(folder / f"omx_{name}.npz") as archive:
            self.arrays = {key: archive[key] for key in archive.files}
        if "z" not in self.arrays:
            geometry = Stored(folder, name.removesuffix("_soc")).arrays
            keys = ("z", "cell", "pos", "norb", "edge_index", "cell_shift", "info_json")
            self.arrays.update({key: geometry[key] for key in keys})
        info = json.loads(str(self.arrays["info_json"]))
        self.basis = {symbol: entry["pao"] for symbol, entry in info["species"].items()}
        cell = self.arrays["cell"]
        self.crystal = Crystal(
            lattice=cell * BOHR, numbers=self.arrays["z"],
            fractional=self.arrays["pos"] @ np.linalg.inv(cell),
        )  # fmt: skip

    def errors(
        self, name: str, matrix: LatticeMatrix, unit: float = 1.0, axis: int = -1
    ) -> tuple[float, float]:
        """Return the largest differences of all stored blocks on one atom, and between two."""
        ours, norb = blocks_of(matrix), self.arrays["norb"]
        edges, cells = self.arrays["edge_index"].T, self.arrays["cell_shift"]
        rows = self.arrays.get("pair_rows", np.arange(len(edges)))
        keys = [(a, a, 0, 0, 0) for a in range(len(norb))]
        keys += [(*edges[row].tolist(), *cells[row].tolist()) for row in rows]
        blocks = [*self.arrays[f"{name}_on"], *self.arrays[f"{name}_off"]]
        worst = []
        for key, block in zip(keys, blocks, strict=True):
            part = block if axis < 0 else block[..., axis]
            difference = ours[key] / unit - part[: norb[key[0]], : norb[key[1]]]
            worst.append(float(np.abs(difference).max()))
        return max(worst[: len(norb)]), max(worst[len(norb) :])


#: Largest differences, Ha, on one atom and between two. Those of V_NA between two atoms are the
#: rounding of the source program, which keeps and multiplies its projections in single precision.
TOLERANCES = {
    "S": (5e-10, 1e-12),
    "T": (5e-10, 1e-11),
    "VNL": (1e-9, 5e-10),
    "VNA": (2e-9, 1e-7),
    "H0": (2e-9, 1e-7),
}


def assert_within(errors: tuple[float, float], name: str) -> None:
    for error, tolerance in zip(errors, TOLERANCES[name], strict=True):
        assert error < tolerance, f"{name}: {errors}"


@pytest.mark.parametrize("name", ["si", "gaas", "gate", "nacl", "mgo", "mixed", "sb2se3"])
def test_stored_blocks(shared_data: Path, name: str) -> None:
    folder = shared_data / "hamiltonian"
    stored = Stored(folder, name)
    m = openmx_matrices(stored.crystal, OpenMXData(folder / "DFT_DATA19"), basis=stored.basis)
    assert m.overlap.n_blocks == stored.arrays["edge_index"].shape[1] + stored.crystal.n_atoms
    matrices = {"S": (m.overlap, 1.0), "T": (m.kinetic, HARTREE), "VNA": (m.neutral_atom, HARTREE),
                "VNL": (m.nonlocal_, HARTREE), "H0": (m.h0, HARTREE)}  # fmt: skip
    checked = 0
    for key, (matrix, unit) in matrices.items():
        if f"{key}_on" in stored.arrays:
            assert_within(stored.errors(key, matrix, unit), key)
            checked += 1
    assert checked >= 2
    if "L_on" in stored.arrays:
        # Stored in single precision.
        for axis, part in enumerate(m.angular_momentum):
            assert max(stored.errors("L", part, axis=axis)) < 1.5e-7


@pytest.mark.parametrize("name", ["gaas_soc", "gate_soc", "sb2se3_soc"])
def test_stored_spin_orbit_blocks(shared_data: Path, name: str) -> None:
    folder = shared_data / "hamiltonian"
    stored = Stored(folder, name)
    data = OpenMXData(folder / "DFT_DATA19")
    m = openmx_matrices(stored.crystal, data, basis=stored.basis, spin_orbit=True)
    assert m.spin_orbit is not None
    x, y, z = m.spin_orbit.coupling
    for key, part in (("H0_iHks2", x), ("H0_Hks2", y), ("H0_iHks0", z)):
        assert np.abs(stored.arrays[f"{key}_on"]).max() > 1e-4
        assert max(stored.errors(key, part, HARTREE)) < 5e-12
    scalar = m.kinetic.values + m.neutral_atom.values + m.spin_orbit.average.values
    assert_within(stored.errors("H0_Hks0", m.overlap.with_values(scalar), HARTREE), "H0")


@pytest.mark.parametrize("name", ["si", "gaas"])
def test_stored_overlap_derivatives(shared_data: Path, name: str) -> None:
    """Off-site blocks, kept in single precision; the source program errs for bonds along z."""
    folder = shared_data / "hamiltonian"
    stored = Stored(folder, name)
    data = OpenMXData(folder / "DFT_DATA19")
    derivative = openmx_overlap_derivative(stored.crystal, data, basis=stored.basis)
    edges, cells = stored.arrays["edge_index"].T, stored.arrays["cell_shift"]
    for axis, part in enumerate(derivative):
        ours = blocks_of(part)
        for edge in np.flatnonzero(stored.arrays["dS_off_valid"]):
            block = ours[(*edges[edge].tolist(), *cells[edge].tolist())] * BOHR
            np.testing.assert_allclose(block, stored.arrays["dS_off"][edge, ..., axis], atol=2e-8)


def test_stored_displaced_pair(shared_data: Path) -> None:
    """The stored difference of ±0.02 Å, and ours, differ from the derivative by third order."""
    folder = shared_data / "hamiltonian"
    data = OpenMXData(folder / "DFT_DATA19")
    plus, minus = (Stored(folder, f"gaas_disp_{sign}") for sign in "pm")
    middle = Stored(folder, "gaas")
    found = [blocks_of(openmx_matrices(s.crystal, data, basis=s.basis).h0) for s in (plus, minus)]
    d = openmx_derivatives(middle.crystal, data, basis=middle.basis)
    exact = slope_of(d, "hamiltonian", 1, np.array([0.6, -0.48, 0.64]))
    edges, cells = plus.arrays["edge_index"].T, plus.arrays["cell_shift"]
    stored = {
        (*edges[row].tolist(), *cells[row].tolist()): a - b
        for row, a, b in zip(plus.arrays["pair_rows"], plus.arrays["H0_off"],
                             minus.arrays["H0_off"], strict=True)
    }  # fmt: skip
    for key, difference in stored.items():
        ours = (found[0][key] - found[1][key]) / HARTREE
        np.testing.assert_allclose(ours, difference, atol=1e-7)
        np.testing.assert_allclose(exact[key], difference * HARTREE / 0.04, atol=5e-3)
