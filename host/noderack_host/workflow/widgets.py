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
DYNAMIC_COMBO, DYNAMIC_GROUP = "COMFY_DYNAMICCOMBO_V3", "COMFY_DYNAMICGROUP_V3"
DYNAMIC = frozenset((DYNAMIC_COMBO, DYNAMIC_GROUP))
CONTROL_WORDS = frozenset(("fixed", "increment", "decrement", "randomize", "increment-wrap"))
SEED_NAMES = frozenset(("seed", "noise_seed"))
_MOST_ROWS = 100
_NOT_SENT = frozenset(("control_after_generate", "control_before_generate", "control_filter_list", "upload"))
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload", "file_upload")
_PREVIEWS = frozenset(("videopreview", "imagepreview", "audiopreview", "$$canvas-image-preview"))
_VIEWER_BUTTONS = ("upload3dmodel", "uploadExtraResources", "clear")
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


def uploads(section: Iterable[InputSchema]) -> bool:
    """Whether an upload button follows the widgets of this section; it takes a slot in the list."""
    return any(key in item.options for item in section for key in _UPLOADS)


def saved_values(
    node: Node, schema: NodeSchema | None, learned: tuple[str, Sequence[str]] | None = None
) -> Values:
    """The values a node was saved with, by input name.

    `learned` is the type and the input names that an embedded prompt has for the node (`names_in_prompt`);
    they name the values where no schema does.
    """
    if schema is None:
        names = learned[1] if learned is not None and learned[0] == node.type else ()
        return _without_schema(node, names)
    if isinstance(node.values, Mapping):
        return Values(_declared(node.values, schema))
    if not node.values:
        return Values(_declared(node.named or {}, schema))
    return _best(node, schema, node.values)


def _declared(values: Mapping[str, Any], schema: NodeSchema) -> dict[str, Any]:
    """The values that the schema has widgets for, those of the inputs that these bring included."""
    widgets = {item.name: item.type for item in schema.inputs if is_widget(item)}

    def known(name: str) -> bool:
        return name in widgets or widgets.get(name.partition(".")[0]) in DYNAMIC

    return {name: value for name, value in values.items() if known(name)}


def _value_names(node: Node) -> list[str]:
    """Names that the file gives the values of its list, one each: `widgets_values_named` is in step with it.

    Only its keys are taken. Editors read the list, and people edit the list, so the two differ at times.
    """
    named = node.named or {}
    return list(named) if isinstance(node.values, Sequence) and len(named) == len(node.values) else []


def _best(node: Node, schema: NodeSchema, values: Sequence[Any]) -> Values:
    best: _Attempt | None = None
    if any(item.type == "LOAD_3D" for item in schema.inputs):
        values = [value for value in values if value not in _VIEWER_BUTTONS]
    for attempt in _attempts(node, schema, values):
        if best is None or attempt.cost < best.cost:
            best = attempt
        if best.cost == 0:
            break
    assert best is not None
    found = _declared(best.found, schema)
    if best.cost < 10:
        return Values(found)
    return Values(found, f"{len(values)} saved values do not fit the widgets of {schema.type}")


def _attempts(node: Node, schema: NodeSchema, values: Sequence[Any]) -> Iterator[_Attempt]:
    """Every way to read the list: by the names beside it, the usual one, old ones, by the node's slots."""
    listed = [schema.input(name) or InputSchema(name, "*") for name in _value_names(node)]
    if listed:
        yield _read(listed, values, Reading(controls="never"), listed=True)
    for reading in _READINGS:
        yield _read(schema.inputs, values, reading)
    names = [slot.widget for slot in node.inputs if slot.widget]
    if names:
        yield _read(
            [schema.input(n) or InputSchema(n, "*") for n in names], values, _READINGS[0], listed=True
        )


