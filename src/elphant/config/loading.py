"""Building a configuration: defaults < preset < YAML file < command-line flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from elphant.config.models import RunConfig
from elphant.config.presets import PRESETS
from elphant.errors import ConfigurationError

Options = dict[str, Any]


def build_config(
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    default_preset: str = "quick",
) -> RunConfig:
    """Return the resolved configuration.

    Parameters
    ----------
    file : Path, optional
        YAML file with any of the options, nested by section.
    flags : mapping, optional
        Dotted names and values, for example ``{"conductivity.mesh": (9, 9, 9)}``; these win.
    default_preset : str
        Preset where neither file nor flags name one.

    Raises
    ------
    ConfigurationError
        For an unreadable file, an unknown key (the nearest valid name is proposed), or a value of
        the wrong kind.
    """
    from_file = read_options(file) if file else {}
    from_flags = nested(flags or {})
    refuse_unknown_keys(from_file, RunConfig, where=f"'{file}'")
    refuse_unknown_keys(from_flags, RunConfig, where="the options")
    preset = from_flags.get("preset", from_file.get("preset", default_preset))
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigurationError(
            f"preset {preset!r} does not exist.",
            fix=f"Choose one of: {', '.join(PRESETS)}.{_suggestion(str(preset), list(PRESETS))}",
        )
    options = merged(merged(PRESETS[preset], from_file), from_flags)
    try:
        return RunConfig.model_validate({**options, "preset": preset})
    except ValidationError as error:
        raise ConfigurationError(
            _explain(error), fix="Correct the option and try again."
        ) from error


def read_options(path: Path) -> Options:
    """Read a YAML file of options.

    Raises
    ------
    ConfigurationError
        If the file is missing or not a YAML mapping.
    """
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"configuration file '{path}' cannot be read: {error.strerror}.",
            fix="Check the path given to --config.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"configuration file '{path}' is not valid YAML: {error}",
            fix="Correct the line named above.",
        ) from error
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ConfigurationError(
            f"configuration file '{path}' holds a {type(options).__name__}, not named options.",
            fix="Write lines such as 'preset: quick'.",
        )
    # A heading whose lines are all commented out is an empty section, not a value.
    return {key: value for key, value in options.items() if value is not None}


def to_yaml(config: RunConfig) -> str:
    """Return the resolved configuration as YAML, every default written out."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def nested(flags: Mapping[str, Any]) -> Options:
    """Turn dotted names into nested options; values of None are left out (flag not given).

    Raises
    ------
    ConfigurationError
        If a name goes below an option that another name gives a value.
    """
    options: Options = {}
    for name, value in flags.items():
        if value is None:
            continue
        *sections, key = name.split(".")
        target = options
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigurationError(
                    f"option '{name}' contradicts another option: '{section}' is given a value.",
                    fix="Give either the section's options one by one, or one value.",
                )
        target[key] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return options


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> Options:
    """Return ``base`` updated by ``override``, section by section."""
    result = dict(base)
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def option_table(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield (dotted name, default, description) of every option, for help and documentation."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from option_table(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(default), field.description or ""


def refuse_unknown_keys(
    options: Mapping[str, Any], model: type[BaseModel], where: str, prefix: str = ""
) -> None:
    """Raise :class:`ConfigurationError` at the first unknown key, naming the nearest valid one."""
    for key, value in options.items():
        field = model.model_fields.get(str(key))
        if field is None:
            known = list(model.model_fields)
            raise ConfigurationError(
                f"unknown option '{prefix}{key}' in {where}.",
                fix=f"Valid here: {', '.join(known)}.{_suggestion(str(key), known)}",
            )
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            if not isinstance(value, Mapping):
                raise ConfigurationError(
                    f"'{prefix}{key}' in {where} is a section of options, not {value!r}.",
                    fix=f"Write one of: {', '.join(section.model_fields)} below it.",
                )
            refuse_unknown_keys(value, section, where, f"{prefix}{key}.")


def _suggestion(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def _explain(error: ValidationError) -> str:
    """Say which options are wrong, with the value and everything that would be right."""
    wrong: dict[str, object] = {}
    rules: dict[str, list[str]] = {}
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"][:2])
        wrong.setdefault(name, problem["input"])
        # An option of several kinds fails once for each kind: name them all, once.
        rule = problem["msg"].replace("Input should be", "must be").replace("valid tuple", "list")
        if rule not in rules.setdefault(name, []):
            rules[name].append(rule)
    return "invalid option " + "; ".join(
        f"{name} = {wrong[name]!r}: {', or '.join(rules[name])}" for name in wrong
    )
