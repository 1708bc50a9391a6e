"""Checks one input of one node: a link against the types at its ends, a literal against what is declared."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from noderack_host.contract import InputInfo, choices_of
from noderack_host.graph import is_link
from noderack_host.problems import Problem, many, nearest, told_choices
from noderack_host.schema import COMBO

_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


_ONCE = "sample_"
"""What the names of samplers began with in the first hosts of 2023."""
_WILD = frozenset({"*", "COMFY_MATCHTYPE_V3"})


def types_fit(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may go into an input of another. Source: host contract §1.4.

    The first test must be `!=` with the received type on the left: packs ship texts that are never unequal.
    """
    if not (received != wanted):  # noqa: SIM202
        return True
    if isinstance(received, (list, tuple)) or isinstance(wanted, (list, tuple)):
        return _is_choice(received) and _is_choice(wanted)
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    have = {part.strip() for part in received.split(",")}
    want = {part.strip() for part in wanted.split(",")}
    return bool(have & want) or bool(_WILD & (have | want))


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, (list, tuple)) or (isinstance(kind, str) and kind in (COMBO, "*"))


def check_link(
    name: str, value: list[Any], info: InputInfo, source: Mapping[str, Any] | None, returns: Any, typed: bool
) -> tuple[Any, Problem | None]:
    """(type that the link brings, what is wrong with it). `typed` says that types are compared."""
    if not is_link(value):
        said = "a list of two counts as a link, and its first part must be a node id in quotes"
        return None, _bad_link(name, value, info, f"{value!r} is no link: {said}")
    if source is None:
        return None, _bad_link(name, value, info, f"it links to node {value[0]}, which is not in the prompt")
    try:
        received = returns[int(value[1])]
    except (IndexError, TypeError):
        kind = source.get("class_type")
        told = f"it links to output {value[1]} of node {value[0]} ({kind}), which has none such"
        return None, _bad_link(name, value, info, told)
    if typed and not types_fit(received, info.type):
        return received, Problem(
            kind="return_type_mismatch",
            message="Return type mismatch between linked nodes",
            details=f"{name}, received_type({_type(received)}) mismatch input_type({_type(info.type)})",
            input_name=name,
            extra={**_config(info), "received_type": received, "linked_node": value},
            hint=f"connect an output of the type {_type(info.type)}",
        )
    return received, None


def _bad_link(name: str, value: Any, info: InputInfo, details: str) -> Problem:
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    extra = {**_config(info), "received_value": value}
    return Problem("bad_linked_input", message, details, input_name=name, extra=extra)


def _type(kind: Any) -> str:
    return COMBO if isinstance(kind, (list, tuple)) else str(kind)


def _config(info: InputInfo) -> dict[str, Any]:
    return {"input_config": [info.type, dict(info.options)]}


def convert(name: str, value: Any, info: InputInfo) -> tuple[Any, Problem | None]:
    """(the literal as the declared type, what is wrong). A wrapped value (`__value__`) is unwrapped."""
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    converter = _CONVERTERS.get(info.type) if isinstance(info.type, str) else None
    if converter is None:
        return _as_listed(value, info), None
    try:
        return converter(value), None
    except (TypeError, ValueError, OverflowError) as cause:
        return value, Problem(
            kind="invalid_input_type",
            message=f"Failed to convert an input value to a {info.type} value",
            details=f"{name}, {value}, {cause}",
            input_name=name,
            extra={**_config(info), "received_value": value, "exception_message": str(cause)},
            hint=f"give a value of the type {info.type}",
        )


def _as_listed(value: Any, info: InputInfo) -> Any:
    """The choice that a text means if it has the other system's slashes, or a sampler's first name."""
    if not isinstance(value, str) or not ("\\" in value or "/" in value or value.startswith(_ONCE)):
        return value
    choices = choices_of(info) or ()
    if value in choices:
        return value
    plain = value.replace("\\", "/").removeprefix(_ONCE)
    texts = (choice for choice in choices if isinstance(choice, str))
    return next((text for text in texts if text.replace("\\", "/") == plain), value)


def check_literal(name: str, value: Any, info: InputInfo) -> Problem | None:
    """What is wrong with a converted literal: outside its range, or not one of its choices."""
    for limit, outside, kind, word in (
        ("min", _less, "value_smaller_than_min", "smaller than min"),
        ("max", _more, "value_bigger_than_max", "bigger than max"),
    ):
        bound = info.options.get(limit)
        if bound is not None and outside(value, bound):
            message = f"Value {value} {word} of {bound}"
            extra = {**_config(info), "received_value": value}
            hint = f"the nearest allowed value is {bound}"
            return Problem(kind, message, name, input_name=name, extra=extra, hint=hint)
    choices = choices_of(info)
    if choices is None:
        return None
    several = bool(info.options.get("multiselect") or info.options.get("multi_select"))
    for item in value if several and isinstance(value, list) else [value]:
        if item not in choices:
            return _not_a_choice(name, item, info, choices)
    return None


def _not_a_choice(name: str, value: Any, info: InputInfo, choices: tuple[Any, ...]) -> Problem:
    config: dict[str, Any] = {"input_config": None} if many(choices) else _config(info)
    return Problem(
        kind="value_not_in_list",
        message="Value not in list",
        details=f"{name}: '{value}' not in {told_choices(choices)}",
        input_name=name,
        extra={**config, "received_value": value},
        hint=nearest(value, choices),
    )


def _less(value: Any, bound: Any) -> bool:
    with contextlib.suppress(TypeError):  # a value that does not compare has no range
        return bool(value < bound)
    return False


def _more(value: Any, bound: Any) -> bool:
    with contextlib.suppress(TypeError):
        return bool(value > bound)
    return False
