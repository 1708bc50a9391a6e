"""Inputs that grow and change with what is chosen or connected. Source: host contract §1.7.

In a prompt they are flat, with dotted names (`model`, `model.size`, `images.image0`); a node's `execute` gets
them as nested dicts. `leaves(values)` says which flat inputs there are for given values; for None, every one
that there could be. `taken(flat)` makes the nested form of what is there.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from noderack_host.v3.sockets import (
    ABSENT,
    Input,
    Leaf,
    LeafOf,
    Output,
    SocketType,
    WidgetInput,
    comfytype,
)

MOST = 100


class DynamicInput(Input):
    """An input that stands for others."""


def is_dynamic(item: Input) -> bool:
    """Whether an input stands for others."""
    return isinstance(item, DynamicInput)


class DynamicOutput(Output):
    """An output that stands for others."""


class TemplatePrefix:
    """Inputs `prefix0`, `prefix1` …: at least `min`, at most `max`."""

    def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:
        self.input = _as_socket(input)
        self.names = [f"{prefix}{at}" for at in range(max if max < MOST else MOST)]
        self.min = min
        self.wire = {"prefix": prefix, "min": min, "max": max}


class TemplateNames:
    """Inputs of these names; the first `min` must be given."""

    def __init__(self, input: Input, names: Sequence[str], min: int = 1) -> None:
        self.input = _as_socket(input)
        self.names = list(names)[:MOST]
        self.min = min
        self.wire = {"names": self.names, "min": min}


class _AutogrowInput(DynamicInput):
    io_type = "COMFY_AUTOGROW_V3"

    def __init__(
        self, id: str, template: TemplatePrefix | TemplateNames, *words: Any, **options: Any
    ) -> None:
        super().__init__(id, *words, **options)
        self.template = template

    def as_dict(self) -> dict[str, Any]:
        return {
            **super().as_dict(),
            "template": {"input": sections([self.template.input]), **self.template.wire},
        }

    def get_all(self) -> list[Input]:
        return [self, *(_renamed(self.template.input, name) for name in self.template.names)]

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Leaf]:
        one = self.template.input
        options = {**one.as_dict(), **({"lazy": self.lazy} if self.lazy else {})}
        return {
            f"{prefix}{self.id}.{name}": Leaf(
                self.optional or one.optional or at >= self.template.min, one.get_io_type(), options
            )
            for at, name in enumerate(self.template.names)
        }

    def taken(self, flat: dict[str, Any], leaf: LeafOf, prefix: str = "") -> Any:
        """A dict of what is given; with nothing given, an empty one is its value."""
        own = f"{prefix}{self.id}"
        given = [name for name in self.template.names if f"{own}.{name}" in flat]
        found = {name: leaf(f"{own}.{name}", flat.pop(f"{own}.{name}")) for name in given}
        return found or leaf(own, {})


@comfytype(io_type="COMFY_AUTOGROW_V3")
class Autogrow(SocketType):
    """As many inputs of one kind as are connected."""

    Type = dict[str, Any]
    Input = _AutogrowInput
    TemplatePrefix = TemplatePrefix
    TemplateNames = TemplateNames


class Option:
    """One choice of a DynamicCombo and the inputs that it brings."""

    def __init__(self, key: str, inputs: Sequence[Input]) -> None:
        self.key = key
        self.inputs = list(inputs)

    def as_dict(self) -> dict[str, Any]:
        return {"key": self.key, "inputs": sections(self.inputs)}


class _DynamicComboInput(DynamicInput):
    io_type = "COMFY_DYNAMICCOMBO_V3"

    def __init__(self, id: str, options: Sequence[Option], *words: Any, **more: Any) -> None:
        super().__init__(id, *words, **more)
        self.choices = list(options)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "options": [option.as_dict() for option in self.choices]}

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Leaf]:
        own = prefix + self.id
        keys = [option.key for option in self.choices]
        found = {own: Leaf(self.optional, "COMBO", {**Input.as_dict(self), "options": keys})}
        chosen = None if values is None else values.get(own)
        for option in self.choices:
            if values is None or option.key == chosen:
                for item in option.inputs:
                    found.update(item.leaves(values, own + "."))
        return found

    def get_all(self) -> list[Input]:
        return [self, *(item for option in self.choices for item in option.inputs)]

    def faults(self, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        own = prefix + self.id
        for item in self._brought(values.get(own)):
            yield from item.faults(values, own + ".")

    def taken(self, flat: dict[str, Any], leaf: LeafOf, prefix: str = "") -> Any:
        """{own id: what was chosen, and the values of the inputs that this choice brings}."""
        chosen = flat.get(prefix + self.id)
        key = chosen[0] if isinstance(chosen, list) and chosen else chosen  # a node that takes lists
        return _with_own(self, self._brought(key), flat, leaf, prefix)

    def _brought(self, key: Any) -> list[Input]:
        return next((option.inputs for option in self.choices if option.key == key), [])


@comfytype(io_type="COMFY_DYNAMICCOMBO_V3")
class DynamicCombo(SocketType):
    """A choice that brings further inputs."""

    Type = dict[str, Any]
    Input = _DynamicComboInput
    Option = Option


class _DynamicSlotInput(DynamicInput):
    io_type = "COMFY_DYNAMICSLOT_V3"

    def __init__(
        self,
        slot: Input,
        inputs: Sequence[Input],
        display_name: str | None = None,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
    ) -> None:
        self.slot = _as_socket(slot)
        super().__init__(
            slot.id,
            slot.display_name or display_name,
            optional=True,
            tooltip=slot.tooltip or tooltip,
            lazy=slot.lazy if slot.lazy is not None else lazy,
            extra_dict=slot.extra_dict or extra_dict,
        )
        self.inputs = list(inputs)

    def as_dict(self) -> dict[str, Any]:
        own: dict[str, Any] = {"slotType": self.slot.get_io_type(), "inputs": sections(self.inputs)}
        widget = {"forceInput": True} if isinstance(self.slot, WidgetInput) else {}
        return {**super().as_dict(), **own, **widget}

    def get_all(self) -> list[Input]:
        return [self.slot, *self.inputs]

    def faults(self, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        own = prefix + self.id
        for item in self.inputs if own in values else ():
            yield from item.faults(values, own + ".")

    def taken(self, flat: dict[str, Any], leaf: LeafOf, prefix: str = "") -> Any:
        """{own id: what is connected, and the values of the inputs that come with it}."""
        return _with_own(self, self.inputs, flat, leaf, prefix)

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Leaf]:
        own = prefix + self.id
        found = {own: Leaf(True, self.slot.get_io_type(), self.slot.as_dict())}
        if values is None or own in values:
            for item in self.inputs:
                found.update(item.leaves(values, own + "."))
        return found


@comfytype(io_type="COMFY_DYNAMICSLOT_V3")
class DynamicSlot(SocketType):
    """A socket that brings further inputs when something is connected to it."""

    Type = dict[str, Any]
    Input = _DynamicSlotInput


class Template:
    """Ties inputs and outputs that must have one type, which may be any of `allowed_types`."""

    def __init__(self, template_id: str, allowed_types: Any = None) -> None:
        listed = allowed_types if isinstance(allowed_types, (list, tuple)) else [allowed_types]
        self.template_id = template_id
        self.allowed = [kind.io_type for kind in listed if kind is not None] or ["*"]

    def as_dict(self) -> dict[str, Any]:
        return {"template_id": self.template_id, "allowed_types": ",".join(self.allowed)}


class _MatchTypeInput(Input):
    io_type = "COMFY_MATCHTYPE_V3"

    def __init__(self, id: str, template: Template, *words: Any, **options: Any) -> None:
        super().__init__(id, *words, **options)
        self.template = template

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "template": self.template.as_dict()}


class _MatchTypeOutput(Output):
    io_type = "COMFY_MATCHTYPE_V3"

    def __init__(self, template: Template, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.display_name = self.display_name or "MATCHTYPE"
        self.template = template

    @property
    def match_template(self) -> str | None:
        return self.template.template_id


@comfytype(io_type="COMFY_MATCHTYPE_V3")
class MatchType(SocketType):
    """Sockets that have the same type as each other."""

    Input = _MatchTypeInput
    Output = _MatchTypeOutput
    Template = Template


class _MultiTypeInput(Input):
    """Takes any of `types`; an input given instead of an id also gives it its widget."""

    def __init__(self, id: Any, types: Sequence[Any], *words: Any, **options: Any) -> None:
        widget = id if isinstance(id, Input) else None
        super().__init__(id.id if widget else id, *words, **options)
        self.types = list(types)
        self.widget = widget
        if widget is not None:
            self.optional = widget.optional or self.optional
            for name in ("display_name", "tooltip", "lazy"):
                own = getattr(widget, name)
                setattr(self, name, own if own is not None else getattr(self, name))

    def get_io_type(self) -> str:
        first = [self.widget.get_io_type()] if self.widget is not None else []
        return ",".join(dict.fromkeys([*first, *(kind.io_type for kind in self.types)]))

    def as_dict(self) -> dict[str, Any]:
        widget = self.widget.as_dict() if self.widget is not None else {}
        if isinstance(self.widget, WidgetInput):
            widget["widgetType"] = self.widget.get_io_type()
        return {**widget, **super().as_dict()}


class MultiType(SocketType):
    """An input that takes any of several types."""

    io_type = "COMFY_MULTITYPED_V3"
    Input = _MultiTypeInput


def _with_own(item: Input, inputs: Sequence[Input], flat: dict[str, Any], leaf: LeafOf, prefix: str) -> Any:
    own = prefix + item.id
    if own not in flat:
        return ABSENT
    found = {item.id: leaf(own, flat.pop(own))}
    for below in inputs:
        value = below.taken(flat, leaf, own + ".")
        if value is not ABSENT:
            found[below.id] = value
    return found


def _as_socket(item: Input) -> Input:
    """The input as a socket without a widget; raises TypeError for one that stands for others."""
    if isinstance(item, DynamicInput):
        raise TypeError(f"the input {item.id!r} stands for others already, so it cannot be a template")
    made = copy(item)
    if isinstance(made, WidgetInput):
        made.force_input = True
    return made


def _renamed(item: Input, name: str) -> Input:
    made = copy(item)
    made.id = name
    return made


def sections(inputs: Sequence[Input]) -> dict[str, dict[str, Any]]:
    """Inputs as the `required` and `optional` of INPUT_TYPES."""
    found: dict[str, dict[str, Any]] = {"required": {}}
    for item in inputs:
        section = found.setdefault("optional" if item.optional else "required", {})
        section[item.id] = (item.get_io_type(), item.as_dict())
    return found
