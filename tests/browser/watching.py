"""Serving a folder from loopback, and a page that notes what goes wrong on it."""

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / "cases/site"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the folder's files are served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def host_served(root: Path) -> Iterator[str]:
    """The address of a server of our own on the host in that folder, as `nodes serve` starts it."""
    (root / "host.toml").write_text('python_index = "none"\n')
    (root / "env").symlink_to(Path(sys.executable).parents[1])
    words = [Path(sys.executable).with_name("nodes"), "serve", "--host", root, "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())["url"]
        child.terminate()


def keep(page: Any, name: str) -> None:
    """Leaves a screenshot where continuous integration collects them, if it says where."""
    if folder := os.environ.get("NODERACK_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def small_export() -> Any:
    """The small registry's export."""
    return json.loads((CASES / "export.json").read_text(encoding="utf-8"))


class Watched:
    """A page, and everything that went wrong on it or left its site."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.address = address
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "blob:", "about:")):
            self.wrong.append(f"asked {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page
