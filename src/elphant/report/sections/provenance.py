"""How to rerun, and who computed this with what."""

from __future__ import annotations

from elphant.report.model import Block, Code, Paragraph, Section, Table
from elphant.report.run_data import RunData
from elphant.report.text import duration, number


def rerun_section(run: RunData) -> Section:
    """Return the command, and what to install for it."""
    provenance = run.provenance
    blocks: list[Block] = []
    if provenance.command:
        blocks.append(Code(text=provenance.command, label="Command"))
    install = " ".join(
        [f"elphant=={provenance.elphant_version}"]
        + [f"{name}=={version}" for name, version in sorted(provenance.versions.items())
           if name not in ("python", "elphant")]
    )  # fmt: skip
    blocks.append(Code(text=f"pip install {install}", label="Same versions"))
    text = (
        "The same command in the same folder resumes and recomputes only what has changed. The "
        "resolved configuration with every default is run.yaml; the numbers of this page are "
        "results.json and data.h5."
    )
    blocks.append(Paragraph(text=text, muted=True))
    if provenance.input_file:
        digest = f", sha256 {provenance.input_sha256}" if provenance.input_sha256 else ""
        blocks.append(Paragraph(text=f"Input: {provenance.input_file}{digest}.", muted=True))
    return Section(identifier="rerun", title="How to rerun", blocks=tuple(blocks))


def provenance_section(run: RunData) -> Section:
    """Return hardware, timings, versions and seeds."""
    provenance = run.provenance
    hardware = provenance.hardware
    rows = [
        ("elphant", provenance.elphant_version),
        ("Computed", run.created),
        ("Preset", provenance.preset or "none"),
        ("Processor", _text(hardware.get("cpu"))),
        ("Cores", _text(hardware.get("n_cores"))),
        ("Memory", _gigabytes(hardware.get("memory_gb"))),
        ("GPU", hardware.get("gpu") or "none used"),
        ("Peak memory of the run", _gigabytes(provenance.peak_memory_gb)),
        ("Random seeds", ", ".join(f"{k} {v}" for k, v in provenance.seeds.items()) or "none"),
    ]
    blocks: list[Block] = [
        Table(caption="Run", headers=("property", "value"), rows=tuple(rows), numeric=False)
    ]
    if provenance.timings:
        total = sum(provenance.timings.values())
        timings = [
            (name, duration(seconds), f"{100 * seconds / total:.0f} %" if total else "–")
            for name, seconds in provenance.timings.items()
        ]
        timings.append(("sum", duration(total), ""))
        blocks.append(
            Table(caption="Time per stage", headers=("stage", "time", "share"), rows=tuple(timings))
        )
    if provenance.versions:
        versions = tuple(sorted(provenance.versions.items()))
        blocks.append(Table(caption="Versions", headers=("package", "version"), rows=versions))
    return Section(identifier="provenance", title="Provenance", blocks=tuple(blocks))


def _text(value: object) -> str:
    return "not recorded" if value in (None, "") else str(value)


def _gigabytes(value: float | None) -> str:
    return "not recorded" if value is None else f"{number(value, 2)} GB"
