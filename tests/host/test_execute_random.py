"""Random graphs: the executor against an evaluator that is as plain as can be."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noderack_host.cache import LRU, ByBytes, Classic, NoCache
from noderack_host.execute import Executor, NodeError, PromptStopped
from noderack_host.graph import ExecutionBlocker, is_link
from noderack_host.running import current
from noderack_host.testing import simple_node

ANY = ("*", {})
LAZY = ("*", {"lazy": True})
Graph = dict[str, dict[str, Any]]
BLOCKED = "blocked"


@dataclass
class Toys:
    """The node classes; `calls` counts calls by the node's tag; `trouble` happens in the node `fault`."""

    calls: Counter[str] = field(default_factory=Counter)
    fault: str | None = None
    trouble: Callable[[str], object] = lambda name: None

    def noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(tag: str, **inputs: Any) -> Any:
            name = tag[0] if isinstance(tag, list) else tag
            self.calls[name] += 1
            if name == self.fault:
                self.trouble(name)
            return function(tag=tag, **inputs)

        return run

    def nodes(self) -> dict[str, Any]:
        async def later(tag: str, a: Any) -> Any:
            await asyncio.sleep(0)
            return (a,)

        def double(tag: str, a: Any) -> Any:
            inner = f"{tag}/{current().list_index}"
            graph = {inner: {"class_type": "add", "inputs": {"tag": inner, "a": a, "b": a}}}
            return {"result": ([inner, 0],), "expand": graph}

        two = {"tag": ANY, "a": ANY, "b": ANY}
        return {
            "add": simple_node(self.noted(lambda tag, a, b: (a + b,)), two),
            "pair": simple_node(
                self.noted(lambda tag, a, b: ([a, b], a)), two, ("*", "*"), OUTPUT_IS_LIST=(True, False)
            ),
            "total": simple_node(self.noted(lambda tag, a, b: (sum(a) + len(b),)), two, INPUT_IS_LIST=True),
            "later": simple_node(self.noted(later), {"tag": ANY, "a": ANY}),
            "double": simple_node(self.noted(double), {"tag": ANY, "a": ANY}),
            "block": simple_node(
                self.noted(lambda tag, a: (ExecutionBlocker() if a % 3 == 0 else a,)), {"tag": ANY, "a": ANY}
            ),
            "switch": simple_node(
                self.noted(lambda tag, on, a=None, b=None: (a if on % 2 else b,)),
                {"tag": ANY, "on": ANY, "a": LAZY, "b": LAZY},
                check_lazy_status=lambda self, tag, on, a=None, b=None: ["a"] if on % 2 else ["b"],
            ),
            "show": simple_node(
                lambda tag, a: {"ui": {"shown": [a]}}, {"tag": ANY, "a": ANY}, (), OUTPUT_NODE=True
            ),
        }


