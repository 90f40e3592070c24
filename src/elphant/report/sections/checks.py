"""Quality checks, worst first."""

from __future__ import annotations

from elphant.report.model import Block, Notice, Paragraph, Section
from elphant.report.run_data import RunData
from elphant.report.sections.doubts import flag_title
from elphant.report.text import compact, sentence


def quality_section(run: RunData) -> Section:
    """Return every check with its outcome, value and limit."""
    order = {"invalid": 0, "warning": 1, "info": 2}
    flags = sorted(run.quality, key=lambda flag: order[flag.severity])
    counts = {name: sum(flag.severity == name for flag in flags) for name in order}
    checks = f"{len(flags)} check{'' if len(flags) == 1 else 's'}"
    summary = (
        f"{checks}: {counts['info']} in order, {counts['warning']} with a warning, "
        f"{counts['invalid']} invalid. A warning says that a number is doubtful; invalid says that "
        "it has no physical meaning as it stands."
    )
    blocks: list[Block] = [Paragraph(text=summary if flags else "No checks were recorded.")]
    for flag in flags:
        limit = ""
        if flag.value is not None and flag.threshold is not None:
            limit = f" Value {compact(flag.value)}, limit {compact(flag.threshold)}."
        text = f"{sentence(flag.message)}{limit}"
        blocks.append(Notice(severity=flag.severity, title=flag_title(flag.name), text=text))
    return Section(identifier="quality", title="Quality checks", blocks=tuple(blocks))
