"""Reader of published Uni-HamGNN checkpoints that executes nothing of the file.

A checkpoint is the pickle of one object that holds two networks, one without and one with
spin-orbit coupling. Each network is a tree of modules; here the tree becomes a flat dictionary of
arrays with dotted names (``representation.…``, ``output_module.…``). Names and numbers are all that
is taken: no class of the file is imported, and the program text that some layers carry is dropped.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from elphant.errors import ModelError
from elphant.models.hamiltonians.hamgnn.checkpoint_settings import (
    NetworkConfig,
    network_config,
    plain,
)
from elphant.models.hamiltonians.importers.restricted_pickle import (
    TENSOR_FUNCTIONS,
    TORCH_MAGIC,
    Name,
    Record,
    RefusedError,
    RestrictedUnpickler,
    SealedFunction,
    record_class,
)

Array = NDArray[Any]

MODEL_NAME = "uni-hamgnn"

#: Where the published networks are, and how to get them into elphant.
HOW_TO_GET = (
    "Download uni-hamgnn_2_1.pkl (or the .zip) from https://zenodo.org/records/17239078 and run "
    f"elphant models add {MODEL_NAME} FILE."
)

#: Packages whose names may stand in a checkpoint. Nothing of them is called: records stand for
#: them. Any other name means that the file is something else.
RECORD_PACKAGES = {
    "__main__", "e3nn", "easydict", "lightning", "lightning_fabric", "lightning_utilities",
    "pytorch_lightning", "torch_geometric", "torch_scatter", "torch_sparse", "torchmetrics",
}  # fmt: skip

#: The network's own package carries its version in its name (HamGNN_v_2_1, hamgnn).
OWN_PACKAGE = "hamgnn"

#: Modules, with those below them, of which the same holds.
RECORD_MODULES = ("torch.nn", "torch.optim", "torch.functional", "torch._C._nn",
                  "torch.utils.hooks")  # fmt: skip

#: Single names that hold data, by module.
RECORD_NAMES = {
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int",
                 "list", "object", "range", "set", "slice", "str", "tuple"},
    "collections": {"Counter", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "timedelta", "timezone"},
    "functools": {"partial"},
    "numpy": {"bool_", "dtype", "float32", "float64", "int32", "int64", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath", "WindowsPath"},
    "torch": {"Size", "Tensor", "bfloat16", "bool", "complex128", "complex64", "device", "dtype",
              "float16", "float32", "float64", "int16", "int32", "int64", "int8", "strided",
              "uint8"},
    "torch._C": {"_VariableFunctions", "_VariableFunctionsClass"},
    "types": {"SimpleNamespace"},
}  # fmt: skip

#: torch's functions (tanh, …) are pickled as attributes of this object or its class.
TORCH_FUNCTIONS = "torch._C._VariableFunctions"

#: The two parts of a network.
PARTS = ("representation", "output_module")

#: Buffers that e3nn derives from the irreps and every implementation makes for itself.
DERIVED_SUFFIXES = (".output_mask",)

#: More modules or deeper nesting than this is not a network.
MOST_MODULES, DEEPEST_MODULE = 200_000, 64

#: A pickle larger than this is not read.
LARGEST_FILE = 16 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A published checkpoint.

    Attributes
    ----------
    file, size : str, int
        File name and number of bytes of the pickle.
    title, origin, licence : str
        What it is, where it is published, and its terms.
    """

    file: str
    size: int
    title: str
    origin: str
    licence: str


