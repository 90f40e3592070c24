"""Writers of files as HamGNN's tools make them, for tests; torch_geometric is not needed."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile

import numpy as np
import torch


def _classes():
    """Return stand-ins that pickle under torch_geometric's names."""
    modules = {}
    for name in ("torch_geometric", "torch_geometric.data", "torch_geometric.data.data",
                 "torch_geometric.data.storage"):  # fmt: skip
        modules[name] = types.ModuleType(name)
    made = {}
    for module, names in (
        ("torch_geometric.data.data", ("Data", "DataEdgeAttr", "DataTensorAttr")),
        ("torch_geometric.data.storage", ("GlobalStorage",)),
    ):
        for name in names:
            made[name] = type(name, (), {"__module__": module})
            setattr(modules[module], name, made[name])
    return modules, made


def graph_file_bytes(graphs, *, array_name="graph"):
    """Return the content of ``graph_data.npz`` for {index: {key: array}}."""
    modules, made = _classes()
    saved = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        stored = {}
        for index, content in graphs.items():
            storage = made["GlobalStorage"]()
            data = made["Data"]()
            storage.__dict__.update(
                _mapping={
                    key: torch.tensor(value) if isinstance(value, np.ndarray) else value
                    for key, value in content.items()
                },
                _parent=data,
            )
            data.__dict__.update(
                _edge_attr_cls=made["DataEdgeAttr"],
                _tensor_attr_cls=made["DataTensorAttr"],
                _store=storage,
            )
            stored[index] = data
        array = np.empty((), dtype=object)
        array[()] = stored
        buffer = io.BytesIO()
        np.savez(buffer, **{array_name: array})
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return buffer.getvalue()


def pickled_npz(pickle_bytes):
    """Return a ``graph_data.npz`` whose object array is the given pickle."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("graph.npy", header.getvalue() + pickle_bytes)
    return buffer.getvalue()


class Calls:
    """An object whose pickle calls ``function(*arguments)`` when it is loaded."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def calling_pickle(function, *arguments, protocol=4):
    return pickle.dumps({0: Calls(function, *arguments)}, protocol=protocol)
