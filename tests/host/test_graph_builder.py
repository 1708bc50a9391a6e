from typing import Any

from noderack_host.graph_builder import GraphBuilder, add_graph_prefix
from noderack_host.running import Running, use


def test_ids_come_from_the_call_and_are_the_same_each_time() -> None:
    def build() -> Any:
        with use(Running(node_id="7", list_index=2)):
            first, second = GraphBuilder(), GraphBuilder()
            load = first.node("Load", name="a")
            first.node("Save", id="out", image=load.out(0))
            second.node("Load")
            return first.finalize() | second.finalize()

    assert build() == build()
    assert build() == {
        "7.2.0.1": {"class_type": "Load", "inputs": {"name": "a"}},
        "7.2.0.out": {"class_type": "Save", "inputs": {"image": ["7.2.0.1", 0]}},
        "7.2.1.1": {"class_type": "Load", "inputs": {}},
    }


def test_nodes_can_be_changed_and_taken_away() -> None:
    graph = GraphBuilder(prefix="p.")
    one, two = graph.node("A"), graph.node("B")
    two.set_input("x", one.out(0))
    two.set_override_display_id("9")
    graph.replace_node_output("1", 0, 5)
    graph.remove_node("1")
    assert graph.lookup_node("1") is None and two.get_input("x") == 5
    assert graph.finalize() == {"p.2": {"class_type": "B", "inputs": {"x": 5}, "override_display_id": "9"}}


def test_a_ready_graph_gets_a_prefix() -> None:
    graph = {"1": {"class_type": "A", "inputs": {"x": ["2", 0], "y": 3}}}
    moved, outputs = add_graph_prefix(graph, (["1", 0], 4), "p.")
    assert moved == {"p.1": {"class_type": "A", "inputs": {"x": ["p.2", 0], "y": 3}}}
    assert outputs == (["p.1", 0], 4)
