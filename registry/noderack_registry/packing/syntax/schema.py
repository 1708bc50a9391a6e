"""A node class, as the reader saw it, to the entry that hosts serve; what is unknown stays so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from noderack_registry.packing.syntax.calls import Calls
from noderack_registry.packing.syntax.program import OutOfBudget, Raised
from noderack_registry.packing.syntax.statements import Left
from noderack_registry.packing.syntax.values import Bound, Class, Foreign, Function, Table

TEXTS = {"category": "CATEGORY", "description": "DESCRIPTION"}
# Members of the enumeration of socket types whose value is not their name.
SPECIAL_TYPES = {"ANY": "*", "NUMBER": "FLOAT,INT", "PRIMITIVE": "STRING,FLOAT,INT,BOOLEAN"}
FLAGS = {"output_node": "OUTPUT_NODE", "deprecated": "DEPRECATED", "experimental": "EXPERIMENTAL"}


def entry_of(calls: Calls, cls: Any, title: Any) -> dict[str, Any]:
    """The entry of one node class, {} if nothing could be read; `unknown` lists places that hold null."""
    if not isinstance(cls, Class):
        return {}
    unknown: list[str] = []
    entry: dict[str, Any] = {"display_name": title} if isinstance(title, str) else {}
    inputs = _inputs(calls, cls)
    if inputs is not None:
        entry["input"] = {str(k): plain(v, f"input.{k}", unknown) for k, v in inputs.items()}
        entry["input_order"] = {
            str(k): [str(name) for name in v] for k, v in inputs.items() if isinstance(v, Mapping)
        }
    entry.update(_outputs(cls, unknown))
    for key, name in TEXTS.items():
        value, found = cls.find(name)
        if found and isinstance(value, str):
            entry[key] = value
    entry.update({key: True for key, name in FLAGS.items() if cls.find(name)[0] is True})
    return {**entry, "unknown": unknown} if unknown else entry


def _inputs(calls: Calls, cls: Class) -> Mapping[Any, Any] | None:
    function, found = cls.find("INPUT_TYPES")
    if not found:
        return None
    function = function.function if isinstance(function, Bound) else function
    if not isinstance(function, Function):
        return function if isinstance(function, Table) else None
    try:
        first = [] if function.kind == "static" else [cls]
        result = calls.invoke(function, first, {})
    except (Raised, Left, OutOfBudget, RecursionError):
        return None
    return result if isinstance(result, Mapping) else None


def _outputs(cls: Class, unknown: list[str]) -> dict[str, Any]:
    types, found = cls.find("RETURN_TYPES")
    if not found or not isinstance(types, tuple | list):
        return {}
    output = plain(types, "output", unknown)
    names, named = cls.find("RETURN_NAMES")
    lists, listed = cls.find("OUTPUT_IS_LIST")
    entry: dict[str, Any] = {"output": output}
    if named and isinstance(names, tuple | list):
        entry["output_name"] = plain(names, "output_name", unknown)
    if listed and isinstance(lists, tuple | list):
        entry["output_is_list"] = plain(lists, "output_is_list", unknown)
    return entry


def plain(value: Any, where: str, unknown: list[str], depth: int = 0) -> Any:
    """A value as JSON; null, and a line in `unknown`, for what syntax does not tell."""
    if isinstance(value, bool | str | type(None)):
        return value
    if isinstance(value, int):
        # Larger numbers lose their last digits in most readers of JSON; hosts send them all the same.
        return value if abs(value) < 1 << 80 else _give_up(where, unknown)
    if isinstance(value, float):
        return value if math.isfinite(value) else _give_up(where, unknown)
    if depth < 8 and isinstance(value, Mapping):
        partly = isinstance(value, Table) and value.missing
        if partly:
            unknown.append(where)
        keys = {k: v for k, v in value.items() if isinstance(k, str | int | float | bool | type(None))}
        return {str(k): plain(v, f"{where}.{k}", unknown, depth + 1) for k, v in keys.items()}
    if depth < 8 and isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]", unknown, depth + 1) for i, v in enumerate(value)]
    if isinstance(value, Foreign) and "IO." in value.path:
        return SPECIAL_TYPES.get(value.path.rpartition(".")[2], value.path.rpartition(".")[2])
    return _give_up(where, unknown)


def _give_up(where: str, unknown: list[str]) -> None:
    unknown.append(where)
