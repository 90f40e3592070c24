"""Messages, exit codes and pickling of the exceptions."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from elphant import errors
from elphant.errors import ElphantError, ModelError, StructureError

ALL = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ElphantError)
]


def test_hierarchy_is_flat_and_small() -> None:
    assert 8 <= len(ALL) <= 12
    assert all(kind is ElphantError or kind.__bases__ == (ElphantError,) for kind in ALL)


def test_exit_codes_are_distinct_and_not_success() -> None:
    codes = [kind.exit_code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 64 for code in codes)


def test_text_has_one_line_per_part() -> None:
    error = ModelError("head 'x' is unknown.", "The file has heads a, b.", "Choose one of them.")
    assert str(error).splitlines() == [
        "head 'x' is unknown.",
        "  The file has heads a, b.",
        "  Choose one of them.",
    ]


def test_empty_parts_leave_no_line() -> None:
    assert str(StructureError("gone.")) == "gone."
    assert str(StructureError("gone.", fix="Look again.")) == "gone.\n  Look again."


@pytest.mark.parametrize("kind", ALL)
def test_pickle_round_trip(kind: type[ElphantError]) -> None:
    error = kind("what", "why", "fix")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.what, copy.why, copy.fix) == ("what", "why", "fix")
    assert str(copy) == str(error)


def test_survives_an_executor() -> None:
    def fail() -> None:
        raise StructureError("what", "why", "fix")

    with ThreadPoolExecutor(1) as pool, pytest.raises(StructureError, match="why"):
        pool.submit(fail).result()
