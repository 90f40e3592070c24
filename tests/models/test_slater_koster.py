"""The two-centre provider: exact derivatives, covariance, and its parameter files."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from elphant.crystal import Crystal
from elphant.errors import ElphantError, ModelError
from elphant.models.hamiltonians.protocol import DifferentiableOverlap
from elphant.models.hamiltonians.slater_koster import PARAMETER_SETS, SlaterKosterProvider
from elphant.models.hamiltonians.slater_koster.parameters import (
    parameters_from_dict,
    read_parameters,
    smooth_cutoff,
)
from elphant.models.hamiltonians.slater_koster.two_centre import two_centre_blocks
from elphant.orbitals import band_energies
from elphant.orbitals.harmonics import rotation_matrix
from elphant.orbitals.validation import validate

L = {"s": 0, "p": 1, "d": 2}


def _record():
    """Return a set of two elements with s, p and d, made of random numbers of usual sizes."""
    rng = np.random.default_rng(11)
    shells = {"Ga": ["s", "p", "d"], "As": ["p", "s"]}

    def integrals(first, second, size):
        table = {}
        for a in shells[first]:
            for b in shells[second]:
                for kind in ("sigma", "pi", "delta")[: min(L[a], L[b]) + 1]:
                    if first == second and (L[a], a) > (L[b], b):
                        continue
                    v, w = rng.normal(size=2) * size
                    table[f"{a} {b} {kind}"] = [v, w, 2.0 + rng.uniform()]
        return table

    return {
        "format": "elphant-slater-koster", "format_version": 1, "name": "toy", "origin": "random",
        "licence": "MIT", "orthogonal": False,
        "elements": {
            symbol: {"n_electrons": 3 if symbol == "Ga" else 5,
                     "shells": [{"name": s, "l": L[s], "energy": float(-5 + 3 * L[s])}
                                for s in names]}
            for symbol, names in shells.items()
        },
        "pairs": [
            {"elements": [a, b], "distance": 2.5, "onset": 2.8, "cutoff": 4.4,
             "hamiltonian": integrals(a, b, 1.5), "overlap": integrals(a, b, 0.02)}
            for a, b in (("Ga", "Ga"), ("Ga", "As"), ("As", "As"))
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def toy():
    return SlaterKosterProvider(parameters_from_dict(_record()))


@pytest.fixture(scope="module")
def crystal():
    return Crystal(
        lattice=np.array([[3.9, 0.3, 0.1], [-0.2, 4.1, 0.4], [0.2, -0.3, 3.7]]),
        fractional=np.array([[0.05, 0.1, -0.2], [1.45, 0.6, 0.4], [0.5, 0.05, 0.45]]),
        numbers=np.array([31, 33, 31]),
    )


K_POINTS = np.random.default_rng(5).uniform(-0.5, 0.5, (4, 3))


@pytest.mark.parametrize("l_bra", [0, 1, 2])
@pytest.mark.parametrize("l_ket", [0, 1, 2])
def test_blocks_are_diagonal_along_z_and_turn_with_the_bond(l_bra, l_ket):
    rng = np.random.default_rng(l_bra + 3 * l_ket)
    n_mu = min(l_bra, l_ket) + 1
    integrals = rng.normal(size=(1, n_mu))
    zero = np.zeros_like(integrals)
    along_z, _ = two_centre_blocks(l_bra, l_ket, integrals, zero, np.array([[0, 0, 2.3]]))
    expected = np.zeros((2 * l_bra + 1, 2 * l_ket + 1))
    for m in range(-n_mu + 1, n_mu):
        expected[l_bra + m, l_ket + m] = integrals[0, abs(m)]
    np.testing.assert_allclose(along_z[0], expected, atol=1e-13)
    vector = rng.normal(size=(1, 3))
    block, _ = two_centre_blocks(l_bra, l_ket, integrals, zero, vector)
    for R in (Rotation.random(random_state=3).as_matrix(), -np.eye(3)):
        turned, _ = two_centre_blocks(l_bra, l_ket, integrals, zero, vector @ R.T)
        expected = rotation_matrix(l_bra, R) @ block[0] @ rotation_matrix(l_ket, R).T
        np.testing.assert_allclose(turned[0], expected, atol=1e-13)


def test_the_textbook_formulas():
    """s-p, p-p and s-d of Slater and Koster's table I."""
    u = np.array([0.48, -0.6, 0.64])
    u /= np.linalg.norm(u)
    x, y, z = u
    sp, _ = two_centre_blocks(0, 1, np.array([[1.0]]), np.zeros((1, 1)), u[None])
    np.testing.assert_allclose(sp[0, 0], [y, z, x], atol=1e-13)
    pp, _ = two_centre_blocks(1, 1, np.array([[1.0, 0.3]]), np.zeros((1, 2)), u[None])
    assert pp[0, 2, 2] == pytest.approx(x * x + 0.3 * (1 - x * x), abs=1e-13)
    assert pp[0, 2, 0] == pytest.approx(x * y * (1 - 0.3), abs=1e-13)
    sd, _ = two_centre_blocks(0, 2, np.array([[1.0]]), np.zeros((1, 1)), u[None])
    expected = np.sqrt(3) * np.array([x * y, y * z, 0, x * z, (x * x - y * y) / 2])
    expected[2] = z * z - (x * x + y * y) / 2
    np.testing.assert_allclose(sd[0, 0], expected, atol=1e-13)


