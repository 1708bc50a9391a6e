"""A workflow as a tree of text: its nodes with their sub-graphs, the packs and the models that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from noderack_host.schema import NodeSchema
from noderack_host.workflow import Workflow
from noderack_host.workflow.graph import BYPASS, NEVER, Document, Graph, Node
from noderack_host.workflow.scope import body_of
from noderack_host.workflow.virtual import is_virtual
from noderack_host.workflow.widgets import saved_values

from noderack_cli.show import table

_MARKS = {NEVER: " (muted)", BYPASS: " (bypassed)"}
_DEEPEST = 8


def tree(workflow: Workflow, schemas: Mapping[str, NodeSchema], *, values: bool) -> Iterator[str]:
    """The lines of `nodes workflow show`."""
    yield _head(workflow)
    if workflow.ui is not None:
        document = workflow.document()
        yield from _graph(document.root, document, schemas, "  ", values, 0)
    else:
        yield from _prompt(workflow.api or {}, values)
    yield from _packs(workflow)
    yield from _models(workflow)
    for note in workflow.notes:
        yield f"note: {note}"


def _head(workflow: Workflow) -> str:
    forms = " and ".join(
        name
        for name, form in (("editor graph", workflow.ui), ("API prompt", workflow.api))
        if form is not None
    )
    return f"{workflow.source or 'workflow'}: {forms} in {workflow.carrier}, at {workflow.where}"


def _graph(
    graph: Graph, document: Document, schemas: Mapping[str, NodeSchema], indent: str, values: bool, depth: int
) -> Iterator[str]:
    for node in sorted(graph.nodes.values(), key=_order):
        body = body_of(node, document, schemas)
        yield f"{indent}{_line(node, body)}"
        if values:
            yield from _values(saved_values(node, schemas.get(node.type)).found, indent + "    ")
        if body is not None and depth < _DEEPEST:
            yield from _graph(body, document, schemas, indent + "  ", values, depth + 1)


def _order(node: Node) -> int:
    order = node.raw.get("order")
    return order if isinstance(order, int) else 0


def _line(node: Node, body: Graph | None) -> str:
    kind = f"[{body.name or 'sub-graph'}]" if body is not None else node.type
    title = (
        f" {node.title!r}" if node.title and node.title not in (node.type, body.name if body else "") else ""
    )
    browser = " (browser only)" if is_virtual(node.type) else ""
    return f"{node.id} {kind}{title}{_MARKS.get(node.mode, '')}{browser}"


def _prompt(api: Mapping[str, Any], values: bool) -> Iterator[str]:
    for key, raw in api.items():
        if isinstance(raw, Mapping):
            yield f"  {key} {raw.get('class_type')}"
            inputs = raw.get("inputs")
            if values and isinstance(inputs, Mapping):
                yield from _values(inputs, "      ")


def _values(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in values.items():
        text = str(value).replace("\n", " ")
        yield f"{indent}{name}: {text if len(text) <= 90 else text[:89] + '…'}"


def _packs(workflow: Workflow) -> Iterator[str]:
    uses = workflow.node_uses()
    yield f"Node types ({len(uses)})"
    totals = Counter({use.type: len(use.ids) for use in uses})
    rows = [
        (f"{totals[use.type]} ×", use.type, use.pack_id or use.aux_id or "", use.version or "")
        for use in sorted(uses, key=lambda use: (use.pack_id or use.aux_id or "~", use.type))
    ]
    yield table(rows) or "  none that a host would run"


def _models(workflow: Workflow) -> Iterator[str]:
    uses = workflow.model_uses()
    yield f"Models ({len(uses)})" if uses else "Models: none named"
    rows = [
        (f"{use.folder or '?'}/{use.name}", f"node {use.node_id}" if use.node_id else "", use.url or "")
        for use in uses
    ]
    if rows:
        yield table(rows)


def summary(workflow: Workflow) -> dict[str, Any]:
    """The same as data, for --json."""
    from dataclasses import asdict

    return {
        "form": workflow.form,
        "carrier": workflow.carrier,
        "where": workflow.where,
        "nodes": [asdict(use) for use in workflow.node_uses()],
        "inactive": sorted(_types(workflow, inactive=True) - _types(workflow, inactive=False)),
        "models": [asdict(use) for use in workflow.model_uses()],
        "notes": [asdict(note) for note in workflow.notes],
    }


def _types(workflow: Workflow, *, inactive: bool) -> set[str]:
    return {use.type for use in workflow.node_uses(inactive=inactive)}
