"""Small checkpoints laid out like those of Uni-HamGNN, and pickles that want to run code.

The class paths and attribute names are facts about the published file format, taken from
``predictor_pickle_layout.json`` (names only: HamGNN 2.1 with torch 2.13, e3nn 0.5.0 and
pytorch_lightning 2.6.6). The classes made here are empty and exist only while something is pickled.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch

import __main__

#: Every global that a pickled predictor refers to.
_GLOBALS = """\
__main__:HamiltonianPredictor easydict:EasyDict hamgnn.models.Model:Model collections:OrderedDict
hamgnn.models.hamgnn_conv:HamGNNConvE3 hamgnn.utils.basis_functions:BesselBasis
torch._utils:_rebuild_tensor_v2 torch.storage:_load_from_bytes
hamgnn.toolbox.nequip.nn.embedding._one_hot:OneHotAtomEncoding e3nn.o3._irreps:Irreps
e3nn.o3._irreps:_MulIr e3nn.o3._irreps:Irrep
hamgnn.toolbox.nequip.nn.embedding._edge:SphericalHarmonicEdgeAttrs
e3nn.o3._spherical_harmonics:SphericalHarmonics hamgnn.utils.cutoff_functions:CosineCutoff
hamgnn.nn.embeddings:RadialBasisEdgeEncoding hamgnn.nn.embeddings:PairInteractionEmbeddingBlock
e3nn.o3._linear:Linear torch._utils:_rebuild_parameter e3nn.o3._linear:Instruction
hamgnn.nn.tensor_products:TensorProductWithMemoryOptimizationWithWeight
e3nn.o3._tensor_product._tensor_product:TensorProduct
e3nn.o3._tensor_product._instruction:Instruction hamgnn.nn.tensor_products:LinearScaleWithWeights
e3nn.nn._fc:FullyConnectedNet e3nn.nn._fc:_Layer e3nn.math._normalize_activation:normalize2mom
torch.nn.functional:silu hamgnn.toolbox.nequip.nn._atomwise:AtomwiseLinear
torch.nn.modules.container:ModuleList hamgnn.nn.convolution:ConvBlockE3
hamgnn.nn.interaction_blocks:ResidualBlock e3nn.nn._gate:Gate e3nn.nn._gate:_Sortcut
e3nn.nn._extract:Extract e3nn.nn._activation:Activation
hamgnn.toolbox.nequip.nn.nonlinearities:ShiftedSoftPlus builtins:getattr
torch._C:_VariableFunctionsClass e3nn.o3._tensor_product._sub:ElementwiseTensorProduct
hamgnn.nn.message_passing:MessagePackBlock hamgnn.nn.attention_utils:AttentionHeadsToVector
hamgnn.nn.interaction_blocks:PairInteractionBlock hamgnn.models.hamgnn_output:HamGNNPlusPlusOut
hamgnn.physics.Clebsch_Gordan_coefficients:ClebschGordanCoefficients
hamgnn.models.hamgnn_output:HamLayer torch:float32 torch:device
"""
GLOBALS = tuple(_GLOBALS.split())

#: Class of a module by the last words of its name.
CLASS_OF_MODULE = {
    "representation": "hamgnn.models.hamgnn_conv:HamGNNConvE3",
    "output_module": "hamgnn.models.hamgnn_output:HamGNNPlusPlusOut",
    "radial_basis_functions": "hamgnn.utils.basis_functions:BesselBasis",
    "cutoff_func": "hamgnn.utils.cutoff_functions:CosineCutoff",
    "pair_embedding": "hamgnn.nn.embeddings:PairInteractionEmbeddingBlock",
    "chemical_embedding": "hamgnn.toolbox.nequip.nn._atomwise:AtomwiseLinear",
    "conv_tp": "hamgnn.nn.message_passing:MessagePackBlock",
    "residual": "hamgnn.nn.interaction_blocks:ResidualBlock",
    "node_tensor_product": "e3nn.o3._tensor_product._tensor_product:TensorProduct",
    "cg_calculator": "hamgnn.physics.Clebsch_Gordan_coefficients:ClebschGordanCoefficients",
}

REPRESENTATION = {
    "cutoff": 6.0, "cutoff_func": "cos", "rbf_func": "bessel", "num_types": 5, "num_layers": 2,
    "num_radial": 4, "radial_MLP": [3, 3], "irreps_edge_sh": "0e + 1o",
    "irreps_node_features": "2x0e+1x1o", "edge_sh_normalization": "component",
    "edge_sh_normalize": True, "use_kan": False, "correlation": 2, "radius_scale": 1.01,
    "build_internal_graph": False, "use_corr_prod": False, "legacy_edge_update": True,
}  # fmt: skip
OUTPUT = {
    "nao_max": 13, "ham_type": "openmx", "ham_only": True, "symmetrize": True, "add_H0": True,
    "nonlinearity_type": "gate", "soc_switch": False,
}  # fmt: skip
#: What the modules record beside their tensors.
RECORDED = {
    "representation": ("cutoff", "num_types", "num_layers", "num_radial", "radial_MLP",
                       "edge_sh_normalization", "edge_sh_normalize", "radius_scale",
                       "build_internal_graph", "use_corr_prod", "legacy_edge_update"),
    "output_module": ("nao_max", "ham_type", "ham_only", "symmetrize", "add_H0",
                      "nonlinearity_type"),
}  # fmt: skip

#: What torch.nn.Module keeps besides its tensors.
HOOKS = ("_backward_hooks", "_backward_pre_hooks", "_forward_hooks", "_forward_pre_hooks",
         "_load_state_dict_post_hooks", "_load_state_dict_pre_hooks",
         "_state_dict_hooks")  # fmt: skip


class FakePackages:
    """Empty classes under the names of other packages, importable inside ``with installed()``."""

    def __init__(self, prefix="hamgnn"):
        self.prefix, self.classes = prefix, {}

    def __getitem__(self, path):
        """Return the class called ``module:name``."""
        module, name = path.split(":")
        if module.startswith("hamgnn."):
            module = self.prefix + module.removeprefix("hamgnn")
        base = tuple if module == "e3nn.o3._irreps" else dict if name == "EasyDict" else object
        if (module, name) not in self.classes:
            body = {"__module__": module, "__qualname__": name}
            self.classes[module, name] = type(name, (base,), body)
        return self.classes[module, name]

    @contextmanager
    def installed(self):
        kept = {}
        for module, name in self.classes:
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                path = ".".join(parts[:end])
                if path not in kept and path != "__main__":
                    kept[path] = sys.modules.get(path)
                    sys.modules[path] = ModuleType(path)
            setattr(sys.modules[module], name, self.classes[module, name])
        try:
            yield
        finally:
            for path, module in kept.items():
                sys.modules.pop(path)
                if module is not None:
                    sys.modules[path] = module
            for module, name in self.classes:
                if module == "__main__":
                    delattr(__main__, name)

    def dumps(self, item, protocol=4):
        with self.installed():
            return pickle.dumps(item, protocol=protocol)

    def irreps(self, text):
        """Return irreps as e3nn's classes, which are tuples, hold them."""
        irreps, term, irrep = (
            self[f"e3nn.o3._irreps:{name}"] for name in ("Irreps", "_MulIr", "Irrep")
        )
        terms = []
        for word in text.replace(" ", "").split("+"):
            count, _, kind = word.rpartition("x")
            parity = 1 if kind[-1] == "e" else -1
            terms.append(term((int(count or 1), irrep((int(kind[:-1]), parity)))))
        return irreps(terms)

    def easydict(self, content):
        """Return nested EasyDicts, which hold everything as items and as attributes."""
        result = self["easydict:EasyDict"]()
        for key, value in content.items():
            result[key] = self.easydict(value) if isinstance(value, dict) else value
            setattr(result, key, result[key])
        return result


