"""Frozen dataclasses to JSON and back, driven by their annotations; errors name the path."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union

from noderack_registry.errors import Malformed

T = TypeVar("T")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def read(cls: type[T], data: Any, where: str = "") -> T:
    """The record that `data` (parsed JSON) describes. Unknown keys are ignored: newer registries add some.

    Raises Malformed with the path of the first value that does not fit.
    """
    if not isinstance(data, Mapping):
        raise Malformed(where, f"expected an object for {cls.__name__}, found {type(data).__name__}")
    values = {}
    hints = _hints(typing.cast(Any, cls))
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        place = f"{where}.{field.name}" if where else field.name
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Malformed(place, "is missing")
    try:
        return cls(**values)
    except ValueError as cause:
        raise Malformed(where, str(cause)) from cause


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _optional(kind, value, where)
    if origin is Literal:
        return _one_of(typing.get_args(kind), value, where)
    if origin is tuple:
        return _items(typing.get_args(kind)[0], value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _table(typing.get_args(kind)[1], value, where)
    if dataclasses.is_dataclass(kind):
        return read(typing.cast("type[Any]", kind), value, where)
    return _scalar(kind, value, where)


def _optional(kind: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    (inner,) = (arm for arm in typing.get_args(kind) if arm is not types.NoneType)
    return _value(inner, value, where)


def _one_of(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in choices:
        raise Malformed(where, f"is {value!r}; expected one of {', '.join(map(repr, choices))}")
    return value


def _items(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise Malformed(where, f"expected a list, found {type(value).__name__}")
    return tuple(_value(kind, item, f"{where}[{at}]") for at, item in enumerate(value))


def _table(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Malformed(where, f"expected an object, found {type(value).__name__}")
    return {str(key): _value(kind, item, f"{where}.{key}") for key, item in value.items()}


def _scalar(kind: type, value: Any, where: str) -> Any:
    # bool is an int to Python, but 1 is not true on the wire
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not fits:
        raise Malformed(where, f"expected {kind.__name__}, found {type(value).__name__}")
    return value


_PLAIN = (str, int, bool, float, type(None))


def write(value: Any) -> Any:
    """`value` as what json.dumps takes: records become objects, tuples become lists."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {str(key): write(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    if names := _field_names(typing.cast(Any, kind)):
        return {name: write(getattr(value, name)) for name in names}
    return value


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()
