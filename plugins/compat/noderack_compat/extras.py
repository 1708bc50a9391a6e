"""The node classes of `comfy_extras` that packs call: our own nodes, taking calls as those do.

In the field most of these classes are of the newer form: their method is `execute`, often with an older name
beside it, both callable on the class and on an instance, with parameters in an order of their own. extras.txt
says which module has which class, what node type that is, and how it is called.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, cast

from noderack_host.v3.node import NodeOutput


@dataclass(frozen=True, slots=True)
class Extra:
    """One class of the field's further nodes."""

    module: str
    name: str
    node_type: str
    methods: tuple[str, ...]
    parameters: tuple[str, ...]


@lru_cache(maxsize=1)
def table() -> dict[tuple[str, str], Extra]:
    """{(module, class name): what is known of it}."""
    lines = (files("noderack_compat") / "extras.txt").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    found = [
        Extra(f"comfy_extras.{module}", name, kind, tuple(methods.split(",")), tuple(parameters.split(",")))
        for module, name, kind, methods, parameters in rows
    ]
    return {(extra.module, extra.name): extra for extra in found}


def node_class(module: str, name: str) -> type | None:
    """The class `name` of that module, made of our node; None if no such node is here."""
    extra = table().get((module, name))
    return (
        None if extra is None else importlib.import_module("nodes").NODE_CLASS_MAPPINGS.get(extra.node_type)
    )


def callable_as_there(nodes: Mapping[str, type]) -> dict[str, type]:
    """Node classes by type; those that comfy_extras has take its methods on."""
    rows = {extra.node_type: extra for extra in table().values()}
    return {kind: _made(rows[kind], cls) if kind in rows else cls for kind, cls in nodes.items()}


def _made(extra: Extra, cls: Any) -> type:
    newer = "execute" in extra.methods
    method: Any = _newer(extra, cls) if newer else _older(extra, cls)
    own = {name: method for name in extra.methods if newer or name != cls.FUNCTION}
    if not own:
        return cast("type", cls)
    return type(extra.name, (cls,), {**own, "__module__": extra.module, "__doc__": cls.__doc__})


def _run(cls: Any, extra: Extra, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Runs our node with the values in the order that its class in the field has them."""
    if len(given) > len(extra.parameters):
        raise TypeError(f"{extra.name} takes {len(extra.parameters)} values, {len(given)} were given")
    return getattr(cls(), cls.FUNCTION)(**dict(zip(extra.parameters, given, strict=False)), **named)


def _newer(extra: Extra, cls: type) -> Any:
    def execute(_: Any, *given: Any, **named: Any) -> NodeOutput:
        result = _run(cls, extra, given, named)
        return NodeOutput.from_dict(result) if isinstance(result, dict) else NodeOutput(*result)

    return _Bound(execute)


def _older(extra: Extra, cls: type) -> Callable[..., Any]:
    return lambda self, *given, **named: _run(cls, extra, given, named)


class _Bound:
    """A method that is called alike on the class, on an instance, and unbound with one of a pack's own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        return functools.partial(self.function, instance or owner)
