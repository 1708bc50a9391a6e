import asyncio
import threading
import time
import weakref
from typing import Any, ClassVar

import pytest
from noderack_host.cache import LRU, ByBytes, Classic, NoCache
from noderack_host.execute import Executor, NodeError, PromptStopped
from noderack_host.graph import ExecutionBlocker
from noderack_host.running import current
from noderack_host.testing import run_prompt, simple_node

ANY = ("*", {})
Prompt = dict[str, Any]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


class Toys:
    """Node classes that note each call, and an executor over them."""

    def __init__(self, cache: Any = None) -> None:
        self.calls: list[str] = []
        self.nodes: dict[str, Any] = {
            "Value": simple_node(self.value, {"value": ANY}),
            "Add": simple_node(self.add, {"a": ANY, "b": ANY}),
            "Show": simple_node(self.show, {"value": ANY}, (), OUTPUT_NODE=True),
            "Fail": simple_node(self.fail, {"value": ANY}),
            "Pair": simple_node(self.pair, {"a": ANY, "b": ANY}, ("*", "*"), OUTPUT_IS_LIST=(True, False)),
        }
        self.executor = Executor(self.nodes, cache)

    def value(self, value: Any) -> Any:
        self.calls.append(f"value {value}")
        return (value,)

    def add(self, a: Any, b: Any) -> Any:
        self.calls.append(f"{a}+{b}")
        return (a + b,)

    def show(self, value: Any) -> Any:
        self.calls.append(f"show {value}")
        return {"ui": {"shown": [value]}}

    def fail(self, value: Any) -> Any:
        raise ValueError(f"no {value}")

    def pair(self, a: Any, b: Any) -> Any:
        self.calls.append(f"pair {a} {b}")
        return ([a, b], b)

    def run(self, prompt: Prompt, **options: Any) -> Any:
        self.calls.clear()
        return self.executor.run_here(prompt, **options).outputs


SUM = {
    "1": node("Value", value=1),
    "2": node("Value", value=2),
    "3": node("Add", a=["1", 0], b=["2", 0]),
    "4": node("Show", value=["3", 0]),
    "5": node("Fail", value=0),
}


def test_only_what_outputs_need_runs() -> None:
    toys = Toys()
    assert toys.run(SUM) == {"4": {"shown": [3]}}
    assert sorted(toys.calls) == ["1+2", "show 3", "value 1", "value 2"]


def test_only_what_changed_runs_again() -> None:
    toys = Toys()
    toys.run(SUM)
    assert toys.run(SUM) == {"4": {"shown": [3]}} and toys.calls == []
    changed = {**SUM, "2": node("Value", value=5)}
    assert toys.run(changed) == {"4": {"shown": [6]}}
    assert toys.calls == ["value 5", "1+5", "show 6"]


def test_ids_do_not_matter_and_equal_nodes_run_once() -> None:
    toys = Toys()
    toys.run(SUM)
    other = {
        "x": node("Value", value=1),
        "y": node("Value", value=2),
        "z": node("Add", a=["x", 0], b=["y", 0]),
    }
    twice = {**other, "s": node("Show", value=["z", 0]), "t": node("Show", value=["z", 0])}
    assert toys.run(twice) == {"s": {"shown": [3]}, "t": {"shown": [3]}}
    assert toys.calls == []
    fresh = Toys()
    double = {
        "a": node("Value", value=1),
        "b": node("Value", value=1),
        "c": node("Add", a=["a", 0], b=["b", 0]),
    }
    assert fresh.run({**double, "s": node("Show", value=["c", 0])}) == {"s": {"shown": [2]}}
    assert fresh.calls == ["value 1", "1+1", "show 2"]


@pytest.mark.parametrize("cache", [Classic, NoCache, lambda: LRU(2), lambda: ByBytes(10)])
def test_each_policy_gives_the_same(cache: Any) -> None:
    toys = Toys(cache())
    assert toys.run(SUM) == toys.run(SUM) == {"4": {"shown": [3]}}