def _read(
    inputs: Iterable[InputSchema], values: Sequence[Any], reading: Reading, *, listed: bool = False
) -> _Attempt:
    attempt = _Attempt(values, reading)
    items = list(inputs)
    for kind in ("required", "optional"):
        section = items if listed else [item for item in items if item.kind == kind]
        for item in section:
            _place(item, attempt, listed)
        if not listed and reading.upload and attempt.left() and uploads(section):
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
    if item.type in DYNAMIC:
        for inner in () if listed else dynamic_inputs(item, value):
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


def dynamic_inputs(item: InputSchema, value: Any) -> Iterator[InputSchema]:
    """The inputs that an input of the kinds in DYNAMIC brings for its value, under dotted names.

    A combo's value is the chosen option, a group's is the number of its rows.
    """
    if item.type == DYNAMIC_GROUP:
        rows = value if isinstance(value, int) and 0 <= value <= _MOST_ROWS else 0
        for row in range(rows):
            yield from _under(f"{item.name}.{row}", item.options.get("template"))
    for option in (item.options.get("options") or ()) if item.type == DYNAMIC_COMBO else ():
        if isinstance(option, Mapping) and option.get("key") == value:
            yield from _under(item.name, option.get("inputs"))


def _under(name: str, types: Any) -> Iterator[InputSchema]:
    from noderack_host.schema import inputs_from_types

    for found in inputs_from_types(types) if isinstance(types, Mapping) else ():
        yield InputSchema(f"{name}.{found.name}", found.type, found.choices, found.options, found.kind)


def rows_in(item: InputSchema, given: Mapping[str, Any]) -> int:
    """How many rows of a group a prompt's inputs have."""
    names = [name.split(".") for name in given if name.startswith(f"{item.name}.")]
    rows = [parts[item.name.count(".") + 1] for parts in names]
    return max((int(row) + 1 for row in rows if row.isascii() and row.isdigit()), default=0)


def misfit(item: InputSchema, value: Any) -> int:
    """How unlikely `value` is for a widget: 0 fits, 1 is a choice not offered here, 10 is another type."""
    if value is None:
        return 0
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match item.type:
        case "INT" | "COMFY_DYNAMICGROUP_V3":
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


def names_in_prompt(api: Mapping[str, Any] | None) -> dict[str, tuple[str, Sequence[str]]]:
    """Type and input names by node id. Editors write them with the widgets first, in widget order."""
    found: dict[str, tuple[str, Sequence[str]]] = {}
    for key, raw in (api or {}).items():
        if isinstance(raw, Mapping) and isinstance(raw.get("inputs"), Mapping):
            found[str(key)] = (str(raw.get("class_type")), tuple(map(str, raw["inputs"])))
    return found


def _without_schema(node: Node, learned: Sequence[str] = ()) -> Values:
    """Values that the file itself names; a bare list only where its slots name the widgets one by one."""
    if isinstance(node.values, Mapping):
        return Values({k: v for k, v in node.values.items() if k not in _PREVIEWS})
    if not node.values:
        return Values({k: v for k, v in (node.named or {}).items() if not _is_control(k, v)})
    beside = _value_names(node)
    if beside:
        pairs = zip(beside, node.values, strict=True)
        return Values({k: v for k, v in pairs if not _is_control(k, v)})
    names = [slot.widget for slot in node.inputs if slot.widget]
    values = without_controls(names, node.values)
    if names and len(values) == len(names):
        return Values({k: v for k, v in zip(names, values, strict=True) if k not in _NOT_SENT})
    values = without_controls(learned, node.values)
    links = {slot.name for slot in node.inputs if slot.widget is None}
    if values and len([name for name in learned if name not in links]) == len(values):
        return Values(dict(zip((name for name in learned if name not in links), values, strict=True)))
    return Values(
        {}, f"the schema of {node.type} is not known, so its {len(node.values)} values have no names"
    )


def _is_control(name: str, value: Any) -> bool:
    return name in _NOT_SENT or (name in CONTROL_WORDS and value in CONTROL_WORDS)


def without_controls(names: Sequence[str], values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        after_seed = 0 < len(kept) <= len(names) and "seed" in names[len(kept) - 1]
        if not (after_seed and value in CONTROL_WORDS if isinstance(value, str) else False):
            kept.append(value)
    return kept
