"""Named models: one explicit table, aliases, user additions, and the spelling of ``--potential``.

Importing this module is cheap; no weights are read and no provider package is imported.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from elphant.errors import ModelError
from elphant.models.builtin_models import BUILTIN_MODELS
from elphant.models.card import ModelCard
from elphant.models.entry import ModelEntry, Provider
from elphant.store.atomic import sha256_of_file, write_text

logger = logging.getLogger(__name__)

#: The model that comes with the installation and is used when none is named.
DEFAULT_MODEL = "sevennet-l3i5"

#: File endings by which the provider of a user's model file is recognised.
PROVIDER_OF_SUFFIX: dict[str, Provider] = {".pth": "sevennet", ".model": "mace", ".pt": "mace"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PotentialReference:
    """A parsed ``--potential`` argument.

    Attributes
    ----------
    kind : {"named", "file", "factory"}
        A model of the registry, a model file, or ``module:factory`` of an ASE calculator.
    name : str
        Canonical model name, the file path, or ``module:factory``.
    head : str or None
        Head or modality asked for with ``name:head``.
    provider : str
        ``sevennet``, ``mace`` or ``ase``.
    """

    kind: Literal["named", "file", "factory"]
    name: str
    head: str | None
    provider: Provider


def parse_potential(spec: str) -> PotentialReference:
    """Return what a ``--potential`` argument means.

    Parameters
    ----------
    spec : str
        ``name``, ``name:head``, ``path/to/model.pth``, ``path/to/model.model:head`` or
        ``module:factory``. Names are case-insensitive.

    Raises
    ------
    ModelError
        If the name is unknown (with suggestions), the head does not exist, or the file is missing.
    """
    text = spec.strip().removeprefix("file:")
    body, _, tail = text.rpartition(":")
    if not text:
        raise ModelError(
            "no potential was named.", fix=f"Name a model, for example {DEFAULT_MODEL}."
        )
    for path_text, head in ((text, None), (body, tail)):
        provider = PROVIDER_OF_SUFFIX.get(Path(path_text).suffix.lower())
        if path_text and (provider or Path(path_text).is_file()):
            return _file_reference(path_text, head, provider)
    entry = _lookup(text)
    if entry is not None:
        return PotentialReference(kind="named", name=entry.name, head=None, provider=entry.provider)
    entry = _lookup(body) if body else None
    if entry is not None:
        head = matching_head(entry.name, tail, entry.heads)
        return PotentialReference(kind="named", name=entry.name, head=head, provider=entry.provider)
    module, _, factory = text.partition(":")
    if factory.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return PotentialReference(kind="factory", name=text, head=None, provider="ase")
    raise _unknown(text)


def find_model(name: str) -> ModelEntry:
    """Return the registry entry of a model name or alias, ignoring case.

    Raises
    ------
    ModelError
        If there is no such model; the message suggests similar names.
    """
    entry = _lookup(name)
    if entry is None:
        raise _unknown(name)
    return entry


def list_models() -> list[ModelEntry]:
    """Return all models: the built-in ones, then those added by the user."""
    return [*BUILTIN_MODELS, *_user_models()]


def model_card(name: str, head: str | None = None) -> ModelCard:
    """Return the card of a named model (``name`` or ``name:head``) without loading its weights.

    Raises
    ------
    ModelError
        If the model or the head is unknown.
    """
    entry = _lookup(name)
    if entry is None:
        reference = parse_potential(name)
        entry, head = find_model(reference.name), reference.head or head
    if head is not None:
        head = matching_head(entry.name, head, entry.heads)
    return entry.card(head)


def matching_head(model: str, head: str, heads: Iterable[str]) -> str:
    """Return the model's own spelling of ``head``.

    Raises
    ------
    ModelError
        If the model has no such head. There is no silent fallback to another one.
    """
    known = tuple(heads)
    for candidate in known:
        if candidate.lower() == head.lower():
            return candidate
    if not known:
        raise ModelError(
            f"model '{model}' has no heads, but head '{head}' was asked for.",
            fix=f"Write --potential {model}.",
        )
    close = get_close_matches(head.lower(), [k.lower() for k in known], n=1)
    hint = next((k for k in known if close and k.lower() == close[0]), known[0])
    raise ModelError(
        f"model '{model}' has no head '{head}'.",
        f"Its heads are: {', '.join(known)}.",
        f"Write, for example, --potential {model}:{hint}.",
    )


def require_head(model: str, head: str | None, heads: Iterable[str]) -> str | None:
    """Return the checked head; a model with several heads does not choose one by itself.

    Raises
    ------
    ModelError
        If a head is needed and missing, or given and unknown.
    """
    known = tuple(heads)
    if head is not None:
        return matching_head(model, head, known)
    if len(known) > 1:
        raise ModelError(
            f"model '{model}' has several heads and none was chosen.",
            f"Each is trained on other data and another functional: {', '.join(known)}.",
            f"Write --potential {model}:HEAD, for example {model}:{known[-1]}.",
        )
    return known[0] if known else None


def user_models_file() -> Path:
    """Return the JSON file that holds the user's own models.

    It lies in ``$ELPHANT_HOME`` or, when that is unset, in the user's data directory.
    """
    home = os.environ.get("ELPHANT_HOME")
    if home:
        return Path(home).expanduser() / "models.json"
    import platformdirs

    return Path(platformdirs.user_data_dir("elphant", appauthor=False)) / "models.json"


def add_model(
    name: str,
    path: str | Path,
    *,
    provider: Provider | None = None,
    level_of_theory: str = "not stated",
    licence: str = "not stated",
    non_commercial: bool = False,
    heads: Iterable[str] = (),
    notes: str = "",
) -> ModelEntry:
    """Register a model file under a name, pinning the sha256 that it has now.

    Adding a file means trusting it: checkpoints are pickles, and loading one runs code from it.

    Parameters
    ----------
    name : str
        New name; letters, digits, dots and dashes.
    path : path-like
        The model file. It stays where it is.
    provider : {"sevennet", "mace"}, optional
        Recognised from the file ending when not given.
    level_of_theory, licence, non_commercial, heads, notes
        Written on the model card.

    Raises
    ------
    ModelError
        If the name is taken or malformed, the file is missing, or the provider is unclear.
    """
    canonical = name.strip().lower()
    file = Path(path).expanduser().resolve()
    if not canonical or not all(c.isalnum() or c in ".-_" for c in canonical):
        raise ModelError(
            f"'{name}' is not a usable model name.", fix="Use letters, digits, dots and dashes."
        )
    if any(canonical in (entry.name, *entry.aliases) for entry in BUILTIN_MODELS):
        raise ModelError(
            f"'{canonical}' is the name of a built-in model.", fix="Choose another name."
        )
    if not file.is_file():
        raise ModelError(f"model file '{file}' does not exist.", fix="Check the path.")
    kind = provider or PROVIDER_OF_SUFFIX.get(file.suffix.lower())
    if kind is not None and kind not in get_args(Provider)[:2]:
        raise ModelError(f"provider '{kind}' is not known.", fix="Use sevennet or mace.")
    if kind is None:
        raise ModelError(
            f"the provider of '{file.name}' cannot be told from its ending.",
            fix="Give --provider sevennet or --provider mace.",
        )
    entry = ModelEntry(
        name=canonical,
        provider=kind,
        level_of_theory=level_of_theory,
        licence=licence,
        non_commercial=non_commercial,
        heads=tuple(heads),
        sha256=sha256_of_file(file),
        size=file.stat().st_size,
        path=str(file),
        notes=notes,
    )
    others = [e for e in _user_models() if e.name != canonical]
    _write_user_models([*others, entry])
    logger.info("added model %s (%s, sha256 %s)", canonical, file, entry.sha256[:12])
    return entry


def remove_model(name: str) -> None:
    """Forget a model added with :func:`add_model`; the file itself is kept.

    Raises
    ------
    ModelError
        If the user added no model of that name.
    """
    models = _user_models()
    rest = [entry for entry in models if entry.name != name.strip().lower()]
    if len(rest) == len(models):
        raise ModelError(f"no user-added model is called '{name}'.", fix="See elphant models list.")
    _write_user_models(rest)


def _file_reference(
    path_text: str, head: str | None, provider: Provider | None
) -> PotentialReference:
    path = Path(path_text).expanduser()
    if not path.is_file():
        raise ModelError(f"model file '{path}' does not exist.", fix="Check the path.")
    if provider is None:
        raise ModelError(
            f"the kind of model file '{path}' cannot be told from its ending.",
            "Known endings: " + ", ".join(f"{s} ({p})" for s, p in PROVIDER_OF_SUFFIX.items()),
            "Register it: elphant models add NAME PATH --provider sevennet|mace.",
        )
    return PotentialReference(kind="file", name=str(path), head=head, provider=provider)


def _lookup(name: str) -> ModelEntry | None:
    wanted = name.strip().lower()
    for entry in _user_models():
        if entry.name == wanted:
            return entry
    return _builtin_index().get(wanted)


@cache
def _builtin_index() -> dict[str, ModelEntry]:
    return {key.lower(): entry for entry in BUILTIN_MODELS for key in (entry.name, *entry.aliases)}


def _unknown(name: str) -> ModelError:
    known = [*_builtin_index(), *(entry.name for entry in _user_models())]
    close = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return ModelError(
        f"there is no potential called '{name}'.",
        fix=f"{hint}See elphant models list; or give a model file or module:factory.",
    )


def _user_models() -> list[ModelEntry]:
    file = user_models_file()
    if not file.is_file():
        return []
    try:
        records = json.loads(file.read_text(encoding="utf-8"))["models"]
        return [ModelEntry.from_dict(record) for record in records]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the list of added models '{file}' is damaged: {error}.",
            fix="Correct or delete that file.",
        ) from error


def _write_user_models(models: list[ModelEntry]) -> None:
    file = user_models_file()
    text = json.dumps({"schema_version": "1.0", "models": [asdict(m) for m in models]}, indent=2)
    write_text(file, text + "\n")