#: Published checkpoints by their sha256.
RELEASES = {
    "5d0257a54dd1c026c08fa29adc537cf0023def1560361da964d289102ec36b06": Release(
        file="uni-hamgnn_2_1.pkl",
        size=927_026_099,
        title="Uni-HamGNN 2.1, universal model with spin-orbit coupling",
        origin="https://zenodo.org/records/17239078",
        licence="CC BY 4.0",
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSource:
    """Where a checkpoint came from.

    Attributes
    ----------
    file, sha256, size : str, str, int
        Name, digest and number of bytes of the pickle.
    known : bool
        Whether the digest is that of a published release.
    title, origin, licence : str
        Of the release; of an unknown file they say that nothing is known.
    """

    file: str
    sha256: str
    size: int
    known: bool
    title: str = "not a known release"
    origin: str = "not known"
    licence: str = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkState:
    """One trained network.

    Attributes
    ----------
    config : dict
        ``{"representation": {...}, "output": {...}}``: hyper-parameters under upstream's names.
    tensors : dict of str to array
        Weights and stored buffers by dotted name, as in the file (float32).
    n_parameters : int
        Number of trained numbers.
    """

    config: NetworkConfig
    tensors: dict[str, Array]
    n_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """The networks of a Uni-HamGNN checkpoint.

    Attributes
    ----------
    nonsoc : NetworkState
        Network of the Hamiltonian without spin-orbit coupling.
    soc : NetworkState or None
        Network of its spin-orbit part, where the file has one.
    training : dict
        The whole training configuration of each, as plain data.
    source : CheckpointSource
        File, digest, licence.
    notes : tuple of str
        What had to be decided while reading, one sentence each.
    """

    nonsoc: NetworkState
    soc: NetworkState | None
    training: dict[str, Any]
    source: CheckpointSource
    notes: tuple[str, ...] = ()

    @property
    def networks(self) -> dict[str, NetworkState]:
        """The networks by tag, ``nonsoc`` first."""
        return {"nonsoc": self.nonsoc, **({"soc": self.soc} if self.soc else {})}


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return the networks of a checkpoint; nothing of the file is executed.

    Parameters
    ----------
    path : path-like
        The pickle, or a ``.zip`` that holds it.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or names code that is not a network's.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ModelError(
            f"checkpoint '{file}' {'is a folder' if file.is_dir() else 'does not exist'}.",
            fix=f"Check the path. {HOW_TO_GET}",
        )
    with _opened(file) as (name, stream):
        digest = file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        size = stream.tell()
    release = RELEASES.get(digest)
    with _opened(file) as (name, stream):
        predictor = _load(stream, file, size, trusted=release is not None)
    source = CheckpointSource(file=name, sha256=digest, size=size, known=release is not None)
    if release is not None:
        source = CheckpointSource(
            file=name, sha256=digest, size=size, known=True,
            title=release.title, origin=release.origin, licence=release.licence,
        )  # fmt: skip
    try:
        return _checkpoint(predictor, source)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"'{file}' does not hold the networks of Uni-HamGNN: {reason}.",
            "Its layout is not that of a pickled HamiltonianPredictor of HamGNN 2.",
            f"Use the published file. {HOW_TO_GET}",
        ) from error


def _load(stream: IO[bytes], file: Path, size: int, *, trusted: bool) -> Record:
    """Return the record of the pickled object.

    Nothing is executed in either case; of a published file names that are not in the lists above
    become records too, of any other file they end the reading.
    """
    is_record: Callable[[str, str], bool] = _is_any if trusted else _is_record
    try:
        found = RestrictedUnpickler(stream, _FUNCTIONS, is_record).load()
    except RefusedError as error:
        raise ModelError(
            f"'{file}' was not read: it asks Python to call '{error}'.",
            "A network file names layers and numbers only. elphant executes nothing from a file, "
            "so nothing has happened.",
            f"Do not open this file with programs that load pickles. {HOW_TO_GET}",
        ) from error
    # A damaged pickle can raise almost anything; all of it means the same to the user.
    except Exception as error:
        expected = ", ".join(f"{r.file} has {r.size:,} bytes" for r in RELEASES.values())
        cut = isinstance(error, EOFError) or any(
            w in str(error) for w in ("truncated", "exhausted")
        )
        raise ModelError(
            f"'{file}' is {'cut short' if cut else 'damaged'}: "
            f"{type(error).__name__}: {error or 'the file ends too early'}.",
            f"It has {size:,} bytes; {expected}.",
            f"Copy or download the file again. {HOW_TO_GET}",
        ) from error
    if isinstance(found, Record) and "non_soc_model" in found.state:
        return found
    what = found.origin if isinstance(found, Record) else type(found).__name__
    if isinstance(found, int) and found == TORCH_MAGIC:
        what = "a file of torch.save"
    raise ModelError(
        f"'{file}' is a pickle of something else: {what}.",
        "Expected is a HamiltonianPredictor with the attribute non_soc_model.",
        HOW_TO_GET,
    )


