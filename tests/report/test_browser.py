"""The report in a real browser: no console message, no request, a picture of the page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
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


def open_page(chromium, page: Path, folder: Path) -> tuple[str, Path, Path]:
    """Open a file; return console output, net log and screenshot."""
    netlog, picture = folder / "net.json", folder / "page.png"
    command = [
        chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1280,2400",
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
    return [line for line in stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module", params=["report", "full_report"])
def visit(chromium, request, tmp_path_factory):
    """The report of one level and that of all levels, each opened once."""
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
