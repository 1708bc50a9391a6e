"""From the editor's graph to the API form, as the editor would send it (host-contract, section 4.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noderack_host.schema import InputSchema, NodeSchema
from noderack_host.workflow.errors import Note
from noderack_host.workflow.graph import read_document
from noderack_host.workflow.resolve import Literal, Ref, resolve
from noderack_host.workflow.scope import Placed, flatten
from noderack_host.workflow.widgets import DYNAMIC_COMBO, dynamic_inputs, is_widget, saved_values

if TYPE_CHECKING:
    from noderack_host.workflow.model import Workflow

Prompt = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A prompt ready for a host, and what was not certain on the way to it."""

    prompt: Prompt
    notes: tuple[Note, ...] = ()


def convert(workflow: Workflow, schemas: Mapping[str, NodeSchema]) -> Conversion:
    """The API form of a workflow. Raises WorkflowError when sub-graphs contain themselves."""
    if workflow.ui is None:
        return _as_it_is(workflow.api or {})
    document = read_document(workflow.ui)
    _, placed = flatten(document, schemas)
    notes = list(document.notes)
    prompt: Prompt = {}
    for place in placed:
        schema = schemas.get(place.node.type)
        if schema is None:
            notes.append(Note("unknown-type", f"no schema for {place.node.type!r}", place.node.where))
        prompt[place.id] = {
            "inputs": _inputs(place, schema, notes),
            "class_type": place.node.type,
            "_meta": {"title": place.node.title or (schema and schema.display_name) or place.node.type},
        }
    _drop_dangling(prompt)
    return Conversion(prompt, tuple(notes))


def _as_it_is(api: Mapping[str, Any]) -> Conversion:
    prompt: Prompt = {}
    notes: list[Note] = []
    for key, raw in api.items():
        if not isinstance(raw, Mapping) or not isinstance(raw.get("class_type"), str):
            notes.append(Note("unreadable", "no node: it has no class_type", str(key)))
            continue
        inputs = raw.get("inputs")
        meta = raw.get("_meta")
        prompt[str(key)] = {
            "inputs": dict(inputs) if isinstance(inputs, Mapping) else {},
            "class_type": raw["class_type"],
            **({"_meta": dict(meta)} if isinstance(meta, Mapping) else {}),
        }
    return Conversion(prompt, tuple(notes))


def _inputs(place: Placed, schema: NodeSchema | None, notes: list[Note]) -> dict[str, Any]:
    saved = saved_values(place.node, schema)
    if saved.doubt:
        notes.append(Note("widget-values", saved.doubt, f"{place.node.where}.widgets_values"))
    values = {**saved.found, **_overrides(place)}
    inputs = {name: wrapped(value) for name, value in _complete(values, schema, place, notes)}
    for at, slot in enumerate(place.node.inputs):
        found = resolve(place.scope, place.node, at)
        if isinstance(found, Ref):
            inputs[slot.name] = [found.id, found.slot]
        elif isinstance(found, Literal):
            _set_literal(inputs, slot.widget or slot.name, found, slot.widget is not None, schema)
    return inputs


def _set_literal(
    inputs: dict[str, Any], name: str, found: Literal, is_slot_widget: bool, schema: NodeSchema | None
) -> None:
    declared = schema.input(name) if schema else None
    if is_slot_widget or (declared is not None and is_widget(declared)) or schema is None:
        inputs[name] = wrapped(found.value)


def _overrides(place: Placed) -> dict[str, Any]:
    return {name: value for (inner, name), value in place.scope.overrides.items() if inner == place.node.id}


def _complete(
    values: Mapping[str, Any], schema: NodeSchema | None, place: Placed, notes: list[Note]
) -> Iterator[tuple[str, Any]]:
    """Values in widget order; required widgets that the file has no value for get their default, noted."""
    if schema is None:
        yield from values.items()
        return
    for item in _widgets(schema, values):
        if item.name in values and not (values[item.name] is None and item.choices):
            yield item.name, values[item.name]
        elif item.kind == "required" and item.default is not None:
            if not _is_linked(place, item.name):
                where = f"{place.node.where}.widgets_values"
                notes.append(
                    Note("default-used", f"no saved value for {item.name}; its default is used", where)
                )
            yield item.name, item.default


def _is_linked(place: Placed, name: str) -> bool:
    at = place.node.input_index(name)
    return at is not None and place.node.inputs[at].link is not None


def _widgets(schema: NodeSchema, values: Mapping[str, Any]) -> Iterator[InputSchema]:
    for item in schema.of_kind("required", "optional"):
        if is_widget(item):
            yield item
            if item.type == DYNAMIC_COMBO:
                yield from dynamic_inputs(item, values.get(item.name))


def wrapped(value: Any) -> Any:
    """A list as a literal: hosts take a bare list for a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _drop_dangling(prompt: Prompt) -> None:
    for node in prompt.values():
        dangling = [k for k, v in node["inputs"].items() if isinstance(v, list) and v[0] not in prompt]
        for name in dangling:
            del node["inputs"][name]
