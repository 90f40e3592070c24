"""The examples of the documentation run, its commands exist, and it builds without warnings."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

#: Info words that keep a Python block from being run as it stands.
NO_RUN = "no-run"
NEEDS_RUN = "needs-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language, the words behind it, its text and line."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=match[1],
            words=tuple(match[2].split()),
            text=match[3],
            line=text[: match.start()].count("\n") + 1,
        )
        for match in FENCE.finditer(text)
    ]


def pages_with_python() -> list[Path]:
    return [
        page
        for page in PAGES
        if page.exists() and any(b.language == "python" for b in blocks_of(page))
    ]


@pytest.fixture
def workplace(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the files the examples name."""
    for name in ("Sb2Se3_PBEsol_Pnma.cif", "Sb2Se3_PBEsol_Pbnm.cif", "Si.cif", "NaCl.cif"):
        shutil.copy(fixtures / "structures" / name, tmp_path)
    shutil.copy(fixtures / "structures" / "Sb2Se3_PBEsol_Pnma.cif", tmp_path / "Sb2Se3.cif")
    shutil.copy(fixtures / "Si_phono3py" / "phono3py_params_Si.yaml.xz", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run_directory(folder: Path) -> None:
    """Write a synthetic run with all levels, the one that the tests of the report use."""
    folder_of_tests = str(ROOT / "tests" / "report")
    if folder_of_tests not in sys.path:
        sys.path.append(folder_of_tests)
    module = import_module("synthetic_run")
    module.build_run(folder, module.SyntheticOptions(ladder=True))


@pytest.mark.parametrize("page", pages_with_python(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_run(page: Path, workplace: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    blocks = [b for b in blocks_of(page) if b.language == "python" and NO_RUN not in b.words]
    assert blocks, "a page whose every example is no-run proves nothing"
    for block in blocks:
        if NEEDS_RUN in block.words:
            make_run_directory(workplace / "Sb2Se3.run")
        # Blank lines in front make the line numbers of a traceback those of the page.
        code = compile("\n" * block.line + block.text, str(page), "exec")
        exec(code, namespace)


# --- commands ---


def commands_in(page: Path) -> Iterator[str]:
    """Yield every ``elphant …`` command line of the shell blocks of a page."""
    for block in blocks_of(page):
        if block.language not in {"console", "bash", "sh"}:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|[\s\"/])elphant\s+([a-z].*)$", line)
            if found:
                yield found[1].rstrip('"')


COMMANDS = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command[:50]}")
    for page in PAGES
    if page.exists()
    for command in commands_in(page)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str) -> None:
    import typer

    from elphant.cli.app import app

    node: Any = typer.main.get_command(app)
    words = shlex.split(command, comments=True)
    while getattr(node, "commands", None) and words:
        name = words.pop(0)
        assert name in node.commands, f"there is no command {name!r}"
        node = node.commands[name]
    known = {spelling for p in node.params for spelling in (*p.opts, *p.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known | {"--help"}, f"{word} is no option"


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 15


# --- the whole ---


def test_pages_name_no_path_of_a_machine() -> None:
    for page in PAGES:
        if page.exists():
            text = page.read_text(encoding="utf-8")
            assert not re.search(r"/(work|tmp|root|home)/", text), page


@pytest.mark.slow
def test_documentation_builds_without_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the docs extra is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html",
         str(ROOT / "docs"), str(tmp_path)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    options = re.sub(r"<[^>]+>", "", (tmp_path / "cli.html").read_text(encoding="utf-8"))
    for text in (
        "--force-constants", "conductivity.mesh_spacing", "elphant models fetch", "--orders",
        "renormalization.method",
    ):  # fmt: skip
        assert text in options
    # Escaped bars of docstrings must not reach the reader, formulas must keep theirs.
    for page in (tmp_path / "api").glob("*.html"):
        assert "\\|V" not in page.read_text(encoding="utf-8"), page
    assert "sevennet-l3i5" in (tmp_path / "potentials.html").read_text(encoding="utf-8")
