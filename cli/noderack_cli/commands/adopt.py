"""`nodes adopt` and `nodes snapshot import`: what another tool installed, here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
from noderack_host.folder import Host

from noderack_cli import generations as gens
from noderack_cli.carry import carry_out, confirm, show_plan
from noderack_cli.errors import NotFound
from noderack_cli.existing import Existing, choose, read_installation, read_snapshot
from noderack_cli.exits import Exit
from noderack_cli.given import from_source, keep_wheels, workshop
from noderack_cli.options import (
    FOLDER,
    dry_run_option,
    host_option,
    json_option,
    registry_option,
    yes_option,
)
from noderack_cli.plan import Plan
from noderack_cli.planning import without
from noderack_cli.progress import Progress
from noderack_cli.solving import solved
from noderack_cli.where import open_host, open_registry

_build = click.option("--build", is_flag=True, help="Build the packs that the registry does not have.")
_without = click.option("--without", multiple=True, metavar="PACK", help="Leave this pack out.")


@click.command()
@click.argument("installation", type=FOLDER)
@_build
@_without
@dry_run_option
@yes_option
@host_option
@registry_option
@json_option
def adopt(
    *,
    installation: Path,
    build: bool,
    without: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Take over an existing INSTALLATION: its packs from the registry, its models where they are.

    Nothing in that folder is changed: its model folders (and those of its extra_model_paths.yaml) are named
    in host.toml, its packs are installed here as wheels, in the same versions where the registry has them.
    With --build, packs that it does not have are made wheels from their folders, edits included.

    \b
    nodes adopt ~/ComfyUI --dry-run
    nodes adopt ~/ComfyUI
    nodes adopt ~/ComfyUI --build
    """
    host = open_host(folder)
    found = read_installation(installation.expanduser().resolve())
    new = tuple(path for path in found.models if path not in host.config.model_paths)
    named = "would be named" if dry_run else "are named"
    notes = [f"models stay where they are, and {named} in host.toml: {path}" for path in new]
    found = replace(found, notes=(*notes, *found.notes))

    def agreed() -> None:  # before the packs: one that fails is no reason to leave the models out
        host.with_config(model_paths=(*host.config.model_paths, *new))

    said = Agreed(dry_run, yes, as_json, build, without)
    return _take(host, found, registry, said, agreed if new else None)


@click.command("import")
@click.argument("file", type=FOLDER)
@_build
@_without
@dry_run_option
@yes_option
@host_option
@registry_option
@json_option
def snapshot_import(
    *,
    file: Path,
    build: bool,
    without: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Install what a snapshot of the existing manager lists, in its versions where the registry has them.

    With --build, packs that it does not have are built from their repositories, at the commits listed.

    \b
    nodes snapshot import 2026-01-01_snapshot.json --dry-run
    nodes snapshot import 2026-01-01_snapshot.json --build
    """
    if not file.is_file():
        raise NotFound(f"{file} is not a file")
    found = read_snapshot(file.read_text("utf-8", "replace"), str(file))
    return _take(open_host(folder), found, registry, Agreed(dry_run, yes, as_json, build, without))


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the user said beforehand."""

    dry_run: bool
    yes: bool
    as_json: bool
    build: bool
    without: tuple[str, ...]


def _take(
    host: Host,
    found: Existing,
    registry: str | None,
    agreed: Agreed,
    first: Callable[[], None] | None = None,
) -> int:
    """Show what installs them, and once it is agreed to do `first`, then that."""
    now = gens.current(host)
    with workshop() as work, open_registry(host, registry) as client:
        here = {pack.name: pack.version for pack in now.packs.values()}
        build = (lambda place: from_source(place, work)) if agreed.build else None
        packs, unknown = choose(found.packs, client, here, build)
        plan = Plan(packs, unknown=unknown, notes=found.notes, generation=now.number)
        plan = solved(host, client, without(plan, agreed.without))
        show_plan(plan, as_json=agreed.as_json, nothing="No pack is there that is not here as well.")
        if unknown and not agreed.build and not agreed.as_json:
            click.echo("All of them at once: the same command with --build")
        if agreed.dry_run:
            return Exit.OK
        if plan or first:
            confirm(agreed.yes or agreed.as_json)
        if first:
            first()
        if not plan:
            return Exit.OK
        plan = keep_wheels(plan, host, work)
        return carry_out(host, client, plan, Progress(agreed.as_json), wait=True)
