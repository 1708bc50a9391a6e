"""Which inputs are widgets, and which saved value belongs to which of them.

Files keep widget values as a bare list in the order of the widgets, with extra slots for control widgets and
upload buttons, and the order has changed over the years (host-contract, section 4.3). So a list is read in
every way that was ever true, and the reading that fits lengths and types best is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noderack_host.schema import COMBO, InputSchema, NodeSchema
from noderack_host.workflow.graph import Node

WIDGET_TYPES = frozenset(
    (
        *("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO", "MARKDOWN", "TEXTAREA", "COLOR", "COLORS", "CURVE"),
        *("RANGE", "BOUNDING_BOX", "BOUNDING_BOXES", "IMAGECOMPARE", "IMAGEUPLOAD", "CHART", "GALLERIA"),
        *("PAINTER", "COMPOSITOR", "VIDEO_EDIT", "RESOLUTION_PREVIEW", "LIGHT_INFO_PREVIEW", "WEBCAM"),
        *("COMFY_DYNAMICCOMBO_V3", "COMFY_DYNAMICGROUP_V3", "AUDIO_UI", "AUDIOUPLOAD", "AUDIO_RECORD"),
        *("LOAD_3D", "LOAD_3D_ANIMATION", "PREVIEW_3D", "PREVIEW_3D_ANIMATION"),
    )
)
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
CONTROL_WORDS = frozenset(("fixed", "increment", "decrement", "randomize", "increment-wrap"))
SEED_NAMES = frozenset(("seed", "noise_seed"))
_NOT_SENT = frozenset(("control_after_generate", "control_before_generate", "control_filter_list", "upload"))
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload", "file_upload")
_PREVIEWS = frozenset(("videopreview", "imagepreview", "audiopreview", "$$canvas-image-preview"))
_UNSERIALISED = frozenset(("AUDIO_UI", "IMAGECOMPARE", "PREVIEW_3D", "PREVIEW_3D_ANIMATION"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the list. `controls`: "words" takes a control slot only where its value is one."""

    controls: str = "words"
    dummies: bool = False
    upload: bool = True


_READINGS = tuple(
    Reading(controls, dummies, upload)
    for controls in ("words", "always", "never")
    for dummies in (False, True)
    for upload in (True, False)
)


@dataclass(slots=True)
class _Attempt:
    """A reading being carried out: what went where, how many values it took, and how badly they fit."""

    values: Sequence[Any]
    reading: Reading
    at: int = 0
    cost: int = 0
    found: dict[str, Any] = field(default_factory=dict)

    def left(self) -> int:
        return len(self.values) - self.at

    def take(self) -> Any:
        self.at += 1
        return self.values[self.at - 1]


@dataclass(frozen=True, slots=True)
class Values:
    """Saved widget values by input name; `doubt` says why some may be missing or misplaced."""

    found: Mapping[str, Any]
    doubt: str | None = None


def is_widget(item: InputSchema) -> bool:
    """Whether editors draw a widget for this input."""
    if item.kind == "hidden" or item.options.get("forceInput"):
        return False
    return item.options.get("widgetType", item.type) in WIDGET_TYPES


def has_control(item: InputSchema) -> bool:
    """Whether a control-after-generate widget follows this one."""
    declared = item.options.get("control_after_generate")
    return bool(declared) or (declared is None and item.type == "INT" and item.name in SEED_NAMES)


def saved_values(node: Node, schema: NodeSchema | None) -> Values:
    """The values a node was saved with, by input name."""
    if schema is None:
        return _without_schema(node)
    widgets = {item.name for item in schema.inputs if is_widget(item)}
    if node.named is not None:
        return Values({k: v for k, v in node.named.items() if _declared(k, widgets)})
    if isinstance(node.values, Mapping):
        return Values({k: v for k, v in node.values.items() if _declared(k, widgets)})
    if not node.values:
        return Values({})
    return _best(node, schema, node.values)


def _declared(name: str, widgets: set[str]) -> bool:
    return name in widgets or name.split(".", maxsplit=1)[0] in widgets