def test_a_part_can_be_run_and_the_rest_is_not_forgotten() -> None:
    toys = Toys()
    two = {**SUM, "6": node("Show", value=["1", 0])}
    toys.run(two)
    assert toys.run(two, outputs=["6"]) == {"6": {"shown": [1]}}
    assert toys.run(two) == {"4": {"shown": [3]}, "6": {"shown": [1]}} and toys.calls == []


def test_an_error_names_the_node_and_leaves_the_cache_true() -> None:
    toys = Toys()
    broken = {**SUM, "4": node("Show", value=["7", 0]), "7": node("Fail", value=["3", 0])}
    with pytest.raises(NodeError, match=r"node 7 \(Fail\): ValueError: no 3") as caught:
        toys.run(broken)
    assert caught.value.inputs == {"value": [3]}
    assert isinstance(caught.value.__cause__, ValueError)
    assert toys.run(SUM) == {"4": {"shown": [3]}} and toys.calls == ["show 3"]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ({"1": node("Show", value=["9", 0])}, "there is no node '9' in the prompt, which node 1 links to"),
        ({"1": node("Show", value=["2", 0]), "2": node("Nope")}, "type 'Nope', which no pack here has"),
        (
            {
                "1": node("Show", value=["2", 0]),
                "2": node("Value", value=["3", 0]),
                "3": node("Value", value=["2", 0]),
            },
            "wait for each other: 2 → 3 → 2",
        ),
    ],
)
def test_a_graph_that_cannot_run_says_why(prompt: Prompt, says: str) -> None:
    with pytest.raises(NodeError, match=says):
        Toys().run(prompt)


def test_lists_are_mapped_and_shorter_ones_repeat_their_last() -> None:
    toys = Toys()
    prompt = {
        "p": node("Pair", a=1, b=2),
        "q": node("Pair", a=["p", 0], b=10),
        "s": node("Show", value=["q", 0]),
        "t": node("Show", value=["q", 1]),
    }
    assert toys.run(prompt) == {"s": {"shown": [1, 10, 2, 10]}, "t": {"shown": [10, 10]}}


def test_a_node_that_takes_lists_is_called_once() -> None:
    toys = Toys()
    toys.nodes["Count"] = simple_node(
        lambda values, by: (len(values) * by[0],), {"values": ANY, "by": ANY}, INPUT_IS_LIST=True
    )
    prompt = {"p": node("Pair", a=1, b=2), "c": node("Count", values=["p", 0], by=10)}
    assert toys.run({**prompt, "s": node("Show", value=["c", 0])}) == {"s": {"shown": [20]}}


def lazy_switch() -> Any:
    def wanted(self: Any, on: bool, a: Any = None, b: Any = None) -> list[str]:
        return ["a"] if on else ["b"]

    lazy = ("*", {"lazy": True})
    return simple_node(
        lambda on, a=None, b=None: (a if on else b,),
        {"on": ("BOOLEAN", {}), "a": lazy, "b": lazy},
        check_lazy_status=wanted,
    )


@pytest.mark.parametrize(("on", "runs"), [(True, "value 1"), (False, "value 2")])
def test_lazy_inputs_run_only_when_asked_for(on: bool, runs: str) -> None:
    toys = Toys()
    toys.nodes["Switch"] = lazy_switch()
    prompt = {**SUM, "6": node("Switch", on=on, a=["1", 0], b=["2", 0]), "4": node("Show", value=["6", 0])}
    toys.run(prompt)
    assert toys.calls == [runs, f"show {runs[-1]}"]


def test_a_lazy_input_that_cannot_be_had_is_an_error() -> None:
    toys = Toys()
    toys.nodes["Wants"] = simple_node(lambda: (1,), {}, check_lazy_status=lambda self: ["more"])
    with pytest.raises(NodeError, match="asks for the input 'more', but nothing is given"):
        toys.run({"w": node("Wants"), "s": node("Show", value=["w", 0])})


