"""What the types of a native node's signature mean: sockets, widgets, choices, files, outputs.

Errors:
    NodeDefinitionError   a signature that makes no node: which function, which parameter, what to write
"""

import collections.abc
import dataclasses
import enum
import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from noderack_host.running import Wanted, current, current_or_none
from noderack_host.schema import Kind

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any  # the host imports no torch; the type checker sees the real class


class NodeDefinitionError(TypeError):
    """A function that cannot be a node as it is written."""

    def __init__(self, function: Callable[..., Any], problem: str) -> None:
        super().__init__(f"{function.__module__}.{function.__qualname__}: {problem}")


@dataclass(frozen=True, slots=True)
class Socket:
    """The socket type of a value that is handed along, such as "IMAGE"."""

    type: str


@dataclass(frozen=True, slots=True)
class Option:
    """Any input option by its wire name: `Option({"advanced": True})`."""

    values: Mapping[str, Any]


class Range(Option):
    """Limits of a number; `slider` shows it as one."""

    def __init__(
        self,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        slider: bool = False,
    ) -> None:
        limits = {"min": min, "max": max, "step": step, "display": "slider" if slider else None}
        super().__init__({key: value for key, value in limits.items() if value is not None})


class Text(Option):
    """A text field; `wildcards` lets the editor expand {a|b}."""

    def __init__(self, multiline: bool = True, placeholder: str = "", wildcards: bool = False) -> None:
        more = {"placeholder": placeholder} if placeholder else {}
        super().__init__({"multiline": multiline, "dynamicPrompts": wildcards, **more})


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice from a list; a function is asked each time, so that new files show up at once."""

    options: Sequence[Any] | Callable[[], Sequence[Any]]

    def now(self) -> list[Any]:
        return list(self.options() if callable(self.options) else self.options)


@dataclass(frozen=True, slots=True)
class File:
    """A model file of that category: people choose its name, the function gets its Path."""

    category: str

    def now(self) -> list[str]:
        folders = current().folders
        return list(folders.files(self.category)) if folders else []

    def path(self, name: str) -> Path:
        """Where the file is; raises FileNotFoundError."""
        folders = current().folders
        found = folders.find(self.category, name) if folders else None
        if found is None:
            raise FileNotFoundError(f"there is no {self.category} file {name!r} in this host's models")
        return found


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value from the host instead of an input: PROMPT, EXTRA_PNGINFO, UNIQUE_ID, DYNPROMPT."""

    source: str


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a generator node: `value` of `total`, and what to show of it so far."""

    value: float
    total: float
    preview: Any = None


@dataclass(frozen=True, slots=True)
class Show:
    """What an output node shows: `Show({"text": ["hello"]})`; `result` goes to its sockets, if it has any."""

    ui: Mapping[str, Any]
    result: Any = None


class LazyMark:
    """Marks an input that is only worked out when the node calls it."""


_T = TypeVar("_T")
Lazy = Annotated[Callable[[], _T], LazyMark()]
"""An input that is worked out when it is called: `a: Lazy[Image]`, then `a()`.

The function is called again, from its start, when a value that was not there yet has been worked out; so ask
first, and work then.
"""
Image = Annotated[Tensor, Socket("IMAGE")]
"""Pictures, float [B, H, W, C] in 0…1."""
Mask = Annotated[Tensor, Socket("MASK")]
"""Masks, float [B, H, W] in 0…1."""
Latent = Annotated[dict[str, Any], Socket("LATENT")]
"""{"samples": float [B, C, H/8, W/8]} and what else travels with it."""
Seed = Annotated[int, Option({"min": 0, "max": 2**64 - 1, "control_after_generate": True})]
"""A seed, with the editor's control to change it after each run."""