def test_the_cut_off_is_smooth_to_second_order():
    edges, h = np.array([3.0, 4.5]), 1e-4
    for side in (-h, 0.0, h):
        _, slope = smooth_cutoff(edges + side, 3.0, 4.5)
        assert np.abs(slope).max() < 1e-6
    r = np.linspace(2.9, 4.6, 30)
    numeric = (smooth_cutoff(r + 1e-6, 3.0, 4.5)[0] - smooth_cutoff(r - 1e-6, 3.0, 4.5)[0]) / 2e-6
    np.testing.assert_allclose(smooth_cutoff(r, 3.0, 4.5)[1], numeric, atol=1e-8)


def test_the_hamiltonian_passes_validation(toy, crystal):
    h = toy.predict(crystal)
    assert h.n_electrons == 11
    assert h.hamiltonian.hermitian_residual() < 1e-14
    assert h.overlap.hermitian_residual() < 1e-14
    validate(h)
    assert h.origin.details["test_double"]
    assert not h.origin.self_consistent
    assert isinstance(toy, DifferentiableOverlap)
    assert toy.capabilities.hamiltonian_derivatives
    assert not toy.capabilities.basis_functions
    assert "est double" in toy.card.notes


def _moved(crystal, atom, axis, step):
    shift = np.zeros((crystal.n_atoms, 3))
    shift[atom, axis] = step
    return crystal.displaced(shift)


@pytest.mark.parametrize("quantity", ["overlap", "hamiltonian"])
def test_derivatives_agree_with_central_differences(toy, crystal, quantity):
    derivative = getattr(toy, f"{quantity}_derivative")(crystal)
    reference = getattr(toy.predict(crystal), quantity)
    blocks = [
        tuple(np.concatenate(row)) for row in zip(reference.pairs, reference.cells, strict=True)
    ]
    step = 2e-4
    for atom in range(crystal.n_atoms):
        for axis in range(3):
            sides = []
            for sign in (2, 1, -1, -2):
                other = getattr(toy.predict(_moved(crystal, atom, axis, sign * step)), quantity)
                # Pairs that enter or leave at the cut-off vanish there to third order.
                keys = np.concatenate([other.pairs, other.cells], axis=1).tolist()
                there = {tuple(key): other.block(i) for i, key in enumerate(keys)}
                sides.append([there.get(key, 0.0) for key in blocks])
            for index, key in enumerate(blocks):
                i, j = key[:2]
                far, near, back, farback = (side[index] for side in sides)
                numeric = (8 * (near - back) - (far - farback)) / (12 * step)
                # The bra's derivative is stored; the ket's is its negative.
                own = derivative[axis].block(index)
                expected = own * (float(i == atom) - float(j == atom))
                np.testing.assert_allclose(numeric + 0 * own, expected, atol=1e-8)


