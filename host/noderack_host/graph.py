"""The graph of a prompt while it runs: the nodes of the prompt, and those that expansion added to it.

Errors:
    GraphError               a graph that cannot be run
    ├─ UnknownNode           a link or a request leads to an id that is not there
    ├─ DuplicateNode         an expansion brings an id that is there already
    └─ DependencyCycleError  nodes wait for each other
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard


class GraphError(Exception):
    """A graph that cannot be run."""


class UnknownNode(GraphError):
    """No node of that id."""

    def __init__(self, node_id: str, wanted_by: str | None = None) -> None:
        by = f", which node {wanted_by} links to" if wanted_by else ""
        super().__init__(f"there is no node {node_id!r} in the prompt{by}")
        self.node_id = node_id


class DuplicateNode(GraphError):
    """An expansion that reuses an id."""

    def __init__(self, node_id: str) -> None:
        super().__init__(
            f"the expansion adds a node {node_id!r}, but there is one already; make ids with GraphBuilder"
        )


class DependencyCycleError(GraphError):
    """Nodes that wait for each other; `nodes` is the circle."""

    wire_name = "graph.DependencyCycleError"

    def __init__(self, nodes: Iterable[str]) -> None:
        self.nodes = tuple(nodes)
        super().__init__(f"these nodes wait for each other: {' → '.join(self.nodes)}")


class ExecutionBlocker:
    """A value that keeps every node from running that would take it in; a `message` is told once."""

    __slots__ = ("message",)

    def __init__(self, message: str | None = None) -> None:
        self.message = message

    def __repr__(self) -> str:
        return f"ExecutionBlocker({self.message!r})"


def is_link(value: object) -> TypeGuard[list[Any]]:
    """Whether an input's value is a link: a list of a node id (text) and a slot (number)."""
    return (
        type(value) is list
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
    )


class DynamicPrompt:
    """The prompt and its ephemeral nodes. Packs get it as DYNPROMPT, so the method names are contract."""

    __slots__ = ("_display", "_ephemeral", "_original", "_parents", "_roots")

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._original: dict[str, Any] = dict(prompt)
        self._ephemeral: dict[str, Any] = {}
        self._parents: dict[str, str] = {}
        self._roots: dict[str, str] = {}
        self._display: dict[str, str] = {}

    def get_node(self, node_id: str) -> dict[str, Any]:
        """The node's dict (class_type, inputs); raises UnknownNode."""
        found = self._original.get(node_id)
        if found is None:
            found = self._ephemeral.get(node_id)
        if found is None:
            raise UnknownNode(node_id)
        return found  # type: ignore[no-any-return]

    def has_node(self, node_id: str) -> bool:
        return node_id in self._original or node_id in self._ephemeral

    def add_ephemeral_node(
        self, node_id: str, node_info: dict[str, Any], parent_id: str, display_id: str
    ) -> None:
        """Adds a node that `parent_id` expands to; raises DuplicateNode."""
        if self.has_node(node_id):
            raise DuplicateNode(node_id)
        self._ephemeral[node_id] = node_info
        self._parents[node_id] = parent_id
        self._roots[node_id] = self.get_real_node_id(parent_id)
        self._display[node_id] = self.get_display_node_id(display_id)

    def note_changed(self, node_id: str, fingerprint: Any) -> None:
        """Writes what a class said of its changes where readers of PROMPT see it, not into what was sent."""
        nodes = self._original if node_id in self._original else self._ephemeral
        nodes[node_id] = {**nodes[node_id], "is_changed": fingerprint}

    def get_parent_node_id(self, node_id: str) -> str | None:
        return self._parents.get(node_id)

    def get_real_node_id(self, node_id: str) -> str:
        """The node of the prompt that this one comes from, over however many expansions."""
        return self._roots.get(node_id, node_id)

    def get_display_node_id(self, node_id: str) -> str:
        """The node that an editor should light up for this one."""
        return self._display.get(node_id, node_id)

    def all_node_ids(self) -> set[str]:
        return set(self._original) | set(self._ephemeral)

    def get_original_prompt(self) -> dict[str, Any]:
        return self._original
