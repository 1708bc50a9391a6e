"""Inputs and outputs of a V3 schema, and what they look like as INPUT_TYPES has them."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T", bound=type)


class Input:
    """One input. Options that are None are left out; `extra_dict` adds options that have no name here."""

    io_type: str = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.optional = optional
        self.tooltip = tooltip
        self.lazy = lazy
        self.extra_dict = dict(extra_dict or {})
        self.rawLink = raw_link
        self.advanced = advanced

    def get_io_type(self) -> str:
        return self.io_type

    def as_dict(self) -> dict[str, Any]:
        """The options, by their wire names."""
        named = ("display_name", "tooltip", "lazy", "rawLink", "advanced")
        return {**_given(self, named), **self.extra_dict}

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> "dict[str, Leaf]":
        """The flat inputs that this one stands for: itself. `values` None means every one that could be."""
        return {prefix + self.id: Leaf(self.optional, self.get_io_type(), self.as_dict())}


class Leaf:
    """One flat input as INPUT_TYPES has it."""

    __slots__ = ("io_type", "optional", "options")

    def __init__(self, optional: bool, io_type: str, options: dict[str, Any]) -> None:
        self.optional = optional
        self.io_type = io_type
        self.options = options


class WidgetInput(Input):
    """An input with a widget."""

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.default = default
        self.socketless = socketless
        self.widgetType = widget_type
        self.forceInput = force_input
        self.options_given = {key: plain(value) for key, value in options.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        own = _given(self, ("default", "socketless", "widgetType", "forceInput"))
        return {**super().as_dict(), **own, **self.options_given, **self.extra_dict}


class Output:
    """One output."""

    io_type: str = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list

    def get_io_type(self) -> str:
        return self.io_type


class SocketType:
    """Base of all types: a namespace of `io_type`, `Type`, `Input` and `Output`."""

    io_type: str = "*"
    Type: Any = Any
    Input: type[Input] = Input
    Output: type[Output] = Output


def comfytype(io_type: str, **_: Any) -> Any:
    """Makes a class a socket type: `@comfytype(io_type="PALETTE") class Palette: Type = list`."""

    def decorate(cls: T) -> T:
        made: Any = cls
        made.io_type = io_type
        made.Type = getattr(cls, "Type", Any)
        made.Input = type("Input", (getattr(cls, "Input", Input),), {"io_type": io_type})
        made.Output = type("Output", (getattr(cls, "Output", Output),), {"io_type": io_type})
        return cls

    return decorate


def Custom(io_type: str) -> Any:
    """The socket type of that name."""
    return comfytype(io_type)(type(io_type, (SocketType,), {}))


def _given(item: object, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(item, name) for name in names}
    return {name: plain(value) for name, value in found.items() if value is not None}


def plain(value: Any) -> Any:
    """An enum member as its value, objects with `as_dict` as dicts; all else as it is."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.value if isinstance(value, Enum) else value