def test_a_blocker_stops_what_depends_on_it_and_tells_once() -> None:
    toys = Toys()
    toys.nodes["Block"] = simple_node(lambda: (ExecutionBlocker("not today"),), {})
    prompt = {"b": node("Block"), "v": node("Value", value=["b", 0]), "s": node("Show", value=["v", 0])}
    ran = run_prompt(toys.nodes, {**SUM, **prompt})
    assert ran.result.outputs == {"4": {"shown": [3]}}
    told = ran.named("execution_error")
    assert [(event.node_id, event.exception_type) for event in told] == [("v", "ExecutionBlocked")]
    assert told[0].exception_message == "Execution Blocked: not today"
    assert ran.events[-1].name == "execution_success"


def test_expansion_runs_new_nodes_and_resolves_links() -> None:
    toys = Toys()

    def double(value: Any) -> Any:
        graph = {"e.1": node("Add", a=value, b=value), "e.2": node("Show", value=["e.1", 0])}
        return {"result": (["e.1", 0],), "expand": graph}

    toys.nodes["Double"] = simple_node(double, {"value": ANY})
    prompt = {**SUM, "6": node("Double", value=["3", 0]), "4": node("Show", value=["6", 0])}
    shown = {"4": {"shown": [6]}, "e.2": {"shown": [6]}}
    assert toys.run(prompt) == shown
    assert toys.run(prompt) == shown and toys.calls == []


def counting(toys: Toys) -> None:
    """A loop by expansion: each turn shows its number and adds the next turn."""

    def count(n: int, unique_id: str) -> Any:
        if n == 0:
            return ("end",)
        graph = {
            f"{unique_id}.n": node("Count", n=n - 1),
            f"{unique_id}.s": node("Show", value=n),
        }
        return {"result": ([f"{unique_id}.n", 0],), "expand": graph}

    toys.nodes["Count"] = simple_node(count, {"required": {"n": ANY}, "hidden": {"unique_id": "UNIQUE_ID"}})


def test_loops_by_expansion_can_be_deep() -> None:
    toys = Toys()
    counting(toys)
    shown = toys.run({"c": node("Count", n=3000), "s": node("Show", value=["c", 0])})
    assert len(shown) == 3001 and shown["s"] == {"shown": ["end"]}
    toys.run({"c": node("Count", n=3000), "s": node("Show", value=["c", 0])})
    assert toys.calls == []


def test_an_expansion_that_was_cut_off_is_not_kept() -> None:
    toys = Toys()
    counting(toys)
    prompt = {"c": node("Count", n=5), "s": node("Show", value=["c", 0])}

    def stop_at_three(event: Any) -> None:
        if event.name == "executed" and event.output == {"shown": [3]}:
            toys.executor.interrupt()

    with pytest.raises(PromptStopped):
        toys.run(prompt, on_event=stop_at_three)
    first = list(toys.calls)
    assert len(toys.run(prompt)) == 6
    assert sorted({*first, *toys.calls}) == ["show 1", "show 2", "show 3", "show 4", "show 5", "show end"]


def test_async_nodes_run_beside_each_other_and_beside_plain_ones() -> None:
    toys = Toys()
    threads: set[str] = set()

    async def wait(value: Any) -> Any:
        threads.add(threading.current_thread().name)
        await asyncio.sleep(0.2)
        return (value,)

    def busy() -> Any:
        threads.add(threading.current_thread().name)
        time.sleep(0.2)
        return (7,)

    toys.nodes["Wait"] = simple_node(wait, {"value": ANY})
    toys.nodes["Busy"] = simple_node(busy, {})
    prompt: Prompt = {str(n): node("Wait", value=n) for n in range(10)}
    prompt |= {f"s{n}": node("Show", value=[str(n), 0]) for n in range(10)}
    prompt |= {"b": node("Busy"), "sb": node("Show", value=["b", 0])}
    start = time.perf_counter()
    shown = toys.run(prompt)
    assert time.perf_counter() - start < 0.8
    assert len(shown) == 11 and len(threads) == 2


