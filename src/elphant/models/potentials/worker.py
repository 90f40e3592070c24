"""A potential that lives in another Python environment, reached through a worker process.

Packages of different models exclude each other (mace-torch and sevenn need different e3nn). The
worker is started with the other environment's Python, which needs numpy, ASE and the provider, but
not elphant: the package is taken from this installation.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import elphant
import elphant.errors
from elphant.crystal import Crystal
from elphant.errors import DependencyError, ElphantError, ModelError
from elphant.models.card import ModelCard
from elphant.models.potentials.protocol import Evaluation
from elphant.models.potentials.wire import (
    PROTOCOL_VERSION,
    Message,
    WireError,
    pack_crystals,
    read_message,
    unpack_evaluations,
    write_message,
)
from elphant.models.registry import user_models_file
from elphant.models.weights import cache_directory

if TYPE_CHECKING:
    from elphant.models.potentials.loading import PotentialSettings

logger = logging.getLogger(__name__)

#: How often a worker that dies on the same crystals is started again.
MAX_RESTARTS: Final = 2

#: Atoms sent in one message when no batch size is given: what a death of the worker can cost.
DEFAULT_MESSAGE_ATOMS: Final = 4000

#: Lines of the worker's standard error that are kept for error messages.
_KEPT_LINES: Final = 200

_CLOSE_SECONDS: Final = 5.0

_REPLIES: Final = {"hello": "ready", "evaluate": "result"}

# Only the package elphant is made importable, not the directory it lies in: that directory can be
# a whole site-packages, whose other packages would shadow those of the worker's environment.
_BOOTSTRAP: Final = """
import sys
if sys.version_info < (3, 11):
    sys.exit("this Python is %d.%d; the worker needs 3.11 or newer" % sys.version_info[:2])
