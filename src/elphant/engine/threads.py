"""Thread counts of numerical libraries, changed for the length of a block only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block; the earlier count returns afterwards.

    Networks of small matrix products gain about a tenth from a second thread on an idle machine,
    but lose an order of magnitude on a busy one, where threads that wait for each other spin.
    Several processes (``--workers``) use several cores without that risk.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