def test_an_async_failure_is_the_node_s() -> None:
    toys = Toys()

    async def fail() -> Any:
        await asyncio.sleep(0)
        raise KeyError("gone")

    toys.nodes["Late"] = simple_node(fail, {})
    with pytest.raises(NodeError, match="node l"):
        toys.run({"l": node("Late"), "s": node("Show", value=["l", 0])})


async def test_an_interrupt_stops_async_nodes_at_once() -> None:
    toys = Toys()

    async def forever() -> Any:
        await asyncio.sleep(60)

    toys.nodes["Forever"] = simple_node(forever, {})
    prompt = {"f": node("Forever"), "s": node("Show", value=["f", 0])}
    task = asyncio.ensure_future(toys.executor.run(prompt, prompt_id="p"))
    await asyncio.sleep(0.05)
    start = time.perf_counter()
    assert not toys.executor.interrupt("other") and toys.executor.interrupt("p")
    with pytest.raises(PromptStopped):
        await task
    assert time.perf_counter() - start < 1
    assert toys.run(SUM) == {"4": {"shown": [3]}}


async def test_an_interrupt_stops_inside_a_long_node() -> None:
    toys = Toys()
    steps: list[int] = []

    def sample() -> Any:
        for step in range(1000):
            current().progress(step, 1000)
            steps.append(step)
            time.sleep(0.01)

    toys.nodes["Sample"] = simple_node(sample, {})
    told: list[Any] = []
    prompt = {"f": node("Sample"), "s": node("Show", value=["f", 0])}
    task = asyncio.ensure_future(toys.executor.run(prompt, told.append))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert toys.run(SUM) == {"4": {"shown": [3]}}
    assert 0 < len(steps) < 100
    assert [event.node_id for event in told if event.name == "execution_interrupted"] == ["f"]


def test_fingerprints_decide_what_runs_again() -> None:
    toys = Toys()
    marks = {"fixed": lambda **_: 1, "always": lambda **_: float("nan"), "broken": lambda: 1 / 0}
    for name, mark in marks.items():
        toys.nodes[name] = simple_node(toys.value, {"value": ANY}, IS_CHANGED=staticmethod(mark))
    prompt = {name: node(name, value=name) for name in marks}
    prompt |= {f"s{name}": node("Show", value=[name, 0]) for name in marks}
    toys.run(prompt)
    toys.run(prompt)
    assert sorted(call for call in toys.calls if call.startswith("value")) == ["value always", "value broken"]


def test_instances_live_as_long_as_their_node() -> None:
    class Stateful:
        RETURN_TYPES = ("*",)
        FUNCTION = "run"
        INPUT_TYPES = classmethod(lambda cls: {"required": {"n": ANY}})

        def run(self, n: int) -> Any:
            self.count = getattr(self, "count", 0) + 1
            return (self.count,)

    toys = Toys()
    toys.nodes["Stateful"] = Stateful
    counts = [
        toys.run({"i": node("Stateful", n=n), "s": node("Show", value=["i", 0])})["s"]["shown"]
        for n in range(2)
    ]
    toys.run(SUM)
    again = toys.run({"i": node("Stateful", n=5), "s": node("Show", value=["i", 0])})["s"]["shown"]
    assert (counts, again) == ([[1], [2]], [1])


def test_hidden_inputs_and_what_is_running() -> None:
    def tell(prompt: Any, png: Any, me: str) -> Any:
        return (f"{sorted(prompt)} {png} {me} {current().node_id} {current().list_index}",)

    toys = Toys()
    hidden = {"prompt": "PROMPT", "png": "EXTRA_PNGINFO", "me": "UNIQUE_ID"}
    toys.nodes["Tell"] = simple_node(tell, {"required": {}, "hidden": hidden})
    prompt = {"t": node("Tell"), "s": node("Show", value=["t", 0])}
    shown = toys.run(prompt, extra_data={"extra_pnginfo": {"workflow": 1}})
    assert shown["s"]["shown"] == ["['s', 't'] {'workflow': 1} t t 0"]


