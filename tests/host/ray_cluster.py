"""A local Ray cluster, and a server process whose prompts its workers run; for tests and by hand."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACK = """
import os, time
from noderack_host import running
from noderack_host.save_names import save_name, write_new
from PIL import Image

class Steps:
    RETURN_TYPES = ()
    FUNCTION = "go"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {}), "steps": ("INT", {})},
                "optional": {"model": ("STRING", {}), "deadly": ("STRING", {})}}

    def go(self, text, steps, model="", deadly=""):
        now = running.current()
        print("drawing", text)
        for step in range(steps):
            now.progress(step + 1, steps, ("JPEG", Image.new("RGB", (16, 16), (step * 9, 0, 0)), None))
            time.sleep(0.05)
        if deadly:
            os.kill(os.getpid(), 9)
        place = save_name("made", now.host.output, 16, 16)
        picture = Image.new("RGB", (16, 16), tuple(text.encode()[:3].ljust(3)))
        name = write_new(place, 0, ".png", lambda path: picture.save(path, "PNG"))
        (now.host.output / (name + ".txt")).write_text(text)
        item = {"filename": name, "subfolder": place.subfolder, "type": "output"}
        return {"ui": {"text": [text], "pid": [os.getpid()], "images": [item]}}

class Read(Steps):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("STRING", {})}}

    def go(self, image):
        name, _, kind = image.partition(" [")
        host = running.current().host
        folder = host.output if kind == "output]" else host.input
        return {"ui": {"text": [(folder / name).read_bytes().hex()]}}

NODE_CLASS_MAPPINGS = {"Steps": Steps, "Read": Read}
"""
METADATA = "Metadata-Version: 2.1\nName: steps\nVersion: 1.0\n"
STORE = 80 << 20


@contextmanager
def cluster(site: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A head with room for a few workers; gives its address and the environment for who joins it.

    `site` is a folder that Python processes of the cluster import from, too.
    """
    port = free_port()
    folder = tempfile.mkdtemp(prefix="nr-", dir="/tmp")  # short: names of sockets are
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    environment |= {"RAY_memory_monitor_refresh_ms": "0"}  # what else runs on this machine is no matter here
    environment |= {"PYTHONPATH": str(site), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    words = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    words += ["--num-cpus=5", "--include-dashboard=false", f"--object-store-memory={STORE}"]
    words += [f"--temp-dir={folder}", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet) as head:
        try:
            until(lambda: answers(port), "Ray's head")
            yield f"127.0.0.1:{port}", environment
        finally:
            head.terminate()
            head.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def site_with_pack(folder: Path) -> Path:
    """A folder from which every Python process that has it on its path loads one small pack."""
    info = folder / "steps-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[noderack.packs]\nsteps = steps_pack\n")
    (folder / "steps_pack.py").write_text(PACK, encoding="utf-8")
    return folder


@contextmanager
def serving(root: Path, environment: dict[str, str], options: Sequence[str]) -> Iterator[str]:
    """A server of a host in `root` that uses the environment at hand; gives its address."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "host.toml").touch()
    if not (root / "env").is_symlink():
        (root / "env").symlink_to(Path(sys.executable).parents[1])
    words = [sys.executable, "-m", "noderack_host.server", str(root), "--port", "0", *options]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield str(json.loads(child.stdout.readline())["url"])
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def workers(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(url, "/noderack/now")["workers"]
    return found


def up(url: str, count: int) -> bool:
    return sum(one["state"] in ("idle", "busy") for one in workers(url)) >= count


def until(done: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """What `done` gives as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"{what} took more than {seconds:.0f} s"
        time.sleep(0.05)
    return found


def ask(url: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text.strip() else None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