_WIDGETS: Mapping[Any, tuple[str, Any]] = {
    bool: ("BOOLEAN", False),
    int: ("INT", 0),
    float: ("FLOAT", 0.0),
    str: ("STRING", ""),
}
_WIDE_INT = {"min": -(2**63), "max": 2**63 - 1}
_FREE_FLOAT = {"min": -1e9, "max": 1e9, "step": 0.01}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as an input: its section, socket type, options, and how a value becomes the argument."""

    name: str
    kind: Kind
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    choice: Choice | File | None = None
    members: Mapping[str, enum.Enum] | None = None
    is_list: bool = False
    is_lazy: bool = False

    def spec(self) -> Any:
        """The input as INPUT_TYPES has it."""
        if self.kind == "hidden":
            return self.type
        if self.choice is None:
            return (self.type, dict(self.options))
        choices = self.choice.now()
        options = {key: value for key, value in self.options.items() if key != "default" or value in choices}
        return (choices, options)

    def take(self, value: Any, listed: bool) -> Any:
        """The argument for a value; `listed` says that the host hands every value over in a list."""
        if self.is_lazy:
            return self._lazily(value[0] if listed and value else value)
        if not listed:
            return self.one(value)
        if self.is_list:
            return [self.one(item) for item in value]
        return self.one(value[0]) if value else None

    def _lazily(self, value: Any) -> Callable[[], Any]:
        """Gives the value when called, or asks for it by raising Wanted."""
        running = current_or_none()
        if value is None and running is not None and self.name not in running.asked:
            return self._want
        return lambda: self.one(value)

    def _want(self) -> Any:
        raise Wanted(self.name)

    def one(self, value: Any) -> Any:
        if self.members is not None and value in self.members:
            return self.members[value]
        return self.choice.path(value) if isinstance(self.choice, File) and value is not None else value


def parameters_of(function: Callable[..., Any], tips: Mapping[str, str]) -> tuple[Parameter, ...]:
    """The inputs that a signature declares, in its order; raises NodeDefinitionError."""
    hints = _hints(function)
    found = inspect.signature(function).parameters.values()
    return tuple(_parameter(function, parameter, hints, tips.get(parameter.name)) for parameter in found)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as cause:  # annotations are the pack's code
        raise NodeDefinitionError(
            function, f"its types cannot be read ({cause}); import their names where the module runs"
        ) from cause


def _parameter(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any], tip: str | None
) -> Parameter:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise NodeDefinitionError(
            function, f"{parameter} cannot be an input; give each input a name of its own"
        )
    if name not in hints:
        raise NodeDefinitionError(
            function, f"parameter {name} has no type; write {name}: float, or Image, or …"
        )
    hint, notes, nullable = _unwrapped(hints[name])
    hidden = next((note for note in notes if isinstance(note, Hidden)), None)
    if hidden is not None:
        return Parameter(name, "hidden", hidden.source)
    is_lazy = any(isinstance(note, LazyMark) for note in notes)
    if is_lazy:
        hint, more, _ = _unwrapped(get_args(hint)[1])
        notes = (*notes, *more, Option({"lazy": True}))
    is_list = get_origin(hint) is list and not is_lazy
    if is_list:
        hint, more, _ = _unwrapped(get_args(hint)[0])
        notes = (*notes, *more)
    kind, default, choice, members = _meaning(function, name, hint, notes)
    options = _options(notes, tip)
    has_default = parameter.default is not inspect.Parameter.empty
    if kind in ("INT", "FLOAT"):
        options = {**(_WIDE_INT if kind == "INT" else _FREE_FLOAT), **options}
    if has_default and parameter.default is not None:
        options["default"] = parameter.default.value if members else parameter.default
    elif default is not None:
        options["default"] = default
    absent = has_default and (parameter.default is None or (default is None and choice is None))
    section: Kind = "optional" if absent or nullable else "required"
    return Parameter(name, section, kind, options, choice, members, is_list, is_lazy)


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """A hint without its Annotated notes and its `| None`: (hint, notes, whether None is allowed)."""
    notes: tuple[Any, ...] = ()
    nullable = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            notes = (*more, *notes)
        elif get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            nullable = True
            rest = tuple(part for part in get_args(hint) if part is not type(None))
            hint = rest[0] if len(rest) == 1 else functools.reduce(operator.or_, rest)
        else:
            return hint, notes, nullable


def _meaning(
    function: Callable[..., Any], name: str, hint: Any, notes: tuple[Any, ...]
) -> tuple[str, Any, Choice | File | None, dict[str, enum.Enum] | None]:
    """(socket type, default of the widget, choice, enum members) of one hint."""
    for note in notes:
        if isinstance(note, Socket):
            return note.type, None, None, None
        if isinstance(note, (Choice, File)):
            return "COMBO", None, note, None
    if get_origin(hint) is Literal:
        return "COMBO", None, Choice(get_args(hint)), None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        members = {member.value: member for member in hint}
        return "COMBO", None, Choice(tuple(members)), members
    if hint in _WIDGETS:
        kind, default = _WIDGETS[hint]
        return kind, default, None, None
    return socket_type(function, name, hint), None, None, None


def socket_type(function: Callable[..., Any], name: str, hint: Any) -> str:
    """The socket type of a class: its name in capitals; Any is `*`; unions are joined by commas."""
    hint, notes, _ = _unwrapped(hint)
    for note in notes:
        if isinstance(note, Socket):
            return note.type
    if hint is Any:
        return "*"
    if hint in _WIDGETS:
        return _WIDGETS[hint][0]
    if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return "COMBO"
    if get_origin(hint) in (Union, types.UnionType):
        return ",".join(socket_type(function, name, part) for part in get_args(hint))
    named = get_origin(hint) or hint
    if isinstance(named, type):
        return named.__name__.upper()
    raise NodeDefinitionError(
        function, f"{name} has the type {hint!r}, which is no socket; use Annotated[…, Socket('X')]"
    )


def _options(notes: tuple[Any, ...], tip: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, Option):
            options.update(note.values)
        elif isinstance(note, str):
            options["tooltip"] = note
    if tip:
        options["tooltip"] = tip
    return options


@dataclass(frozen=True, slots=True)
class Output:
    """One output socket of a native node."""

    type: str
    name: str
    is_list: bool = False
    tooltip: str | None = None


@dataclass(frozen=True, slots=True)
class Outputs:
    """All outputs, how the function's value becomes them, and whether the node is run for its own sake."""

    outputs: tuple[Output, ...]
    to_tuple: Callable[[Any], Any]
    shown: bool