@pytest.mark.parametrize("quantity", ["overlap", "hamiltonian"])
def test_moving_the_whole_crystal_changes_nothing(toy, crystal, quantity):
    x, y, z = getattr(toy, f"{quantity}_derivative")(crystal)
    for part in (x, y, z):
        own = (part.pairs[:, 0] == part.pairs[:, 1]) & ~part.cells.any(axis=1)
        for index in np.flatnonzero(own):
            assert not np.abs(part.block(index)).any()
        # <∂i|j R> and <∂j|i -R> belong to opposite bond vectors.
        assert part.with_values(part.values * 1j).hermitian_residual() < 1e-13
    shifted = crystal.replaced(fractional=crystal.fractional + np.array([0.123, -0.77, 0.3]))
    for name in ("hamiltonian", "overlap"):
        a, b = getattr(toy.predict(crystal), name), getattr(toy.predict(shifted), name)
        np.testing.assert_array_equal(a.cells, b.cells)
        np.testing.assert_allclose(a.values, b.values, atol=1e-13)


def test_energies_do_not_depend_on_the_frame(toy, crystal):
    energies = band_energies(toy.predict(crystal), K_POINTS)
    R = Rotation.random(random_state=1).as_matrix()
    for other in (R, -R):
        turned = crystal.replaced(lattice=crystal.lattice @ other.T)
        np.testing.assert_allclose(
            band_energies(toy.predict(turned), K_POINTS), energies, atol=1e-10
        )


def test_energies_do_not_depend_on_the_cell(toy, crystal):
    energies = band_energies(toy.predict(crystal), K_POINTS)
    M = np.array([[1, 1, 0], [0, 1, 0], [0, -2, 1]])
    other = crystal.replaced(
        lattice=M @ crystal.lattice, fractional=crystal.fractional @ np.linalg.inv(M)
    )
    jumps = np.array([[0, 0, 0], [3, 0, 0], [0, -1, 2]])
    moved = other.replaced(fractional=other.fractional + jumps)
    for version in (other, moved):
        k = K_POINTS @ M.T
        np.testing.assert_allclose(band_energies(toy.predict(version), k), energies, atol=1e-10)


def test_a_supercell_has_the_folded_bands(toy, crystal):
    lattice = crystal.lattice.copy()
    lattice[0] *= 2
    fractional = np.concatenate([crystal.fractional, crystal.fractional + np.eye(3)[0]])
    double = Crystal(
        lattice=lattice, fractional=fractional / [2, 1, 1], numbers=np.tile(crystal.numbers, 2)
    )
    k = K_POINTS[:1]
    folded = np.concatenate(
        [band_energies(toy.predict(crystal), (k + s * np.eye(3)[0]) / [2, 1, 1]) for s in (0, 1)],
        axis=1,
    )
    np.testing.assert_allclose(
        band_energies(toy.predict(double), k)[0], np.sort(folded[0]), atol=1e-10
    )


def test_atoms_that_are_not_there_are_refused(toy):
    salt = Crystal(
        lattice=4 * np.eye(3), fractional=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
        numbers=np.array([31, 8]),
    )  # fmt: skip
    with pytest.raises(ModelError, match="does not know O"):
        toy.predict(salt)
    close = Crystal(
        lattice=4 * np.eye(3), fractional=np.array([[0, 0, 0], [0.01, 0, 0]]),
        numbers=np.array([31, 31]),
    )  # fmt: skip
    with pytest.raises(ModelError, match="apart"):
        toy.predict(close)


