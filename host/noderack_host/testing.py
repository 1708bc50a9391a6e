"""For tests of nodes and graphs: a node class in a line, a prompt run in a line, what was told as a list."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from noderack_host.cache import Cache
from noderack_host.events import Event
from noderack_host.execute import Executor, RunResult


def simple_node(
    function: Callable[..., Any],
    inputs: Mapping[str, Any] | None = None,
    outputs: tuple[Any, ...] = ("*",),
    **members: Any,
) -> type:
    """A V1 class around a function of keyword arguments.

    inputs: the required section, or a whole INPUT_TYPES dict if it has one of its sections' names.
    members: further class members, such as OUTPUT_NODE=True.
    """
    types = dict(inputs or {})
    if not types.keys() & {"required", "optional", "hidden"}:
        types = {"required": types}
    found = {
        "INPUT_TYPES": classmethod(lambda cls: types),
        "RETURN_TYPES": outputs,
        "FUNCTION": "run",
        "CATEGORY": "test",
        "run": staticmethod(function),
    }
    return type("SimpleNode", (), {**found, **members})


@dataclass(frozen=True, slots=True)
class Ran:
    """A run and everything that it told."""

    result: RunResult
    events: tuple[Event, ...]

    def named(self, name: str) -> list[Any]:
        """The events of one wire name."""
        return [event for event in self.events if event.name == name]


def run_prompt(
    nodes: Mapping[str, Any],
    prompt: Mapping[str, Any],
    cache: Cache | None = None,
    outputs: Iterable[str] | None = None,
) -> Ran:
    """Runs one prompt in this thread with an executor of its own."""
    executor = Executor(nodes, cache)
    events: list[Event] = []
    try:
        result = executor.run_here(prompt, events.append, outputs=outputs)
    finally:
        executor.close()
    return Ran(result, tuple(events))
