"""From the editor's graph to the API form, as the editor would send it (host-contract, section 4.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noderack_host.schema import InputSchema, NodeSchema
from noderack_host.workflow.errors import Note
from noderack_host.workflow.graph import Input, Node
from noderack_host.workflow.models import is_model_name
from noderack_host.workflow.resolve import Literal, Ref, resolve
from noderack_host.workflow.scope import Placed, flatten
from noderack_host.workflow.widgets import (
    DYNAMIC,
    DYNAMIC_GROUP,
    dynamic_inputs,
    is_widget,
    names_in_prompt,
    saved_values,
)

if TYPE_CHECKING:
    from noderack_host.workflow.model import Workflow

Prompt = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A prompt ready for a host, and what was not certain on the way to it."""

    prompt: Prompt
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    """What every node's conversion needs; `notes` grows."""

    schemas: Mapping[str, NodeSchema]
    learned: Mapping[str, tuple[str, Sequence[str]]]
    defaults: bool
    notes: list[Note]


def convert(workflow: Workflow, schemas: Mapping[str, NodeSchema], *, defaults: bool = True) -> Conversion:
    """The API form of a workflow. Raises WorkflowError when sub-graphs contain themselves."""
    if workflow.ui is None:
        return _as_it_is(workflow.api or {}, schemas if defaults else {})
    document = workflow.document()
    _, placed = flatten(document, schemas)
    job = _Job(schemas, names_in_prompt(workflow.api), defaults, list(document.notes))
    prompt = {place.id: _node(place, job) for place in placed}
    _drop_dangling(prompt)
    return Conversion(prompt, tuple(job.notes))


def _node(place: Placed, job: _Job) -> dict[str, Any]:
    node, schema = place.node, job.schemas.get(place.node.type)
    if schema is None:
        job.notes.append(Note("unknown-type", f"no schema for {node.type!r}", node.where))
    title = node.title or (schema.display_name if schema else None) or node.type
    return {"inputs": _inputs(place, schema, job), "class_type": node.type, "_meta": {"title": title}}


def _as_it_is(api: Mapping[str, Any], schemas: Mapping[str, NodeSchema]) -> Conversion:
    prompt: Prompt = {}
    notes: list[Note] = []
    for key, raw in api.items():
        if not isinstance(raw, Mapping) or not isinstance(raw.get("class_type"), str):
            notes.append(Note("unreadable", "no node: it has no class_type", str(key)))
            continue
        given, meta = raw.get("inputs"), raw.get("_meta")
        inputs = dict(given) if isinstance(given, Mapping) else {}
        if (schema := schemas.get(raw["class_type"])) is not None:
            inputs |= _younger(inputs, schema, str(key), notes)
        prompt[str(key)] = {
            "inputs": inputs,
            "class_type": raw["class_type"],
            **({"_meta": dict(meta)} if isinstance(meta, Mapping) else {}),
        }
    return Conversion(prompt, tuple(notes))


def _younger(inputs: Mapping[str, Any], schema: NodeSchema, where: str, notes: list[Note]) -> dict[str, Any]:
    """Defaults of required widgets that a prompt lacks, as one of an older host does; never a model file."""
    plain = (item for item in schema.of_kind("required") if is_widget(item) and item.type not in DYNAMIC)
    absent = [item for item in plain if item.name not in inputs and item.type != DYNAMIC_GROUP]
    found = {item.name: item.default for item in absent if item.default is not None}
    found = {n: v for n, v in found.items() if not (isinstance(v, str) and is_model_name(v))}
    notes.extend(Note("default-used", f"no value for {name}; its default is used", where) for name in found)
    return found


def _inputs(place: Placed, schema: NodeSchema | None, job: _Job) -> dict[str, Any]:
    node = place.node
    saved = saved_values(node, schema, job.learned.get(place.id))
    if saved.doubt:
        job.notes.append(Note("widget-values", saved.doubt, f"{node.where}.widgets_values"))
    values = {**saved.found, **_overrides(place)}
    completed = values.items() if schema is None else _complete(values, schema, node, job)
    inputs = {name: wrapped(value) for name, value in completed}
    for at, slot in enumerate(node.inputs):
        found = resolve(place.scope, node, at)
        if isinstance(found, Ref):
            inputs[slot.name] = [found.id, found.slot]
        elif isinstance(found, Literal) and _takes_value(slot, schema):
            inputs[slot.widget or slot.name] = wrapped(found.value)
    return inputs


def _takes_value(slot: Input, schema: NodeSchema | None) -> bool:
    """Whether a value may stand where a link was: for a widget, and for nothing that the schema lacks."""
    if schema is None:
        return True
    declared = schema.input(slot.name) or schema.input(slot.name.partition(".")[0])
    return declared is not None and (slot.widget is not None or is_widget(declared))


def _overrides(place: Placed) -> dict[str, Any]:
    overrides = place.scope.overrides.get(place.node.id, {})
    return {name.rpartition(": ")[2]: value for name, value in overrides.items()}


def _complete(
    values: Mapping[str, Any], schema: NodeSchema, node: Node, job: _Job
) -> Iterator[tuple[str, Any]]:
    """Values in widget order; required widgets that the file has no value for get their default, noted."""
    for item in _widgets(schema, values):
        value = values.get(item.name)
        if item.name in values and not (value is None and item.choices):
            yield item.name, value
        elif item.kind == "required" and item.default is not None and (job.defaults or item.name in values):
            if not _is_linked(node, item.name):
                sentence = f"no saved value for {item.name}; its default is used"
                job.notes.append(Note("default-used", sentence, f"{node.where}.widgets_values"))
            yield item.name, item.default


def _is_linked(node: Node, name: str) -> bool:
    at = node.input_index(name)
    return at is not None and node.inputs[at].link is not None


def _widgets(schema: NodeSchema, values: Mapping[str, Any]) -> Iterator[InputSchema]:
    for item in schema.of_kind("required", "optional"):
        if is_widget(item):
            if item.type != DYNAMIC_GROUP:  # the number of its rows is for editors
                yield item
            if item.type in DYNAMIC:
                yield from dynamic_inputs(item, values.get(item.name))


def wrapped(value: Any) -> Any:
    """A list as a literal: hosts take a bare list for a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _drop_dangling(prompt: Prompt) -> None:
    for node in prompt.values():
        dangling = [k for k, v in node["inputs"].items() if isinstance(v, list) and v[0] not in prompt]
        for name in dangling:
            del node["inputs"][name]
