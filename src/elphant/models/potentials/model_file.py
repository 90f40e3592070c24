"""Which file a model is loaded from, and whether it may be opened at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from elphant.errors import ModelError
from elphant.models.card import ModelCard
from elphant.models.entry import Provider
from elphant.models.registry import PROVIDER_OF_SUFFIX, find_model
from elphant.models.weights import weights_path
from elphant.store.atomic import sha256_of_file


def verified_file(source: str | Path, provider: Provider, trust: bool) -> tuple[Path, ModelCard]:
    """Return the model file and its card after its digest or the user's trust was checked.

    Parameters
    ----------
    source : str or Path
        Name in the registry, whose pinned sha256 must match, or the path of a file.
    provider : {"sevennet", "mace"}
    trust : bool
        The user vouches for a file that is not in the registry.

    Raises
    ------
    ModelError
        If the file is missing, not the registered one, or not trusted. Model files are pickles,
        which run code when they are loaded, so an untrusted one is never opened.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() not in PROVIDER_OF_SUFFIX:
        entry = find_model(str(source))
        weights = weights_path(entry.name)
        return weights.path, replace(entry.card(), sha256=weights.sha256)
    if not path.is_file():
        raise ModelError(f"model file '{path}' does not exist.", fix="Check the path.")
    if not trust:
        raise ModelError(
            f"model file '{path}' is not in the registry and was not declared trusted.",
            "Model files are pickles: loading one runs code from it.",
            "If you trust its origin, add --trust, or register it: "
            f"elphant models add NAME {path}.",
        )
    card = ModelCard(
        name=path.stem,
        provider=provider,
        level_of_theory="not stated (user's file)",
        licence="not stated (user's file)",
        sha256=sha256_of_file(path),
        source=str(path),
        notes="User's file, trusted by the user.",
    )
    return path, card
