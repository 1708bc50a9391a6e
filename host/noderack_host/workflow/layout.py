"""From the API form to a graph that editors open: sockets, widget values in order, positions, links."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from noderack_host.schema import InputSchema, Kind, NodeSchema
from noderack_host.workflow.arrange import arrange
from noderack_host.workflow.errors import Note
from noderack_host.workflow.graph import mapping
from noderack_host.workflow.widgets import (
    DYNAMIC,
    DYNAMIC_GROUP,
    dynamic_inputs,
    has_control,
    is_widget,
    rows_in,
    uploads,
)

Json = dict[str, Any]
WIDTH, TITLE, ROW, TEXT_ROWS = 315.0, 30.0, 24.0, 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graph in the editor's form, and what could not be carried over."""

    ui: Json
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class _Sheet:
    """The graph while it grows: nodes and links in file form, and what the links need to know."""

    prompt: Mapping[str, Any]
    schemas: Mapping[str, NodeSchema]
    nodes: dict[str, Json] = field(default_factory=dict)
    links: list[list[Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def to_ui(prompt: Mapping[str, Any], schemas: Mapping[str, NodeSchema]) -> Drawn:
    """Lay an API prompt out as a graph (version 0.4). Node ids stay; the same prompt gives the same graph.

    Types without a schema get the sockets and widgets that the prompt shows, named, so that nothing is lost.
    """
    sheet = _Sheet({str(k): v for k, v in prompt.items() if _is_node(v)}, schemas)
    for at, (key, raw) in enumerate(sheet.prompt.items()):
        sheet.nodes[key] = _node(key, raw, at, sheet)
    for key, raw in sheet.prompt.items():
        _connect(key, mapping(raw.get("inputs")), sheet)
    _position(sheet)
    return Drawn(_document(sheet), tuple(sheet.notes))


def _is_node(raw: Any) -> bool:
    return isinstance(raw, Mapping) and isinstance(raw.get("class_type"), str)


def node_id(key: str) -> int | str:
    """Editors number nodes; ids that are no plain number (`12:3`) stay texts."""
    return int(key) if key.isascii() and key.isdigit() and str(int(key)) == key and len(key) < 16 else key


def is_link(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], (str, int))
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


def _node(key: str, raw: Mapping[str, Any], order: int, sheet: _Sheet) -> Json:
    kind = raw["class_type"]
    schema = sheet.schemas.get(kind)
    given = mapping(raw.get("inputs"))
    if schema is None:
        inputs, values = _shown_inputs(given)
    else:
        inputs, values = _declared_inputs(schema, given)
        _note_undeclared(key, schema, given, sheet)
    node: Json = {
        "id": node_id(key),
        "type": kind,
        "pos": [0, 0],
        "size": [WIDTH, TITLE],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": _declared_outputs(schema) if schema else [],
        "properties": {"Node name for S&R": kind},
        "widgets_values": [value for _, value in values],
    }
    node["size"] = [WIDTH, _height(node, schema)]
    if schema is None and values:
        node["widgets_values_named"] = dict(values)
    title = mapping(raw.get("_meta")).get("title")
    if isinstance(title, str) and title not in (kind, schema.display_name if schema else kind):
        node["title"] = title
    return node


def _height(node: Json, schema: NodeSchema | None) -> float:
    sockets = [slot for slot in node["inputs"] if "widget" not in slot]
    texts = sum(bool(item.options.get("multiline")) for item in schema.inputs) if schema else 0
    rows = max(len(sockets), len(node["outputs"])) + len(node["widgets_values"]) + texts * (TEXT_ROWS - 1)
    return TITLE + ROW * max(rows, 1)


def _slot(name: str, kind: str, *, widget: bool) -> Json:
    slot: Json = {"name": name, "type": kind, "link": None}
    if widget:
        slot["widget"] = {"name": name}
    return slot


def _shown_inputs(given: Mapping[str, Any]) -> tuple[list[Json], list[tuple[str, Any]]]:
    inputs = [_slot(str(name), _kind(value), widget=not is_link(value)) for name, value in given.items()]
    values = [(str(name), _plain(value)) for name, value in given.items() if not is_link(value)]
    return inputs, values


def _kind(value: Any) -> str:
    kinds = ((bool, "BOOLEAN"), (int, "INT"), (float, "FLOAT"), (str, "STRING"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "*")


def _declared_inputs(
    schema: NodeSchema, given: Mapping[str, Any]
) -> tuple[list[Json], list[tuple[str, Any]]]:
    items = list(_shown(schema.of_kind("required", "optional"), given))
    declared = {item.name for item in items}
    sockets = [_slot(item.name, item.type, widget=False) for item in items if not is_widget(item)]
    sockets += [_slot(n, "*", widget=False) for n, v in given.items() if n not in declared and is_link(v)]
    widgets = [_slot(item.name, item.type, widget=True) for item in items if is_widget(item)]
    return sockets + widgets, list(_values(schema, given))


def _shown(items: Iterable[InputSchema], given: Mapping[str, Any]) -> Iterator[InputSchema]:
    """Inputs, each followed by those that it brings."""
    for item in items:
        yield item
        if item.type in DYNAMIC:
            yield from _shown(dynamic_inputs(item, _given(item, given)), given)


def _given(item: InputSchema, given: Mapping[str, Any]) -> Any:
    """What is given to an input; to a group, the number of its rows."""
    return rows_in(item, given) if item.type == DYNAMIC_GROUP else given.get(item.name, item.default)


def _values(schema: NodeSchema, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values with their extra slots, in the order in which editors write the list."""
    kinds: tuple[Kind, ...] = ("required", "optional")
    for kind in kinds:
        section = list(_shown(schema.of_kind(kind), given))
        for item in section:
            if is_widget(item):
                value = _given(item, given)
                yield item.name, item.default if is_link(value) else _plain(value)
                if has_control(item):
                    yield "control_after_generate", "fixed"
        if uploads(section):
            yield "upload", "image"


def _plain(value: Any) -> Any:
    """A list literal without its wrapping."""
    inner = value.get("__value__") if isinstance(value, Mapping) else None
    return inner if isinstance(inner, list) and len(value) == 1 else value


def _note_undeclared(key: str, schema: NodeSchema, given: Mapping[str, Any], sheet: _Sheet) -> None:
    declared = {item.name for item in _shown(schema.of_kind("required", "optional"), given)}
    for name, value in given.items():
        if name not in declared and not is_link(value):
            sentence = f"{schema.type} has no input {name!r}; its value is left out"
            sheet.notes.append(Note("undeclared-input", sentence, f"{key}.inputs.{name}"))


def _declared_outputs(schema: NodeSchema) -> list[Json]:
    return [
        {"name": o.name, "type": o.type, "links": [], "slot_index": n} for n, o in enumerate(schema.outputs)
    ]


def _connect(key: str, given: Mapping[str, Any], sheet: _Sheet) -> None:
    node = sheet.nodes[key]
    for at, slot in enumerate(node["inputs"]):
        value = given.get(slot["name"])
        if not is_link(value) or value is None:
            continue
        origin = sheet.nodes.get(str(value[0]))
        if origin is None or not 0 <= value[1] < 1000:
            place = f"{key}.inputs.{slot['name']}"
            sheet.notes.append(
                Note("dangling-link", f"leads to a node {value[0]!r} that is not there", place)
            )
            continue
        _link(origin, value[1], node, at, sheet)


def _link(origin: Json, origin_slot: int, node: Json, slot: int, sheet: _Sheet) -> None:
    outputs, target = origin["outputs"], node["inputs"][slot]
    while len(outputs) <= origin_slot:
        number = len(outputs)
        outputs.append({"name": f"output {number}", "type": "*", "links": [], "slot_index": number})
    output = outputs[origin_slot]
    if output["type"] == "*":
        output["type"] = target["type"]
    elif target["type"] == "*":
        target["type"] = output["type"]
    number = len(sheet.links) + 1
    output["links"].append(number)
    target["link"] = number
    sheet.links.append([number, origin["id"], origin_slot, node["id"], slot, output["type"]])


def _position(sheet: _Sheet) -> None:
    sizes = {
        key: (float(node["size"][0]), float(node["size"][1]) + TITLE) for key, node in sheet.nodes.items()
    }
    edges = [(str(link[1]), str(link[3])) for link in sheet.links]
    for key, (x, y) in arrange(sizes, edges).items():
        sheet.nodes[key]["pos"] = [x, y]


def _document(sheet: _Sheet) -> Json:
    numbers = [node["id"] for node in sheet.nodes.values() if isinstance(node["id"], int)]
    text = json.dumps(sheet.prompt, sort_keys=True, default=str)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, text)),
        "revision": 0,
        "last_node_id": max(numbers, default=0),
        "last_link_id": len(sheet.links),
        "nodes": list(sheet.nodes.values()),
        "links": sheet.links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
