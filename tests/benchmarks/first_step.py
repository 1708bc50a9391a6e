"""From the command to the first step of a sampler, each host as its users start it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from bench_server import free_port

PATIENCE = 300.0


def prompt(checkpoint: str) -> dict[str, Any]:
    """Four steps over a picture of 64 x 64, so that it is not the first step itself that is timed."""
    texts = {n: ["1", 1] for n in ("2", "3")}
    sampling = {"seed": 1, "steps": 4, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"}
    joined = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        **{n: {"class_type": "CLIPTextEncode", "inputs": {"clip": c, "text": n}} for n, c in texts.items()},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {**sampling, **joined, "denoise": 1.0}},
        "6": {"class_type": "SaveLatent", "inputs": {"samples": ["5", 0], "filename_prefix": "bench"}},
    }


def ours(checkpoint: Path, folder: Path, environment: dict[str, str]) -> float:
    """Seconds until `nodes run` in a host over this Python tells of a first step."""
    host, file = folder / "host", folder / "prompt.json"
    (host / "models" / "checkpoints").mkdir(parents=True, exist_ok=True)
    (host / "host.toml").write_text('python_index = "none"\n')
    links = {host / "env": Path(sys.prefix), host / "models" / "checkpoints" / checkpoint.name: checkpoint}
    for link, to in links.items():
        if not link.is_symlink():
            link.symlink_to(to)
    file.write_text(json.dumps(prompt(checkpoint.name)))
    words = [sys.executable, "-m", "noderack_cli", "run", str(file), "--host", str(host), "--json"]
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stdout or ():
            said = json.loads(line)
            if said.get("type") == "progress" and said["data"]["value"] >= 1:
                seconds = time.perf_counter() - began
                child.terminate()
                return seconds
    raise SystemExit("nodes run told of no step")


def theirs(python: str, checkout: str, checkpoint: Path, folder: Path, environment: dict[str, str]) -> float:
    """Seconds until the other host's server, asked as soon as it answers, tells of a first step."""
    port, paths = free_port(), folder / "paths.yaml"
    paths.write_text(f"bench:\n    checkpoints: {checkpoint.parent}\n")
    words = [python, "main.py", "--cpu", "--port", str(port), "--extra-model-paths-config", str(paths)]
    words += ["--disable-all-custom-nodes", "--output-directory", str(folder)]
    silent = None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL
    began = time.perf_counter()
    with subprocess.Popen(words, cwd=checkout, env=environment, stdout=silent, stderr=silent) as child:
        try:
            asyncio.run(_stepped(f"http://127.0.0.1:{port}", prompt(checkpoint.name), began))
            return time.perf_counter() - began
        finally:
            child.kill()


async def _stepped(url: str, asked: dict[str, Any], began: float) -> None:
    """Waits until a server is up, asks it, and waits for its first step."""
    async with aiohttp.ClientSession(url) as client:
        socket = await _connected(client, began)
        await client.post("/prompt", json={"prompt": asked, "client_id": "bench"})
        async for message in socket:
            said = json.loads(message.data) if isinstance(message.data, str) else {}
            if said.get("type") == "progress":
                return
    raise SystemExit("the other host told of no step; BENCH_LOUD=1 shows why")


async def _connected(client: aiohttp.ClientSession, began: float) -> aiohttp.ClientWebSocketResponse:
    while time.perf_counter() - began < PATIENCE:
        try:
            return await client.ws_connect("/ws?clientId=bench", max_msg_size=0)
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
    raise SystemExit("the other host did not start; BENCH_LOUD=1 shows why")
