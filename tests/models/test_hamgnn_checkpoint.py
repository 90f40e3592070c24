"""Reading Uni-HamGNN checkpoints: every number is found, nothing is imported or executed."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import pickle
import runpy
import subprocess
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hamgnn_checkpoint_files import (
    GLOBALS,
    Calls,
    PredictorFile,
    calls_by_name,
    kept,
    tensor_names,
)

from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn import checkpoint as module
from elphant.models.hamiltonians.hamgnn.checkpoint import Release, read_checkpoint
from elphant.models.hamiltonians.hamgnn.checkpoint_files import (
    CONFIG_FILE,
    load_checkpoint,
    weights_file,
    write_checkpoint,
)
from elphant.models.hamiltonians.hamgnn.checkpoint_settings import plain
from elphant.models.hamiltonians.hamgnn.network import HamGNNNetwork
from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings
from elphant.models.hamiltonians.importers.restricted_pickle import record_class


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], values, err_msg=name)


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["hamgnn", "HamGNN_v_2_1", "HamGNN_v_2_0"])
def test_every_tensor_is_read(tmp_path, prefix):
    made = PredictorFile(prefix)
    found = read_checkpoint(made.write(tmp_path / "p.pkl"))
    for tag, state in found.networks.items():
        assert_same(state.tensors, kept(made.tensors[tag], tag))
        kinds = tensor_names(tag).values()
        assert state.n_parameters == sum(np.prod(s) for s, kind in kinds if kind == "parameter")
    assert list(found.networks) == ["nonsoc", "soc"]
    assert found.notes == ()
    assert not found.source.known
    assert found.source.licence == "not stated"
    assert found.source.sha256 == hashlib.sha256((tmp_path / "p.pkl").read_bytes()).hexdigest()
    assert found.source.size == (tmp_path / "p.pkl").stat().st_size


def test_hyper_parameters_come_from_the_file(tmp_path):
    made = PredictorFile()
    found = read_checkpoint(made.write(tmp_path / "p.pkl"))
    for tag, state in found.networks.items():
        settings, output = state.config["representation"], state.config["output"]
        assert settings["irreps_node_features"] == "2x0e+1x1o"
        assert (settings["cutoff"], settings["num_layers"]) == (6.0, 2)
        assert settings["radial_MLP"] == [3, 3]
        assert settings["legacy_edge_update"] is True
        assert settings["use_corr_prod"] is False
        assert output["nao_max"] == settings["nao_max"] == 13
        assert settings["radius_type"] == "openmx"
        assert output["soc_switch"] is output["add_H_nonsoc"] is (tag == "soc")
        assert output["zero_point_shift"] is False
        assert output["soc_basis"] == "so3"
    # The whole training configuration is kept, as JSON can hold it.
    assert found.training["nonsoc"]["optim_params"] == {"lr": 0.001, "max_epochs": "inf"}
    json.dumps(found.training, allow_nan=False)


def test_nothing_of_the_file_is_imported(tmp_path):
    made = PredictorFile("HamGNN_v_2_1")
    path = made.write(tmp_path / "p.pkl")
    code = (
        "import sys\n"
        "from elphant.models.hamiltonians.hamgnn.checkpoint import read_checkpoint\n"
        "before = set(sys.modules)\n"
        f"read_checkpoint({str(path)!r})\n"
        "print(*sorted(set(sys.modules) - before))\n"
        "print([m for m in ('torch', 'e3nn', 'HamGNN_v_2_1', 'easydict') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    imported, forbidden = done.stdout.splitlines()
    assert forbidden == "[]"
    assert set(imported.split()) <= {"zipfile._path", "zipfile._path.glob"}


def test_every_known_global_has_a_stand_in():
    for item in GLOBALS:
        path, name = item.split(":")
        assert (path, name) in module._FUNCTIONS or module._is_record(path, name), item


@pytest.mark.shared
def test_list_of_globals_is_complete(shared_data):
    record = json.loads((shared_data / "hamiltonian/predictor_pickle_layout.json").read_text())
    assert {f"{item['module']}:{item['name']}" for item in record["globals"]} == set(GLOBALS)


def test_other_pickle_protocols(tmp_path):
    made = PredictorFile()
    for protocol in (3, 5):
        path = tmp_path / f"{protocol}.pkl"
        path.write_bytes(made.content(protocol))
        assert_same(read_checkpoint(path).nonsoc.tensors, kept(made.tensors["nonsoc"]))


def test_zip_archive(tmp_path):
    made = PredictorFile()
    content = made.content()
    path = tmp_path / "uni.pkl.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/uni.pkl", content)
        archive.writestr("__MACOSX/folder/._uni.pkl", b"x")
    found = read_checkpoint(path)
    assert found.source.file == "uni.pkl"
    assert found.source.sha256 == hashlib.sha256(content).hexdigest()
    assert found.source.size == len(content)
    assert_same(found.nonsoc.tensors, kept(made.tensors["nonsoc"]))


def test_file_without_spin_orbit_network(tmp_path):
    found = read_checkpoint(PredictorFile(soc=False).write(tmp_path / "p.pkl"))
    assert found.soc is None
    assert list(found.networks) == ["nonsoc"]
    assert list(found.training) == ["nonsoc"]


def test_published_file_is_recognised(tmp_path, monkeypatch):
    made = PredictorFile()
    made.predictor.extra = made.fake["some_package.of_the_authors:Settings"]()
    path = made.write(tmp_path / "p.pkl")
    with pytest.raises(ModelError, match=r"some_package\.of_the_authors\.Settings"):
        read_checkpoint(path)
    release = Release(file="u.pkl", size=1, title="Uni 9", origin="there", licence="CC BY 4.0")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "RELEASES", {digest: release})
    found = read_checkpoint(path)  # unknown names of a published file become records too
    assert found.source.known
    assert found.source.licence == "CC BY 4.0"
    assert found.source.title == "Uni 9"


def test_the_published_release_is_pinned():
    (digest, release), = module.RELEASES.items()  # fmt: skip
    assert len(digest) == 64
    assert (release.file, release.size) == ("uni-hamgnn_2_1.pkl", 927_026_099)
    assert release.licence == "CC BY 4.0"


@pytest.mark.shared
def test_reference_networks_survive_the_way_through_a_pickle(shared_data, tmp_path):
    """From a predictor with every upstream name to a network that takes exactly those weights."""
    with np.load(shared_data / "hamiltonian/net_gaas_L2.npz") as stored:
        record = json.loads(str(stored["config_json"]))
        networks = {}
        for tag in ("nonsoc", "soc"):
            networks[tag] = {
                # Compiled layers, with their Wigner symbols, are not in a pickle.
                name: stored[f"w/{tag}/{name}"]
                if f"w/{tag}/{name}" in stored
                else np.ones(shape, np.float32)
                for name, shape in record[f"state_dict_{tag}"].items()
                if "_compiled_main" not in name
            }
            for name, values in networks[tag].items():
                if name.endswith("freqs"):
                    values[:] = np.arange(1, len(values) + 1) * np.pi / 26.0
                elif name.endswith("cutoff"):
                    values[...] = 26.0
    made = PredictorFile(
        networks=networks, representation=record["representation"], output=record["output"]
    )
    write_checkpoint(read_checkpoint(made.write(tmp_path / "p.pkl")), tmp_path)
    found = load_checkpoint(tmp_path)
    assert found.notes == ()
    for tag, state in found.networks.items():
        expected = {
            name: values
            for name, values in networks[tag].items()
            if values.size and not name.endswith("output_mask")
        }
        assert_same(state.tensors, expected)
        settings = NetworkSettings.from_config(state.config)
        assert settings.spin_orbit is (tag == "soc")
        HamGNNNetwork.from_state(settings, state.tensors)


def test_settings_of_the_modules_stand_with_a_note(tmp_path):
    made = PredictorFile()
    representation = made.part("soc", "representation")
    representation.legacy_edge_update = False
    representation.radial_MLP = [8, 8]
    made.part("nonsoc", "representation").__dict__.pop("legacy_edge_update")
    made.set_config("nonsoc", ("representation_nets", "HamGNN_pre"), "cutoff_func", None)
    found = read_checkpoint(made.write(tmp_path / "p.pkl"))
    assert found.soc.config["representation"]["legacy_edge_update"] is False
    assert found.soc.config["representation"]["radial_MLP"] == [8, 8]
    assert found.nonsoc.config["representation"]["legacy_edge_update"] is True
    assert found.nonsoc.config["representation"]["cutoff_func"] == "cos"
    text = "\n".join(found.notes)
    assert (
        "soc representation: radial_MLP is [8, 8] in the network itself instead of [3, 3]" in text
    )
    assert "nonsoc representation: legacy_edge_update is not recorded" in text
    assert len(found.notes) == 3


# Files that do not fit ----------------------------------------------------------------------------


def refuse(path, *words):
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert caught.value.fix, "the error says what to do"
    return text


def _other_class(made):
    other = made.module("hamgnn.models.transformer:HamGNNTransformer")
    other.__dict__.update(made.part("nonsoc", "representation").__dict__)
    made.part("nonsoc")._modules["representation"] = other


def _endless(made):
    part = made.part("nonsoc", "output_module")
    part._modules["again"] = part


def _doubling(made):
    item = made.module("e3nn.o3._linear:Linear")
    for _ in range(40):
        outer = made.module("e3nn.o3._linear:Linear")
        outer._modules.update(a=item, b=item)
        item = outer
    made.part("nonsoc", "output_module")._modules["x"] = item


def _doubling_config(made):
    item = {"a": 1}
    for _ in range(25):
        item = {"a": item, "b": item}
    made.predictor.config_nonsoc["x"] = item


MISFITS = {
    "layers": (
        lambda m: m.part("nonsoc", "representation", "convolutions")._modules.pop("1"),
        ["nonsoc network has 1 convolutions", "2 layers"],
    ),
    "class": (_other_class, ["HamGNNTransformer", "not HamGNNConvE3"]),
    "head": (
        lambda m: m.part("soc", "output_module")._modules.pop("onsite_ksi_network"),
        ["soc network has no onsite ksi head"],
    ),
    "nan": (
        lambda m: m.part("nonsoc", "representation", "pair_embedding", "linear_up_src")
        ._parameters["weight"].data.fill_(float("nan")),
        ["pair_embedding.linear_up_src.weight", "not finite"],
    ),
    "no tensor": (
        lambda m: m.part("nonsoc", "representation")._parameters.update(a=[1.0]),
        ["representation.a is list, not a tensor"],
    ),
    "no module": (
        lambda m: m.part("nonsoc", "representation")._modules.update(a=3),
        ["module representation.a is int"],
    ),
    "frequencies": (
        lambda m: m.part("nonsoc", "representation", "radial_basis_functions")
        ._buffers["freqs"].mul_(2),
        ["do not belong to a cutoff of 6.0 bohr"],
    ),
    "radial functions": (
        lambda m: m.part("nonsoc", "representation")._modules.update(
            radial_basis_functions=m.module("hamgnn.utils.basis_functions:GaussianSmearing")
        ),
        ["rbf_func is GaussianSmearing"],
    ),
    "correlation": (
        lambda m: setattr(m.part("nonsoc", "representation"), "use_corr_prod", True),
        ["correlation products"],
    ),
    "no setting": (
        lambda m: m.set_config("nonsoc", ("output_nets",), "HamGNN_out", None),
        ["'HamGNN_out' is missing"],
    ),
    "no number": (
        lambda m: (
            m.set_config("nonsoc", ("representation_nets", "HamGNN_pre"), "num_radial", None),
            m.part("nonsoc", "representation").__dict__.pop("num_radial"),
        ),
        ["nonsoc configuration has no num_radial"],
    ),
    "no output": (
        lambda m: m.part("nonsoc")._modules.pop("output_module"), ["'output_module' is missing"]
    ),
    "no network": (
        lambda m: setattr(m.predictor, "non_soc_model", 3), ["non_soc_model is int"]
    ),
    "endless": (_endless, ["nested without end"]),
    "doubling": (_doubling, ["nested without end"]),
    "doubling configuration": (_doubling_config, ["nested without end"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_structure_that_does_not_fit(tmp_path, name):
    change, words = MISFITS[name]
    made = PredictorFile()
    change(made)
    refuse(made.write(tmp_path / "p.pkl"), *words, "zenodo.org/records/17239078")


def test_other_files(tmp_path):
    refuse(tmp_path / "no.pkl", "does not exist", "elphant models add uni-hamgnn")
    refuse(tmp_path, "is a folder")
    path = tmp_path / "x.pkl"
    for content, words in (
        (b"", ["not a pickle", "is empty"]),
        (b"<!DOCTYPE html><html>", ["not a pickle", "web page"]),
        (b"version https://git-lfs", ["not a pickle", "begins with b'version http"]),
        (b"(dp0\nS'a'\n.", ["not a pickle"]),
        (pickle.dumps({"a": 1}), ["pickle of something else: dict"]),
        (pickle.dumps(OrderedDict(a=torch.ones(2))), ["something else: OrderedDict"]),
        (pickle.dumps([1.0]), ["something else: list"]),
        (pickle.dumps(torch.nn.Linear(2, 2)), ["something else: torch.nn.modules.linear.Linear"]),
        (b"\x80\x04\xff\xff.", ["is damaged"]),
    ):
        path.write_bytes(content)
        refuse(path, *words)
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    refuse(path, "something else: a file of torch.save")
    torch.save({"state_dict": {"a": torch.ones(2)}}, path)
    refuse(path, "file of torch.save", "universal_Hamiltonian.ckpt")


def test_size_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 100)
    refuse(PredictorFile().write(tmp_path / "p.pkl"), "No network file is larger than 100")


def test_truncated_files(tmp_path):
    content = PredictorFile().content()
    path = tmp_path / "p.pkl"
    for n in [3, *np.linspace(20, len(content) - 1, 25).astype(int)]:
        path.write_bytes(content[:n])
        refuse(path, "is cut short", f"It has {n:,} bytes; uni-hamgnn_2_1.pkl has 927,026,099")


def test_archives_that_do_not_fit(tmp_path):
    path = tmp_path / "x.zip"
    for names, words in (
        ([], ["0 .pkl files", "it is empty"]),
        (["readme.md"], ["0 .pkl files", "readme.md"]),
        (["a.pkl", "b/b.pkl"], ["2 .pkl files", "a.pkl, b.pkl"]),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")
        refuse(path, *words)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p.pkl", PredictorFile().content())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refuse(path, "cannot be read", "BadZipFile")
    spoiled = bytearray(whole)
    spoiled[3000:3100] = bytes(100)
    path.write_bytes(spoiled)
    refuse(path)


# Files that want to run code ----------------------------------------------------------------------

COMMAND = "echo ran > marker"
CODE = "open('marker', 'w').write('ran')"


def _in_attribute(item):
    made = PredictorFile()
    made.predictor.extra = item
    return made.content()


def _in_storage():
    inner = pickle.dumps(Calls(os.system, COMMAND), protocol=2)
    return pickle.dumps(Calls(torch.storage._load_from_bytes, inner))


def _changes_the_reader():
    # c torch._utils _rebuild_tensor_v2, then BUILD with a state for the function itself
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."


MALICIOUS = {
    "os.system": lambda: pickle.dumps(Calls(os.system, COMMAND)),
    "os.system, protocol 2": lambda: pickle.dumps(Calls(os.system, COMMAND), protocol=2),
    "builtins.eval": lambda: pickle.dumps(Calls(builtins.eval, CODE)),
    "builtins.exec": lambda: pickle.dumps(Calls(builtins.exec, CODE)),
    "__import__": lambda: pickle.dumps(Calls(builtins.__import__, "this")),
    "open": lambda: pickle.dumps(Calls(builtins.open, "marker", "w")),
    "map": lambda: pickle.dumps(Calls(builtins.map, str, ["a"])),
    "subprocess": lambda: pickle.dumps(Calls(subprocess.Popen, COMMAND, -1, None)),
    "runpy": lambda: pickle.dumps(Calls(runpy.run_path, "x.py")),
    "in an attribute": lambda: _in_attribute(Calls(os.system, COMMAND)),
    "in a configuration": lambda: _in_attribute({"a": [Calls(exec, CODE)]}),
    "inside a tensor": _in_storage,
    "getattr of a class": lambda: _in_attribute(Calls(getattr, OrderedDict, "fromkeys")),
    "getattr of getattr": lambda: _in_attribute(
        Calls(getattr, Calls(getattr, torch._C._VariableFunctionsClass, "tanh"), "system")
    ),
    "getattr of a private name": lambda: _in_attribute(
        Calls(getattr, torch._C._VariableFunctionsClass, "__subclasses__")
    ),
    "getattr with a default": lambda: _in_attribute(
        Calls(getattr, torch._C._VariableFunctionsClass, "tanh", "x")
    ),
    "getattr of a network": lambda: _in_attribute(
        Calls(getattr, torch.nn.functional.silu, "system")
    ),
    "torch.load": lambda: _in_attribute(Calls(torch.load, "x")),
    "torch.hub": lambda: _in_attribute(Calls(torch.hub.load, "x", "y")),
    "numpy.load": lambda: _in_attribute(Calls(np.load, "x")),
    "through another package": lambda: calls_by_name("e3nn.util", "os.system", COMMAND),
    "through torch": lambda: calls_by_name("torch", "os", COMMAND),
    "posix": lambda: calls_by_name("posix", "system", COMMAND),
    "elphant itself": lambda: calls_by_name("elphant.store.atomic", "write_text", "marker", "x"),
    "persistent object": lambda: b"\x80\x02X\x01\x00\x00\x00aQ.",
    "old kind of instance": lambda: b"\x80\x02(X\x04\x00\x00\x00echoios\nsystem\n.",
    "changes the reader": _changes_the_reader,
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_is_executed(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "p.pkl"
    path.write_bytes(MALICIOUS[name]())
    text = refuse(path, "was not read: it asks Python to call", "executes nothing")
    assert "Do not open this file" in text
    assert not (tmp_path / "marker").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["p.pkl"]


def test_nothing_is_executed_of_a_published_file_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "p.pkl"
    path.write_bytes(_in_attribute([Calls(os.system, COMMAND), Calls(exec, CODE)]))
    release = Release(file="u.pkl", size=1, title="t", origin="o", licence="l")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "RELEASES", {digest: release})
    read_checkpoint(path)
    assert not (tmp_path / "marker").exists()


def test_tensors_stay_inside_their_storage(tmp_path):
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.arange(4.0).untyped_storage(), dtype=torch.float32, _internal=True
    )
    rebuild = torch._utils._rebuild_tensor_v2
    path = tmp_path / "p.pkl"
    for offset, size, stride in (
        (0, (5,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,)),
        (0, (10**12,), (0,)),
    ):  # fmt: skip
        call = Calls(rebuild, storage, offset, size, stride, False, OrderedDict())
        path.write_bytes(_in_attribute(call))
        refuse(path, "damaged")


def test_plain_data_only():
    record = record_class("somewhere", "Thing")(1)
    assert plain({"a": (1, record), 2: np.arange(2)}) == {
        "a": [1, {"object": "somewhere.Thing"}],
        "2": [0, 1],
    }
    filled = record_class("somewhere", "List")()
    filled.append(1)
    filled.extend([2.5, None])
    assert plain(filled) == [1, 2.5, None]
    assert plain(np.zeros(2000)) == "array of shape (2000,)"


# Files of elphant ---------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    found = read_checkpoint(PredictorFile().write(tmp_path / "p.pkl"))
    config = write_checkpoint(found, tmp_path / "kept")
    again = load_checkpoint(tmp_path / "kept")
    for tag, state in found.networks.items():
        assert_same(again.networks[tag].tensors, state.tensors)
        assert again.networks[tag].config == state.config
        assert again.networks[tag].n_parameters == state.n_parameters
    assert again.source == found.source
    assert again.training == found.training
    assert again.notes == found.notes
    record = json.loads(config.read_text())
    assert record["source"]["sha256"] == found.source.sha256
    assert sorted(p.name for p in config.parent.iterdir()) == [
        "config.json", "nonsoc.safetensors", "soc.safetensors",
    ]  # fmt: skip


def test_weights_can_be_read_by_other_programs(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    found = read_checkpoint(PredictorFile().write(tmp_path / "p.pkl"))
    write_checkpoint(found, tmp_path)
    with safetensors.safe_open(tmp_path / "soc.safetensors", "pt") as stored:
        labels = stored.metadata()
        assert labels["network"] == "soc"
        assert labels["source_sha256"] == found.source.sha256
        assert labels["licence"] == "not stated"
        assert set(stored.keys()) == set(found.soc.tensors)


def test_old_spin_orbit_network_is_removed(tmp_path):
    write_checkpoint(read_checkpoint(PredictorFile().write(tmp_path / "p.pkl")), tmp_path / "k")
    single = PredictorFile(soc=False).write(tmp_path / "q.pkl")
    write_checkpoint(read_checkpoint(single), tmp_path / "k")
    assert load_checkpoint(tmp_path / "k").soc is None
    assert not (tmp_path / "k/soc.safetensors").exists()


def test_damaged_files_of_elphant(tmp_path):
    found = read_checkpoint(PredictorFile().write(tmp_path / "p.pkl"))
    folder = tmp_path / "kept"

    def spoil(change, match):
        write_checkpoint(found, folder)
        change()
        with pytest.raises(ModelError, match=match) as caught:
            load_checkpoint(folder)
        assert "models add uni-hamgnn" in str(caught.value)

    config, weights = folder / CONFIG_FILE, folder / weights_file("soc")
    spoil(lambda: weights.write_bytes(weights.read_bytes()[:-1] + b"!"), "has changed")
    spoil(weights.unlink, "cannot be read")
    spoil(config.unlink, "does not exist")
    spoil(lambda: config.write_text("{"), "damaged")
    spoil(lambda: config.write_text("[]"), "not a network configuration")
    spoil(
        lambda: config.write_text('{"format": "other", "schema_version": "1.0"}'), "not a network"
    )

    def edit(**changes):
        config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))

    spoil(lambda: edit(schema_version="2.0"), "format version 2.0")
    spoil(lambda: edit(source={"a": 1}), "damaged")
    spoil(lambda: edit(networks={}), "damaged")

    def not_safetensors():
        weights.write_bytes(b"x" * 100)
        record = json.loads(config.read_text())
        record["networks"]["soc"]["sha256"] = hashlib.sha256(b"x" * 100).hexdigest()
        config.write_text(json.dumps(record))

    spoil(not_safetensors, "cannot be read")
