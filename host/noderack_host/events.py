"""What is told while a prompt runs, one frozen value for each thing; `as_dict()` is the wire form.

`name` is the message type that existing clients know (facts: host contract §3.4), except for `NodeTimed`,
which is ours.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar


def _now() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a prompt."""

    name: ClassVar[str] = ""
    prompt_id: str

    def data(self) -> dict[str, Any]:
        """The message's `data`; fields as they are, unless a class says otherwise."""
        return {key: getattr(self, key) for key in self._fields()}

    def as_dict(self) -> dict[str, Any]:
        """{"type": …, "data": …}, ready for JSON."""
        return {"type": self.name, "data": self.data()}

    @classmethod
    @cache
    def _fields(cls) -> tuple[str, ...]:
        return tuple(key for base in cls.__mro__ for key in getattr(base, "__slots__", ()))


@dataclass(frozen=True, slots=True)
class ExecutionStart(Event):
    name: ClassVar[str] = "execution_start"
    timestamp: int = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class ExecutionCached(Event):
    name: ClassVar[str] = "execution_cached"
    nodes: list[str]
    timestamp: int = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class Executing(Event):
    """A node begins; `node` is None when the prompt is over."""

    name: ClassVar[str] = "executing"
    node: str | None
    display_node: str | None = None

    def data(self) -> dict[str, Any]:
        """The end marker has no display_node."""
        shown = {} if self.node is None else {"display_node": self.display_node}
        return {"node": self.node, **shown, "prompt_id": self.prompt_id}


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """A node says how far it is. `preview` is what it shows, and never part of the JSON."""

    name: ClassVar[str] = "progress"
    node: str
    value: float
    max: float
    preview: Any = field(default=None, repr=False)

    def data(self) -> dict[str, Any]:
        return {"value": self.value, "max": self.max, "prompt_id": self.prompt_id, "node": self.node}


@dataclass(slots=True)
class NodeProgress:
    """How far one node is; `state` is running, finished or error."""

    node_id: str
    display_node_id: str
    parent_node_id: str | None
    real_node_id: str
    state: str = "running"
    value: float = 0
    max: float = 1


@dataclass(frozen=True, slots=True)
class ProgressState(Event):
    """Some node's progress changed; `nodes` is the run's live record of all that began, read by `data()`."""

    name: ClassVar[str] = "progress_state"
    nodes: Mapping[str, NodeProgress] = field(repr=False)

    def data(self) -> dict[str, Any]:
        told = {
            key: {
                "value": node.value,
                "max": node.max,
                "state": node.state,
                "node_id": node.node_id,
                "prompt_id": self.prompt_id,
                "display_node_id": node.display_node_id,
                "parent_node_id": node.parent_node_id,
                "real_node_id": node.real_node_id,
            }
            for key, node in self.nodes.items()
        }
        return {"prompt_id": self.prompt_id, "nodes": told}


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """A node with something to show is done; `output` is its ui payload, or None."""

    name: ClassVar[str] = "executed"
    node: str
    display_node: str
    output: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class NodeTimed(Event):
    """A node ran: how long (s), the process's peak memory while it did (bytes, None if unknown)."""

    name: ClassVar[str] = "noderack.node_timed"
    node: str
    node_type: str
    started: float
    seconds: float
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSuccess(Event):
    name: ClassVar[str] = "execution_success"
    timestamp: int = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted(Event):
    name: ClassVar[str] = "execution_interrupted"
    node_id: str | None
    node_type: str | None
    executed: list[str]
    timestamp: int = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class ExecutionError(Event):
    """A node failed, or was blocked with a message."""

    name: ClassVar[str] = "execution_error"
    node_id: str
    node_type: str
    executed: list[str]
    exception_message: str
    exception_type: str
    traceback: list[str] = field(repr=False)
    current_inputs: Mapping[str, Any] = field(repr=False)
    current_outputs: list[str] = field(repr=False)
    timestamp: int = field(default_factory=_now)
