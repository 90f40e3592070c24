"""The program that runs in the other Python: loads one potential and evaluates what it is sent.

It is started by :mod:`elphant.models.potentials.worker` and needs numpy, ASE and the provider of
the potential there; elphant itself is taken from the installation that starts it. Standard input
and output carry the messages of :mod:`elphant.models.potentials.wire`; whatever the model's own
code prints goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import fields
from typing import Any, BinaryIO

from elphant.errors import ElphantError
from elphant.models.potentials.protocol import Potential
from elphant.models.potentials.wire import (
    PROTOCOL_VERSION,
    Message,
    pack_evaluations,
    read_message,
    unpack_crystals,
    write_message,
)


def main() -> None:
    """Serve until the connection is closed."""
    # Ctrl-C reaches the whole process group; the starting process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = _claim_standard_streams()
    try:
        potential = _greet(requests, replies)
        if potential is not None:
            _serve(potential, requests, replies)
            potential.close()
    except (EOFError, BrokenPipeError):
        # The starting process is gone: nobody is left to report to.
        pass


def _claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for messages, so that no print can damage the stream."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def _greet(requests: BinaryIO, replies: BinaryIO) -> Potential | None:
    """Load the potential that the first message describes and answer with its card."""
    hello = read_message(requests)
    try:
        potential = _load(hello.fields["settings"])
        ready = {
            "protocol": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "card": potential.card.to_dict(),
        }
    except Exception as error:  # noqa: BLE001 - every failure must reach the other side
        write_message(replies, error_message(error))
        return None
    write_message(replies, Message(kind="ready", fields=ready))
    return potential


def _load(record: dict[str, Any]) -> Potential:
    from elphant.models.potentials.loading import PotentialSettings, load_potential

    known = {item.name for item in fields(PotentialSettings)}
    settings = PotentialSettings(**{k: v for k, v in record.items() if k in known})
    return load_potential(settings)


def _serve(potential: Potential, requests: BinaryIO, replies: BinaryIO) -> None:
    while True:
        request = read_message(requests)
        if request.kind == "close":
            return
        try:
            evaluations = potential.evaluate(unpack_crystals(request.arrays))
            reply = Message(kind="result", arrays=pack_evaluations(evaluations))
        except Exception as error:  # noqa: BLE001 - every failure must reach the other side
            reply = error_message(error)
        write_message(replies, reply)


def error_message(error: Exception) -> Message:
    """Return the message that carries ``error`` to the other side as what, why and fix."""
    if isinstance(error, ElphantError):
        record = {
            "error": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "fix": error.fix,
        }
    elif isinstance(error, ModuleNotFoundError):
        record = {
            "error": "DependencyError",
            "what": f"the Python of the potential, '{sys.executable}', lacks '{error.name}'.",
            "why": "The potential imports it.",
            "fix": f"Run: {sys.executable} -m pip install {str(error.name).partition('.')[0]}",
        }
    else:
        traceback.print_exception(error)
        last = traceback.extract_tb(error.__traceback__)[-1]
        record = {
            "error": "ModelError",
            "what": f"the potential failed: {type(error).__name__}: {error}",
            "why": f"Raised in {last.name}, {last.filename} line {last.lineno}.",
            "fix": "",
        }
    return Message(kind="error", fields=record)
