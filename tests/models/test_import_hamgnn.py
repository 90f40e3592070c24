"""HamGNN files: bands of the blocks, the spin trap, and pickles that execute nothing."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
from hamgnn_files import Calls, calling_pickle, graph_file_bytes, pickled_npz

from elphant.errors import ElphantError, ModelError
from elphant.models.hamiltonians.importers.hamgnn import (
    GRAPH_FILE,
    HAMILTONIAN_FILE,
    VALENCE,
    read_hamgnn,
)
from elphant.models.hamiltonians.importers.openmx import OPENMX_M, read_openmx_archive
from elphant.models.hamiltonians.loading import load_hamiltonian
from elphant.orbitals import band_energies
from elphant.units import OPENMX_ANGSTROM_PER_BOHR, OPENMX_EV_PER_HARTREE

K_POINTS = np.random.default_rng(3).uniform(-0.5, 0.5, (4, 3))

#: Slots of s2p1 (H) and s2p2d1 (Si) in the 26-orbital table.
SLOTS = {1: [0, 1, 3, 4, 5], 14: [0, 1, *range(3, 14)]}
NAO = 26


def _model(*, spinor=False, seed=0):
    """Return a graph, and the rows of a prediction, of two atoms; and full H(k), S(k) by hand."""
    rng = np.random.default_rng(seed)
    numbers = np.array([14, 1])
    half = np.array([[0, 1, 0, 0, 0], [0, 1, 1, 0, -1], [0, 0, 0, 1, 0], [1, 1, 1, 1, 0]])
    edges = np.concatenate([half, np.concatenate([half[:, [1, 0]], -half[:, 2:]], axis=1)])
    index, shift = edges[:, :2].T.copy(), edges[:, 2:].copy()
    masks = {z: np.isin(np.arange(NAO), slots).astype(float) for z, slots in SLOTS.items()}

    def blocks(scale, antisymmetric=False):
        sign = -1.0 if antisymmetric else 1.0
        off = rng.normal(size=(len(half), NAO, NAO)) * scale
        off = np.concatenate([off, sign * off.transpose(0, 2, 1)])
        on = rng.normal(size=(2, NAO, NAO)) * scale
        on = on + sign * on.transpose(0, 2, 1)
        mask = [masks[z] for z in numbers]
        on *= [np.outer(m, m) for m in mask]
        off *= [np.outer(mask[i], mask[j]) for i, j in index.T]
        return on.astype(np.float32), off.astype(np.float32)

    S_on, S_off = blocks(0.01)
    S_on += np.array([np.diag(masks[z]) for z in numbers], dtype=np.float32)
    graph = {
        "z": numbers,
        "cell": np.array([[[9.0, 0.5, 0], [0, 10, 0.3], [0.2, 0, 11]]], dtype=np.float32),
        "pos": np.array([[0.1, 0, 0], [4, 5, -2]], dtype=np.float32),
        "node_counts": np.array([2]),
        "edge_index": index,
        "cell_shift": shift,
        "Son": S_on.reshape(2, -1),
        "Soff": S_off.reshape(len(edges), -1),
        "doping_charge": np.zeros(1, np.float32),
        "total_energy": 1.5,
    }
    if not spinor:
        on, off = blocks(0.3)
        rows = np.concatenate([on, off]).reshape(-1, NAO**2)
        return graph, rows, (index, shift, on, off, S_on, S_off)
    scalar, z, y, x = blocks(0.3), *(blocks(0.1, antisymmetric=True) for _ in range(3))
    pieces = []
    for part in (0, 1):
        a, b, c, d = (q[part] for q in (scalar, z, y, x))
        real = np.block([[a, c], [c, a]])
        # The trap: the stored imaginary ↓↑ is minus ↑↓, the element-wise conjugate.
        imaginary = np.block([[b, d], [-d, -b]])
        pieces.append((real, imaginary))
    rows = np.concatenate([pieces[0][0], pieces[1][0], pieces[0][1], pieces[1][1]])
    up_up, up_down = (
        [a + 1j * b for a, b in zip(p, q, strict=True)] for p, q in ((scalar, z), (y, x))
    )
    return graph, rows.reshape(len(rows), -1), (index, shift, up_up, up_down, S_on, S_off)


def _bloch(k, index, shift, on, off):
    total = np.zeros((2 * NAO, 2 * NAO), complex)
    for atom in range(2):
        total[atom * NAO :, atom * NAO :][:NAO, :NAO] += on[atom]
    for (i, j), cell, block in zip(index.T, shift, off, strict=True):
        total[i * NAO :, j * NAO :][:NAO, :NAO] += block * np.exp(2j * np.pi * k @ cell)
    kept = np.concatenate([SLOTS[14], np.array(SLOTS[1]) + NAO])
    return total[np.ix_(kept, kept)]


def _write(folder, graphs, rows):
    (folder / GRAPH_FILE).write_bytes(graph_file_bytes(graphs))
    np.save(folder / HAMILTONIAN_FILE, rows)
    return folder


def test_bands_are_those_of_the_blocks(tmp_path):
    import scipy.linalg

    graph, rows, (index, shift, on, off, S_on, S_off) = _model()
    folder = _write(tmp_path, {0: graph}, rows)
    h = load_hamiltonian(folder)
    for k in K_POINTS:
        H = _bloch(k, index, shift, on, off) * OPENMX_EV_PER_HARTREE
        expected = scipy.linalg.eigvalsh(H, _bloch(k, index, shift, S_on, S_off))
        np.testing.assert_allclose(band_energies(h, k)[0], expected, atol=1e-9)
    assert h.n_electrons == 5
    assert h.basis.sizes.tolist() == [13, 5]
    np.testing.assert_allclose(h.crystal.lattice / OPENMX_ANGSTROM_PER_BOHR, graph["cell"][0])
    assert h.basis.labels()[2:5] == ["1p[1]", "1p[-1]", "1p[0]"]
    assert h.basis.m[8:13].tolist() == list(OPENMX_M[2])
    for source in (tmp_path / GRAPH_FILE, tmp_path / HAMILTONIAN_FILE):
        assert load_hamiltonian(source).origin == h.origin


def test_the_flipped_spin_block_is_not_used(tmp_path):
    import scipy.linalg

    graph, rows, (index, shift, up_up, up_down, S_on, S_off) = _model(spinor=True)
    h = load_hamiltonian(_write(tmp_path, {0: graph}, rows), n_electrons=6)
    assert h.basis.is_spinor
    assert h.n_occupied == 6
    for k in K_POINTS:
        uu, ud = (_bloch(k, index, shift, *part) for part in (up_up, up_down))
        dd = _bloch(-k, index, shift, *up_up).conj()
        H = np.block([[uu, ud], [ud.conj().T, dd]]) * OPENMX_EV_PER_HARTREE
        S = np.kron(np.eye(2), _bloch(k, index, shift, S_on, S_off))
        np.testing.assert_allclose(band_energies(h, k)[0], scipy.linalg.eigvalsh(H, S), atol=1e-9)
    # Time reversal: what the stored ↓↑ would break.
    np.testing.assert_allclose(band_energies(h, K_POINTS), band_energies(h, -K_POINTS), atol=1e-9)


def test_several_structures_in_one_file(tmp_path):
    first, second = _model(seed=1), _model(seed=2)
    rows = np.concatenate([first[1], second[1]])
    _write(tmp_path, {0: first[0], 1: second[0]}, rows)
    (tmp_path / "alone").mkdir()
    alone = load_hamiltonian(_write(tmp_path / "alone", {0: second[0]}, second[1]))
    other = load_hamiltonian(tmp_path, index=1)
    np.testing.assert_array_equal(other.hamiltonian.values, alone.hamiltonian.values)
    with pytest.raises(ModelError, match="holds 2 structures"):
        load_hamiltonian(tmp_path, index=2)


def test_the_electron_number(tmp_path):
    graph, rows, _ = _model()
    graph["doping_charge"] = np.array([0.5], dtype=np.float32)
    folder = _write(tmp_path, {0: graph}, rows)
    with pytest.raises(ModelError, match="doping charge"):
        read_hamgnn(folder)
    assert read_hamgnn(folder, n_electrons=6).n_electrons == 6
    with pytest.raises(ModelError, match="do not fit"):
        read_hamgnn(folder, n_electrons=60)
    assert 8 * VALENCE["Sb"] + 12 * VALENCE["Se"] == 192


def _commands(marker):
    command = f"touch {marker}"
    yield os.system, (command,)
    yield subprocess.call, (["touch", str(marker)],)
    yield builtins.eval, (f"open({str(marker)!r}, 'w')",)
    yield builtins.exec, (f"open({str(marker)!r}, 'w')",)
    yield getattr, ("text", "join")
    yield np.load, (str(marker),)
    yield np.ndarray, ((10**6,),)


@pytest.mark.parametrize("case", range(7))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_graph_executes_nothing(tmp_path, case, protocol):
    marker = tmp_path / "executed"
    function, arguments = list(_commands(marker))[case]
    content = calling_pickle(function, *arguments, protocol=protocol)
    (tmp_path / GRAPH_FILE).write_bytes(pickled_npz(content))
    np.save(tmp_path / HAMILTONIAN_FILE, np.zeros((10, 676), np.float32))
    with pytest.raises(ModelError, match=r"executes nothing|not a readable"):
        load_hamiltonian(tmp_path)
    assert not marker.exists()


def test_malice_inside_a_tensor_executes_nothing(tmp_path):
    import torch

    marker = tmp_path / "executed"
    inner = pickle.dumps(Calls(os.system, f"touch {marker}"), protocol=2)
    content = calling_pickle(torch.storage._load_from_bytes, inner)
    (tmp_path / GRAPH_FILE).write_bytes(pickled_npz(content))
    with pytest.raises(ModelError, match="executes nothing"):
        load_hamiltonian(tmp_path)
    assert not marker.exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    import torch
    from torch._utils import _rebuild_tensor_v2

    storage = torch.zeros(4)

    class Cheat:
        def __reduce__(self):
            return _rebuild_tensor_v2, (storage.storage(), 0, (1000, 1000), (1000, 1), False, {})

    with pytest.warns(UserWarning, match="TypedStorage"):
        content = pickle.dumps({0: Cheat()})
    (tmp_path / GRAPH_FILE).write_bytes(pickled_npz(content))
    with pytest.raises(ModelError, match="beyond its storage"):
        load_hamiltonian(tmp_path)


def test_a_pickled_prediction_is_refused(tmp_path):
    graph, rows, _ = _model()
    _write(tmp_path, {0: graph}, rows)
    marker = tmp_path / "executed"
    array = np.empty(1, dtype=object)
    array[0] = Calls(os.system, f"touch {marker}")
    np.save(tmp_path / HAMILTONIAN_FILE, array, allow_pickle=True)
    with pytest.raises(ModelError, match="cannot be read"):
        load_hamiltonian(tmp_path)
    assert not marker.exists()


def test_damaged_files_give_one_kind_of_error(tmp_path):
    graph, rows, _ = _model()
    _write(tmp_path, {0: graph}, rows)
    with zipfile.ZipFile(tmp_path / GRAPH_FILE) as archive:
        content = archive.read("graph.npy")
    rng = np.random.default_rng(0)
    for length in [0, 5, *rng.integers(10, len(content), 15)]:
        path = tmp_path / "cut" / GRAPH_FILE
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("graph.npy", content[:length])
        with pytest.raises(ModelError):
            read_hamgnn(path, tmp_path / HAMILTONIAN_FILE)
    for place in rng.integers(0, 6000, 60):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("graph.npy", bytes(damaged))
        with contextlib.suppress(ElphantError):
            read_hamgnn(path, tmp_path / HAMILTONIAN_FILE)
    for name in (GRAPH_FILE, HAMILTONIAN_FILE):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError):
            load_hamiltonian(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ModelError):
            load_hamiltonian(tmp_path)
        (tmp_path / name).write_bytes(whole)


def test_files_that_do_not_belong_together(tmp_path):
    graph, rows, _ = _model()
    folder = _write(tmp_path, {0: graph}, rows[:-1])
    with pytest.raises(ModelError, match="atoms and edges"):
        load_hamiltonian(folder)
    np.save(tmp_path / HAMILTONIAN_FILE, rows[:, :100])
    with pytest.raises(ModelError, match="100 elements"):
        load_hamiltonian(folder)
    np.save(tmp_path / HAMILTONIAN_FILE, rows[:, :625])
    with pytest.raises(ModelError, match="625 elements"):
        load_hamiltonian(folder)
    for key in ("z", "Son", "edge_index"):
        _write(tmp_path, {0: {k: v for k, v in graph.items() if k != key}}, rows)
        with pytest.raises(ModelError, match=f"no '{key}'"):
            load_hamiltonian(folder)
    (tmp_path / GRAPH_FILE).write_bytes(graph_file_bytes({0: graph}, array_name="other"))
    with pytest.raises(ModelError, match="graph"):
        load_hamiltonian(folder)


def test_spin_orbit_bands_of_gaas(shared_data, tmp_path):
    """OpenMX's own spin-orbit matrix, packed as HamGNN packs it, gives OpenMX's bands."""
    path = shared_data / "hamiltonian" / "omx_gaas_soc.npz"
    data = np.load(path)
    scalar = np.concatenate([data["H_Hks0_on"], data["H_Hks0_off"]])
    y, z, x = (
        np.concatenate([data[f"H0_{name}_on"], data[f"H0_{name}_off"]])
        for name in ("Hks2", "iHks0", "iHks2")
    )
    real = np.block([[scalar, y], [y, scalar]])
    imaginary = np.block([[z, x], [-x, -z]])
    n_edges = data["edge_index"].shape[1]
    graph = {
        "z": data["z"], "cell": data["cell"][None], "pos": data["pos"],
        "edge_index": data["edge_index"], "cell_shift": data["cell_shift"],
        "Son": data["S_on"].reshape(2, -1), "Soff": data["S_off"].reshape(n_edges, -1),
    }  # fmt: skip
    rows = np.concatenate([real, imaginary]).reshape(2 * (2 + n_edges), -1).astype(np.float32)
    h = load_hamiltonian(_write(tmp_path, {0: graph}, rows))
    assert h.n_electrons == 28
    bands = band_energies(h, data["kpts"])
    np.testing.assert_allclose(bands, data["bands"] * OPENMX_EV_PER_HARTREE, atol=1e-4)
    other = read_openmx_archive(path)
    np.testing.assert_allclose(bands, band_energies(other, data["kpts"]), atol=2e-5)
    # The spin-orbit splitting of the valence edge, 0.33 eV, needs the ↑↓ blocks.
    gamma = band_energies(h, [0, 0, 0])[0]
    assert gamma[27] - gamma[23] == pytest.approx(0.34, abs=0.03)
