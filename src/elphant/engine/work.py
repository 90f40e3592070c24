"""Running lists of work items: in this process, or in worker processes that may die.

Work describes itself as a picklable object that stores each finished item on its own. So nothing
has to come back from a worker, and whatever a dead worker had finished is not lost.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from elphant.engine.progress import Progress
from elphant.errors import ResourceError

logger = logging.getLogger(__name__)

#: How often the pool is rebuilt after a worker died without any new item finished.
MAX_BARREN_RESTARTS = 3

#: Environment variables that set the number of threads of numerical libraries.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class Work(Protocol):
    """A list of independent items with durable results. Must be picklable."""

    def pending(self) -> list[int]:
        """Return the items that are not stored yet."""
        ...

    def compute(self, items: Sequence[int]) -> None:
        """Compute and store items, each as soon as it is known."""
        ...


@runtime_checkable
class WatchableWork(Work, Protocol):
    """Work whose items take long enough to be watched one by one."""

    def watch(self, progress: Progress) -> None:
        """Take the receiver of what happens inside an item, in this process."""
        ...


def run_work(
    work: Work,
    items: Sequence[int],
    *,
    n_workers: int = 1,
    chunk: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Compute ``items`` of ``work``.

    Parameters
    ----------
    work : Work
        What to compute.
    items : sequence of int
        Items to compute, usually ``work.pending()`` of one shard.
    n_workers : int
        1 computes in this process. More starts that many processes (``spawn``), each with its
        share of the threads; a pool broken by a dead worker is rebuilt and only unfinished items
        are submitted again.
    chunk : int
        Items per call of ``compute``.
    advance : callable
        Called with the number of newly finished items.

    Raises
    ------
    ResourceError
        If workers keep dying without finishing anything.
    """
    if n_workers <= 1:
        for group in _chunks(items, chunk):
            work.compute(group)
            advance(len(group))
        return
    wanted, barren = set(items), 0
    remaining = sorted(wanted)
    while remaining:
        try:
            _run_pool(work, remaining, n_workers, chunk, advance)
            return
        except BrokenProcessPool as error:
            left = sorted(wanted & set(work.pending()))
            barren = barren + 1 if len(left) == len(remaining) else 0
            if barren >= MAX_BARREN_RESTARTS:
                raise ResourceError(
                    f"worker processes died {barren} times without finishing an item.",
                    "Usually the machine is out of memory; the system then kills the largest.",
                    "Use fewer --workers or a smaller --memory; finished items are kept.",
                ) from error
            logger.warning("a worker process died; %d unfinished items go on", len(left))
            remaining = left


def _run_pool(
    work: Work,
    items: Sequence[int],
    n_workers: int,
    chunk: int,
    advance: Callable[[int], None],
) -> None:
    pool = ProcessPoolExecutor(
        max_workers=min(n_workers, len(items)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(work,),
    )
    with _threads_of_children(max(1, (os.cpu_count() or 1) // n_workers)), pool:
        running: dict[Future[None], int] = {
            pool.submit(_compute_in_worker, group): len(group) for group in _chunks(items, chunk)
        }
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    size = running.pop(future)
                    future.result()
                    advance(size)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _threads_of_children(threads: int) -> Iterator[None]:
    """Let child processes start with ``threads`` threads each; this process is not changed.

    The numerical libraries read these variables when they are loaded, so they must be in the
    environment that a child inherits; setting them inside the child would come too late.
    """
    saved = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_worker_work: Work | None = None


def _start_worker(work: Work) -> None:
    """Keep the work of this process, so that a model is loaded once and not per chunk."""
    global _worker_work
    _worker_work = work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent dies, however that was killed.

    A worker holds both ends of the pipe it waits on, so it would otherwise wait forever, with a
    loaded model in its memory. Items are written atomically: leaving at any moment is safe.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compute_in_worker(items: Sequence[int]) -> None:
    assert _worker_work is not None
    _worker_work.compute(items)


def _chunks(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[start : start + size] for start in range(0, len(items), max(1, size))]