import importlib.util
folder = sys.argv[1]
sys.path[:] = [entry for entry in sys.path if entry != ""]
spec = importlib.util.spec_from_file_location(
    "elphant", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["elphant"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from elphant.models.potentials.worker_process import main
main()
"""


class _WorkerDiedError(Exception):
    """The process ended, or its side of the connection is unusable."""


class WorkerPotential:
    """A potential evaluated by another Python.

    Parameters
    ----------
    settings : PotentialSettings
        Which potential, and the path of the other environment's Python in ``settings.python``.
        A dispersion correction is not passed on: it is added on this side.

    Raises
    ------
    ModelError
        If ``settings.python`` is not a usable Python, or the potential cannot be loaded there.
    DependencyError
        If a package that the potential needs is missing there.
    """

    def __init__(self, settings: PotentialSettings) -> None:
        self._program = _checked_python(settings.python)
        record = asdict(settings)
        for name in ("python", "dispersion", "functional"):
            record.pop(name, None)
        self._settings = record
        self._max_atoms = settings.max_batch_atoms or DEFAULT_MESSAGE_ATOMS
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._closed = False
        self._connection: _Connection | None = self._start()

    @property
    def card(self) -> ModelCard:
        """Description of the model, as the worker reports it."""
        return self._card

    @property
    def process_id(self) -> int | None:
        """Process id of the running worker; None when there is none."""
        return self._connection.process.pid if self._connection is not None else None

    def evaluate(self, crystals: Sequence[Crystal]) -> list[Evaluation]:
        """Return one evaluation per crystal, in order.

        A worker that dies is started again and gets the unfinished crystals once more.

        Raises
        ------
        ModelError
            If the potential fails, or the worker dies several times on the same crystals.
        """
        if self._closed:
            raise ModelError(f"potential '{self._card.name}' was closed.", fix="Load it again.")
        if os.getpid() != self._owner:
            raise ModelError(
                "a potential in a worker process was used from a forked process.",
                "Two processes cannot share one connection.",
                "Load the potential in the process that uses it.",
            )
        results: list[Evaluation] = []
        with self._lock:
            for part in self._parts(crystals):
                request = Message(kind="evaluate", arrays=pack_crystals(part))
                results.extend(unpack_evaluations(self._exchange(request).arrays))
        return results

    def close(self) -> None:
        """End the worker process."""
        self._closed = True
        self._stop()

    def _start(self) -> _Connection:
        """Start a worker and have it load the potential."""
        connection = _Connection(self._program)
        # Ends the process also when this object is forgotten or Python exits.
        self._finalizer = weakref.finalize(self, connection.stop)
        hello = Message(
            kind="hello", fields={"protocol": PROTOCOL_VERSION, "settings": self._settings}
        )
        try:
            ready = connection.exchange(hello)
        except _WorkerDiedError as error:
            connection.stop()
            raise _start_error(self._program, connection, str(error)) from error
        except BaseException:
            connection.stop()
            raise
        self._card = ModelCard.from_dict(ready.fields["card"])
        logger.info(
            "%s runs in %s (Python %s, process %s)",
            self._card.name,
            self._program,
            ready.fields["python"],
            ready.fields["pid"],
        )
        return connection

    def _stop(self) -> None:
        if self._connection is not None:
            self._finalizer()
            self._connection = None

    def _parts(self, crystals: Sequence[Crystal]) -> Iterator[list[Crystal]]:
        """Cut the work into messages, so that a dying worker loses little of it."""
        part: list[Crystal] = []
        n_atoms = 0
        for crystal in crystals:
            if part and n_atoms + crystal.n_atoms > self._max_atoms:
                yield part
                part, n_atoms = [], 0
            part.append(crystal)
            n_atoms += crystal.n_atoms
        if part:
            yield part

    def _exchange(self, request: Message) -> Message:
        """Send a request and return its reply, starting the worker again if it dies."""
        for attempt in range(MAX_RESTARTS + 1):
            if self._connection is None:
                self._connection = self._start()
            connection = self._connection
            try:
                return connection.exchange(request)
            except _WorkerDiedError as error:
                connection.process.kill()
                self._stop()
                cause = str(error)
                if attempt < MAX_RESTARTS:
                    logger.warning(
                        "the worker process of %s died (%s); starting it again (%d of %d)",
                        self._card.name,
                        cause,
                        attempt + 1,
                        MAX_RESTARTS,
                    )
            except ElphantError:
                raise
            except BaseException:
                # Interrupted halfway: the next reply would answer the wrong question.
                connection.process.kill()
                self._stop()
                raise
        raise ModelError(
            f"the worker process of '{self._card.name}' died {MAX_RESTARTS + 1} times on the same "
            f"crystals: {cause}.",
            connection.last_words() or "It left no message; often the machine ran out of memory.",
            "Use smaller batches or supercells, or a machine with more memory.",
        )


class _Connection:
    """One running worker process and the pipes to it."""

    def __init__(self, program: str) -> None:
        self._owner = os.getpid()
        package = str(Path(elphant.__file__).resolve().parent)
        try:
            self.process = subprocess.Popen(
                [program, "-c", _BOOTSTRAP, package],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
            )
        except OSError as error:
            raise _not_a_python(program, str(error)) from error
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        # The pipe must be drained all the time: a worker that fills it would stand still.
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def exchange(self, request: Message) -> Message:
        """Send one message and return the reply.

        Raises
        ------
        _WorkerDiedError
            If the process ended or does not speak the protocol.
        ElphantError
            If the reply is an error of the potential.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            write_message(self.process.stdin, request)  # type: ignore[arg-type]
            reply = read_message(self.process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError) as error:
            raise _WorkerDiedError(self._end()) from error
        except (WireError, ValueError, KeyError) as error:
            raise _WorkerDiedError(f"unreadable reply, {error}") from error
        if reply.kind == "error":
            raise _transported_error(reply)
        if reply.kind != _REPLIES[request.kind]:
            raise _WorkerDiedError(f"unexpected reply '{reply.kind}'")
        return reply

    def last_words(self, n_lines: int = 6) -> str:
        """Return the end of what the worker wrote to standard error."""
        self._reader.join(timeout=1.0)
        lines = [line for line in self._lines if line.strip()]
        return "\n  ".join(lines[-n_lines:])

    def stop(self) -> None:
        """Ask the process to end, and end it if it does not."""
        process = self.process
        if os.getpid() != self._owner:
            return  # a forked copy of this object must not end its parent's worker
        if process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                write_message(process.stdin, Message(kind="close"))  # type: ignore[arg-type]
                process.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_CLOSE_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()
        self._reader.join(timeout=1.0)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.close()  # type: ignore[union-attr]

    def _drain(self) -> None:
        assert self.process.stderr is not None
        # The stream is closed under this thread when the worker is stopped.
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stderr:
                text = line.decode(errors="replace").rstrip()
                self._lines.append(text)
                logger.debug("worker: %s", text)

    def _end(self) -> str:
        """Say how the process ended."""
        try:
            status = self.process.wait(timeout=_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed the connection"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"ended by signal {signal.Signals(-status).name}"
        return f"exit status {status}"


def _environment() -> dict[str, str]:
    """Return the environment of the worker: the user's, with elphant's own folders resolved here.

    The other environment need not have the package that finds the user's directories.
    """
    return {
        **os.environ,
        "ELPHANT_HOME": str(user_models_file().parent),
        "ELPHANT_CACHE": str(cache_directory().parent),
    }


def _checked_python(python: str | Path | None) -> str:
    """Return the program to start; a link stays a link, because a venv's Python is one."""
    text = str(python or "").strip()
    program = os.path.expanduser(text)  # noqa: PTH111  a Path would drop the "./" that matters here
    path = Path(program)
    if text and path.is_dir():
        raise ModelError(
            f"the Python of the potential, '{text}', is a directory.",
            fix=f"Give the program, for example --potential-python {path / 'bin' / 'python'}.",
        )
    found = shutil.which(program) if text else None
    if found is None:
        reason = "is not executable" if path.is_file() else "does not exist"
        raise _not_a_python(text, f"it {reason}")
    return found


def _not_a_python(program: str, reason: str) -> ModelError:
    return ModelError(
        f"the Python of the potential, '{program}', cannot be started: {reason}.",
        fix="Give the Python of an environment that has the potential's package, for example "
        "--potential-python ~/envs/mace/bin/python.",
    )


def _start_error(program: str, connection: _Connection, cause: str) -> ElphantError:
    """Return the error of a worker that ended before it had loaded the potential."""
    words = connection.last_words()
    missing = re.search(r"No module named '([\w.]+)'", words)
    if missing:
        package = missing.group(1).partition(".")[0]
        return DependencyError(
            f"the Python of the potential, '{program}', lacks the package {package}.",
            "It needs numpy, ASE and the package of the potential.",
            f"Run: {program} -m pip install numpy ase; and for a MACE model, in that environment: "
            'pip install "elphant[mace]".',
        )
    return ModelError(
        f"the worker process in '{program}' ended before the potential was loaded: {cause}.",
        words or "It left no message.",
        f"Check that this is a Python of 3.11 or newer: {program} --version",
    )


def _transported_error(reply: Message) -> ElphantError:
    """Rebuild the error that the worker raised."""
    fields: dict[str, Any] = {k: str(reply.fields.get(k, "")) for k in ("what", "why", "fix")}
    kind = getattr(elphant.errors, str(reply.fields.get("error")), ModelError)
    if not (isinstance(kind, type) and issubclass(kind, ElphantError)):
        kind = ModelError
    return kind(**fields)
