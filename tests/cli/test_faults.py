"""What goes wrong outside: a registry that fails, lies or hangs, a cut wire, a read-only folder, a clock.

Each is told in one sentence with the right exit code, nothing is left behind, and the next run finishes.
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from noderack_cli import generations
from noderack_cli.doctor import look
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host

# What stands between host and registry does to an answer: (path, body) → (status, body, bytes that are sent).
Mischief = Callable[[str, bytes], tuple[int, bytes, int | None]]


class Between(BaseHTTPRequestHandler):
    """Hands questions on to the registry, and its answers back as `mischief` makes them."""

    registry: str
    mischief: Mischief
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """One question."""
        length = int(self.headers.get("Content-Length") or 0)
        skip = ("content-length", "connection", "accept-encoding")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skip}
        question = Request(
            self.registry + self.path, self.rfile.read(length) or None, headers, method=self.command
        )
        try:
            with urlopen(question, timeout=20) as answer:
                status, kind, body = answer.status, answer.headers.get("Content-Type"), answer.read()
        except HTTPError as refused:
            status, kind, body = refused.code, refused.headers.get("Content-Type"), refused.read()
        changed, body, most = type(self).mischief(self.path, body)
        self.send_response(changed or status)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):  # whoever asked has heard enough
                self.wfile.write(body[:most])
        if most is not None and most < len(body):
            self.close_connection = True

    do_POST = do_HEAD = do_GET


class Silent(ThreadingHTTPServer):
    """A server that does not print that somebody hung up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture
