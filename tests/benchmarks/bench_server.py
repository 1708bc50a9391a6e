"""The server as its clients feel it: start, node types, prompts, messages; PEER names one to put beside it.

    make bench-server                              about half a minute
    make bench-server PEER=~/ComfyUI               PEER_PYTHON: its interpreter
    make bench-server LOAD=1                       1,000 prompts from 50 clients with previews, too

start_s: from the command to the first /object_info. object_info_ms: the median of asking for all node types.
prompts_per_s: a trivial workflow of three nodes, new each time, posted one after the other and waited for.
burst_per_s: a hundred posted at once. ws_ms: from posting to the message that the prompt is over. Figures are
medians of rounds; the peer is measured in the same run, with the same client and the same workflow.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROUNDS = int(os.environ.get("ROUNDS") or 3)
PROMPTS = int(os.environ.get("REQUESTS") or 100)
PATIENCE = 120.0


def prompt() -> dict[str, Any]:
    """Three trivial nodes that both hosts have, with a value that was never there before."""
    return {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": uuid.uuid4().hex}},
        "2": {
            "class_type": "StringConcatenate",
            "inputs": {"string_a": ["1", 0], "string_b": "b", "delimiter": "-"},
        },
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(words: Sequence[str], folder: Path, log: Path) -> Iterator[None]:
    """A server process, ended at the end."""
    with log.open("wb") as out, subprocess.Popen(words, cwd=folder, stdout=out, stderr=out) as child:
        try:
            yield
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


async def until_answered(http: aiohttp.ClientSession, since: float) -> float:
    """Seconds from `since` to the first whole answer of /object_info."""
    while time.perf_counter() - since < PATIENCE:
        try:
            async with http.get("/object_info") as answer:
                await answer.read()
                return time.perf_counter() - since
        except aiohttp.ClientError:
            await asyncio.sleep(0.02)
    raise SystemExit(f"the server did not answer within {PATIENCE:.0f} s")


async def object_info(http: aiohttp.ClientSession) -> float:
    """Milliseconds of one /object_info."""
    start = time.perf_counter()
    async with http.get("/object_info") as answer:
        await answer.read()
    return (time.perf_counter() - start) * 1000


async def post(http: aiohttp.ClientSession, client: str) -> str:
    async with http.post("/prompt", json={"prompt": prompt(), "client_id": client}) as answer:
        told = await answer.json()
        if answer.status != 200:
            raise SystemExit(f"the workflow was refused: {json.dumps(told)[:500]}")
        return str(told["prompt_id"])


async def over(socket_: aiohttp.ClientWebSocketResponse, wanted: set[str]) -> None:
    """Returns when all these prompts are over, by the message that says so."""
    while wanted:
        message = await asyncio.wait_for(socket_.receive(), PATIENCE)
        if message.type is not aiohttp.WSMsgType.TEXT or '"executing"' not in message.data:
            continue  # what the client reads costs both hosts the same: as little as can be
        told = message.json()
        if told["type"] == "executing" and told["data"]["node"] is None:
            wanted.discard(told["data"]["prompt_id"])


async def one_by_one(http: aiohttp.ClientSession) -> tuple[float, float]:
    """(prompts a second, milliseconds from posting to the end by socket) of prompts one after the other."""
    client = uuid.uuid4().hex
    async with http.ws_connect(f"/ws?clientId={client}") as socket_:
        took = []
        for _ in range(PROMPTS):
            start = time.perf_counter()
            await over(socket_, {await post(http, client)})
            took.append(time.perf_counter() - start)
    return len(took) / sum(took), statistics.median(took) * 1000


async def burst(http: aiohttp.ClientSession) -> float:
    """Prompts a second when a hundred are posted at once."""
    client = uuid.uuid4().hex
    async with http.ws_connect(f"/ws?clientId={client}") as socket_:
        start = time.perf_counter()
        ids = set(await asyncio.gather(*(post(http, client) for _ in range(PROMPTS))))
        await over(socket_, ids)
        return PROMPTS / (time.perf_counter() - start)


async def measured(words: Sequence[str], folder: Path, port: int) -> dict[str, float]:
    """All figures of one server, its start the first of them."""
    base = f"http://127.0.0.1:{port}"
    since = time.perf_counter()
    with started(words, folder, folder / "server.log"):
        async with aiohttp.ClientSession(base) as http:
            start = await until_answered(http, since)
            await one_by_one(http)  # warm
            infos = [await object_info(http) for _ in range(20)]
            rounds = [await one_by_one(http) for _ in range(ROUNDS)]
            bursts = [await burst(http) for _ in range(ROUNDS)]
    return {
        "start_s": start,
        "object_info_ms": statistics.median(infos),
        "prompts_per_s": statistics.median(rate for rate, _ in rounds),
        "burst_per_s": statistics.median(bursts),
        "ws_ms": statistics.median(late for _, late in rounds),
    }


def ours(folder: Path) -> tuple[list[str], int]:
    """A host that uses the environment at hand, and its server's command."""
    (folder / "host.toml").write_text('python_index = "none"\n')
    (folder / "env").symlink_to(Path(sys.executable).parents[1])
    port = free_port()
    return [sys.executable, "-m", "noderack_host.server", str(folder), "--port", str(port)], port


def peers(peer: Path, folder: Path) -> tuple[list[str], int]:
    """The peer's command, on the processor, without what it would ask of other machines."""
    port = free_port()
    python = os.environ.get("PEER_PYTHON", sys.executable)
    options = ["--cpu", "--disable-api-nodes", "--disable-all-custom-nodes"]
    places = ["--base-directory", str(folder)]
    return [python, str(peer / "main.py"), "--port", str(port), *options, *places], port


async def repeated(make: Any, rounds: int) -> dict[str, float]:
    """Medians over whole runs, each in a folder of its own."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="noderack-bench-") as name:
            words, port = make(Path(name))
            found.append(await measured(words, Path(name), port))
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


async def main() -> None:
    runs = int(os.environ.get("RUNS") or 2)
    figures = await repeated(ours, runs)
    if os.environ.get("PEER"):
        peer = Path(os.environ["PEER"]).expanduser().resolve()
        theirs = await repeated(lambda folder: peers(peer, folder), runs)
        figures |= {f"peer_{key}": value for key, value in theirs.items()}
        figures |= {f"{key}_vs_peer": figures[key] / theirs[key] for key in theirs}
    if os.environ.get("LOAD"):
        sys.path.insert(0, str(Path(__file__).parents[1] / "host"))
        from server_load import load_figures

        figures |= await load_figures(1000, 50)
    print(
        json.dumps({"bench": "server", "figures": {key: round(value, 4) for key, value in figures.items()}})
    )


if __name__ == "__main__":
    asyncio.run(main())