def tensor_names(tag="nonsoc", n_layers=2):
    """Return shape and kind of each tensor: parameter, buffer, or left out by the reader."""
    names = {
        "representation.radial_basis_functions.freqs": ((4,), "buffer"),
        "representation.cutoff_func.cutoff": ((1,), "buffer"),
        "representation.pair_embedding.linear_up_src.weight": ((25,), "parameter"),
        "representation.pair_embedding.linear_up_src.bias": ((0,), "empty"),
        "representation.pair_embedding.linear_up_src.output_mask": ((5,), "derived"),
        "representation.chemical_embedding.linear.weight": ((10,), "parameter"),
        "representation.cache": ((2,), "not persistent"),
        "output_module.cg_calculator.cg_0_1_1": ((1, 3, 3), "buffer"),
        "output_module.onsite_hamiltonian_network.linear_transform.weight": ((7,), "parameter"),
        "output_module.offsite_hamiltonian_network.linear_transform.weight": ((7,), "parameter"),
    }
    for i in range(n_layers):
        for name, shape in (
            (f"convolutions.{i}.conv_tp.node_tensor_product.weight", (6,)),
            (f"convolutions.{i}.conv_tp.node_weight_generator.layer0.weight", (4, 3)),
            (f"convolutions.{i}.residual.linear1.weight", (8,)),
            (f"pair_interactions.{i}.linear_up_src.weight", (5,)),
        ):
            names[f"representation.{name}"] = (shape, "parameter")
    if tag == "soc":
        for place in ("onsite", "offsite"):
            names[f"output_module.{place}_ksi_network.linear_transform.weight"] = (
                (9,),
                "parameter",
            )
    return names


