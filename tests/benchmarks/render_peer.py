"""The host that the workflows were made for, as a server of its own, asked to run prompts."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 300.0
FLAGS = ("--cpu", "--disable-all-custom-nodes", "--disable-auto-launch", "--preview-method", "none")


@dataclass(frozen=True)
class Answer:
    """How a prompt ended there: pictures by node, or why there are none."""

    pictures: dict[str, list[Path]]
    failed: str = ""


@dataclass(frozen=True)
class Peer:
    """A running server and the folder that it writes to."""

    address: str
    root: Path

    def post(self, prompt: dict[str, Any]) -> str | Answer:
        """The id under which it runs, or the refusal."""
        body = json.dumps({"prompt": prompt}).encode()
        request = urllib.request.Request(f"{self.address}/prompt", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return str(json.load(answer)["prompt_id"])
        except urllib.error.HTTPError as refused:
            return Answer({}, f"refused: {_refusal(json.load(refused))}")

    def wait(self, posted: str | Answer) -> Answer:
        """Until it has ended."""
        if isinstance(posted, Answer):
            return posted
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with urllib.request.urlopen(f"{self.address}/history/{posted}", timeout=PATIENCE) as answer:
                entry = json.load(answer).get(posted)
            if entry is not None:
                return self._answer(entry)
            time.sleep(0.2)
        return Answer({}, "it did not end in time")

    def _answer(self, entry: dict[str, Any]) -> Answer:
        if entry["status"]["status_str"] != "success":
            said = [data for name, data in entry["status"]["messages"] if name == "execution_error"]
            return Answer({}, "; ".join(f"{d['node_type']}: {d['exception_message'].strip()}" for d in said))
        return Answer(pictures_of(entry["outputs"], self.root))


def pictures_of(outputs: Any, root: Path) -> dict[str, list[Path]]:
    """The files that nodes say they wrote, by node."""
    return {
        node: [root / one["type"] / one["subfolder"] / one["filename"] for one in told["images"]]
        for node, told in outputs.items()
        if told.get("images")
    }


def _refusal(told: dict[str, Any]) -> str:
    nodes = told.get("node_errors") or {}
    rows = [
        f"{node['class_type']}: {error['message']} ({str(error['details'])[:80]})"
        for node in nodes.values()
        for error in node["errors"]
    ]
    return "; ".join(rows) or str(told["error"].get("message"))


@contextmanager
def peer(python: str, checkout: Path, root: Path, log: Path) -> Iterator[Peer]:
    """A server over a folder with models and input; ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "main.py", "--port", str(port), "--base-directory", str(root), *FLAGS]
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=checkout, stdout=out, stderr=out, env=dict(os.environ))
        try:
            found = Peer(f"http://127.0.0.1:{port}", root)
            _started(found.address, server, log)
            yield found
        finally:
            server.terminate()
            server.wait(20)


def _started(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/queue", timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"the peer did not start: {log.read_text()[-2000:]}")