def outputs_of(function: Callable[..., Any]) -> Outputs:
    """What the return type of a function means; raises NodeDefinitionError."""
    hints = _hints(function)
    if "return" not in hints:
        raise NodeDefinitionError(function, "it does not say what it gives; write -> Image, or -> None")
    hint = _generated(function, hints["return"])
    plain, _, _ = _unwrapped(hint)
    fields = _fields(plain)
    if plain in (None, type(None), Show):
        return Outputs((), _shown, True)
    if fields is not None:
        names = tuple(fields)
        outputs = tuple(_output(function, name, part, name) for name, part in fields.items())
        return Outputs(outputs, lambda value: tuple(getattr(value, name) for name in names), False)
    if get_origin(plain) is tuple:
        parts = tuple(
            _output(function, f"output {at}", part, None) for at, part in enumerate(get_args(plain))
        )
        return Outputs(parts, tuple, False)
    return Outputs((_output(function, "return", hint, None),), lambda value: (value,), False)


def _generated(function: Callable[..., Any], hint: Any) -> Any:
    """What a generator gives in the end; for any other function, its return type."""
    if inspect.isasyncgenfunction(function):
        raise NodeDefinitionError(function, "an async generator cannot return a value; make it a generator")
    if not inspect.isgeneratorfunction(function):
        return hint
    if get_origin(hint) is collections.abc.Generator and len(get_args(hint)) == 3:
        return get_args(hint)[2]
    raise NodeDefinitionError(function, "a generator says what it gives as Generator[Progress, None, Image]")


def _fields(hint: Any) -> dict[str, Any] | None:
    """{name: type} of a NamedTuple or dataclass made for outputs, else None."""
    if not isinstance(hint, type) or hint is Show:
        return None
    if issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return typing.get_type_hints(hint, include_extras=True)
    if dataclasses.is_dataclass(hint):
        known = typing.get_type_hints(hint, include_extras=True)
        return {item.name: known[item.name] for item in dataclasses.fields(hint)}
    return None


def _output(function: Callable[..., Any], name: str, hint: Any, label: str | None) -> Output:
    plain, notes, _ = _unwrapped(hint)
    is_list = get_origin(plain) is list and not any(isinstance(note, Socket) for note in notes)
    kind = socket_type(function, name, get_args(plain)[0] if is_list else hint)
    tip = next((note for note in notes if isinstance(note, str)), None)
    return Output(kind, label or kind, is_list, tip)


def _shown(value: Any) -> Any:
    if isinstance(value, Show):
        return {"ui": dict(value.ui), "result": () if value.result is None else value.result}
    return ()
