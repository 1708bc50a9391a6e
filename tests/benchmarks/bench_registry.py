"""The registry under load: import, lookups at 1 and 32 clients, search, resolve, growth, beside a peer.

    make bench-registry                                       small inputs of its own, about a minute
    make bench-registry CATALOGUE=../shared/data/catalogue DOWNLOADS=1000000 BASE=590 PEER=…/pypi-server

CATALOGUE: a catalogue's folder. DOWNLOADS: synthetic download rows. BASE: packs at 1× of the growth curve,
which goes to 100×. PEER: the pypi-server program whose simple page is measured beside ours. PLOT: an SVG.
REQUESTS: how many for each question.

How it asks: 1 or 32 clients in a process of their own beside the server, each on one connection that stays
open, each asking again as soon as it has its answer. Things are asked for by their popularity, the n-th with
a weight of 1/n, as people ask; what nobody asked for before costs a query, the rest comes from the kept
answers (server/kept.py). `first` is the worst case beside it: nothing is asked for twice, each is a query.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "registry"))

import httpx
from noderack_registry.client import RegistryClient
from noderack_registry.server import Settings, catalogue, claims, open_registry, search, seeding
from noderack_registry.server.answers import Registry
from wheels import write_wheel

NODES = [sys.executable, "-c", "from noderack_cli.main import main; main()", "registry"]
WORDS = [
    "image",
    "mask",
    "latent",
    "video",
    "audio",
    "prompt",
    "scale",
    "blend",
    "grain",
    "colour",
    "depth",
    "pose",
    "edge",
    "noise",
    "text",
    "grid",
    "load",
    "save",
]
REQUESTS = int(os.environ.get("REQUESTS") or 2000)
PACK = (
    "id, key, ultra, name, title, stars, description, tags, library, origin, status, status_reason, "
    "downloads, created, updated, revision"
)
PACK_REST = "'', '[]', 0, 'catalogue', 'active', '', 0, '', '', 1"
CLAIM = "type, pack_id, origin, newcomer, preferred, shared, since"
DOC = "id, kind, ref, title, description, pack, names, texts"


def percentile(times: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


async def load(url: str, asks: Sequence[bytes], clients: int, fresh: bool = False) -> list[float]:
    """Seconds of each answer, `clients` asking one after the other; every answer must be 200.

    `fresh`: a connection for each question, for servers that close theirs.
    """
    host, port = url.removeprefix("http://").split(":")
    waiting, times = list(asks), []

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while waiting:
            ask = waiting.pop()
            started = time.perf_counter()
            if fresh:
                writer.close()
                reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(ask)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == b"200", head[:200]
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return times


def get(path: str, accept: str = "*/*") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


@contextmanager
def process(
    command: list[str], ready: Callable[[subprocess.Popen[str]], str]
) -> Iterator[tuple[str, float, int]]:
    """A server: its address, the seconds until it answered, its process id."""
    started = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = ready(running)
        yield url, time.perf_counter() - started, running.pid
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def ours_ready(running: subprocess.Popen[str]) -> str:
    assert running.stdout
    url: str = json.loads(running.stdout.readline())["url"]
    httpx.get(f"{url}/healthz", verify=False).raise_for_status()  # loads no certificates: that is not ours
    return url


def serve(data: Path) -> Any:
    return process([*NODES, "serve", "--data", str(data), "--port", "0", "--json"], ours_ready)


def synthetic_catalogue(folder: Path, packs: int = 300) -> Path:
    """A catalogue for machines without the real one."""
    chance, listed, mapped = random.Random(0), [], {}
    for number in range(packs):
        url = f"https://github.com/owner{number}/pack-{number}"
        listed.append(
            {"title": f"Pack {number}", "reference": url, "files": [url], "description": " ".join(WORDS)}
        )
        mapped[url] = [
            [f"{''.join(w.title() for w in chance.sample(WORDS, 3))}{number}" for _ in range(7)],
            {},
        ]
    (folder / "custom-node-list.json").write_text(json.dumps({"custom_nodes": listed}))
    (folder / "extension-node-map.json").write_text(json.dumps(mapped))
    return folder


def add_downloads(data: Path, rows: int) -> None:
    """Rows as `rows` downloads of a month would leave them."""
    with sqlite3.connect(data / "registry.db") as connection:
        (packs,) = connection.execute("SELECT count(*) FROM pack").fetchone()
        lines = ((1 + n % packs, "1.0", f"2026-11-{1 + n % 30:02}", f"{n:016x}") for n in range(rows))
        connection.executemany(
            "INSERT INTO download (pack_id, version, day, client) VALUES (?, ?, ?, ?)", lines
        )


def publish(url: str, token: str, folder: Path, count: int) -> float:
    """Megabytes a second of wheels of one megabyte, four at a time."""
    paths = [
        write_wheel(
            folder, f"speed-{n}", "1.0", types=(f"Speed{n}",), files={f"speed_{n}/x.bin": os.urandom(1 << 20)}
        )
        for n in range(count)
    ]

    def upload(path: Path) -> None:
        with RegistryClient(url, token) as client:
            client.upload_wheel(path)

    started = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upload, paths))
    return count / (time.perf_counter() - started)


def simple_beside(url: str, token: str, folder: Path, peer: str | None) -> float | None:
    """Median time of our simple page over the peer's, same wheels, asked in turns; None without a peer."""
    wheels = folder / "wheels"
    wheels.mkdir()
    with RegistryClient(url, token) as client:
        for number in range(20):
            client.upload_wheel(write_wheel(wheels, "sidebyside", f"1.{number}"))
    if not peer:
        return None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        peer,
        "run",
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-P",
        ".",
        "-a",
        ".",
        "--disable-fallback",
        str(wheels),
    ]
    with process(command, lambda running: answering(f"http://127.0.0.1:{port}")) as (other, _, _):
        mine, theirs = [], []
        page = [get("/simple/sidebyside/", "text/html")] * 60
        for _ in range(4):
            mine += asyncio.run(load(url, page, 1, fresh=True))
            theirs += asyncio.run(load(other, page, 1, fresh=True))
    return statistics.median(mine) / statistics.median(theirs)


