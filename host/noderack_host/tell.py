"""Tells what happens in a run: events out, and the record of what was shown and how far each node is."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from noderack_host.cache import Shown
from noderack_host.events import (
    Event,
    Executed,
    Executing,
    ExecutionError,
    NodeProgress,
    NodeTimed,
    Progress,
    ProgressState,
)
from noderack_host.graph import DynamicPrompt
from noderack_host.measure import Timing

_LONGEST_TOLD = 2000


class Teller:
    """Hands events on, never two at once, and keeps `outputs` (ui by node id), `meta` and `states`."""

    def __init__(self, prompt_id: str, graph: DynamicPrompt, on_event: Callable[[Event], None]) -> None:
        self.prompt_id = prompt_id
        self.outputs: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}
        self.states: dict[str, NodeProgress] = {}
        self._graph = graph
        self._on_event = on_event
        self._lock = threading.RLock()

    def tell(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)

    def began(self, node_id: str) -> None:
        """A node begins; said once, however often it comes back for lazy inputs."""
        if node_id in self.states:
            return
        display = self._graph.get_display_node_id(node_id)
        parent, real = self._graph.get_parent_node_id(node_id), self._graph.get_real_node_id(node_id)
        self.states[node_id] = NodeProgress(node_id, display, parent, real)
        self.tell(Executing(self.prompt_id, node_id, display))
        self.tell(ProgressState(self.prompt_id, self.states))

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None:
        """A node's own report of how far it is."""
        state = self.states.get(node_id)
        if state is not None:
            state.value, state.max = value, total
        self.tell(Progress(self.prompt_id, node_id, value, total, preview))
        self.tell(ProgressState(self.prompt_id, self.states))

    def ended(self, node_id: str, how: str) -> None:
        """A node is over: "finished" or "error"."""
        state = self.states.get(node_id)
        if state is not None:
            state.state, state.value = how, state.max
            self.tell(ProgressState(self.prompt_id, self.states))

    def timed(self, timing: Timing) -> None:
        self.tell(
            NodeTimed(
                self.prompt_id,
                timing.node_id,
                timing.node_type,
                timing.started,
                timing.seconds,
                timing.peak_bytes,
            )
        )

    def show_ui(self, node_id: str, ui: Mapping[str, Any]) -> None:
        """A node has something to show."""
        self.show(Shown(node_id, self._graph.get_display_node_id(node_id), ui))

    def executed(self, node_id: str, ui: Mapping[str, Any] | None) -> None:
        """An output node's result was kept: it says so, even if it has nothing to show."""
        self.tell(Executed(self.prompt_id, node_id, self._graph.get_display_node_id(node_id), ui))

    def record(self, node_id: str, ui: Mapping[str, Any]) -> None:
        """What a node shows counts as an output of this prompt, without being told."""
        self._record(Shown(node_id, self._graph.get_display_node_id(node_id), ui))

    def show(self, shown: Shown) -> None:
        self._record(shown)
        self.tell(Executed(self.prompt_id, shown.node_id, shown.display_node, shown.ui))

    def _record(self, shown: Shown) -> None:
        self.outputs[shown.node_id] = shown.ui
        self.meta[shown.node_id] = {
            "node_id": shown.node_id,
            "display_node": shown.display_node,
            "parent_node": self._graph.get_parent_node_id(shown.node_id),
            "real_node_id": self._graph.get_real_node_id(shown.node_id),
        }

    def blocked(self, node_id: str, node_type: str, message: str, executed: list[str]) -> None:
        """A blocker with a message reached its first node."""
        self.tell(
            ExecutionError(
                prompt_id=self.prompt_id,
                node_id=node_id,
                node_type=node_type,
                executed=executed,
                exception_message=f"Execution Blocked: {message}",
                exception_type="ExecutionBlocked",
                traceback=[],
                current_inputs={},
                current_outputs=[],
            )
        )


def told_value(value: Any) -> Any:
    """An input's value for an error message: plain data as it is, anything else as short text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    try:
        return str(value)[:_LONGEST_TOLD]
    except Exception:  # a pack's own __str__
        return f"<{type(value).__name__}>"