def kind_of(name, tag):
    """Return the kind of a tensor of these or other networks."""
    known = tensor_names(tag).get(name)
    if known:
        return known[1]
    word = name.rpartition(".")[2]
    is_buffer = word in ("freqs", "cutoff", "output_mask") or word.startswith("cg_")
    return "buffer" if is_buffer else "parameter"


def tensors_of(tag, seed=0, **settings):
    """Return the tensors of a network as float32 arrays."""
    rng = np.random.default_rng([seed, tag == "soc"])
    result = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, (shape, _) in tensor_names(tag, **settings).items()
    }
    result["representation.radial_basis_functions.freqs"] = (np.arange(1, 5) * np.pi / 6.0).astype(
        np.float32
    )
    return result


def kept(tensors, tag="nonsoc"):
    """Return those tensors that the reader keeps."""
    names = tensor_names(tag)
    return {k: v for k, v in tensors.items() if names[k][1] in ("parameter", "buffer")}


def fitting_file(soc=True):
    """Return a predictor whose weights fit elphant's own network of its settings."""
    from elphant.models.hamiltonians.hamgnn.network import parameter_shapes
    from elphant.models.hamiltonians.hamgnn.settings import NetworkSettings

    config = {"representation": REPRESENTATION, "output": OUTPUT}
    rng = np.random.default_rng(5)
    networks = {}
    for tag in ("nonsoc", "soc")[: 1 + soc]:
        shapes = parameter_shapes(NetworkSettings.from_config(config, spin_orbit=tag == "soc"))
        networks[tag] = {
            "representation.radial_basis_functions.freqs": tensors_of(tag)[
                "representation.radial_basis_functions.freqs"
            ],
            **{k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()},
        }
    return PredictorFile(networks=networks)