def _checkpoint(predictor: Record, source: CheckpointSource) -> Checkpoint:
    state = predictor.state
    notes: list[str] = []
    networks, training = {}, {}
    for tag, key in (("nonsoc", "non_soc_model"), ("soc", "soc_model")):
        model = state.get(key)
        if model is None and tag == "soc":
            continue
        if not isinstance(model, Record):
            raise ValueError(f"{key} is {type(model).__name__}, not a network")
        training[tag] = plain(state[f"config_{tag}"])
        networks[tag] = _network(model, training[tag], tag, notes)
    return Checkpoint(
        nonsoc=networks["nonsoc"],
        soc=networks.get("soc"),
        training=training,
        source=source,
        notes=tuple(dict.fromkeys(notes)),
    )


def _network(model: Record, training: Any, tag: str, notes: list[str]) -> NetworkState:
    modules = model.state["_modules"]
    representation, output = (modules[part] for part in PARTS)
    config = network_config(training, representation, output, tag=tag, notes=notes)
    tensors: dict[str, Array] = {}
    n_parameters = 0
    for part in PARTS:
        for name, values, is_parameter in _flatten(modules[part], part):
            if not values.size or name.endswith(DERIVED_SUFFIXES):
                continue
            if not np.isfinite(values).all():
                raise ValueError(f"{tag} tensor {name} holds numbers that are not finite")
            tensors[name] = np.ascontiguousarray(values)
            n_parameters += values.size if is_parameter else 0
    _check_structure(tensors, config, tag)
    return NetworkState(config=config, tensors=tensors, n_parameters=n_parameters)


def _flatten(module: Record, prefix: str) -> Iterator[tuple[str, Array, bool]]:
    """Yield name, array and whether it is a parameter, in the order of torch's state dicts."""
    # A module that contains itself, or the same one twice at each level, would never end.
    pending, count = [(module, prefix, 0)], 0
    while pending:
        item, name, depth = pending.pop()
        count += 1
        if count > MOST_MODULES or depth > DEEPEST_MODULE:
            raise ValueError("its modules are nested without end")
        if not isinstance(item, Record):
            raise ValueError(f"module {name} is {type(item).__name__}")
        hidden = item.state.get("_non_persistent_buffers_set") or ()
        hidden = hidden.arguments[0] if isinstance(hidden, Record) else hidden
        for kind in ("_parameters", "_buffers"):
            for key, values in (item.state.get(kind) or {}).items():
                if values is None or (kind == "_buffers" and key in hidden):
                    continue
                if not isinstance(values, np.ndarray):
                    raise ValueError(f"{name}.{key} is {type(values).__name__}, not a tensor")
                yield f"{name}.{key}", values, kind == "_parameters"
        children = item.state.get("_modules") or {}
        pending += [
            (child, f"{name}.{key}", depth + 1)
            for key, child in reversed(children.items())
            if child is not None
        ]


def _check_structure(tensors: dict[str, Array], config: NetworkConfig, tag: str) -> None:
    """Check what can be told without building the network."""
    settings = config["representation"]
    for blocks in ("convolutions", "pair_interactions"):
        head = f"representation.{blocks}."
        found = {name[len(head) :].split(".")[0] for name in tensors if name.startswith(head)}
        if found != {str(i) for i in range(settings["num_layers"])}:
            raise ValueError(
                f"the {tag} network has {len(found)} {blocks.replace('_', ' ')}, but its "
                f"configuration {settings['num_layers']} layers"
            )
    kind = "ksi" if tag == "soc" else "hamiltonian"
    for place in ("onsite", "offsite"):
        head = f"output_module.{place}_{kind}_network."
        if not any(name.startswith(head) for name in tensors):
            raise ValueError(f"the {tag} network has no {place} {kind} head")
    frequencies = tensors.get("representation.radial_basis_functions.freqs")
    if frequencies is not None:
        expected = np.arange(1, settings["num_radial"] + 1) * np.pi / settings["cutoff"]
        if frequencies.shape != expected.shape or not np.allclose(frequencies, expected, rtol=1e-4):
            raise ValueError(
                f"the radial functions of the {tag} network do not belong to a cutoff of "
                f"{settings['cutoff']} bohr with {settings['num_radial']} functions"
            )


