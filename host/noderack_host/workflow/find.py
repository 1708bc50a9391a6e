"""Graphs inside JSON values: bare, in request bodies, queue items, chat logs, or JSON kept in strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from noderack_host.workflow.errors import WorkflowError
from noderack_host.workflow.text import parse

Form = Literal["ui", "api"]
MAX_DEPTH = 12
MAX_VISITS = 100_000
_FIRST = ("workflow", "prompt", "input", "graph", "data")


@dataclass(frozen=True, slots=True)
class Found:
    """A graph and where it was: `$` is the root of the JSON value."""

    form: Form
    graph: Mapping[str, Any]
    where: str


def graph_form(value: Any) -> Form | None:
    """Which form of graph a JSON value is, or None."""
    if not isinstance(value, Mapping):
        return None
    nodes = value.get("nodes")
    if isinstance(nodes, list) and _is_ui(nodes, value):
        return "ui"
    return "api" if _is_api(value) else None


def _is_ui(nodes: list[Any], value: Mapping[str, Any]) -> bool:
    if not nodes:
        return any(key in value for key in ("links", "last_node_id", "state", "version"))
    return any(isinstance(node, Mapping) and "type" in node for node in nodes)


def _is_api(value: Mapping[str, Any]) -> bool:
    known = sum(isinstance(v, Mapping) and isinstance(v.get("class_type"), str) for v in value.values())
    return known > 0 and known * 2 >= len(value)


def find_graphs(value: Any, where: str = "$") -> Iterator[Found]:
    """Every graph in `value`, in reading order, not looking inside graphs. Bounded in depth and visits."""
    budget = [MAX_VISITS]
    yield from _search(value, where, 0, budget)


def _search(value: Any, where: str, depth: int, budget: list[int]) -> Iterator[Found]:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        return
    form = graph_form(value)
    if form is not None:
        yield Found(form, value, where)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=_rank):
            yield from _search(value[key], f"{where}.{key}", depth + 1, budget)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _search(item, f"{where}[{at}]", depth + 1, budget)
    elif isinstance(value, str) and len(value) > 20:
        yield from _search_text(value, where, depth, budget)


def _rank(key: Any) -> int:
    return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def _search_text(text: str, where: str, depth: int, budget: list[int]) -> Iterator[Found]:
    head = text.lstrip()[:1]
    if head in ("{", "[", '"'):
        candidates = [text]
    elif "```" in text:
        fenced = text[:1_000_000].split("```")[1::2]
        candidates = [part.removeprefix("json").strip() for part in fenced]
    else:
        return
    for candidate in candidates:
        try:
            inner = parse(candidate)
        except WorkflowError:
            continue
        yield from _search(inner, f"{where}(text)", depth + 1, budget)
