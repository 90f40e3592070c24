"""A checkpoint as elphant keeps it: weights in safetensors files, everything else in one JSON file.

Calculations read these files only, never the pickle that they were made from.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from elphant.errors import ModelError, StoreError
from elphant.models.hamiltonians.hamgnn.checkpoint import (
    HOW_TO_GET,
    Checkpoint,
    CheckpointSource,
    NetworkState,
)
from elphant.store.atomic import read_json, sha256_of_file, write_bytes, write_json

CONFIG_FILE = "config.json"
FILE_FORMAT = "elphant-hamgnn"
SCHEMA_VERSION = "1.0"


def weights_file(tag: str) -> str:
    """Return the file name of one network's weights."""
    return f"{tag}.safetensors"


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write ``nonsoc.safetensors``, ``soc.safetensors`` and ``config.json``; return the last.

    Each file is written atomically, the JSON file with the digests of the others last, so that a
    mixture of two checkpoints is noticed when it is read.

    Raises
    ------
    ResourceError, StoreError
        If the files cannot be written.
    """
    from safetensors.numpy import save

    source = checkpoint.source
    labels = {
        "source": source.file,
        "source_sha256": source.sha256,
        "origin": source.origin,
        "licence": source.licence,
    }
    records = {}
    for tag, network in checkpoint.networks.items():
        path = folder / weights_file(tag)
        write_bytes(path, save(network.tensors, metadata={"network": tag, **labels}))
        records[tag] = {
            "file": path.name,
            "sha256": sha256_of_file(path),
            "n_parameters": network.n_parameters,
            "config": network.config,
        }
    config = folder / CONFIG_FILE
    write_json(
        config,
        {
            "format": FILE_FORMAT,
            "schema_version": SCHEMA_VERSION,
            "source": asdict(source),
            "networks": records,
            "training": checkpoint.training,
            "notes": list(checkpoint.notes),
        },
    )
    if checkpoint.soc is None:
        (folder / weights_file("soc")).unlink(missing_ok=True)
    return config


def read_record(folder: Path) -> dict[str, Any]:
    """Return the content of ``config.json`` without reading weights.

    Raises
    ------
    ModelError
        If it is missing, damaged, or of another format.
    """
    path = folder / CONFIG_FILE
    try:
        record: dict[str, Any] = read_json(path)
    except StoreError as error:
        raise ModelError(error.what, fix=f"Add the checkpoint again. {HOW_TO_GET}") from error
    version = record.get("schema_version", "") if isinstance(record, dict) else ""
    if not version or record.get("format") != FILE_FORMAT:
        raise ModelError(
            f"'{path}' is not a network configuration of elphant.",
            fix=f"Add the checkpoint again. {HOW_TO_GET}",
        )
    if str(version).partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise ModelError(
            f"'{path}' has format version {version}; this elphant reads {SCHEMA_VERSION}.",
            fix=f"Add the checkpoint again with this elphant, or update it. {HOW_TO_GET}",
        )
    return record


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Return the checkpoint that :func:`write_checkpoint` stored, after checking the digests.

    Raises
    ------
    ModelError
        If a file is missing, damaged or of another checkpoint.
    """
    place = Path(folder)
    record = read_record(place)
    try:
        states = {tag: _network(place, item) for tag, item in record["networks"].items()}
        return Checkpoint(
            nonsoc=states["nonsoc"],
            soc=states.get("soc"),
            training=record["training"],
            source=CheckpointSource(**record["source"]),
            notes=tuple(record["notes"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{place / CONFIG_FILE}' is damaged: {type(error).__name__}: {error}.",
            fix=f"Add the checkpoint again. {HOW_TO_GET}",
        ) from error


def _network(folder: Path, record: dict[str, Any]) -> NetworkState:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / record["file"]
    try:
        digest = sha256_of_file(path)
        if digest != record["sha256"]:
            raise ModelError(
                f"'{path}' has changed: sha256 {digest[:16]}… instead of {record['sha256'][:16]}….",
                "It is damaged, or belongs to another checkpoint than config.json.",
                f"Add the checkpoint again. {HOW_TO_GET}",
            )
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the weights '{path}' cannot be read: {error}.",
            fix=f"Add the checkpoint again. {HOW_TO_GET}",
        ) from error
    return NetworkState(
        config=record["config"], tensors=tensors, n_parameters=record["n_parameters"]
    )
