"""The report in a real browser: no console message, no request, a picture of the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from elphant.report.html import render_html
from elphant.report.interactive_view import localization_view
from elphant.report.model import Report, Section
from elphant.report.run_data import RunData

pytestmark = pytest.mark.browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    # No name is looked up: neither for the page nor for the browser's own services.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        reason = "no Chromium on PATH"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, but CI must run this test")
        pytest.skip(reason)
    return program


#: WebGL without a graphics card.
SOFTWARE_WEBGL = ("--enable-unsafe-swiftshader", "--use-angle=swiftshader")
#: What the software driver itself writes to the console while the picture is taken.
DRIVER_REMARK = "GL Driver Message (OpenGL, Performance"


def open_page(
    chromium, page: Path, folder: Path, flags=SOFTWARE_WEBGL, height=2400
) -> tuple[str, Path, Path]:
    """Open a file; return console output, net log and screenshot."""
    netlog, picture = folder / "net.json", folder / "page.png"
    command = [
        chromium, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}",
        f"--window-size=1280,{height}",
        "--enable-logging=stderr", "--v=0", f"--log-net-log={netlog}",
        f"--screenshot={picture}", page.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr, netlog, picture


def page_requests(netlog: Path) -> list[str]:
    """Return what the page asked for; the browser's own housekeeping has no origin."""
    log = json.loads(netlog.read_text(encoding="utf-8"))
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    return [
        event["params"]["url"]
        for event in log["events"]
        if event["type"] == start
        and "url" in event.get("params", {})
        and event["params"].get("initiator") != "not an origin"
        and not event["params"]["url"].startswith(("file:", "data:"))
    ]


def console_lines(stderr: str) -> list[str]:
    lines = [line for line in stderr.splitlines() if ":CONSOLE" in line]
    return [line for line in lines if DRIVER_REMARK not in line]


#: One level, everything, electrons alone, electrons with mobilities.
PAGES = ["report", "full_report", "electrons_report", "mobility_report"]


@pytest.fixture(scope="module", params=PAGES)
def visit(chromium, request, tmp_path_factory):
    """Each report, opened once."""
    report = request.getfixturevalue(request.param)
    result = open_page(chromium, report, tmp_path_factory.mktemp("browser"))
    kept = os.environ.get("ELPHANT_SCREENSHOTS")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copy(result[2], Path(kept) / f"{request.param}.png")
    return result


def test_console_is_silent(visit):
    assert console_lines(visit[0]) == []


def test_page_requests_nothing(visit):
    assert page_requests(visit[1]) == []


def test_the_checks_see_a_page_that_misbehaves(chromium, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><title>bad</title><img src="http://elphant.invalid/x.png" alt="x">'
        "<script>console.error('seen')</script>"
    )
    stderr, netlog, _ = open_page(chromium, page, tmp_path)
    assert page_requests(netlog) == ["http://elphant.invalid/x.png"]
    assert any("seen" in line for line in console_lines(stderr))


def test_screenshot_shows_a_page(visit):
    from PIL import Image

    image = Image.open(visit[2]).convert("RGB")
    assert image.size == (1280, 2400)
    assert len(image.resize((64, 120)).getcolors(maxcolors=64 * 120)) > 40


def dumped(chromium, page: Path, folder: Path, flags) -> str:
    """Return the document as it is after its script has run."""
    command = [
        chromium, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom",
        "--virtual-time-budget=5000", page.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def view_alone(electrons, tmp_path_factory):
    """A page with nothing but the interactive view: the window shows all of it."""
    run = RunData.load(electrons)
    blocks = (localization_view(run),)
    pictures = Section(identifier="figures", title="Figures", blocks=blocks)
    report = Report(title="view", subtitle="", sections=(pictures,))
    path = tmp_path_factory.mktemp("view") / "view.html"
    path.write_text(render_html(report), encoding="utf-8")
    return path


def saturated(picture: Path) -> int:
    """Number of strongly coloured pixels: atoms and surfaces, not text and lines."""
    from PIL import Image

    image = np.asarray(Image.open(picture).convert("RGB"), dtype=int)[300:900, 330:1200]
    return int((np.ptp(image, axis=-1) > 60).sum())


def test_interactive_view_is_painted(chromium, view_alone, tmp_path):
    stderr, netlog, picture = open_page(chromium, view_alone, tmp_path, height=1100)
    assert console_lines(stderr) == []
    assert page_requests(netlog) == []
    assert saturated(picture) > 10_000
    text = dumped(chromium, view_alone, tmp_path, SOFTWARE_WEBGL)
    assert 'data-state="drawn"' in text
    assert re.search(r'<p class="viewer-note"[^>]*hidden', text)


def test_interactive_view_obeys_keys_and_levels(chromium, view_alone, tmp_path):
    text = view_alone.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    probe = """
    (() => {
      const canvas = document.querySelector(".viewer canvas");
      const look = () => new Promise(
        (resolve) => setTimeout(() => resolve(canvas.toDataURL()), 50));
      (async () => {
        const pictures = [await look()];
        for (const key of ["ArrowLeft", "+", "0"]) {
          canvas.dispatchEvent(new KeyboardEvent("keydown", { key }));
          pictures.push(await look());
        }
        const choices = [...document.querySelectorAll(".viewer input")];
        choices.find((input) => !input.checked).click();
        pictures.push(await look());
        document.title = JSON.stringify(pictures.map((p) => pictures.indexOf(p)));
      })();
    })();"""
    # A canvas can be read back only if it keeps what it has drawn.
    # No frames are shown while a document is dumped: drawing waits for a timer instead.
    frames = "window.requestAnimationFrame = (draw) => setTimeout(draw, 0);"
    changed = (frames + script + probe).replace("antialias: true", "preserveDrawingBuffer: true")
    page = text.replace(f"<script>{script}</script>", f"<script>{changed}</script>")
    page = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", page)
    path = tmp_path / "probe.html"
    path.write_text(page, encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", dumped(chromium, path, tmp_path, SOFTWARE_WEBGL))[1]
    # Turned, then larger, then as at the start, then another surface.
    assert title == "[0,1,2,0,4]"


def test_without_webgl_the_page_says_so(chromium, view_alone, tmp_path):
    flags = ("--disable-gpu", "--disable-3d-apis")
    text = dumped(chromium, view_alone, tmp_path, flags)
    assert 'data-state="drawn"' not in text
    assert not re.search(r'<p class="viewer-note"[^>]*hidden', text)
    assert re.search(r'<div class="viewer-panel" hidden', text)


def test_another_script_is_refused(chromium, view_alone, tmp_path):
    page = view_alone.read_text(encoding="utf-8")
    path = tmp_path / "changed.html"
    path.write_text(page.replace("</body>", "<script>document.title = 'ran'</script></body>"))
    assert "<title>ran</title>" not in dumped(chromium, path, tmp_path, SOFTWARE_WEBGL)