def answering(url: str) -> str:
    for _ in range(200):
        try:
            httpx.get(f"{url}/simple/")
            return url
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError(url)


def measure(url: str, types: list[str], packs: list[str], queries: list[str]) -> dict[str, float]:
    """p50 and p99 of each question at 1 and at 32 clients, in milliseconds, and answers a second at 32.

    `packs` and `types` are in the order of their popularity.
    """
    chance, found = random.Random(1), {}
    spare = [pack for pack in packs if chance.random() < 0.5][:REQUESTS]
    asked = popular(chance, [pack for pack in packs if pack not in set(spare)], REQUESTS)
    asks = {
        "first": [get(f"/api/v1/packs/{pack}") for pack in chance.sample(spare, len(spare))],
        "pack": [get(f"/api/v1/packs/{pack}") for pack in asked],
        "type": [get(f"/api/v1/node-types/{name}") for name in popular(chance, types, REQUESTS)],
        "search": [get(f"/api/v1/search?q={word}") for word in popular(chance, queries, REQUESTS)],
        "resolve": [
            post("/api/v1/resolve", {"node_types": chance.sample(types, min(40, len(types)))})
            for _ in range(200)
        ],
    }
    for name, lines in asks.items():
        alone, together = lines[: len(lines) // 4], lines[len(lines) // 4 :]
        for clients, part in ((1, alone), (32, together)):
            started = time.perf_counter()
            times = asyncio.run(load(url, part, clients))
            seconds = time.perf_counter() - started
            for share in (0.5, 0.99):
                found[f"{name}_p{round(share * 100)}_{clients}"] = round(percentile(times, share), 2)
        found[f"{name}_per_s"] = round(len(times) / seconds)
    return found


def popular(chance: random.Random, things: Sequence[str], count: int) -> list[str]:
    """So many of the things, the n-th with a weight of 1/n."""
    return chance.choices(things, [1 / rank for rank in range(1, len(things) + 1)], k=count)


def questions(packs: Sequence[Any]) -> list[str]:
    """What is typed into the search box: the words of packs' names and of what they do."""
    found = dict.fromkeys(word for pack in packs for word in pack.key.split("-") if len(word) > 2)
    return [*WORDS, *found]


def table(found: dict[str, float]) -> str:
    """The figures as a table in Markdown."""
    lines = [
        "| question | p50, 1 client | p99 | p50, 32 clients | p99 | answers/s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(key.split("_")[0] for key in found):
        columns = (f"{name}_p50_1", f"{name}_p99_1", f"{name}_p50_32", f"{name}_p99_32", f"{name}_per_s")
        lines.append(f"| {name} | {' | '.join(str(found[column]) for column in columns)} |")
    return "\n".join(lines)


def grow(registry: Registry, first: int, last: int) -> None:
    """Synthetic packs `first` to `last`, seven types each, written straight into the tables."""
    chance = random.Random(first)
    connection = sqlite3.connect(registry.database.url.removeprefix("sqlite:///"))
    pack = f"INSERT INTO pack ({PACK}) VALUES (?, ?, ?, ?, ?, ?, {PACK_REST})"
    claim = f"INSERT INTO claim ({CLAIM}) VALUES (?, ?, 'catalogue', 0, 0, 0, '')"
    doc = f"INSERT INTO search_doc ({DOC}) VALUES (?, ?, ?, ?, '', ?, ?, '')"
    with connection:
        for number in range(first, last):
            key = f"pack-{number}"
            connection.execute(pack, (number + 1, key, key, key, key, chance.randrange(1000)))
            names = [
                f"{chance.choice(WORDS).title()}{chance.choice(WORDS).title()}{number}x{n}" for n in range(7)
            ]
            connection.executemany(claim, [(name, number + 1) for name in names])
            things = [search.Found("pack", key, key, popularity=chance.randrange(10_000))]
            things += [search.Found("node-type", name, name, pack=key) for name in names]
            rows = [search.row(thing) for thing in things]
            connection.executemany(
                doc, [[row[c] for c in ("id", "kind", "ref", "title", "pack", "names")] for row in rows]
            )
    connection.close()


def growth(folder: Path, base: int) -> list[tuple[int, float, float, float]]:
    """(packs, type lookup ms, search ms, resolve of 40 types ms), medians, at 1×, 10× and 100×."""
    registry, at, points = open_registry(Settings(data=folder)), 0, []
    for size in (base, 10 * base, 100 * base):
        grow(registry, at, size)
        at = size
        one, found, many = _timed(registry, folder)
        points.append((size, one, found, many))
        print(
            f"  {size:>8} packs: lookup {one:.2f} ms, search {found:.2f} ms, resolve {many:.2f} ms",
            flush=True,
        )
    registry.database.close()
    return points


def _timed(registry: Registry, folder: Path) -> tuple[float, float, float]:
    """Median milliseconds of a type lookup, a search, and a resolve of 40 types."""
    with sqlite3.connect(folder / "registry.db") as connection:
        types = [row[0] for row in connection.execute("SELECT type FROM claim ORDER BY random() LIMIT 2000")]
    database = registry.database
    one = timed(lambda n: database.reading(claims.claims_for, [types[n % len(types)]]), 140)
    found = timed(lambda n: database.reading(search.search, WORDS[n % len(WORDS)], None, 1, 20), 36)
    many = timed(lambda n: database.reading(claims.claims_for, types[n : n + 40]), 40)
    return one, found, many


def timed(ask: Callable[[int], object], times: int) -> float:
    """Median milliseconds."""
    found = []
    for number in range(times):
        started = time.perf_counter()
        ask(number)
        found.append(time.perf_counter() - started)
    return statistics.median(found) * 1000


def plot(points: list[tuple[int, float, float, float]], path: Path) -> None:
    """The growth as an SVG: milliseconds of each question over the number of packs, both axes logarithmic."""
    series = (("lookup of a type", "#1f77b4"), ("search", "#d62728"), ("resolve of 40 types", "#2ca02c"))
    across = [90 + 180 * n for n in range(len(points))]
    down = lambda ms: 260 - 60 * (math.log10(max(ms, 0.1)) + 1)
    lines = [
        '<rect width="700" height="310" fill="white"/>',
        _text(20, 22, "milliseconds, median", bold=True),
    ]
    for ms in (0.1, 1, 10, 100):
        lines.append(f'<line x1="80" x2="460" y1="{down(ms):.0f}" y2="{down(ms):.0f}" stroke="#ddd"/>')
        lines.append(_text(35, down(ms) + 4, f"{ms:g}"))
    for x, point in zip(across, points, strict=True):
        lines.append(_text(x - 25, 290, f"{point[0]:,} packs"))
    for row, (name, colour) in enumerate(series, 1):
        places = [(x, down(point[row])) for x, point in zip(across, points, strict=True)]
        track = " ".join(f"{x},{y:.0f}" for x, y in places)
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2.5" points="{track}"/>')
        lines += [f'<circle cx="{x}" cy="{y:.0f}" r="4" fill="{colour}"/>' for x, y in places]
        ratio = points[-1][row] / points[0][row]
        said = f"{name}: {points[-1][row]:.1f} ms ({ratio:.1f}×)"
        lines.append(_text(465, places[-1][1] + 4, said, colour))
    body = "".join(lines)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="310">{body}</svg>\n')


def _text(x: float, y: float, said: str, colour: str = "black", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    start = f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" font-family="sans-serif" font-size="12"{weight}>'
    return f"{start}{said}</text>"


def rss(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines() if Path("/proc").exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-registry-"))
    try:
        print(json.dumps({"bench": "registry", "figures": run(folder)}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path) -> dict[str, Any]:
    given, data = os.environ.get("CATALOGUE"), folder / "data"
    source = Path(given) if given else synthetic_catalogue(folder)
    registry = open_registry(Settings(data=data))
    started = time.perf_counter()
    read = catalogue.read(source)
    registry.database.writing(seeding.store, read, registry.settings.now())
    import_s = time.perf_counter() - started
    registry.database.close()
    print(f"import: {len(read.packs)} packs, {read.type_entries} types in {import_s:.1f} s", flush=True)
    add_downloads(data, int(os.environ.get("DOWNLOADS") or 20_000))
    token = json.loads(
        subprocess.run(
            [*NODES, "token", "create", "--data", str(data), "--admin", "--json"],
            capture_output=True,
            check=True,
        ).stdout
    )["token"]
    starts = []
    for _ in range(2):
        with serve(data) as (_, seconds, _):
            starts.append(seconds)
    with serve(data) as (url, seconds, pid):
        starts.append(seconds)
        resting = rss(pid)
        ranked = sorted(read.packs, key=lambda pack: -pack.stars)
        types = [name for pack in ranked for name in pack.types if name.isascii() and name.isalnum()]
        found = measure(url, types, [pack.key for pack in ranked], questions(ranked))
        print(table(found), flush=True)
        simple = simple_beside(url, token, folder, os.environ.get("PEER"))
        uploads = publish(url, token, folder, 12)
        print(
            f"start {min(starts):.2f} s, {resting:.0f} MB at rest, {rss(pid):.0f} MB after load; "
            f"{uploads:.1f} uploads/s of 1 MB"
        )
    points = growth(folder / "growth", int(os.environ.get("BASE") or 60))
    if os.environ.get("PLOT"):
        plot(points, Path(os.environ["PLOT"]))
    worst = max(points[-1][row] / points[0][row] for row in (1, 2, 3))
    return {
        "import_s": round(import_s, 2),
        "lookup_p99_ms": max(found["pack_p99_32"], found["type_p99_32"]),
        "search_p99_ms": found["search_p99_32"],
        "resolve_ms": found["resolve_p50_1"],
        "simple_vs_peer": round(simple, 3) if simple is not None else None,
        "growth_100x": round(worst, 2),
        "start_s": round(min(starts), 2),
    }


if __name__ == "__main__":
    main()
