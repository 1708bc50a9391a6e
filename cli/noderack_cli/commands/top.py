"""`nodes top`: what a running server does, in the terminal: queue, nodes, memory, steps a second."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import httpx
from noderack_host.folder import HostError

from noderack_cli.errors import NotFound
from noderack_cli.options import host_option, json_option
from noderack_cli.show import count, seconds, size, table
from noderack_cli.where import open_host

TOKEN_VARIABLE = "NODERACK_SERVE_TOKEN"
CLEAR = "\x1b[H\x1b[J"
BAR = 24


@click.command()
@click.option("--url", help="The server's address; unless said, the one that runs for this host.")
@click.option("--token", envvar=TOKEN_VARIABLE, help="The server's token, where it wants one.")
@click.option("--every", type=float, default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Look once and end.")
@host_option
@json_option
def top(
    url: str | None, token: str | None, every: float, once: bool, folder: Path | None, as_json: bool
) -> None:
    """Watch a running server: what runs and how fast, what waits, memory, the node types that take the time.

    \b
    nodes top
    nodes top --once --json
    nodes top --url https://box.lan:8188 --token "$TOKEN"
    """
    address, headers = server_of(folder, url, token)
    with httpx.Client(base_url=address, headers=headers, timeout=10) as http:
        while True:
            told = _now(http, address)
            if as_json:
                click.echo(json.dumps(told))
            else:
                click.echo(("" if once else CLEAR) + "\n".join(lines(told, address)))
            if once:
                return
            time.sleep(max(0.1, every))


def server_of(folder: Path | None, url: str | None, token: str | None) -> tuple[str, dict[str, str]]:
    """The server's address and what to send it; raises NotFound where none runs."""
    if url is not None:
        return url, {"Authorization": f"Bearer {token}"} if token else {}
    try:
        host = open_host(folder)
        found = json.loads((host.user / "server.json").read_text("utf-8"))
        return str(found["url"]), {"X-Noderack-Token": str(found["token"])}
    except HostError:
        raise
    except (OSError, ValueError, KeyError) as cause:
        raise NotFound(
            "No server runs for this host", "Start one with: nodes serve — or say --url"
        ) from cause


def _now(http: httpx.Client, address: str) -> dict[str, Any]:
    try:
        answer = http.get("/noderack/now")
        answer.raise_for_status()
        return dict(answer.json())
    except (httpx.HTTPError, ValueError) as cause:
        hint = "Is it running? With a token, say --token."
        raise NotFound(f"{address} does not answer as a Noderack server: {cause}", hint) from cause


def lines(now: dict[str, Any], address: str) -> list[str]:
    """What is shown: a few lines that fit a terminal."""
    over = now["over"]
    ended = ", ".join(f"{number} {state}" for state, number in sorted(over.items())) or "none over yet"
    state = "  PAUSED" if now["paused"] else ""
    found = [
        f"{address}  up {seconds(now['up_seconds'])}  {count(now['clients'], 'client')}{state}",
        f"prompts: {ended}; {now['waiting_in_all']} waiting",
        f"memory: {_memory(now)}",
        "",
        *(line for one in now.get("runs") or [now["running"]] for line in _running(one)),
    ]
    if now.get("workers"):
        found += ["", "workers", table([_worker(one) for one in now["workers"]])]
    if now["waiting"]:
        found += ["", "waiting", table([_waiting(one) for one in now["waiting"][:10]])]
    if now["node_types"]:
        rows = [_type(one) for one in now["node_types"]]
        found += ["", "node types by time since the start", table(rows)]
    return found


def _memory(now: dict[str, Any]) -> str:
    memory = now["memory"]
    parts = [f"server {size(memory['resident'])}" if memory["resident"] else ""]
    parts += [f"{size(memory['free'])} of {size(memory['total'])} free"]
    for device in now["devices"]:
        if device["type"] != "cpu":
            free, total = size(device["vram_free"]), size(device["vram_total"])
            parts.append(f"{device['name']}: {free} of {total} free")
    return ", ".join(part for part in parts if part)


def _running(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["nothing runs"]
    head = f"runs {one['id'][:36]} for {seconds(one['seconds'])}: {count(one['nodes'], 'node')}"
    where = f"  at {one.get('node') or '…'} {one.get('node_type') or ''}"
    if not one.get("max"):
        return [head, where]
    share = min(1.0, one["value"] / one["max"])
    bar = "█" * round(share * BAR) + "·" * (BAR - round(share * BAR))
    speed = f"{one['per_second']:.2f} it/s" if one["per_second"] >= 1 else _slow(one["per_second"])
    return [head, f"{where}  {bar} {one['value']:g}/{one['max']:g}  {speed}"]


def _slow(rate: float) -> str:
    return f"{1 / rate:.1f} s/it" if rate > 0 else ""


def _worker(one: dict[str, Any]) -> tuple[str, ...]:
    lost = f"lost {count(one['lost'], 'time')}" if one["lost"] else ""
    at = (one["prompt"] or "")[:36]
    return str(one["number"]), one["host"], one["state"], at, count(one["runs"], "prompt"), lost, one["why"]


def _waiting(one: dict[str, Any]) -> tuple[str, ...]:
    priority = f"priority {one['priority']}" if one["priority"] else ""
    return one["id"][:36], one["client"][:20], count(one["nodes"], "node"), priority


def _type(one: dict[str, Any]) -> tuple[str, ...]:
    mean = one["seconds"] / one["runs"] if one["runs"] else 0
    return one["node_type"], count(one["runs"], "run"), seconds(one["seconds"]), f"{seconds(mean)} each"