@contextmanager
def _opened(file: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and stream of the pickle: the file itself, or the one inside a zip archive."""
    try:
        with file.open("rb") as stream:
            start = stream.read(64)
            if not start.startswith(b"PK"):
                _check_start(start, file, file.stat().st_size)
                stream.seek(0)
                yield file.name, stream
                return
        with zipfile.ZipFile(file) as archive:
            member = _member(archive, file)
            with archive.open(member) as packed:
                _check_start(packed.read(64), file, member.file_size)
            with archive.open(member) as packed:
                yield PurePosixPath(member.filename).name, packed
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        raise ModelError(
            f"'{file}' cannot be read: {type(error).__name__}: {error}.",
            "The file or archive is damaged, cut short, encrypted or not readable for you.",
            f"Copy or download it again. {HOW_TO_GET}",
        ) from error


def _member(archive: zipfile.ZipFile, file: Path) -> zipfile.ZipInfo:
    infos = [i for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename]
    names = [PurePosixPath(info.filename).name for info in infos]
    if "data.pkl" in names and "version" in names:
        raise ModelError(
            f"'{file}' is a file of torch.save, for example a training checkpoint (.ckpt).",
            "elphant reads the pickled HamiltonianPredictor of Uni-HamGNN 2; the first universal "
            "model (universal_Hamiltonian.ckpt) is another network.",
            HOW_TO_GET,
        )
    pickles = [info for info, name in zip(infos, names, strict=True) if name.endswith(".pkl")]
    if len(pickles) != 1:
        raise ModelError(
            f"the archive '{file}' holds {len(pickles)} .pkl files instead of one: "
            f"{', '.join(names[:8]) or 'it is empty'}.",
            fix=f"Unpack it and name the file. {HOW_TO_GET}",
        )
    return pickles[0]


def _check_start(start: bytes, file: Path, size: int) -> None:
    if size > LARGEST_FILE:
        raise ModelError(
            f"'{file}' holds {size:,} bytes.",
            f"No network file is larger than {LARGEST_FILE:,}.",
            HOW_TO_GET,
        )
    # Pickles of protocol 2 and later begin with this byte; elphant knows no earlier network file.
    if not start.startswith(b"\x80"):
        page = " It looks like a web page." if start.lstrip()[:1] == b"<" else ""
        raise ModelError(
            f"'{file}' is not a pickle: it {f'begins with {start[:12]!r}' if start else 'is empty'}"
            f".{page}",
            "A Uni-HamGNN checkpoint is a pickle, or a .zip that holds one.",
            HOW_TO_GET,
        )


def _is_any(module: str, name: str) -> bool:  # noqa: ARG001  the signature of is_record
    return True


def _is_record(module: str, name: str) -> bool:
    # A name with a dot looks into a module, where anything could be: ("e3nn.util", "os.system").
    if "." in name:
        return False
    if name in RECORD_NAMES.get(module, ()):
        return True
    package = module.partition(".")[0]
    if package in RECORD_PACKAGES or package.lower().startswith(OWN_PACKAGE):
        return True
    return any(module == known or module.startswith(known + ".") for known in RECORD_MODULES)


def _activation(*arguments: Any) -> Record:
    """Stand in for ``getattr``, by which torch's functions are pickled; look nothing up."""
    owner, name = arguments if len(arguments) == 2 else (None, None)
    known = str(getattr(owner, "origin", "")).startswith(TORCH_FUNCTIONS)
    if not known or not isinstance(name, str) or not name.isidentifier() or name[0] == "_":
        raise RefusedError("builtins.getattr")
    return record_class("torch", name)()


_FUNCTIONS: dict[Name, Callable[..., Any]] = {
    **TENSOR_FUNCTIONS,
    ("builtins", "getattr"): SealedFunction(_activation),
}
