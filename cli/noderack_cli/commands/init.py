"""`nodes init`: a host from the environment that is there, or from a new one."""

from __future__ import annotations

import json
from pathlib import Path

import click
from noderack_host.folder import HostConfig

from noderack_cli import host_init
from noderack_cli.options import FOLDER, json_option


@click.command()
@click.argument("folder", type=FOLDER, default=".")
@click.option("--registry", metavar="URL", envvar="NODERACK_REGISTRY", help="The registry this host uses.")
@click.option(
    "--python-index",
    metavar="default|none|URL",
    default="default",
    show_default=True,
    help="Where Python packages come from, beside the registry.",
)
@click.option("--from", "source", type=FOLDER, help="The virtualenv to take as generation 1 (by links).")
@click.option("--new", is_flag=True, help="Make a new environment instead of taking the one that runs this.")
@click.option(
    "--torch",
    default="auto",
    show_default=True,
    help="The torch build of a new one: cpu, cu128, rocm6.4…; index: what the Python index has.",
)
@json_option
def init(
    *,
    folder: Path,
    registry: str | None,
    python_index: str,
    source: Path | None,
    new: bool,
    torch: str,
    as_json: bool,
) -> None:
    """Make FOLDER a host: a place with an environment, models, inputs and outputs.

    The environment that runs this command becomes generation 1 by hard links, if it has torch: nothing is
    downloaded, and no disk space is used twice. Otherwise a new one is made with uv.

    \b
    nodes init                        # here
    nodes init ~/pictures --registry http://127.0.0.1:8080
    nodes init ~/pictures --new --torch cpu
    nodes init ~/pictures --new --torch index --python-index https://mirror.example/simple
    """
    config = HostConfig(registry=registry, python_index=python_index)
    chosen = None if new else (source or host_init.environment_here())
    tell = (lambda text: None) if as_json else (lambda text: click.echo(f"  {text}"))
    made = host_init.make_host(folder, config, chosen, torch, tell)
    types = sum(len(pack.node_types) for pack in made.packs.values())
    if as_json:
        click.echo(
            json.dumps({"host": str(made.path.parents[1]), "generation": made.number, "node_types": types})
        )
        return
    click.echo(f"{made.path.parents[1]} is a host: generation {made.number}, {types} node types.")