class PredictorFile:
    """A pickled predictor whose parts can be changed before it is written.

    The networks are small and meaningless ones unless others are given by tag, with the settings
    of both. ``fake`` gives more classes.
    """

    def __init__(self, prefix="hamgnn", soc=True, networks=None, representation=None, output=None):
        self.fake = FakePackages(prefix)
        self.representation = representation or REPRESENTATION
        self.output = output or OUTPUT
        self.tensors = networks or {tag: tensors_of(tag) for tag in ("nonsoc", "soc")[: 1 + soc]}
        self.predictor = self.fake["__main__:HamiltonianPredictor"]()
        self.predictor.soc_enabled = soc
        self.predictor.device = torch.device("cpu")
        for tag, attribute in (("nonsoc", "non_soc_model"), ("soc", "soc_model")):
            config = {
                "setup": {"stage": "fit", "num_gpus": [0], "precision": 32},
                "optim_params": {"lr": 0.001, "max_epochs": float("inf")},
                "representation_nets": {"HamGNN_pre": dict(self.representation)},
                "output_nets": {"HamGNN_out": {**self.output, "soc_switch": tag == "soc"}},
            }
            model = self.model(tag) if tag in self.tensors else None
            setattr(self.predictor, attribute, model)
            setattr(self.predictor, f"config_{tag}", self.fake.easydict(config))

    def model(self, tag):
        root = self.module("hamgnn.models.Model:Model")
        root.losses = [self.fake.easydict({"metric": "mae", "loss_weight": 1.0})]
        root._trainer = None
        for name, values in self.tensors[tag].items():
            *path, key = name.split(".")
            owner = root
            for word in path:
                if word not in owner._modules:
                    owner._modules[word] = self.module(
                        CLASS_OF_MODULE.get(word, "e3nn.o3._linear:Linear"),
                        is_list=word in ("convolutions", "pair_interactions"),
                    )
                owner = owner._modules[word]
            kind = kind_of(name, tag)
            if kind in ("parameter", "empty"):
                # A transposed view: the order of the numbers in memory is not that of the tensor.
                stored = torch.tensor(values)
                if values.ndim == 2:
                    stored = torch.tensor(values.T.copy()).mT
                owner._parameters[key] = torch.nn.Parameter(stored)
            else:
                owner._buffers[key] = torch.tensor(values)
            if kind == "not persistent":
                owner._non_persistent_buffers_set.add(key)
        parts = (("representation", self.representation), ("output_module", self.output))
        for part, settings in parts:
            module = root._modules[part]
            for key in RECORDED[part]:
                setattr(module, key, settings[key])
        representation = root._modules["representation"]
        for key in ("irreps_node_features", "irreps_edge_sh"):
            setattr(representation, key, self.fake.irreps(self.representation[key]))
        return root

    def module(self, path, is_list=False):
        module = torch.nn.ModuleList() if is_list else self.fake[path]()
        state = {
            "training": False, "_parameters": {}, "_buffers": OrderedDict(), "_modules": {},
            "_non_persistent_buffers_set": set(),
        }  # fmt: skip
        state.update((name, OrderedDict()) for name in HOOKS)
        if path.startswith("e3nn"):
            state["__codegen__"] = {"_compiled_main": b"program text that must not run"}
            state["activation"] = torch.tanh  # pickled by way of getattr
            state["other"] = torch.nn.functional.silu
            state["dtype"] = torch.float32
        for key, value in state.items():
            object.__setattr__(module, key, value)
        return module

    def part(self, tag, *path):
        """Return a module of a network."""
        module = {"nonsoc": self.predictor.non_soc_model, "soc": self.predictor.soc_model}[tag]
        for word in path:
            module = module._modules[word]
        return module

    def config(self, tag, *path):
        """Return a part of a training configuration, to change it."""
        item = getattr(self.predictor, f"config_{tag}")
        for word in path:
            item = item[word]
        return item

    def set_config(self, tag, path, key, value):
        item = self.config(tag, *path)
        if value is None:
            item.pop(key, None)
            delattr(item, key)
        else:
            item[key] = value
            setattr(item, key, value)

    def content(self, protocol=4):
        return self.fake.dumps(self.predictor, protocol)

    def write(self, path):
        path.write_bytes(self.content())
        return path


class Calls:
    """An object whose pickle calls ``function(*arguments)`` when it is loaded."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def calls_by_name(module, name, *arguments):
    """Return a pickle that looks up a name and calls it; the name need not exist here."""
    text = b"\x80\x04"
    for word in (module, name):
        text += b"X" + len(word).to_bytes(4, "little") + word.encode()
    text += b"\x93("
    for argument in arguments:
        text += b"X" + len(argument).to_bytes(4, "little") + argument.encode()
    return text + b"tR."
