"""`nodes workflow ...`: look at workflow files, convert, compare, check and draw them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from noderack_host.schema import NodeSchema
from noderack_host.workflow import Note, Workflow, read_workflow

from noderack_cli.exits import Exit
from noderack_cli.options import FOLDER, host_option, json_option, registry_option
from noderack_cli.show import count
from noderack_cli.workflow_schemas import ask_registry, find_schemas

if TYPE_CHECKING:
    from noderack_host.workflow.check import Finding

_file = click.argument("file", type=FOLDER)
_schemas = click.option(
    "--schemas",
    "schemas",
    type=FOLDER,
    metavar="FILE",
    help="Node schemas: a saved answer of /object_info. Else the host's.",
)
_out = click.option("--out", "-o", "out", type=FOLDER, metavar="OUT", help="Where to write; else stdout.")

_SEED_HELP = (
    "Also do what the editor does at queue time: strip comments, draw {a|b} choices from this seed, fill in "
    "%date% and %Node.widget% in file names."
)


def _known(
    workflow: Workflow,
    schemas: Path | None,
    folder: Path | None,
    registry: str | None,
    *,
    fresh: bool = False,
) -> dict[str, NodeSchema]:
    """Schemas from the file or the host, and from the registry for what those lack, if one is named."""
    known = find_schemas(schemas, folder, fresh=fresh)
    lacking = sorted({use.type for use in workflow.node_uses()} - known.keys())
    if registry is None or not lacking:
        return known
    from noderack_registry.client import RegistryClient

    with RegistryClient(registry) as client:
        return {**ask_registry(client, lacking), **known}


def _tell_notes(notes: Sequence[Note], quiet: bool) -> None:
    """Notes go to standard error: what is on standard output stays usable."""
    for note in notes if not quiet else ():
        click.echo(f"note: {note}", err=True)


def _write(text: str, out: Path | None) -> None:
    """Write whole or not at all: beside the target first, then renamed."""
    if out is None:
        sys.stdout.write(text)
        return
    part = out.with_name(f".{out.name}.part")
    part.write_text(text, "utf-8")
    part.replace(out)
    click.echo(f"wrote {out}", err=True)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


@click.command()
@_file
@_schemas
@host_option
@json_option
@click.option("--values", is_flag=True, help="Show the widget values too.")
def show(file: Path, schemas: Path | None, folder: Path | None, as_json: bool, values: bool) -> int:
    """Show what is in a workflow: its nodes as a tree, the packs and the models that it names.

    FILE is JSON, or a picture, video, sound or archive that carries a workflow.

    \b
    nodes workflow show portrait.png
    nodes workflow show portrait.json --values
    nodes workflow show portrait.png --json
    """
    from noderack_cli.workflow_view import summary, tree

    workflow = read_workflow(file)
    if as_json:
        click.echo(json.dumps(summary(workflow)))
        return Exit.OK
    known = find_schemas(schemas, folder) if schemas or folder else {}
    for line in tree(workflow, known, values=values):
        click.echo(line)
    return Exit.OK


@click.command()
@_file
@click.option("--to", "form", type=click.Choice(["api", "ui"]), default="api", help="The form to make.")
@_schemas
@host_option
@registry_option
@_out
@click.option("--seed", type=int, metavar="N", help=_SEED_HELP)
@click.option("--quiet", "-q", is_flag=True, help="Leave out the notes on standard error.")
def convert(
    file: Path,
    form: str,
    schemas: Path | None,
    folder: Path | None,
    registry: str | None,
    out: Path | None,
    seed: int | None,
    quiet: bool,
) -> int:
    """Convert a workflow to the API form that hosts run, or to the form that editors open.

    \b
    nodes workflow convert portrait.png > prompt.json
    nodes workflow convert portrait.json --schemas object_info.json -o prompt.json
    nodes workflow convert portrait.json --registry http://127.0.0.1:8190 -o prompt.json
    nodes workflow convert portrait.json --seed 7 -o prompt.json
    nodes workflow convert prompt.json --to ui -o portrait.json
    """
    workflow = read_workflow(file)
    if form == "ui" and workflow.ui is not None:
        _tell_notes(workflow.notes, quiet)
        _write(_json(workflow.ui), out)
        return Exit.OK
    known = _known(workflow, schemas, folder, registry)
    if form == "ui":
        from noderack_host.workflow.layout import to_ui

        drawn = to_ui(workflow.prompt(known).prompt, known)
        _tell_notes(drawn.notes, quiet)
        _write(_json(drawn.ui), out)
        return Exit.OK
    prompt, notes = _prompt(workflow, known, seed)
    _tell_notes(notes, quiet)
    _write(_json(prompt), out)
    return Exit.OK


def _prompt(workflow: Workflow, known: Any, seed: int | None) -> tuple[Any, Sequence[Note]]:
    if seed is None:
        conversion = workflow.prompt(known)
    else:
        from noderack_host.workflow.browser import as_queued

        conversion = as_queued(workflow, known, seed=seed, now=datetime.now())
    return conversion.prompt, (*workflow.notes, *conversion.notes)


@click.command()
@click.argument("one", metavar="A", type=FOLDER)
@click.argument("other", metavar="B", type=FOLDER)
@_schemas
@host_option
@json_option
def diff(one: Path, other: Path, schemas: Path | None, folder: Path | None, as_json: bool) -> int:
    """Show what is different between two workflows: nodes, links and values, not lines of JSON.

    \b
    nodes workflow diff monday.png tuesday.png
    nodes workflow diff a.json b.json --json
    """
    from noderack_host.workflow.diff import compare

    before, after = read_workflow(one), read_workflow(other)
    changes = compare(before, after, find_schemas(schemas, folder))
    if as_json:
        click.echo(json.dumps({"changes": [change.as_dict() for change in changes]}))
        return Exit.OK
    for change in changes:
        click.echo(str(change))
    click.echo(count(len(changes), "difference") if changes else "The two workflows run the same.")
    return Exit.OK


@click.command()
@_file
@_schemas
@host_option
@registry_option
@json_option
def check(file: Path, schemas: Path | None, folder: Path | None, registry: str | None, as_json: bool) -> int:
    """Say what is wrong with a workflow, all of it, and where. Exit code 8 when it could not run.

    With --schemas or a host, inputs, ranges and choices are checked too.

    \b
    nodes workflow check portrait.png
    nodes workflow check portrait.json --schemas object_info.json --json
    """
    workflow = read_workflow(file)
    found = _findings(workflow, _known(workflow, schemas, folder, registry, fresh=True))
    errors = sum(finding.level == "error" for finding in found)
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_dict() for finding in found], "errors": errors}))
    else:
        for finding in found:
            click.echo(f"{finding.level}: {finding.where}: {finding.message}")
        warnings = len(found) - errors
        click.echo(
            f"{count(errors, 'error')}, {count(warnings, 'warning')}" if found else "Nothing is wrong."
        )
        if any(finding.code == "missing-type" for finding in found):
            click.echo(f"To bring the packs that it needs: nodes install-missing {shlex.quote(str(file))}")
    return Exit.PROMPT_INVALID if errors else Exit.OK


def _findings(workflow: Workflow, known: Mapping[str, NodeSchema]) -> tuple[Finding, ...]:
    """What is wrong; a type that is lacking where others are known keeps the workflow from running."""
    from noderack_host.workflow.check import Finding, check_workflow

    found = check_workflow(workflow, known)
    if not known:
        return found
    lacking = tuple(
        Finding("error", "missing-type", f"there is no node type {use.type!r} here", f"node {use.ids[0]}")
        for use in workflow.node_uses()
        if use.type not in known
    )
    return (*lacking, *(finding for finding in found if finding.code != "unknown-type"))


@click.command()
@_file
@_out
@_schemas
@host_option
def draw(file: Path, out: Path | None, schemas: Path | None, folder: Path | None) -> int:
    """Draw a workflow as a picture: SVG, or PNG when OUT ends so. The workflow itself goes into the picture.

    \b
    nodes workflow draw portrait.json -o portrait.svg
    nodes workflow draw prompt.json -o graph.png
    """
    from noderack_host.workflow.picture import picture_of
    from noderack_host.workflow.svg import svg

    workflow = read_workflow(file)
    known = find_schemas(schemas, folder) if workflow.ui is None or schemas or folder else {}
    picture = picture_of(workflow, known)
    held = {"workflow": workflow.ui} if workflow.ui is not None else {"prompt": workflow.api}
    if out is not None and out.suffix.lower() == ".png":
        from noderack_host.workflow.raster import png

        data = png(picture, {key: json.dumps(value) for key, value in held.items()})
        part = out.with_name(f".{out.name}.part")
        part.write_bytes(data)
        part.replace(out)
        click.echo(f"wrote {out}", err=True)
        return Exit.OK
    _write(svg(picture, json.dumps(held)), out)
    return Exit.OK
