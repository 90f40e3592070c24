"""Fetching weights from a local file server: resume, digests, offline mode."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from elphant.errors import DependencyError, ModelError
from elphant.models import registry, weights
from elphant.models.builtin_models import BUILTIN_MODELS
from elphant.models.entry import ModelEntry
from elphant.models.weights import fetch, fetch_weights, weights_path, weights_state

CONTENT = np.random.default_rng(3).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A file server that can cut transfers, ignore Range, or fail."""

    def __init__(self):
        self.requests = []
        self.cut_after = []  # bytes after which successive responses are cut
        self.ranges = True
        self.status = None
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/files/toy.model"

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status:
            handler.send_error(self.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        if start >= len(CONTENT):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = CONTENT[start:]
        handler.send_response(206 if wanted and self.ranges else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else len(body)
        handler.wfile.write(body[:cut])

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def model(server, tmp_path, monkeypatch):
    """Put a downloadable model into the registry; return its entry."""
    monkeypatch.setenv("ELPHANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ELPHANT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ELPHANT_OFFLINE", raising=False)
    entry = ModelEntry(
        name="toy-net",
        provider="mace",
        level_of_theory="none",
        licence="Academic Software License (ASL)",
        non_commercial=True,
        url=server.url,
        sha256=DIGEST,
    )
    return install(monkeypatch, entry)


def install(monkeypatch, entry):
    monkeypatch.setattr(registry, "BUILTIN_MODELS", (entry,))
    monkeypatch.setattr(registry, "_builtin_index", lambda: {entry.name: entry})
    return entry


def test_fetch_checks_and_reports(model, server, caplog):
    steps = []
    with caplog.at_level("INFO"):
        result = fetch("toy-net", progress=lambda done, total: steps.append((done, total)))
    assert result.path.read_bytes() == CONTENT
    assert result.pinned
    assert result.sha256 == DIGEST
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert "NON-COMMERCIAL" in result.licence_line
    assert result.licence_line in caplog.text
    assert not list(result.path.parent.glob("*.part"))
    assert weights_path("toy-net") == result
    assert weights_state(model) == "in cache"
    fetch_weights(model)
    assert len(server.requests) == 1, "a cached file is not fetched again"


def test_truncated_transfer_is_resumed(model, server):
    server.cut_after = [100_000]
    result = fetch("toy-net")
    assert result.path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-"]


def test_transfer_that_stays_truncated_keeps_what_arrived(model, server):
    server.cut_after = [1000, 1000, 1000]
    with pytest.raises(ModelError, match=r"(?s)could not be fetched completely.*to resume"):
        fetch("toy-net")
    part = weights._location(model).with_name("toy.model.part")
    assert part.read_bytes() == CONTENT[:3000]
    assert not weights._location(model).exists()
    assert fetch("toy-net").path.read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=3000-"


def test_server_without_ranges_starts_over(model, server):
    server.ranges = False
    server.cut_after = [5000]
    assert fetch("toy-net").path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=5000-"]


def test_complete_part_needs_no_second_transfer(model, server):
    part = weights._location(model).with_name("toy.model.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert fetch("toy-net").path.read_bytes() == CONTENT
    assert server.requests == [f"bytes={len(CONTENT)}-"]


def test_wrong_digest_is_refused_and_removed(model, monkeypatch):
    install(monkeypatch, replace(model, sha256="0" * 64))
    with pytest.raises(ModelError, match="fetched weights of 'toy-net' are wrong"):
        fetch("toy-net")
    assert not list(weights.cache_directory().rglob("toy.model*"))


def test_damaged_cache_is_noticed(model):
    path = fetch("toy-net").path
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="has changed"):
        weights_path("toy-net")


def test_trust_on_first_use(model, monkeypatch):
    install(monkeypatch, replace(model, sha256=""))
    first = fetch("toy-net")
    assert not first.pinned
    record = first.path.with_name("toy.model.sha256.json")
    assert json.loads(record.read_text())["sha256"] == DIGEST
    assert weights_path("toy-net") == first
    first.path.write_bytes(b"replaced")
    with pytest.raises(ModelError, match="has changed"):
        weights_path("toy-net")
    record.write_text("{")
    with pytest.raises(ModelError, match=r"record .* is damaged"):
        weights_path("toy-net")


def test_run_does_not_download(model, server):
    assert weights_state(model) == "to fetch"
    with pytest.raises(ModelError, match=r"not in the cache(?s:.)*elphant models fetch toy-net"):
        weights_path("toy-net")
    assert server.requests == []


def test_offline_mode(model, server, monkeypatch):
    monkeypatch.setenv("ELPHANT_OFFLINE", "1")
    with pytest.raises(
        ModelError, match=r"not in the cache; run `elphant models fetch toy-net` first"
    ):
        fetch("toy-net")
    assert server.requests == []
    monkeypatch.setenv("ELPHANT_OFFLINE", "0")
    fetch("toy-net")
    monkeypatch.setenv("ELPHANT_OFFLINE", "yes")
    assert fetch("toy-net").path.is_file(), "what is in the cache works offline"


@pytest.mark.parametrize(("status", "n_requests"), [(404, 1), (503, 3)])
def test_server_errors(model, server, status, n_requests):
    server.status = status
    with pytest.raises(ModelError, match=str(status)):
        fetch("toy-net")
    assert len(server.requests) == n_requests


def test_unreachable_server(model, monkeypatch):
    install(monkeypatch, replace(model, url="http://127.0.0.1:9/toy.model"))
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch("toy-net", timeout=2.0)


def test_other_schemes_are_refused(model, monkeypatch, tmp_path):
    secret = tmp_path / "toy.model"
    secret.write_bytes(b"x")
    install(monkeypatch, replace(model, url=secret.as_uri()))
    with pytest.raises(ModelError, match="not an http"):
        fetch("toy-net")


def test_missing_package_is_named(model, monkeypatch):
    entry = replace(model, url="", package="no_such_package_xyz", package_file="a.pth")
    install(monkeypatch, entry)
    with pytest.raises(DependencyError, match="no_such_package_xyz"):
        weights_path("toy-net")
    assert weights_state(entry) == "needs no_such_package_xyz"


@pytest.mark.sevennet
@pytest.mark.parametrize(
    "name", [entry.name for entry in BUILTIN_MODELS if entry.location == "installed"]
)
def test_weights_in_the_wheel_match_their_digest(name):
    pytest.importorskip("sevenn")
    result = weights_path(name)
    assert result.pinned
    assert fetch(name) == result
