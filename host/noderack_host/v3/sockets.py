"""Inputs and outputs of a V3 schema, and what they look like as INPUT_TYPES has them."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T", bound=type)
Extra = Mapping[str, Any] | None
ABSENT: Any = object()
"""What `taken` gives for an input that is not there."""
LeafOf = Callable[[str, Any], Any]
"""(flat name, value or ABSENT) → what a node gets for it."""


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
        extra_dict: Extra = None,
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

    def get_all(self) -> "list[Input]":
        """Itself and every input that it could bring."""
        return [self]

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> "dict[str, Leaf]":
        """The flat inputs that this one stands for: itself. `values` None means every one that could be."""
        return {prefix + self.id: Leaf(self.optional, self.get_io_type(), self.as_dict())}

    def faults(self, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        """(flat name, what is wrong) where the inputs that it stands for cannot be these."""
        return iter(())

    def taken(self, flat: dict[str, Any], leaf: LeafOf, prefix: str = "") -> Any:
        """Takes its own values out of the flat inputs and gives what the node gets for them, or ABSENT."""
        key = prefix + self.id
        return leaf(key, flat.pop(key)) if key in flat else ABSENT


class Leaf:
    """One flat input as INPUT_TYPES has it."""

    __slots__ = ("io_type", "optional", "options")

    def __init__(self, optional: bool, io_type: str, options: dict[str, Any]) -> None:
        self.optional = optional
        self.io_type = io_type
        self.options = options


class WidgetInput(Input):
    """An input with a widget. `own` are the options of its type, by their wire names."""

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
        extra_dict: Extra = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        own: Extra = None,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self.default = plain(default)
        self.socketless = socketless
        self.widget_type = widget_type
        self.force_input = force_input
        self.own = dict(own or {})

    def get_io_type(self) -> str:
        """The type of its widget, where that is another one's."""
        return self.widget_type if self.widget_type is not None else super().get_io_type()

    def as_dict(self) -> dict[str, Any]:
        options = {
            "default": self.default,
            "socketless": self.socketless,
            "widgetType": self.widget_type,
            "forceInput": self.force_input,
            **self.own,
        }
        given = {key: plain(value) for key, value in options.items() if value is not None}
        return {**super().as_dict(), **given, **self.extra_dict}


_PLAIN = (
    *("id", "display_name", "optional", "tooltip", "lazy", "default", "socketless", "widget_type"),
    *("force_input", "extra_dict", "raw_link", "advanced"),
)


class OrderedInput(WidgetInput):
    """An input whose options may be given by position too: `order` is theirs, as packs count on it.

    `wire` has the wire names of options that are called otherwise there, `standard` what holds unless given.
    """

    order: tuple[str, ...] = ()
    wire: Mapping[str, str] = MappingProxyType({})
    standard: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *words: Any, **options: Any) -> None:
        if len(words) > len(self.order):
            raise TypeError(f"an input of the type {self.io_type} has {len(self.order)} options at most")
        told = {**dict(zip(self.order, words, strict=False)), **options}
        given = {**self.standard, **{key: value for key, value in told.items() if value is not None}}
        own = self.translated({key: value for key, value in given.items() if key not in _PLAIN})
        super().__init__(
            **{key: value for key, value in given.items() if key in _PLAIN},
            own={self.wire.get(key, key): value for key, value in own.items()},
        )

    def translated(self, own: dict[str, Any]) -> dict[str, Any]:
        """The type's own options, as they are to be served."""
        return own


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
        self.display_name = display_name or id
        self.tooltip = tooltip
        self.is_output_list = is_output_list

    def get_io_type(self) -> str:
        return self.io_type

    @property
    def match_template(self) -> str | None:
        """The template that its type follows, if it follows one."""
        return None


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


def Custom(io_type: str, type_: Any = Any, *names: str) -> Any:
    """The socket type of that name; packs know the type of its values as `Type` and by these `names`."""
    return comfytype(io_type)(type(io_type, (SocketType,), {"Type": type_, **dict.fromkeys(names, type_)}))


def _given(item: object, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(item, name) for name in names}
    return {name: plain(value) for name, value in found.items() if value is not None}


def plain(value: Any) -> Any:
    """An enum member as its value, objects with `as_dict` as dicts; all else as it is."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.value if isinstance(value, Enum) else value
