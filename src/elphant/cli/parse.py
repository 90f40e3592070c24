"""Reading the values of command-line options."""

from __future__ import annotations

from typing import Any

from elphant.errors import ConfigurationError

#: More temperatures than this are a slip in the step of a range.
MAX_TEMPERATURES = 1000


def parse_mesh(text: str | None, option: str = "--mesh") -> tuple[int, ...] | None:
    """Read ``9,9,9`` (or ``9x9x9``), the value of ``option``.

    Raises
    ------
    ConfigurationError
        If these are not three whole numbers.
    """
    if text is None:
        return None
    try:
        mesh = tuple(int(part) for part in text.replace("x", ",").replace(" ", ",").split(","))
    except ValueError:
        mesh = ()
    if len(mesh) != 3:
        raise ConfigurationError(
            f"{option} {text!r} is not three whole numbers.",
            fix=f"Write for example {option} 9,9,9.",
        )
    return mesh


def parse_temperatures(text: str | None) -> tuple[float, ...] | None:
    """Read ``300``, ``200,300,400`` or ``100:800:100`` (last included).

    Raises
    ------
    ConfigurationError
        If the text has another form.
    """
    if text is None:
        return None
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, step = (float(part) for part in text.split(":"))
        # Written so that a value that is not a number fails too.
        if not (step > 0 and last >= first):
            raise ValueError
        intervals = (last - first) / step
    except ValueError as error:
        raise ConfigurationError(
            f"--temperature {text!r} cannot be read.",
            fix="Write 300, or 200,300,400, or 100:800:100.",
        ) from error
    if not intervals < MAX_TEMPERATURES:
        raise ConfigurationError(
            f"--temperature {text!r} asks for more than {MAX_TEMPERATURES} temperatures.",
            fix="Write FIRST:LAST:STEP with a larger step, for example 100:800:100.",
        )
    return tuple(first + i * step for i in range(int(intervals + 1e-9) + 1))


def parse_densities(text: str | None) -> tuple[float, ...] | None:
    """Read ``1e16`` or ``1e16,1e18``.

    Raises
    ------
    ConfigurationError
        If these are not numbers.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"--density {text!r} cannot be read.",
            fix="Write 1e16, or 1e16,1e18, in carriers per cm³.",
        ) from error


def parse_assignments(texts: list[str] | None) -> dict[str, Any]:
    """Read ``section.name=value`` pairs; values are YAML.

    Raises
    ------
    ConfigurationError
        If a text has no ``=``, or its value is not YAML.
    """
    if not texts:
        return {}
    import yaml

    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            options[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals:
            raise ConfigurationError(
                f"--set {text!r} cannot be read.",
                fix="Write NAME=VALUE, for example --set displacements.seed=7.",
            )
    return options


def parse_count_or_word(text: str | None) -> int | str | None:
    """Return a whole number where ``text`` is one, else the text itself."""
    return int(text) if text is not None and text.isdecimal() else text


def parse_number_or_word(text: str | None) -> float | str | None:
    """Return a number where ``text`` is one, else the text itself."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
