"""Exceptions of elphant. Each message says what happened, why, and what to do about it."""

from __future__ import annotations


class ElphantError(Exception):
    """Base of every error that elphant raises on purpose.

    Parameters
    ----------
    what : str
        What happened, with the offending value.
    why : str, optional
        Why that is a problem, or what caused it.
    fix : str, optional
        What the user can do about it.
    """

    #: Process exit status with which the command line ends.
    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(self.text())

    def text(self) -> str:
        """Return the whole message, one line per part."""
        return "\n  ".join(part for part in (self.what, self.why, self.fix) if part)

    def __reduce__(self) -> tuple[type[ElphantError], tuple[str, str, str]]:
        # Exceptions travel between worker processes; rebuild them from their three parts.
        return type(self), (self.what, self.why, self.fix)


class StructureError(ElphantError):
    """A crystal structure cannot be read or is not a usable crystal."""

    exit_code = 3


class ModelError(ElphantError):
    """A model is unknown, incomplete, not trusted, or unable to evaluate this crystal."""

    exit_code = 4


class DependencyError(ElphantError):
    """An optional package, program or device that the request needs is missing."""

    exit_code = 5


class ConfigurationError(ElphantError):
    """An option or a configuration file is wrong or inconsistent."""

    exit_code = 2


class PhysicsError(ElphantError):
    """The requested number would be meaningless for this input."""

    exit_code = 7


class StoreError(ElphantError):
    """A run directory or one of its files is damaged, foreign or cannot be written."""

    exit_code = 8


class ResourceError(ElphantError):
    """Too little memory, disk or time for the request."""

    exit_code = 9
