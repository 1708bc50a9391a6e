"""`nodes memory`: which models a running server has in memory, what is streamed, what went, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import httpx

from noderack_cli.commands.top import TOKEN_VARIABLE, server_of
from noderack_cli.errors import NotFound
from noderack_cli.options import host_option, json_option
from noderack_cli.show import count, size, table

SHOWN = 12


@click.command()
@click.option("--url", help="The server's address; unless said, the one that runs for this host.")
@click.option("--token", envvar=TOKEN_VARIABLE, help="The server's token, where it wants one.")
@host_option
@json_option
def memory(url: str | None, token: str | None, folder: Path | None, as_json: bool) -> None:
    """Show which models are in memory, which weights are streamed, what had to go, and the reasons.

    `nodes serve --memory 10GB` sets how much of each device is used.

    \b
    nodes memory
    nodes memory --json
    nodes memory --url https://box.lan:8188 --token "$TOKEN"
    """
    address, headers = server_of(folder, url, token)
    try:
        answer = httpx.get(f"{address}/noderack/memory", headers=headers, timeout=10)
        answer.raise_for_status()
        told = dict(answer.json())
    except (httpx.HTTPError, ValueError) as cause:
        hint = "Is it running, and of this version? With a token, say --token."
        raise NotFound(f"{address} does not say what is in memory: {cause}", hint) from cause
    click.echo(json.dumps(told) if as_json else "\n".join(lines(told)))


def lines(told: dict[str, Any]) -> list[str]:
    """What is shown."""
    if not told["rooms"]:
        return ["no model has been used yet"]
    return [line for room in told["rooms"] for line in _room(room)]


def _room(room: dict[str, Any]) -> list[str]:
    here = sum(model["here"] for model in room["models"])
    use = f"{size(here)} of weights in {size(room['capacity'])}"
    kept = f", {size(room['reserve'])} kept free" if room["reserve"] else ""
    found = [f"{room['device']}: {use}{kept}"]
    if room["models"]:
        found.append(table([_model(model) for model in room["models"]]))
    for event in room["happened"][-SHOWN:]:
        found.append(f"  {event['what']}")
        found += [f"      {line}" for line in event["why"]]
    return found


def _model(model: dict[str, Any]) -> tuple[str, ...]:
    streamed = f"streams {count(len(model['streamed']), 'block')}" if model["streamed"] else ""
    return model["name"], f"{size(model['here'])} of {size(model['bytes'])} here", streamed
