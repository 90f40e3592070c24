"""Deterministic shards of a list of work items."""

from __future__ import annotations

from dataclasses import dataclass

from elphant.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part ``index`` of ``count``: items with ``item % count == index``.

    Taking every ``count``-th item balances the load when cost varies slowly along the list.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n`` with 0 <= i < n.

        Raises
        ------
        ConfigurationError
            If the text has another form.
        """
        try:
            index, count = (int(part) for part in text.split("/"))
        except ValueError:
            index, count = -1, 0
        if not 0 <= index < count:
            raise ConfigurationError(
                f"--shard {text!r} is not of the form i/n with 0 <= i < n.",
                fix="For a job array of 8 tasks use --shard 0/8 to --shard 7/8.",
            )
        return cls(index=index, count=count)

    def selects(self, item: int) -> bool:
        """Return True when ``item`` belongs to this shard."""
        return item % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