def between(
    shop: Any, rack: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[type[Between]]:
    """The host asks by way of `Between`; set its `mischief`. The registry has `film`, which needs `lib`."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    shop.sell("lib", library=True, files={"data.bin": bytes(range(256)) * 400})
    shop.sell("film", types=["FilmGrain"], requires=["lib"])
    made = type("One", (Between,), {"registry": shop.url, "mischief": staticmethod(honest)})
    server = Silent(("127.0.0.1", 0), made)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    rack.with_config(registry=f"http://127.0.0.1:{server.server_address[1]}")
    yield made
    server.shutdown()
    server.server_close()


def honest(path: str, body: bytes) -> tuple[int, bytes, int | None]:
    return 0, body, None


def on(part: str, status: int = 0, body: bytes | None = None, most: int | None = None) -> Mischief:
    """Mischief with the answers whose path has `part` in it."""

    def mischief(path: str, true: bytes) -> tuple[int, bytes, int | None]:
        return (
            (status, true if body is None else body, most)
            if part in path and not path.endswith(".metadata")
            else (0, true, None)
        )

    return mischief


def flipped(path: str, body: bytes) -> tuple[int, bytes, int | None]:
    """A wheel of which one byte in the middle is another."""
    if not path.endswith("lib-1.0-py3-none-any.whl"):
        return 0, body, None
    middle = len(body) // 2
    return 0, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :], None


def lying(path: str, body: bytes) -> tuple[int, bytes, int | None]:
    """An index that names another hash for each wheel than the wheel has."""
    if path.endswith((".whl", ".metadata")):
        return 0, body, None
    return 0, re.sub(rb'("sha256":")\w{64}(?="}?,"size")', rb"\g<1>" + b"0" * 64, body), None


WHEEL = "lib-1.0-py3-none-any.whl"
FAULTS: dict[str, tuple[Mischief, int, str]] = {
    "every answer is 500": (on("/", 500, b"{}"), Exit.REGISTRY, "answered HTTP 500"),
    "answers are no JSON": (on("/api/", 200, b"<html>hello</html>"), Exit.REGISTRY, "is not JSON"),
    "answers are JSON of something else": (
        on("/api/", 200, b'{"a": [1]}'),
        Exit.REGISTRY,
        "gave an answer that this version does not understand",
    ),
    "the index is 500": (on("/simple/", 500, b"no"), Exit.REGISTRY, "answered 500 Internal Server Error"),
    "the index is garbage": (on("/simple/", 200, b"\x00\xff" * 50), Exit.REGISTRY, "cannot be read"),
    "a wheel is 500": (on(WHEEL, 500, b"no"), Exit.INSTALL_FAILED, "answered 500 Internal Server Error"),
    "a wheel is cut": (on(WHEEL, most=700), Exit.INSTALL_FAILED, "broke off while lib 1.0 came"),
    "a wheel is other bytes than the index says": (flipped, Exit.INSTALL_FAILED, "lib 1.0 is no whole wheel"),
    "the index lies about a hash": (lying, Exit.INSTALL_FAILED, "is not what its index promises"),
    "a wheel is a web page": (
        on(WHEEL, 200, b"<html>log in</html>"),
        Exit.INSTALL_FAILED,
        "is no whole wheel",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_leaves_nothing(
    fault: str, between: type[Between], rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    mischief, code, told = FAULTS[fault]
    between.mischief = staticmethod(mischief)  # type: ignore[assignment]
    assert run(["install", "film", "--yes"]) == code
    err = capsys.readouterr().err
    sentence, hint = err.splitlines()
    assert sentence.startswith("nodes: ") and told in sentence and hint.startswith("  "), err
    assert [p.name for p in rack.generations.iterdir()] == ["1"], "nothing is left behind"
    assert look(rack) == []
    between.mischief = staticmethod(honest)  # type: ignore[assignment]
    assert run(["install", "film", "--yes"]) == 0, "the next run finishes"
    assert "film" in generations.current(rack).packs


def test_a_slow_registry_is_not_waited_for_for_ever(
    between: type[Between], rack: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(path: str, body: bytes) -> tuple[int, bytes, int | None]:
        time.sleep(3)
        return 0, body, None

    monkeypatch.setattr("noderack_registry.client.TIMEOUT", 0.5)
    between.mischief = staticmethod(slow)  # type: ignore[assignment]
    assert run(["install", "film", "--yes"]) == Exit.REGISTRY
    assert "nodes: " in capsys.readouterr().err


def test_nobody_at_the_address(rack: Host, capsys: pytest.CaptureFixture[str]) -> None:
    rack.with_config(registry="http://127.0.0.1:9")
    assert run(["install", "film", "--yes", "--json"]) == Exit.REGISTRY
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["exit"] == Exit.REGISTRY


@pytest.mark.parametrize("clock", [0.0, 1.0, 4e9], ids=["1970", "behind", "ahead"])
def test_a_wrong_clock_changes_nothing(
    clock: float, shop: Any, rack: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sell("film", types=["FilmGrain"])
    shop.sell("other", types=["Other"])
    assert run(["install", "film", "--yes"]) == 0
    monkeypatch.setattr("noderack_cli.generations.time.time", lambda: clock)
    assert run(["install", "other", "--yes"]) == 0
    assert generations.current(rack).number == 3, "numbers order generations, not times"
    assert run(["rollback"]) == 0 and generations.current(rack).number == 2
    assert run(["prune", "--keep", "0"]) == 0
    assert [g.number for g in generations.every(rack)] == [2]


READ_ONLY = """
set -e
mount --bind {host} {host}
mount -o remount,bind,ro {host}
{python} -m noderack_cli install film --yes --json || echo "exit=$?"
"""


def test_a_read_only_host_is_one_sentence(shop: Any, rack: Host) -> None:
    shop.sell("film", types=["FilmGrain"])
    script = READ_ONLY.format(host=rack.root, python=sys.executable)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a folder read-only")
    error = next(json.loads(line)["error"] for line in done.stdout.splitlines() if '"error"' in line)
    assert (error["code"], error["exit"]) == ("no-space", Exit.NO_SPACE), done.stdout
    assert [p.name for p in rack.generations.iterdir()] == ["1"]
