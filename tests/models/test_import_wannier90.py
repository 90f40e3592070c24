"""Wannier90 files: bands of the source, positions that travel with their functions, bad files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from elphant.crystal import Crystal
from elphant.errors import ElphantError, ModelError
from elphant.models.hamiltonians.importers.wannier90 import assign, read_wannier90
from elphant.models.hamiltonians.loading import load_hamiltonian
from elphant.orbitals import band_energies, bloch_derivative, bloch_sum

K_POINTS = np.random.default_rng(2).uniform(-0.5, 0.5, (6, 3))


@pytest.fixture
def folder(fixtures, tmp_path):
    """Return a copy of the hand-written two-band model."""
    for name in ("diatomic_tb.dat", "diatomic_hr.dat", "diatomic.win"):
        shutil.copy(fixtures / "hamiltonians" / name, tmp_path / name)
    return tmp_path


def _analytic(k):
    """Return the bands of the two-band model, (n_k, 2) eV."""
    along = 1.5 + 0.2 * np.cos(2 * np.pi * k[:, 1])
    coupling = 0.8 + 0.3 * np.exp(-2j * np.pi * k[:, 0])
    size = np.sqrt(along**2 + np.abs(coupling) ** 2)
    return np.stack([-size, size], axis=1)


@pytest.mark.parametrize("name", ["diatomic_tb.dat", "diatomic_hr.dat"])
def test_bands_are_the_analytic_ones(folder, name):
    h = load_hamiltonian(folder / name, n_electrons=2, require_gap=True)
    np.testing.assert_allclose(band_energies(h, K_POINTS), _analytic(K_POINTS), atol=1e-12)
    assert h.overlap is None
    assert h.crystal.symbols == ("Sn", "O")
    assert h.n_occupied == 1
    assert (h.basis.l == -1).all()
    assert not h.hamiltonian.is_complex


def test_positions_and_centres_are_kept(folder):
    h = read_wannier90(folder / "diatomic_tb.dat", n_electrons=2)
    x, y, z = (part.to_cells() for part in h.position)
    home = [np.flatnonzero(~cells.any(axis=1))[0] for cells, _ in (x, y, z)]
    centres = np.array([m[i].diagonal() for (_, m), i in zip((x, y, z), home, strict=True)]).T
    np.testing.assert_allclose(centres, [[0.108, 0.046, 0], [2.288, 0.009, 0.147]], atol=1e-10)
    assert x[1][home[0]][0, 1] == pytest.approx(0.05)
    np.testing.assert_allclose(h.origin.details["centres"], centres, atol=1e-12)


def test_spinors_hold_one_electron_per_band(folder):
    h = read_wannier90(folder / "diatomic_tb.dat", n_electrons=1, spinor=True)
    assert h.spin_degeneracy == 1
    assert h.n_occupied == 1
    win = folder / "diatomic.win"
    win.write_text(win.read_text() + "spinors = .true.\n")
    assert read_wannier90(folder / "diatomic_tb.dat", n_electrons=1).basis.is_spinor


def test_the_structure_may_be_given(folder):
    crystal = read_wannier90(folder / "diatomic_tb.dat", n_electrons=2).crystal
    (folder / "diatomic.win").unlink()
    for name in ("diatomic_tb.dat", "diatomic_hr.dat"):
        with pytest.raises(ModelError, match="atoms that belong to"):
            read_wannier90(folder / name, n_electrons=2)
        h = read_wannier90(folder / name, n_electrons=2, structure=crystal)
        np.testing.assert_allclose(band_energies(h, K_POINTS), _analytic(K_POINTS), atol=1e-12)
    other = crystal.replaced(lattice=crystal.lattice[[1, 0, 2]])
    with pytest.raises(ModelError, match=r"lattice vectors .* differ"):
        read_wannier90(folder / "diatomic_tb.dat", n_electrons=2, structure=other)


def test_atoms_in_cartesian_bohr(folder):
    expected = read_wannier90(folder / "diatomic_tb.dat", n_electrons=2).crystal
    bohr = 0.529177210544
    rows = [" ".join(f"{v:.10f}" for v in row) for row in expected.lattice / bohr]
    atoms = [
        f"{symbol}1 " + " ".join(f"{v:.10f}" for v in row)
        for symbol, row in zip(expected.symbols, expected.positions / bohr, strict=True)
    ]
    text = ["Begin Unit_Cell_Cart", "Bohr", *rows, "End Unit_Cell_Cart", "# atoms"]
    text += ["BEGIN ATOMS_CART", "bohr", *atoms, "END ATOMS_CART"]
    (folder / "diatomic.win").write_text("\n".join(text))
    crystal = read_wannier90(folder / "diatomic_tb.dat", n_electrons=2).crystal
    np.testing.assert_allclose(crystal.lattice, expected.lattice, atol=1e-8)
    np.testing.assert_allclose(crystal.positions, expected.positions, atol=1e-8)
    assert crystal.symbols == expected.symbols


def _random_model(rng, n, reach=1):
    axis = np.arange(-reach, reach + 1)
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    values = rng.normal(size=(2, len(cells), n, n)) @ np.eye(n)
    values = values[0] + 1j * values[1]
    return cells, 0.5 * (values + values[::-1].conj().transpose(0, 2, 1))


def _write_tb(path, crystal, cells, hamiltonian, position, degeneracies):
    n = hamiltonian.shape[1]
    lines = ["made for a test"]
    lines += [" ".join(f"{v:.17g}" for v in row) for row in crystal.lattice]
    lines += [str(n), str(len(cells))]
    words = [str(d) for d in degeneracies]
    lines += [" ".join(words[i : i + 15]) for i in range(0, len(words), 15)]
    for values in (hamiltonian[:, None], position):
        for cell, block in zip(cells, values, strict=True):
            lines += ["", " ".join(map(str, cell))]
            for j in range(n):
                for i in range(n):
                    numbers = [f(v) for v in block[:, i, j] for f in (np.real, np.imag)]
                    lines.append(f"{i + 1} {j + 1} " + " ".join(f"{v:.17g}" for v in numbers))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def crystal():
    return Crystal(
        lattice=np.array([[4.0, 0.3, 0.1], [-0.5, 4.4, 0.2], [0.6, -0.2, 5.0]]),
        fractional=np.array([[0.1, 0.0, 0.9], [0.5, -1.45, 0.3], [0.6, 0.6, 0.6]]),
        numbers=np.array([6, 7, 8]),
    )


def test_functions_far_from_home_keep_bands_and_dipoles(tmp_path, crystal):
    """Centres in other cells: functions are renamed, energies and ∂H + i[H, r] stay."""
    rng = np.random.default_rng(8)
    n = 5
    cells, H = _random_model(rng, n)
    degeneracies = rng.integers(1, 4, len(cells))
    degeneracies = np.maximum(degeneracies, degeneracies[::-1])
    home = len(cells) // 2
    _, r = zip(*(_random_model(rng, n) for _ in range(3)), strict=True)
    r = np.stack(r, axis=1)
    atoms = np.array([2, 0, 1, 0, 2])
    jumps = np.array([[1, 0, 0], [0, -2, 1], [0, 0, 0], [0, 0, 3], [-1, 1, 0]])
    centres = (crystal.fractional[atoms] + jumps) @ crystal.lattice + rng.normal(size=(n, 3)) * 0.1
    for axis in range(3):
        np.fill_diagonal(r[home, axis], centres[:, axis])
    path = tmp_path / "far_tb.dat"
    _write_tb(path, crystal, cells, H * degeneracies[:, None, None],
              r * degeneracies[:, None, None, None], degeneracies)  # fmt: skip
    h = load_hamiltonian(path, structure=crystal, n_electrons=4)
    assert h.basis.atom.tolist() == [0, 0, 1, 2, 2]
    phases = np.exp(2j * np.pi * K_POINTS @ cells.T)
    reference = np.einsum("kR,Rij->kij", phases, H)
    np.testing.assert_allclose(
        band_energies(h, K_POINTS), np.linalg.eigvalsh(reference), atol=1e-11
    )
    # Every renamed function lies near its own atom in the home cell.
    distance = [
        bloch_sum(part.selected((part.cells == 0).all(axis=1)), [0, 0, 0])[0].diagonal().real
        for part in h.position
    ]
    assert np.abs(np.transpose(distance) - crystal.positions[h.basis.atom]).max() < 0.5
    # The velocity operator ∂H/∂k - i[A, H] has the same spectrum before and after.
    d = cells @ crystal.lattice
    for axis in range(3):
        slope = np.einsum("kR,Rij->kij", phases * 1j * d[:, axis], H)
        A = np.einsum("kR,Rij->kij", phases, r[:, axis])
        before = slope - 1j * (A @ reference - reference @ A)
        slope = bloch_derivative(h.hamiltonian, K_POINTS, crystal, order=1)[:, axis]
        A, own = bloch_sum(h.position[axis], K_POINTS), h.at(K_POINTS)[0]
        after = slope - 1j * (A @ own - own @ A)
        np.testing.assert_allclose(
            np.linalg.eigvalsh(after), np.linalg.eigvalsh(before), atol=1e-10
        )


def test_minimal_distances_restore_the_model_behind_a_coarse_mesh(tmp_path):
    """A chain with a mesh of 2: R = 1 and R = -1 are the same cell, and only one is nearest."""
    t, v = 0.7, 0.4
    crystal = Crystal(
        lattice=np.diag([4.0, 5.0, 6.0]), fractional=np.array([[0, 0, 0], [0.25, 0, 0]]),
        numbers=np.array([6, 7]),
    )  # fmt: skip
    cells = np.array([[-1, 0, 0], [0, 0, 0], [1, 0, 0]])
    H = np.zeros((3, 2, 2), complex)
    H[1] = [[0.5, t], [t, -0.5]]
    H[0] = H[2] = [[0, v], [v, 0]]
    r = np.zeros((3, 3, 2, 2), complex)
    r[1, 0, 1, 1] = 1.0
    _write_tb(tmp_path / "chain_tb.dat", crystal, cells, H, r, [2, 1, 2])
    lines = ["## with use_ws_distance=.true."]
    for cell in cells.tolist():
        for i in (1, 2):
            for j in (1, 2):
                lines.append(" ".join(map(str, [*cell, i, j])))
                if i != j and cell[0]:
                    # a in cell 0 is nearest to b in cell -1, b in cell 0 to a in cell +1.
                    wanted = -1 if i == 1 else 1
                    shifts = [[wanted - cell[0], 0, 0]]
                elif cell[0]:
                    shifts = [[0, 0, 0], [-2 * cell[0], 0, 0]]
                else:
                    shifts = [[0, 0, 0]]
                lines.append(str(len(shifts)))
                lines += [" ".join(map(str, shift)) for shift in shifts]
    plain = load_hamiltonian(tmp_path / "chain_tb.dat", structure=crystal, n_electrons=2)
    (tmp_path / "chain_wsvec.dat").write_text("\n".join(lines) + "\n")
    h = load_hamiltonian(tmp_path / "chain_tb.dat", structure=crystal, n_electrons=2)
    size = np.sqrt(0.25 + np.abs(t + v * np.exp(-2j * np.pi * K_POINTS[:, 0])) ** 2)
    np.testing.assert_allclose(band_energies(h, K_POINTS)[:, 1], size, atol=1e-12)
    assert h.origin.details["minimal_distances"]
    assert np.abs(band_energies(plain, K_POINTS)[:, 1] - size).max() > 0.05
    on_mesh = [[0, 0, 0], [0.5, 0, 0]]
    np.testing.assert_allclose(band_energies(h, on_mesh), band_energies(plain, on_mesh), atol=1e-12)
    spread = lines[0] + "  write_ndegen_applied=.true."
    (tmp_path / "chain_wsvec.dat").write_text("\n".join([spread, *lines[1:]]) + "\n")
    done = load_hamiltonian(tmp_path / "chain_tb.dat", structure=crystal, n_electrons=2)
    np.testing.assert_array_equal(done.hamiltonian.values, plain.hamiltonian.values)
    (tmp_path / "chain_wsvec.dat").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(ModelError, match="wsvec"):
        load_hamiltonian(tmp_path / "chain_tb.dat", structure=crystal, n_electrons=2)


def test_every_atom_gets_a_function(crystal):
    centres = crystal.positions[1] + np.diag([0, 0.1, 0.1, 1.0])[:, 1:]
    atoms = assign(crystal, centres, 4).atom
    assert sorted(set(atoms.tolist())) == [0, 1, 2]
    assert assign(crystal, None, 6).atom.tolist() == [0, 0, 1, 1, 2, 2]


def test_centres_of_an_hr_file(folder):
    (folder / "diatomic_centres.xyz").write_text(
        "4\n Wannier centres\nX 2.3 0.0 0.1\nX 5.3 0.0 0.0\nSn 0 0 0\nO 2.34 0 0\n"
    )
    h = read_wannier90(folder / "diatomic_hr.dat", n_electrons=2)
    assert h.origin.details["wannier_functions"] == [2, 1]
    np.testing.assert_allclose(band_energies(h, K_POINTS), _analytic(K_POINTS), atol=1e-12)
    (folder / "diatomic_centres.xyz").write_text("1\n\nX 0 0 0\n")
    with pytest.raises(ModelError, match="2 Wannier centres"):
        read_wannier90(folder / "diatomic_hr.dat", n_electrons=2)


@pytest.mark.parametrize("count", [None, 0, -2, 5])
def test_the_electron_number_must_be_given_and_fit(folder, count):
    with pytest.raises(ModelError, match="electrons"):
        load_hamiltonian(folder / "diatomic_tb.dat", n_electrons=count)


def test_fewer_functions_than_atoms_are_refused(folder):
    win = folder / "diatomic.win"
    win.write_text(win.read_text().replace("end atoms_frac", "H 0.7 0.7 0.7\nend atoms_frac"))
    with pytest.raises(ModelError, match="2 Wannier functions for 3 atoms"):
        read_wannier90(folder / "diatomic_tb.dat", n_electrons=2)


@pytest.mark.parametrize("name", ["diatomic_tb.dat", "diatomic_hr.dat"])
def test_malformed_files_give_one_kind_of_error(folder, name):
    path = folder / name
    words = path.read_text().split("\n", 1)[1].split()
    rng = np.random.default_rng(1)

    def refused(changed):
        path.write_text("a comment\n" + "\n".join(changed) + "\n")
        try:
            load_hamiltonian(path, n_electrons=2)
        except ElphantError:
            return True
        return False

    assert not refused(words)
    for place in rng.integers(0, len(words), 25):
        assert refused(words[:place] + words[place + 1 :])
        assert refused([*words[:place], "x1", *words[place + 1 :]])
        assert refused([*words[:place], "nan", *words[place + 1 :]])
        refused([*words[:place], "-3", *words[place + 1 :]])
        refused([*words[:place], "1e300", *words[place + 1 :]])
    assert refused([*words, "0"])
    for text in ("", "\n", "x", "a\n1\n99999999\n", "a\n1e9 1e9"):
        path.write_text(text)
        with pytest.raises(ModelError):
            load_hamiltonian(path, n_electrons=2)
    path.write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(ModelError, match="not a text file"):
        load_hamiltonian(path, n_electrons=2)


def test_a_malformed_win_file_is_refused(folder):
    win = folder / "diatomic.win"
    text = win.read_text()
    for old, new in (
        ("begin unit_cell_cart", "begin cell"), ("end atoms_frac", ""), ("Sn ", "Qq "),
        ("0.45", "a"), ("ang", "miles"), ("5.2", ""),
    ):  # fmt: skip
        win.write_text(text.replace(old, new))
        with pytest.raises(ModelError, match="cell and atoms"):
            read_wannier90(folder / "diatomic_tb.dat", n_electrons=2)


def test_a_non_hermitian_file_is_refused(folder):
    path = folder / "diatomic_hr.dat"
    path.write_text(path.read_text().replace("0.800000", "0.900000", 1))
    with pytest.raises(ModelError, match="not Hermitian"):
        load_hamiltonian(path, n_electrons=2)
