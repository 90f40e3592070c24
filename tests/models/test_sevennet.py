"""SevenNet models of the wheel: conformance, precision, batching, trust."""

from __future__ import annotations

import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from elphant.crystal.io import from_ase, to_ase
from elphant.errors import ModelError
from elphant.models.potentials.conformance import (
    SINGLE_PRECISION,
    check_potential,
    inversion_violation,
)
from elphant.models.potentials.loading import PotentialSettings, load_potential
from elphant.models.potentials.protocol import Potential
from elphant.models.registry import add_model
from elphant.models.weights import weights_path
from elphant.store.atomic import sha256_of_file

pytest.importorskip("sevenn")
pytestmark = pytest.mark.sevennet

NAMES = ("sevennet-l3i5", "sevennet-0", "sevennet-0-22may2024", "sevennet-mf-0:PBE")


def salt():
    """Four-atom cell of three elements without symmetry beyond the lattice."""
    return from_ase(
        Atoms(
            "NaClKF",
            cell=[[4.1, 0.0, 0.0], [0.4, 4.9, 0.0], [0.0, 0.3, 5.2]],
            scaled_positions=[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            pbc=True,
        )
    )


def shaken(crystal, seed=0, size=0.05):
    generator = np.random.default_rng(seed)
    return crystal.displaced(size * generator.standard_normal((crystal.n_atoms, 3)))


@pytest.fixture(scope="module")
def potentials():
    loaded = {}

    def get(spec, **options):
        key = (spec, *options.items())
        if key not in loaded:
            loaded[key] = load_potential(PotentialSettings(spec=spec, device="cpu", **options))
        return loaded[key]

    yield get
    for potential in loaded.values():
        potential.close()


@pytest.mark.parametrize("name", NAMES)
def test_conforms_in_float64(potentials, name):
    potential = potentials(name)
    assert isinstance(potential, Potential)
    assert check_potential(potential, salt()) == []
    assert potential.card.dtype == "float64"
    assert len(potential.card.elements) == 89
    assert potential.card.receptive_field == 25.0


def test_conforms_in_float32(potentials):
    potential = potentials("sevennet-0", dtype="float32")
    assert check_potential(potential, salt(), SINGLE_PRECISION) == []
    assert potential.card.dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_models_own_calculator(potentials, name):
    """sevenn's calculator runs in float32; energies, forces and stress agree to its precision."""
    model, _, head = name.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sevenn.calculator import SevenNetCalculator

        own = SevenNetCalculator(str(weights_path(model).path), modal=head or None, device="cpu")
    crystal = shaken(salt())
    atoms = to_ase(crystal)
    atoms.calc = own
    ours = potentials(name).evaluate([crystal])[0]
    assert np.abs(ours.forces).max() > 0.1
    assert np.abs(ours.stress).max() > 1e-3
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=2e-5)
    np.testing.assert_allclose(ours.stress, atoms.get_stress(voigt=False), atol=1e-6)


def test_fast_convolution_equals_the_original_layer(potentials):
    """Same network with sevenn's own convolution, in float64: equal to rounding."""
    from sevenn.util import load_checkpoint

    potential = potentials("sevennet-l3i5")
    crystals = [shaken(salt(), seed) for seed in range(3)]
    ours = potential.evaluate(crystals)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = load_checkpoint(str(weights_path("sevennet-l3i5").path)).build_model()
    original = original.eval().to(torch.float64)
    # Coupling coefficients are float32 in the original; make both the same.
    for name, buffer in original.named_buffers():
        if "_w3j_" in name:
            from e3nn.o3 import wigner_3j

            degrees = [int(part) for part in name.rsplit("_w3j_", 1)[1].split("_")]
            buffer.copy_(wigner_3j(*degrees, dtype=torch.float64))
    fast = {}
    for name, module in list(original.named_children()):
        if type(module).__name__ == "IrrepsConvolution":
            fast[name] = potential._network._modules[name]
            potential._network.replace_module(name, module)
    try:
        theirs = potential.evaluate(crystals)
    finally:
        for name, module in fast.items():
            potential._network.replace_module(name, module)
    assert len(fast) == 5
    for one, other in zip(ours, theirs, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-11)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-11)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-12)


def test_effect_of_the_precision(potentials):
    """float32 changes forces by 1e-7 to 1e-4 eV/Å: too much for third-order differences."""
    crystal = shaken(salt())
    double = potentials("sevennet-0").evaluate([crystal])[0]
    single = potentials("sevennet-0", dtype="float32").evaluate([crystal])[0]
    difference = np.abs(double.forces - single.forces).max()
    assert 1e-8 < difference < 1e-4


def test_float64_resolves_tiny_displacements(potentials):
    """Forces are linear in a displacement of 1e-5 Å to seven digits, which float32 cannot give."""

    def nonlinearity(potential):
        crystal = shaken(salt())
        step = np.zeros((4, 3))
        step[0, 0] = 1e-5
        minus, zero, plus = (
            potential.evaluate([crystal.displaced(factor * step)])[0].forces
            for factor in (-1, 0, 1)
        )
        return np.abs(plus + minus - 2 * zero).max() / np.abs(plus - minus).max()

    assert nonlinearity(potentials("sevennet-0")) < 1e-4
    assert nonlinearity(potentials("sevennet-0", dtype="float32")) > 1e-3


