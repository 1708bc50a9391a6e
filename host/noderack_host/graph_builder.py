"""Builds the sub-graphs that nodes expand to, with ids that are the same at every run."""

from typing import Any

from noderack_host.graph import is_link
from noderack_host.running import current_or_none


class Node:
    """One node being built: `out(slot)` is a link to it."""

    def __init__(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = node_id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Sets an input; None takes it away."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        found: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            found["override_display_id"] = self.override_display_id
        return found


class GraphBuilder:
    """Collects nodes; `finalize()` is the value for "expand". Ids are `<node>.<call>.<graph>.<n>`.

    The prefix comes from the node call that is running, so the same call always builds the same ids.
    """

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = self.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, Node] = {}
        self.id_gen = 1

    @classmethod
    def alloc_prefix(
        cls, root: str | None = None, call_index: int | None = None, graph_index: int = 0
    ) -> str:
        """The prefix for one more graph in this call; each graph of a call gets a number of its own."""
        running = current_or_none()
        node_id = root if root is not None else running.node_id if running else ""
        index = call_index if call_index is not None else (running.list_index or 0) if running else 0
        graph = running.next_graph() if running and root is None else graph_index
        return f"{node_id}.{index}.{graph}."

    def node(self, class_type: str, id: str | None = None, **kwargs: Any) -> Node:
        """A new node with these inputs; `id` names it, where the order of making may change."""
        if id is None:
            id = str(self.id_gen)
            self.id_gen += 1
        found = self.nodes.get(self.prefix + id)
        if found is None:
            found = self.nodes[self.prefix + id] = Node(self.prefix + id, class_type, kwargs)
        return found

    def lookup_node(self, id: str) -> Node | None:
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, Any]:
        return {node_id: node.serialize() for node_id, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Gives every input that links to this output another value; None takes the inputs away."""
        target = self.prefix + node_id
        for node in self.nodes.values():
            for key in [key for key, value in node.inputs.items() if is_link(value)]:
                if node.inputs[key] == [target, index]:
                    node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:
        del self.nodes[self.prefix + id]


def add_graph_prefix(
    graph: dict[str, Any], outputs: tuple[Any, ...], prefix: str
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """A ready-made graph and its outputs with `prefix` before every id and every link inside."""

    def moved(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) else value

    nodes = {
        prefix + node_id: {**node, "inputs": {key: moved(value) for key, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }
    return nodes, tuple(moved(value) for value in outputs)