class Plain:
    """Evaluates a graph by plain recursion; `needed` are the nodes that it had to look at."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[str, list[list[Any]]] = {}

    def shown(self) -> dict[str, Any]:
        ids = [node_id for node_id, node in self.graph.items() if node["class_type"] == "show"]
        found = {node_id: [value for value in self.read(node_id, "a") if value != BLOCKED] for node_id in ids}
        return {node_id: {"shown": values} for node_id, values in found.items() if values}

    def read(self, node_id: str, name: str) -> list[Any]:
        value = self.graph[node_id]["inputs"][name]
        return self.outputs(value[0])[value[1]] if is_link(value) else [value]

    def outputs(self, node_id: str) -> list[list[Any]]:
        if node_id not in self.known:
            self.known[node_id] = self.work_out(node_id)
        return self.known[node_id]

    def work_out(self, node_id: str) -> list[list[Any]]:
        kind = self.graph[node_id]["class_type"]
        inputs = [name for name in self.graph[node_id]["inputs"] if name != "tag"]
        if kind == "switch":
            ons = [on for on in self.read(node_id, "on") if on != BLOCKED]
            wanted = {"a" if on % 2 else "b" for on in ons}
            given = {
                name: self.read(node_id, name)
                if name in ("on", *wanted) or not is_link(self.graph[node_id]["inputs"][name])
                else [None]
                for name in inputs
            }
        else:
            given = {name: self.read(node_id, name) for name in inputs}
        if kind == "total":
            blocked = BLOCKED in given["a"] + given["b"]
            return [[BLOCKED if blocked else sum(given["a"]) + len(given["b"])]]
        count = max(len(values) for values in given.values())
        calls = [
            {name: values[min(at, len(values) - 1)] for name, values in given.items()} for at in range(count)
        ]
        results = [self.call(kind, call) for call in calls]
        if kind == "pair":
            return [[item for first, _ in results for item in first], [second for _, second in results]]
        return [results]

    def call(self, kind: str, values: dict[str, Any]) -> Any:
        if BLOCKED in values.values():
            return ([BLOCKED], BLOCKED) if kind == "pair" else BLOCKED
        a, b = values["a"], values.get("b")
        if kind == "pair":
            return ([a, b], a)
        if kind == "switch":
            return a if values["on"] % 2 else b
        if kind == "block":
            return BLOCKED if a % 3 == 0 else a
        return {"add": lambda: a + b, "double": lambda: a + a, "later": lambda: a}[kind]()


INPUTS = {
    **dict.fromkeys(("add", "pair", "total"), ("a", "b")),
    **dict.fromkeys(("later", "double", "block"), ("a",)),
    "switch": ("on", "a", "b"),
}


@st.composite
def graphs(draw: Any) -> Graph:
    graph: Graph = {}

    def value(before: int) -> Any:
        if before and draw(st.booleans()):
            source = str(draw(st.integers(0, before - 1)))
            slots = 2 if graph[source]["class_type"] == "pair" else 1
            return [source, draw(st.integers(0, slots - 1))]
        return draw(st.integers(0, 9))

    count = draw(st.integers(1, 9))
    for at in range(count):
        kind = draw(st.sampled_from(list(INPUTS)))
        inputs = {name: value(at) for name in INPUTS[kind]}
        graph[str(at)] = {"class_type": kind, "inputs": {"tag": str(at), **inputs}}
    for at in range(draw(st.integers(1, 3))):
        graph[f"s{at}"] = {"class_type": "show", "inputs": {"tag": f"s{at}", "a": value(count)}}
    return graph


POLICIES: list[Callable[[], Any]] = [Classic, NoCache, lambda: LRU(3), lambda: ByBytes(10)]


def look_at(graph: Graph, policy: Callable[[], Any]) -> None:
    """All that must hold of one graph."""
    plain = Plain(graph)
    expected = plain.shown()
    toys = Toys()
    executor = Executor(toys.nodes(), policy(), measure_memory=False)
    assert executor.run_here(graph).outputs == expected
    first = {tag for tag in toys.calls if "/" not in tag}
    assert first <= set(plain.known), "something ran that nobody needs"
    lists = {node_id: max((len(slot) for slot in slots), default=1) for node_id, slots in plain.known.items()}
    assert all(toys.calls[tag] <= lists[tag] for tag in first), "something ran twice"
    toys.calls.clear()
    assert executor.run_here(graph).outputs == expected
    if policy is Classic:
        assert not toys.calls, "something ran again although nothing changed"
    executor.close()
    for fault in sorted(first):
        for trouble in ("fails", "is stopped"):
            disturbed_at(graph, fault, trouble, expected, policy)


def fail(name: str) -> None:
    raise RuntimeError(name)


def disturbed_at(graph: Graph, fault: str, trouble: str, expected: Any, policy: Callable[[], Any]) -> None:
    """After an error or an interrupt at any node, the next run gives the same, and keeps what was done."""
    toys = Toys(fault=fault)
    executor = Executor(toys.nodes(), policy(), measure_memory=False)
    if trouble == "fails":
        toys.trouble = fail
        with pytest.raises(NodeError, match=f"node {fault}"):
            executor.run_here(graph)
    else:
        toys.trouble = lambda name: executor.interrupt()
        with pytest.raises(PromptStopped):
            executor.run_here(graph)
    done = Counter(toys.calls)
    toys.fault = None
    assert executor.run_here(graph).outputs == expected
    if policy is Classic:
        again = {tag for tag, count in toys.calls.items() if count > done[tag] > 0}
        flying = {tag for tag in done if graph.get(tag, {}).get("class_type") == "later"}
        assert again <= {fault, *flying} | {tag for tag in done if tag.split("/")[0] == fault}
    executor.close()


@given(graph=graphs(), policy=st.sampled_from(POLICIES))
@settings(max_examples=100, deadline=None)
def test_random_graphs_equal_a_plain_evaluator(graph: Graph, policy: Callable[[], Any]) -> None:
    look_at(graph, policy)


@given(graph=graphs(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_an_interrupt_at_any_moment_leaves_the_cache_true(graph: Graph, data: Any) -> None:
    """The moment is an event: before and after nodes, in the middle of expansions, while async nodes fly."""
    expected = Plain(graph).shown()
    toys = Toys()
    executor = Executor(toys.nodes(), Classic(), measure_memory=False)
    moment = data.draw(st.integers(0, 60))
    heard = itertools.count()

    def hear(event: Any) -> None:
        if next(heard) == moment:
            executor.interrupt()

    with contextlib.suppress(PromptStopped):
        executor.run_here(graph, hear)
    assert executor.run_here(graph).outputs == expected
    assert executor.run_here(graph).outputs == expected
    executor.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(graph=graphs(), policy=st.sampled_from(POLICIES))
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_random_graphs_equal_a_plain_evaluator(graph: Graph, policy: Callable[[], Any]) -> None:
    look_at(graph, policy)