def test_batches_respect_the_bound(potentials, monkeypatch):
    potential = potentials("sevennet-0", max_batch_atoms=8)
    sizes = []
    original = type(potential)._evaluate_batch

    def counted(self, batch):
        sizes.append(sum(crystal.n_atoms for crystal, _ in batch))
        return original(self, batch)

    monkeypatch.setattr(type(potential), "_evaluate_batch", counted)
    crystals = [shaken(salt(), seed) for seed in range(5)]
    batched = potential.evaluate(crystals)
    assert sizes == [8, 8, 4]
    single = [potential.evaluate([crystal])[0] for crystal in crystals]
    for one, other in zip(batched, single, strict=True):
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)


def test_crystals_of_different_size_in_one_batch(potentials):
    potential = potentials("sevennet-0")
    silicon, salt_cell = from_ase(bulk("Si")), shaken(salt())
    mixed = potential.evaluate([silicon, salt_cell, silicon])
    alone = [potential.evaluate([c])[0] for c in (silicon, salt_cell, silicon)]
    for one, other in zip(mixed, alone, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-11)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-13)


def test_modality_is_required_and_changes_the_result(potentials):
    with pytest.raises(ModelError, match="several heads"):
        load_potential(PotentialSettings(spec="sevennet-mf-0", device="cpu"))
    with pytest.raises(ModelError, match="no head 'scan'"):
        load_potential(PotentialSettings(spec="sevennet-mf-0:scan", device="cpu"))
    pbe, r2scan = (potentials(f"sevennet-mf-0:{head}") for head in ("pbe", "r2scan"))
    assert (pbe.card.head, r2scan.card.head) == ("PBE", "R2SCAN")
    assert r2scan.card.level_of_theory.startswith("r2SCAN")
    crystal = shaken(salt())
    difference = pbe.evaluate([crystal])[0].energy - r2scan.evaluate([crystal])[0].energy
    assert abs(difference) > 0.1


def test_missing_parity_is_on_the_card(potentials):
    potential = potentials("sevennet-l3i5")
    assert inversion_violation(potential, salt()) > 1e-5
    assert "inversion" in potential.card.notes


def test_sparse_crystal_is_refused(potentials):
    lonely = from_ase(bulk("Ar", "sc", a=6.0))
    with pytest.raises(ModelError, match="no two atoms"):
        potentials("sevennet-0").evaluate([lonely])


def test_file_needs_trust(tmp_path, monkeypatch):
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))
    copy = tmp_path / "own.pth"
    shutil.copyfile(weights_path("sevennet-0").path, copy)
    with pytest.raises(ModelError, match="not declared trusted"):
        load_potential(PotentialSettings(spec=str(copy), device="cpu"))
    trusted = load_potential(PotentialSettings(spec=str(copy), device="cpu", trust=True))
    assert trusted.card.sha256 == sha256_of_file(copy)
    add_model("own", copy, level_of_theory="PBE, own")
    named = load_potential(PotentialSettings(spec="own", device="cpu"))
    assert named.card.level_of_theory == "PBE, own"
    crystal = shaken(salt())
    one, other = (p.evaluate([crystal])[0] for p in (trusted, named))
    np.testing.assert_array_equal(one.forces, other.forces)
    with copy.open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(ModelError, match="has changed"):
        load_potential(PotentialSettings(spec="own", device="cpu"))


class Payload:
    """A pickle that would leave a trace when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_untrusted_pickle_is_never_opened(tmp_path):
    trace = tmp_path / "trace"
    bad = tmp_path / "bad.pth"
    bad.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(ModelError, match="not declared trusted"):
        load_potential(PotentialSettings(spec=str(bad), device="cpu"))
    assert not trace.exists()


def test_foreign_file_is_reported(tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="cannot be loaded as a SevenNet checkpoint"):
        load_potential(PotentialSettings(spec=str(bad), device="cpu", trust=True))


def test_no_global_state_is_changed(recwarn, capsys):
    import torch

    def state():
        return (
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.random.get_rng_state().sum().item(),
        )

    torch.manual_seed(0)
    before = state()[:-1]
    potential = load_potential(PotentialSettings(spec="sevennet-0", device="cpu"))
    potential.evaluate([salt()])
    potential.close()
    potential.close()
    with pytest.raises(ModelError, match="was closed"):
        potential.evaluate([salt()])
    assert state()[:-1] == before
    assert not [str(w.message) for w in recwarn], "third-party warnings must be captured"
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


@pytest.mark.gpu
def test_cuda_agrees_with_cpu(potentials):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    crystals = [shaken(salt(), seed) for seed in range(3)]
    cuda = load_potential(PotentialSettings(spec="sevennet-l3i5", device="cuda"))
    ours = potentials("sevennet-l3i5").evaluate(crystals)
    for one, other in zip(ours, cuda.evaluate(crystals), strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-9)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-9)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-10)
