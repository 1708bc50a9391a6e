"""`nodes node list`, `show` and `search`: the node types of a host, with their sockets and their help."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from noderack_host.schema import InputSchema, NodeSchema, schemas_from_object_info

from noderack_cli.errors import NotFound
from noderack_cli.options import host_option, json_option
from noderack_cli.show import count, table
from noderack_cli.verify import Inspection, inspect
from noderack_cli.where import open_host

_FEW = 12


def _ask(folder: Path | None) -> tuple[dict[str, NodeSchema], dict[str, str], Inspection]:
    """(schemas, pack of each type, everything) of a host; imports its packs in a child process."""
    host = open_host(folder)
    found = inspect(host.python, host)
    owners = {name: pack for pack, names in found.packs.items() for name in names}
    return schemas_from_object_info(found.node_types), owners, found


@click.command("list")
@click.option("--pack", help="Only this pack's.")
@click.option("--category", help="Only those whose category begins like this.")
@host_option
@json_option
def list_nodes(pack: str | None, category: str | None, folder: Path | None, as_json: bool) -> None:
    """List the node types that the host has.

    \b
    nodes node list --category latent
    nodes node list --pack film-looks --json
    """
    schemas, owners, found = _ask(folder)
    wanted = {
        name: schema
        for name, schema in schemas.items()
        if (pack is None or owners.get(name) == pack) and schema.category.startswith(category or "")
    }
    if as_json:
        click.echo(json.dumps({name: found.node_types[name] for name in wanted}))
        return
    _print_rows(wanted, owners)
    for failure in found.failures:
        click.echo(f"{failure.pack}: {failure.cause}", err=True)


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@host_option
@json_option
def search_nodes(words: tuple[str, ...], folder: Path | None, as_json: bool) -> int:
    """Find node types by WORDS in their names, categories, descriptions and sockets. Exit 4 if there is none.

    \b
    nodes node search blur
    nodes node search mask image --json
    """
    schemas, owners, found = _ask(folder)
    hits = {
        name: schema for name, schema in schemas.items() if all(w.lower() in _text(schema) for w in words)
    }
    if as_json:
        click.echo(json.dumps({name: found.node_types[name] for name in hits}))
    else:
        _print_rows(hits, owners)
    return 0 if hits else 4


@click.command("show")
@click.argument("node_type")
@host_option
@json_option
def show_node(node_type: str, folder: Path | None, as_json: bool) -> None:
    """Show what NODE_TYPE takes and gives.

    \b
    nodes node show KSampler
    """
    schemas, owners, found = _ask(folder)
    if node_type not in schemas:
        near = difflib.get_close_matches(node_type, schemas, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "nodes node search WORDS finds them by words"
        raise NotFound(f"This host has no node type {node_type}", hint)
    if as_json:
        click.echo(json.dumps(found.node_types[node_type]))
        return
    schema = schemas[node_type]
    click.echo(f"{schema.display_name or node_type}  ({node_type}, pack {owners.get(node_type, '?')})")
    click.echo(schema.category + "".join(f", {word}" for word in _marks(schema)))
    if schema.description:
        click.echo(f"\n{schema.description}")
    click.echo("\nInputs\n" + (table(_input_rows(schema)) or "  none"))
    outputs = [
        (out.name, out.type + (" list" if out.is_list else ""), out.tooltip or "") for out in schema.outputs
    ]
    click.echo("\nOutputs\n" + (table(outputs) or "  none"))


def _print_rows(schemas: Mapping[str, NodeSchema], owners: Mapping[str, str]) -> None:
    rows = sorted(
        (s.category, name, s.display_name or name, owners.get(name, "")) for name, s in schemas.items()
    )
    click.echo(count(len(rows), "node type"))
    click.echo(table(rows))


def _text(schema: NodeSchema) -> str:
    sockets = [*(found.type for found in schema.inputs), *(found.type for found in schema.outputs)]
    return " ".join(
        (schema.type, schema.display_name or "", schema.category, schema.description, *sockets)
    ).lower()


def _marks(schema: NodeSchema) -> Iterator[str]:
    for word, on in (
        ("output node", schema.output_node),
        ("deprecated", schema.deprecated),
        ("experimental", schema.experimental),
    ):
        if on:
            yield word


def _input_rows(schema: NodeSchema) -> list[tuple[str, str, str, str]]:
    found = schema.of_kind("required", "optional")
    return [(item.name, item.type, _limits(item), str(item.options.get("tooltip", ""))) for item in found]


def _limits(item: InputSchema) -> str:
    """Default, range and choices of an input in few words."""
    told: list[str] = [] if item.kind == "required" else ["optional"]
    options: Mapping[str, Any] = item.options
    if item.default is not None:
        told.append(f"default {item.default!r}")
    if "min" in options or "max" in options:
        told.append(f"{options.get('min', '…')} to {options.get('max', '…')}")
    if item.choices is not None:
        few = ", ".join(map(str, item.choices[:_FEW]))
        told.append(
            f"one of {few}" + (f" and {len(item.choices) - _FEW} more" if len(item.choices) > _FEW else "")
        )
    return "; ".join(told)