def _best(node: Node, schema: NodeSchema, values: Sequence[Any]) -> Values:
    attempts = [_read(schema.inputs, values, reading) for reading in _READINGS]
    names = [slot.widget for slot in node.inputs if slot.widget]
    if names:
        listed = [schema.input(name) or InputSchema(name, "*") for name in names]
        attempts.extend(_read(listed, values, reading, listed=True) for reading in _READINGS[:1])
    best = min(attempts, key=lambda attempt: attempt.cost)
    known = {item.name for item in schema.inputs}
    found = {k: v for k, v in best.found.items() if k in known or k.split(".")[0] in known}
    if best.cost < 10:
        return Values(found)
    return Values(found, f"{len(values)} saved values do not fit the widgets of {schema.type}")


def _read(
    inputs: Iterable[InputSchema], values: Sequence[Any], reading: Reading, *, listed: bool = False
) -> _Attempt:
    attempt = _Attempt(values, reading)
    items = list(inputs)
    for kind in ("required", "optional"):
        section = items if listed else [item for item in items if item.kind == kind]
        for item in section:
            _place(item, attempt, listed)
        uploads = any(item.options.get(key) for item in section for key in _UPLOADS)
        if uploads and reading.upload and attempt.left() and not listed:
            attempt.take()
        if listed:
            break
    attempt.cost += 3 * attempt.left()
    return attempt


def _place(item: InputSchema, attempt: _Attempt, listed: bool) -> None:
    if not listed and not is_widget(item):
        if attempt.reading.dummies and item.options.get("forceInput") and attempt.left():
            attempt.take()
        return
    if item.options.get("widgetType", item.type) in _UNSERIALISED:
        return
    if not attempt.left():
        attempt.cost += 3
        return
    value = attempt.take()
    attempt.cost += misfit(item, value)
    attempt.found[item.name] = value
    if item.type == DYNAMIC_COMBO:
        for inner in dynamic_inputs(item, value):
            _place(inner, attempt, listed)
    elif has_control(item):
        _skip_control(item, attempt)


def _skip_control(item: InputSchema, attempt: _Attempt) -> None:
    if not attempt.left() or attempt.reading.controls == "never":
        return
    following = attempt.values[attempt.at]
    if attempt.reading.controls == "always" or following in CONTROL_WORDS or following is None:
        attempt.take()
        if item.type == COMBO and attempt.left():
            attempt.take()


def dynamic_inputs(item: InputSchema, chosen: Any) -> Iterator[InputSchema]:
    """The inputs that a dynamic combo shows for the chosen option, under dotted names."""
    from noderack_host.schema import inputs_from_types

    for option in item.options.get("options") or ():
        if isinstance(option, Mapping) and option.get("key") == chosen:
            inner = option.get("inputs")
            for found in inputs_from_types(inner) if isinstance(inner, Mapping) else ():
                yield InputSchema(
                    *(f"{item.name}.{found.name}", found.type, found.choices, found.options, found.kind)
                )


def misfit(item: InputSchema, value: Any) -> int:
    """How unlikely `value` is for a widget: 0 fits, 1 is a choice not offered here, 10 is another type."""
    if value is None:
        return 0
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match item.type:
        case "INT":
            return 0 if number and float(value).is_integer() else 10
        case "FLOAT":
            return 0 if number else 10
        case "BOOLEAN":
            return 0 if isinstance(value, bool) or value in (0, 1) else 10
        case "STRING":
            return 0 if isinstance(value, str) else 4
        case "COMBO":
            return _combo_misfit(item, value)
    return 0


def _combo_misfit(item: InputSchema, value: Any) -> int:
    if value in (item.choices or ()) or item.options.get("multiselect"):
        return 0
    return 1 if isinstance(value, str) and value not in CONTROL_WORDS else 4


def _without_schema(node: Node) -> Values:
    """Values that the file itself names; a bare list only where its slots name the widgets one by one."""
    if node.named is not None:
        return Values({k: v for k, v in node.named.items() if k not in _NOT_SENT})
    if isinstance(node.values, Mapping):
        return Values({k: v for k, v in node.values.items() if k not in _PREVIEWS})
    if not node.values:
        return Values({})
    names = [slot.widget for slot in node.inputs if slot.widget]
    values = _without_controls(names, node.values)
    if names and len(values) == len(names):
        return Values({k: v for k, v in zip(names, values, strict=True) if k not in _NOT_SENT})
    return Values(
        {}, f"the schema of {node.type} is not known, so its {len(node.values)} values have no names"
    )


def _without_controls(names: Sequence[str], values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        after_seed = 0 < len(kept) <= len(names) and "seed" in names[len(kept) - 1]
        if not (after_seed and value in CONTROL_WORDS if isinstance(value, str) else False):
            kept.append(value)
    return kept
