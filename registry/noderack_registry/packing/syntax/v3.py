"""Nodes in the schema form (V3) and typed functions, told from their calls and signatures."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from noderack_registry.packing.syntax.calls import Calls
from noderack_registry.packing.syntax.program import OutOfBudget, Raised
from noderack_registry.packing.syntax.schema import plain
from noderack_registry.packing.syntax.statements import Left
from noderack_registry.packing.syntax.values import Bound, Class, Foreign, Function, Instance, Module

NODE_MARK = re.compile(r"noderack_host\.native\.node(\(\))?$")
OPTIONS = [
    "default",
    "min",
    "max",
    "step",
    "round",
    "tooltip",
    "multiline",
    "placeholder",
    "dynamic_prompts",
    "lazy",
    "force_input",
    "socketless",
    "display_mode",
    "control_after_generate",
    "label_on",
    "label_off",
    "advanced",
    "raw_link",
    "upload",
    "image_folder",
]
RENAMED = {"dynamic_prompts": "dynamicPrompts", "force_input": "forceInput", "display_mode": "display"}
RENAMED.update(raw_link="rawLink")
TYPE_NAMES = {"AnyType": "*", "Int": "INT", "Float": "FLOAT", "String": "STRING", "Boolean": "BOOLEAN"}
TYPE_NAMES.update(Clip="CLIP", Vae="VAE", ControlNet="CONTROL_NET", ClipVision="CLIP_VISION", Combo="COMBO")


def _attempt(calls: Calls, function: Any, args: list[Any]) -> Any:
    """A call that may fail in any way the pack's code can."""
    try:
        if isinstance(function, Bound) and isinstance(function.function, Function):
            return calls.invoke(function.function, [function.first, *args], {})
        return calls.invoke(function, args, {}) if isinstance(function, Function) else None
    except (Raised, Left, OutOfBudget, RecursionError):
        return None


def listed(calls: Calls, entrypoint: Function) -> tuple[dict[str, Any], list[str]]:
    """The classes, by node id, that a `comfy_entrypoint` leads to; and what could not be seen."""
    extension = _attempt(calls, entrypoint, [])
    listing = (
        calls.expressions.attribute(extension, "get_node_list") if isinstance(extension, Instance) else None
    )
    nodes = _attempt(calls, listing, [])
    if not isinstance(nodes, list | tuple):
        return {}, ["comfy_entrypoint: its list of nodes is computed"]
    classes: dict[str, Any] = {}
    missed: list[str] = []
    for node in nodes:
        schema = schema_of(calls, node) if isinstance(node, Class) else None
        node_id = schema.kwargs.get("node_id") if schema is not None else _named(calls, node)
        if isinstance(node_id, str):
            classes[node_id] = node
        else:
            missed.append(f"{getattr(node, 'name', 'a node')}: its node_id is computed")
    return classes, missed


def _named(calls: Calls, cls: Any) -> Any:
    """The node id of a class of the older form that was given a schema to be listed by."""
    function, _ = cls.find("GET_SCHEMA") if isinstance(cls, Class) else (None, False)
    stub = _attempt(calls, function, [])
    return stub.names.get("node_id") if isinstance(stub, Instance) else None


def schema_of(calls: Calls, cls: Class) -> Foreign | None:
    """The `Schema(...)` that a class's define_schema returns, as the call that makes it."""
    function, found = cls.find("define_schema")
    function = function.function if isinstance(function, Bound) else function
    if not found or not isinstance(function, Function):
        return None
    result = _attempt(calls, function, [cls])
    return result if isinstance(result, Foreign) and result.path.endswith("Schema()") else None


def entry_of_schema(calls: Calls, schema: Foreign) -> dict[str, Any]:
    """The /object_info entry that a V3 schema becomes, as far as it is written down."""
    unknown: list[str] = []
    given = schema.kwargs
    entry: dict[str, Any] = {
        key: given[key]
        for key in ("display_name", "category", "description")
        if isinstance(given.get(key), str)
    }
    sections: dict[str, dict[str, Any]] = {}
    for part in given.get("inputs") or () if isinstance(given.get("inputs"), list | tuple) else ():
        name, spec, optional = _input(part, unknown)
        if name:
            sections.setdefault("optional" if optional else "required", {})[name] = spec
    entry["input"] = sections
    entry["input_order"] = {key: list(section) for key, section in sections.items()}
    outputs = given.get("outputs")
    entry["output"] = [_type_name(o) for o in outputs] if isinstance(outputs, list | tuple) else []
    if given.get("is_output_node") is True:
        entry["output_node"] = True
    return {**entry, "unknown": unknown} if unknown else entry


def _input(part: Any, unknown: list[str]) -> tuple[str | None, list[Any], bool]:
    if not isinstance(part, Foreign):
        return None, [], False
    name = part.args[0] if part.args else part.kwargs.get("id")
    if not isinstance(name, str):
        return None, [], False
    options = {
        RENAMED.get(key, key): plain(part.kwargs[key], f"input.{name}.{key}", unknown)
        for key in OPTIONS
        if key in part.kwargs
    }
    if "options" in part.kwargs:
        options["options"] = plain(part.kwargs["options"], f"input.{name}.options", unknown)
    return name, [_type_name(part), options], part.kwargs.get("optional") is True


def _type_name(part: Any) -> str | None:
    """`io.Image.Input(...)` is IMAGE; `io.Custom("X").Input(...)` is X."""
    if not isinstance(part, Foreign):
        return None
    pieces = [p for p in part.path.replace("()", "").split(".") if p not in ("Input", "Output", "io", "IO")]
    last = pieces[-1] if pieces else ""
    return TYPE_NAMES.get(last) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).upper() or None


def typed_functions(calls: Calls, module: Module) -> dict[str, dict[str, Any]]:
    """Functions of a module that are marked as nodes."""
    found: dict[str, dict[str, Any]] = {}
    for value in module.names.values():
        if not isinstance(value, Function):
            continue
        mark = next((m for m in value.marks if NODE_MARK.search(m.path)), None)
        if mark is not None:
            found[_node_id(value, mark)] = _function_entry(value, mark)
    return found


def _node_id(function: Function, mark: Foreign) -> str:
    """The type that `@node` gives a function: its `name`, or the function's name in CamelCase."""
    named = mark.kwargs.get("name")
    return (
        named if isinstance(named, str) else "".join(part.capitalize() for part in function.name.split("_"))
    )


def _function_entry(function: Function, mark: Foreign) -> dict[str, Any]:
    node = function.node
    doc = "" if isinstance(node, ast.Lambda) else ast.get_docstring(node) or ""
    entry: dict[str, Any] = {"description": doc.split("\n\n")[0].replace("\n", " ")} if doc else {}
    given: Mapping[str, Any] = mark.kwargs
    for key, source in (("category", "category"), ("display_name", "title")):
        if isinstance(given.get(source), str):
            entry[key] = given[source]
    return entry
