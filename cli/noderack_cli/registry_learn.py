"""`nodes registry learn`: workflows name packs, which is evidence for node types that no pack claims."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noderack_cli.errors import BadInput
from noderack_cli.registry import BLOBS, DATA, DATABASE, JSON, opened, settings
from noderack_cli.show import count

if TYPE_CHECKING:
    from noderack_registry.server import Registry
    from noderack_registry.server.sightings import Named

# What may carry a workflow; which of these do is seen by their content.
_CARRIERS = frozenset(
    {".json", ".png", ".webp", ".jpg", ".jpeg", ".avif", ".gif", ".svg"}
    | {".mp4", ".webm", ".mov", ".mp3", ".flac", ".ogg", ".opus"}
)
_LARGEST = 64 << 20


@click.command(
    epilog="Examples:\n\n  nodes registry learn ~/workflows\n\n"
    "  nodes registry learn portrait.json more/ --data /srv/registry\n\n"
    "  nodes registry learn --published     # the example workflows of the packs that are here\n\n"
    "  nodes registry learn --forget        # take back all that was learned"
)
@click.argument("places", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILE|DIR]...")
@click.option("--published", is_flag=True, help="Read the workflows that published packs brought along.")
@click.option("--forget", is_flag=True, help="Take back what was learned before.")
@DATA
@DATABASE
@BLOBS
@JSON
def learn(
    *,
    places: tuple[Path, ...],
    published: bool,
    forget: bool,
    data: Path,
    database: str | None,
    blobs: str | None,
    as_json: bool,
) -> None:
    """Learn from workflows which packs node types are of.

    Workflows name the packs that their authors had. Whoever needs such a type is told how many workflows
    name which pack, and its repository; a pack that only workflows name is never installed by itself.
    Copies of a workflow count once, also when they are learned again.
    """
    if not (places or published or forget):
        raise BadInput("Say which workflows to learn from.", "nodes registry learn DIR, or --published")
    chosen = settings(data, database, blobs)
    from noderack_registry.server import sightings

    with opened(chosen) as registry:
        gone = registry.database.writing(sightings.forget) if forget else 0
        read = [*_in_files(places), *(_in_registry(registry) if published else ())]
        done = registry.database.writing(sightings.learn, [one for one in read if one])
    if as_json:
        click.echo(json.dumps({**asdict(done), "read": len(read), "forgotten": gone}))
        return
    if forget:
        click.echo(f"{count(gone, 'workflow')} forgotten.")
    if places or published:
        silent = sum(not one for one in read)
        click.echo(
            f"{count(len(read), 'workflow')} read: {done.workflows} new that name packs, for "
            f"{count(done.types, 'node type')}; {done.known} known, {silent} name none."
        )


def _in_files(places: Iterable[Path]) -> Iterator[list[Named]]:
    files = (file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place]))
    for file in files:
        if file.suffix.lower() in _CARRIERS and file.is_file() and file.stat().st_size <= _LARGEST:
            yield from _named(file)


def _in_registry(registry: Registry) -> Iterator[list[Named]]:
    from noderack_registry.server.tables import Asset
    from sqlmodel import select

    query = select(Asset.sha256).where(Asset.kind == "workflow").distinct()
    for sha256 in registry.database.reading(lambda session: session.exec(query).all()):
        yield from _named(b"".join(registry.blobs.open(sha256)))


def _named(source: Path | bytes) -> Iterator[list[Named]]:
    """What one workflow names; nothing at all for a file that holds no workflow."""
    from noderack_host.workflow import WorkflowError, read_workflow
    from noderack_registry.server.sightings import named

    try:
        uses = read_workflow(source).node_uses()
    except WorkflowError:
        return
    said = (named(use.type, use.pack_id, use.aux_id, use.version) for use in uses)
    yield [one for one in said if one]
