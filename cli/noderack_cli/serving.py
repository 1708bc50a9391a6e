"""Tells the server that runs for a host of the generation in use, so that it takes new packs in."""

from __future__ import annotations

import json
import os
from typing import Any

import click
from noderack_host.folder import Host

from noderack_cli import generations
from noderack_cli.progress import Progress

PRESENCE = "server.json"  # in the host's user folder; the server writes it at its start, for its user alone
HEADER = "X-Noderack-Token"
PATIENCE = 60.0


def tell_server(host: Host, progress: Progress | None = None, *, as_json: bool = False) -> None:
    """Tell the running server, if there is one, which generation is in use, and say what it did."""
    number = generations.current(host).number
    answer = _told(host, number)
    if answer is None:
        return
    progress = progress or Progress(as_json)
    if progress.as_json:
        progress("server", generation=number, **answer)
    else:
        progress.line(_sentence(answer))


def generations_served(host: Host) -> frozenset[int]:
    """The generations of which a running server may have something loaded."""
    try:
        said = json.loads((host.user / PRESENCE).read_text("utf-8"))
        os.kill(int(said["pid"]), 0)
        return frozenset(n for n in said.get("generations", [said["generation"]]) if isinstance(n, int))
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _told(host: Host, number: int) -> dict[str, Any] | None:
    """What the server answered; None where none runs, or it runs for this generation already."""
    try:
        said = json.loads((host.user / PRESENCE).read_text("utf-8"))
        url, token = str(said["url"]), str(said["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    import httpx

    try:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:  # never by way of a proxy
            answer = client.post(
                f"{url.rstrip('/')}/noderack/generation",
                json={"generation": number},
                headers={HEADER: token},
            )
            answer.raise_for_status()
            told: dict[str, Any] = answer.json()
            return told
    except httpx.ConnectError:  # a server that was killed left its file
        return None
    except (httpx.HTTPError, ValueError) as cause:
        return {"taken": "no", "packs": [], "reason": str(cause)}


def _sentence(answer: dict[str, Any]) -> str:
    packs = ", ".join(answer.get("packs", ()))
    if answer.get("taken") == "live":
        return f"The running server has taken in {packs or 'the change'}; it was not interrupted."
    if answer.get("taken") == "restart":
        why = answer.get("reason") or "something that it has loaded changed"
        return f"The running server starts again when its prompt is over: {why}."
    return f"The running server did not take it in ({answer.get('reason')}); start it again."


def show_generation(host: Host, told: str, number: int, *, as_json: bool) -> None:
    """Print what a change came to, and tell the server."""
    click.echo(json.dumps({"generation": number}) if as_json else told)
    tell_server(host, as_json=as_json)