class Picture:
    """Stands for a large value; knows how many of its kind are alive."""

    alive: ClassVar["weakref.WeakSet[Picture]"] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def test_values_go_as_soon_as_nobody_needs_them() -> None:
    peaks: list[int] = []

    def step(picture: Any = None) -> Any:
        made = Picture()
        peaks.append(len(Picture.alive))
        return (made,)

    toys = Toys(NoCache())
    toys.nodes["Step"] = simple_node(step, {"optional": {"picture": ANY}})
    toys.nodes["End"] = simple_node(lambda picture: (), {"picture": ANY}, (), OUTPUT_NODE=True)
    prompt: Prompt = {"0": node("Step")}
    prompt |= {str(n): node("Step", picture=[str(n - 1), 0]) for n in range(1, 50)}
    toys.run({**prompt, "end": node("End", picture=["49", 0])})
    assert max(peaks) <= 2
    peaks.clear()
    wide: Prompt = {f"{n}a": node("Step") for n in range(20)}
    wide |= {f"{n}b": node("Step", picture=[f"{n}a", 0]) for n in range(20)}
    wide |= {f"{n}e": node("End", picture=[f"{n}b", 0]) for n in range(20)}
    toys.run(wide)
    assert max(peaks) <= 2


def test_a_long_chain_needs_no_recursion() -> None:
    toys = Toys()
    chain: Prompt = {"0": node("Value", value=0)}
    chain |= {str(n): node("Add", a=[str(n - 1), 0], b=1) for n in range(1, 5000)}
    assert toys.run({**chain, "s": node("Show", value=["4999", 0])}) == {"s": {"shown": [4999]}}


def test_events_come_in_the_order_that_clients_know() -> None:
    names = [event.name for event in run_prompt(Toys().nodes, SUM).events]
    assert names[:2] == ["execution_start", "execution_cached"]
    assert names[-1] == "execution_success"
    assert [name for name in names if name in ("executing", "executed")] == ["executing"] * 4 + ["executed"]


def test_a_lazy_input_nobody_asked_for_is_none_even_where_its_value_is_there() -> None:
    toys = Toys()
    toys.nodes["Switch"] = lazy_switch()
    prompt = {
        "p": node("Pair", a=1, b=2),
        "x": node("Show", value=["p", 0]),
        "y": node("Switch", on=False, a=["p", 0], b=5),
        "z": node("Show", value=["y", 0]),
    }
    assert toys.run(prompt) == {"x": {"shown": [1, 2]}, "z": {"shown": [5]}}


def test_an_async_node_may_be_the_last_to_land() -> None:
    """It has landed before the executor looks for the next node: then nothing is left, which is no error."""
    toys = Toys()

    async def show(value: Any) -> Any:
        return {"ui": {"shown": [value]}}

    toys.nodes["Late"] = simple_node(show, {"value": ANY}, (), OUTPUT_NODE=True)
    slow = toys.executor.lane.submit

    def landed_at_once(coroutine: Any, on_done: Any) -> None:
        done = threading.Event()
        slow(coroutine, lambda found, error: (on_done(found, error), done.set()))
        assert done.wait(5)

    toys.executor.lane.submit = landed_at_once  # type: ignore[method-assign]
    assert toys.run({"a": node("Late", value=1)}) == {"a": {"shown": [1]}}


async def test_an_interrupt_before_the_first_node_is_not_lost() -> None:
    toys = Toys()
    held = threading.Event()
    toys.nodes["Hold"] = simple_node(lambda: held.wait(5), {}, (), OUTPUT_NODE=True)
    first = asyncio.ensure_future(toys.executor.run({"h": node("Hold")}, prompt_id="first"))
    second = asyncio.ensure_future(toys.executor.run(SUM, prompt_id="second"))
    await asyncio.sleep(0.05)
    assert toys.executor.interrupt("second")
    held.set()
    with pytest.raises(PromptStopped):
        await second
    assert toys.calls == []
    with pytest.raises(NodeError):
        await first
    assert not toys.executor.interrupt()