def test_an_orthogonal_set_has_no_overlap(crystal):
    record = _record()
    record["orthogonal"] = True
    for pair in record["pairs"]:
        del pair["overlap"]
    provider = SlaterKosterProvider(parameters_from_dict(record))
    assert provider.predict(crystal).overlap is None
    assert all(not part.values.any() for part in provider.overlap_derivative(crystal))


def _silicon(a=5.468):
    return Crystal(
        lattice=a / 2 * (np.ones((3, 3)) - np.eye(3)),
        fractional=np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]),
        numbers=np.array([14, 14]),
    )


def test_the_silicon_set_is_a_semiconductor_with_the_right_edges():
    provider = SlaterKosterProvider("Si")
    h = provider.predict(_silicon())
    flags = {flag.name: flag for flag in validate(h, require_gap=True)}
    assert flags["overlap_positive"].value > 0.1
    gamma, x, l_point = band_energies(h, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])
    top = gamma[3]
    np.testing.assert_allclose(gamma[1:4], top, atol=1e-9)
    # PBE silicon: Γ1 -12.0, X4 -2.9, L3' -1.2, X1c +0.7, Γ15 +2.6 eV.
    assert gamma[0] - top == pytest.approx(-11.9, abs=0.5)
    assert x[3] - top == pytest.approx(-2.8, abs=0.3)
    assert l_point[3] - top == pytest.approx(-1.2, abs=0.3)
    assert x[4] - top == pytest.approx(0.7, abs=0.4)
    assert gamma[4] - top == pytest.approx(2.5, abs=0.4)
    path = band_energies(h, np.linspace(0, 1, 41)[:, None] * [[0.5, 0.5, 0]])
    assert path[:, 4].min() - path[:, 3].max() == pytest.approx(0.65, abs=0.15)


@pytest.mark.parametrize("name", sorted(PARAMETER_SETS))
def test_shipped_sets_say_where_they_come_from(name):
    parameters = read_parameters(name)
    assert parameters.licence == "MIT"
    assert "fitted" in parameters.origin
    assert len(parameters.sha256) == 64


def _broken():
    yield "format", "its 'format'", lambda r: r.update(format="other")
    yield "version", "version", lambda r: r.update(format_version=9)
    yield "no pairs", "has no integrals", lambda r: r["pairs"].pop()
    yield "no elements", "elements", lambda r: r.pop("elements")
    yield "element", ".", lambda r: r["elements"].update(Xx=r["elements"]["Ga"])
    yield "number", ".", lambda r: r["pairs"][0]["hamiltonian"].update({"s s sigma": [1, "a", 2]})
    yield "short", "shape", lambda r: r["pairs"][0]["hamiltonian"].update({"s s sigma": [1]})
    yield "missing", "missing", lambda r: r["pairs"][1]["overlap"].pop("p p pi")
    yield "surplus", "belongs to no", lambda r: r["pairs"][0]["overlap"].update({"f s": [1, 2, 3]})
    yield "cut-off", "onset", lambda r: r["pairs"][0].update(onset=9)
    yield "f shell", "l from 0 to 2", lambda r: r["elements"]["Ga"]["shells"][0].update(l=3)
    yield (
        "infinite",
        ".",
        lambda r: r["pairs"][0]["hamiltonian"].update({"s s sigma": [1, 1e999, 2]}),
    )


@pytest.mark.parametrize(
    ("message", "change"), [c[1:] for c in _broken()], ids=[c[0] for c in _broken()]
)
def test_bad_parameter_files_are_refused(tmp_path, message, change):
    record = copy.deepcopy(_record())
    change(record)
    path = tmp_path / "set.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ModelError, match=message):
        read_parameters(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null", b'{"format": 3}'])
def test_bad_json_is_refused(tmp_path, content):
    path = tmp_path / "set.json"
    path.write_bytes(content)
    with pytest.raises(ElphantError):
        read_parameters(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_parameters(tmp_path / "no.json")
