"""What every stage of one run shares: where, how, and what has happened so far."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from elphant.config.models import RunConfig
from elphant.engine.progress import Progress, RemarkingProgress, SilentProgress
from elphant.engine.shard import Shard
from elphant.engine.work import WatchableWork, Work, run_work
from elphant.quality import QualityFlag
from elphant.store.run_directory import RunDirectory
from elphant.store.stage import Arrays, Stage, StageOutput

logger = logging.getLogger(__name__)


class OtherShardsPending(Exception):  # noqa: N818  an outcome, not an error
    """A shard is finished, but its stage still waits for items of other shards."""

    def __init__(self, stage: str, done: int, total: int) -> None:
        self.stage, self.done, self.total = stage, done, total
        super().__init__(f"stage {stage}: {done} of {total} work items are stored")


@dataclass(slots=True, kw_only=True)
class RunContext:
    """State of a running workflow.

    Attributes
    ----------
    directory : RunDirectory
    config : RunConfig
    shard : Shard
        Part of the itemised stages that this process computes.
    device : str
        Resolved device.
    memory_gb : float
        Memory bound.
    progress : Progress
        Receiver of progress.
    timings : dict
        Seconds spent on each stage when it was computed.
    computed : list of str
        Stages computed (not reused) by this call.
    keys : dict
        Address of every stage of the run.
    flags : list of QualityFlag
    """

    directory: RunDirectory
    config: RunConfig
    shard: Shard = field(default_factory=Shard)
    device: str = "cpu"
    memory_gb: float = 4.0
    progress: Progress = field(default_factory=SilentProgress)
    timings: dict[str, float] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    flags: list[QualityFlag] = field(default_factory=list)

    def reuse_or_compute(
        self,
        name: str,
        version: int,
        inputs: Mapping[str, Any],
        compute: Callable[[Stage], tuple[Mapping[str, Any], Arrays]],
    ) -> StageOutput:
        """Return the stored output of a stage, or compute, store and return it.

        ``compute`` receives the stage (for its work items) and returns (record, arrays).
        """
        stage = self.directory.stage(name, version, inputs)
        output = stage.load()
        if output is None:
            start = time.perf_counter()
            self.directory.append_log("stage started", stage=name, key=stage.key)
            record, arrays = compute(stage)
            output = stage.save(record, arrays, seconds=time.perf_counter() - start)
            self.computed.append(name)
            self.directory.append_log(
                "stage finished", stage=name, key=stage.key, seconds=round(output.seconds, 3)
            )
        else:
            logger.info("stage %s: reused (%s)", name, stage.key[:8])
        self.timings[name] = round(output.seconds, 3)
        self.keys[name] = output.key
        return output

    def complete_items(
        self,
        stage: Stage,
        work: Work,
        n_items: int,
        *,
        label: str,
        chunk: int = 1,
        n_workers: int = 1,
    ) -> None:
        """Compute this shard's pending work items.

        Raises
        ------
        OtherShardsPending
            If items of other shards are still missing afterwards.
        """
        pending = stage.pending_items(n_items)
        mine = [item for item in pending if self.shard.selects(item)]
        if pending and len(pending) < n_items:
            self.progress.decided(f"{label}: {n_items - len(pending)} of {n_items} already stored")
        if mine:
            with self.progress.task(label, len(mine)) as task:
                if n_workers == 1 and isinstance(work, WatchableWork):
                    work.watch(RemarkingProgress(task))
                run_work(
                    work,
                    mine,
                    n_workers=n_workers,
                    chunk=chunk,
                    advance=task.advance,
                )
        # With several shards, others may have stored theirs in the meantime: look again.
        left = stage.pending_items(n_items) if mine or pending else []
        if left:
            raise OtherShardsPending(stage.name, n_items - len(left), n_items)
