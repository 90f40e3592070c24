"""Hyper-parameters of a Uni-HamGNN network: from its training configuration and its own modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from elphant.models.hamiltonians.importers.restricted_pickle import Record

#: ``{"representation": {...}, "output": {...}}``, plain data under upstream's names.
NetworkConfig = dict[str, dict[str, Any]]

#: Settings without which a network cannot be built.
REQUIRED = {
    "representation": ("cutoff", "num_types", "num_layers", "num_radial", "radial_MLP",
                       "irreps_edge_sh", "irreps_node_features", "cutoff_func", "rbf_func"),
    "output": ("nao_max", "ham_type"),
}  # fmt: skip

#: Settings that the modules record as well, which shows what the network was built with.
RECORDED = {
    "representation": ("cutoff", "num_types", "num_layers", "num_radial", "radial_MLP",
                       "irreps_edge_sh", "irreps_node_features", "edge_sh_normalization",
                       "edge_sh_normalize", "lite_mode", "radius_scale", "radius_type",
                       "build_internal_graph", "use_corr_prod", "legacy_edge_update"),
    "output": ("nao_max", "ham_type", "soc_basis", "symmetrize", "add_H0", "ham_only",
               "nonlinearity_type", "spin_constrained", "collinear_spin"),
}  # fmt: skip

#: Name of a setting by the class of the module that it chose.
SETTING_OF_CLASS = {
    "cutoff_func": {"CosineCutoff": "cos"},
    "rbf_func": {"BesselBasis": "bessel"},
}
MODULE_OF_SETTING = {"cutoff_func": "cutoff_func", "rbf_func": "radial_basis_functions"}

#: Class of each part of the networks that elphant has.
CLASSES = {"representation": "HamGNNConvE3", "output": "HamGNNPlusPlusOut"}

#: Arrays longer than this are not settings.
LONGEST_ARRAY = 1000

#: Objects in a configuration, at most; more means that it never ends.
MOST_VALUES, DEEPEST_VALUE = 100_000, 32


def network_config(
    training: Any, representation: Any, output: Any, *, tag: str, notes: list[str]
) -> NetworkConfig:
    """Return the hyper-parameters of one network.

    They are those of the training configuration with the changes that Uni-HamGNN makes when it
    builds its networks. Where a module of the file records another value, the module is right,
    because the weights are its own; a note says so.

    Parameters
    ----------
    training : dict
        Training configuration as plain data.
    representation, output : Record
        The two modules of the network.
    tag : {"nonsoc", "soc"}
        Which of the two networks.
    notes : list of str
        Receives one sentence for each value that is not the configuration's.

    Raises
    ------
    ValueError
        If a setting is missing or the network is of a kind that elphant does not have.
    """
    config: NetworkConfig = {
        "representation": dict(training["representation_nets"]["HamGNN_pre"]),
        "output": dict(training["output_nets"]["HamGNN_out"]),
    }
    modules = {"representation": representation, "output": output}
    # Changes made when the networks are built.
    config["representation"]["use_corr_prod"] = False
    config["representation"].setdefault("lite_mode", False)
    config["representation"]["legacy_edge_update"] = True
    spin_orbit = tag == "soc"
    config["output"].update(
        soc_switch=spin_orbit,
        add_H_nonsoc=spin_orbit,
        zero_point_shift=False,  # of predictions; it differs only in training
        get_nonzero_mask_tensor=True,
    )
    config["output"].setdefault("soc_basis", "so3")
    for part, module in modules.items():
        _check_class(part, module)
        for key in RECORDED[part]:
            _compare(config[part], key, _recorded(module, key), f"{tag} {part}", notes)
    for setting, name in MODULE_OF_SETTING.items():
        child = representation.state["_modules"].get(name)
        class_name = child.origin.rpartition(".")[2] if isinstance(child, Record) else ""
        value = SETTING_OF_CLASS[setting].get(class_name)
        if child is not None and value is None:
            raise ValueError(f"its {setting} is {class_name}, which elphant does not have")
        _compare(config["representation"], setting, value, f"{tag} representation", notes)
    for key in ("nao_max", "ham_type"):
        config["representation"][key] = config["output"].get(key)
    config["representation"].setdefault("radius_type", config["output"].get("ham_type"))
    for part, keys in REQUIRED.items():
        missing = [key for key in keys if config[part].get(key) is None]
        if missing:
            raise ValueError(f"the {tag} configuration has no {', '.join(missing)}")
    if config["representation"]["use_corr_prod"]:
        raise ValueError("it uses correlation products, which elphant does not have")
    return config


def plain(value: Any) -> Any:
    """Return a configuration as plain data: numbers, text, lists and dictionaries.

    Raises
    ------
    ValueError
        If it is nested without end.
    """
    budget = [MOST_VALUES]

    def convert(item: Any, depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0 or depth > DEEPEST_VALUE:
            raise ValueError("a configuration is nested without end")
        if item is None or isinstance(item, bool | int | str):
            return item
        if isinstance(item, float):
            return item if np.isfinite(item) else str(item)
        if isinstance(item, np.ndarray):
            return item.tolist() if item.size <= LONGEST_ARRAY else f"array of shape {item.shape}"
        if isinstance(item, list | tuple):
            return [convert(part, depth + 1) for part in item]
        if isinstance(item, Record):
            text = irreps_text(item)
            if text is not None:
                return text
            if item.members:
                return [convert(part, depth + 1) for part in item.members]
            if not item.state and not item.entries:
                return {"object": item.origin}
            item = {**item.state, **item.entries}
        if isinstance(item, Mapping):
            return {str(key): convert(part, depth + 1) for key, part in item.items()}
        return {"object": type(item).__name__}

    return convert(value, 0)


def irreps_text(item: Any) -> str | None:
    """Return the text of pickled irreps such as ``64x0e+32x1o``; None if it is something else."""
    if not isinstance(item, Record) or not item.origin.endswith("._irreps.Irreps"):
        return None
    terms = []
    for term in _elements(item):
        multiplicity, irrep = _elements(term)
        ell, parity = _elements(irrep)
        terms.append(f"{int(multiplicity)}x{int(ell)}{'e' if parity == 1 else 'o'}")
    return "+".join(terms)


def _elements(record: Any) -> tuple[Any, ...]:
    """Return the elements of a pickled tuple subclass."""
    arguments = record.arguments
    if len(arguments) == 1 and isinstance(arguments[0], tuple):
        arguments = arguments[0]
    return tuple(arguments)


def _check_class(part: str, module: Any) -> None:
    if not isinstance(module, Record) or module.origin.rpartition(".")[2] != CLASSES[part]:
        found = module.origin if isinstance(module, Record) else type(module).__name__
        raise ValueError(f"its {part} is {found}, not {CLASSES[part]}")


def _recorded(module: Record, key: str) -> Any:
    """Return what a module records of a setting; None if it does not, or not as plain data."""
    value = module.state.get(key)
    if isinstance(value, Record) and irreps_text(value) is None:
        return None
    return plain(value)


def _compare(
    settings: dict[str, Any], key: str, recorded: Any, where: str, notes: list[str]
) -> None:
    """Let the module's own value of a setting stand, with a note if the configuration differs."""
    if recorded is None:
        if key == "legacy_edge_update":
            notes.append(f"{where}: {key} is not recorded and taken as true, as in old files.")
        return
    given = settings.get(key)
    if given is not None and _same(key, given, recorded):
        return
    if given is not None:
        notes.append(f"{where}: {key} is {recorded} in the network itself instead of {given}.")
    settings[key] = recorded


def _same(key: str, given: Any, recorded: Any) -> bool:
    if key.startswith("irreps"):
        return _normal_irreps(str(given)) == _normal_irreps(str(recorded))
    if isinstance(given, str) and isinstance(recorded, str):
        return given.lower() == recorded.lower()
    return bool(given == recorded)


def _normal_irreps(text: str) -> list[tuple[int, str]]:
    terms = [re.fullmatch(r"(?:(\d+)x)?(\d+[eo])", t) for t in text.replace(" ", "").split("+")]
    if not all(terms):
        raise ValueError(f"'{text}' are not irreps")
    return [(int(term[1] or 1), term[2]) for term in terms if term]
