"""Many clients at once on a server process: what was accepted, what was heard, how long it took."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PACK = """
from noderack_host import running
from PIL import Image

class Steps:
    RETURN_TYPES = ()
    FUNCTION = "go"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {}), "steps": ("INT", {"default": 2})}}

    def go(self, text, steps):
        for step in range(steps):
            picture = Image.new("RGB", (64, 64), (step * 9, 0, 0))
            running.current().progress(step + 1, steps, ("JPEG", picture, None))
        return {"ui": {"text": [text]}}

NODE_CLASS_MAPPINGS = {"Steps": Steps}
"""
SERVER = """
import sys, importlib.metadata as m
from noderack_host import packs
sys.path.insert(0, sys.argv[2])
packs.found_packs = lambda: [m.EntryPoint("steps", "steps_pack", "noderack.packs")]
import noderack_host.server.__main__ as server
server.load_packs = lambda load: packs.load_packs(packs.found_packs())
sys.exit(server.main([sys.argv[1], "--port", sys.argv[3], "--lost", "again"]))
"""


@contextmanager
def serving(root: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process of a host with one small pack; gives it and its address. It is killed at the end."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "host.toml").touch()
    (root / "steps_pack.py").write_text(PACK, encoding="utf-8")
    words = [sys.executable, "-c", SERVER, str(root), str(root), str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        try:
            yield child, str(json.loads(child.stdout.readline())["url"])
        finally:
            child.kill()


@dataclass
class Heard:
    """What one client got: the ends of prompts, previews, and seconds from posting to each end."""

    ends: Counter[str] = field(default_factory=Counter)
    previews: int = 0
    posted: dict[str, float] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)


async def client(url: str, count: int, heard: Heard) -> None:
    """Posts `count` prompts, two at a time, and listens until all of them are over."""
    name = uuid.uuid4().hex
    async with aiohttp.ClientSession(url) as http, http.ws_connect(f"/ws?clientId={name}") as socket:
        await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        todo = [f"{name}-{number}" for number in range(count)]
        for prompt_id in (todo.pop(), todo.pop()) if count > 1 else (todo.pop(),):
            await post(http, prompt_id, name, heard)
        while sum(heard.ends.values()) < count:
            message = await asyncio.wait_for(socket.receive(), 120)
            if message.type is aiohttp.WSMsgType.BINARY:
                heard.previews += 1
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            told = message.json()
            if told["type"] == "executing" and told["data"]["node"] is None:
                prompt_id = told["data"]["prompt_id"]
                heard.ends[prompt_id] += 1
                heard.late.append(time.monotonic() - heard.posted[prompt_id])
                if todo:
                    await post(http, todo.pop(), name, heard)


async def post(http: aiohttp.ClientSession, prompt_id: str, name: str, heard: Heard) -> None:
    node = {"class_type": "Steps", "inputs": {"text": prompt_id, "steps": 3}}
    heard.posted[prompt_id] = time.monotonic()
    sent = {"prompt": {"1": node}, "client_id": name, "prompt_id": prompt_id}
    async with http.post("/prompt", json=sent) as answer:
        assert answer.status == 200, await answer.text()


async def load(url: str, prompts: int, clients: int) -> list[Heard]:
    """All clients at once; what each heard."""
    found = [Heard() for _ in range(clients)]
    await asyncio.gather(*(client(url, prompts // clients, heard) for heard in found))
    return found


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1]


async def load_figures(prompts: int, clients: int) -> dict[str, float]:
    """Figures for the bench: prompts a second, and how late their ends are heard."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (_, url):
        start = time.monotonic()
        found = await load(url, prompts, clients)
        took = time.monotonic() - start
    late = [one for heard in found for one in heard.late]
    return {
        "load_prompts_per_s": prompts / took,
        "load_p50_ms": percentile(late, 0.5) * 1000,
        "load_p99_ms": percentile(late, 0.99) * 1000,
        "load_previews": float(sum(heard.previews for heard in found)),
    }


def ask(url: str, path: str) -> Any:
    """One GET, as JSON."""
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        return json.load(answer)
