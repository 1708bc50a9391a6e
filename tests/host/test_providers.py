"""Results from elsewhere: what providers are asked and offered, and that none of them can break a run."""

import asyncio
import threading
from typing import Any

import pytest
from noderack_host.execute import Executor, NodeError
from noderack_host.graph_builder import GraphBuilder
from noderack_host.providers import CacheContext, CacheProvider, CacheValue
from noderack_host.testing import simple_node

SEED = ("INT", {"default": 0})


class Shelf(CacheProvider):
    """A provider that several hosts share."""

    def __init__(self) -> None:
        self.kept: dict[str, CacheValue] = {}
        self.asked: list[str] = []
        self.prompts: list[str] = []

    async def on_lookup(self, context: CacheContext) -> CacheValue | None:
        self.asked.append(context.class_type)
        return self.kept.get(context.cache_key_hash)

    async def on_store(self, context: CacheContext, value: CacheValue) -> None:
        assert len(context.cache_key_hash) == 64
        self.kept[context.cache_key_hash] = value

    def should_cache(self, context: CacheContext, value: CacheValue | None = None) -> bool:
        return context.class_type != "Show"

    def on_prompt_start(self, prompt_id: str) -> None:
        self.prompts.append(f"{prompt_id} began")

    def on_prompt_end(self, prompt_id: str) -> None:
        self.prompts.append(f"{prompt_id} ended")


class Broken(Shelf):
    async def on_lookup(self, context: CacheContext) -> Any:
        raise OSError("no network")

    async def on_store(self, context: CacheContext, value: CacheValue) -> None:
        raise OSError("no network")

    def on_prompt_start(self, prompt_id: str) -> None:
        raise OSError("no network")


class Wrong(Shelf):
    async def on_lookup(self, context: CacheContext) -> Any:
        return "no value"


def executor(*providers: CacheProvider) -> tuple[Executor, list[Any]]:
    """An executor and what its nodes ran with."""
    ran: list[Any] = []

    def double(value: int) -> Any:
        ran.append(value)
        return {"ui": {"text": [str(value)]}, "result": (value * 2,)}

    def grow(value: int) -> Any:
        graph = GraphBuilder("x.")
        inner = graph.node("Double", value=value)
        return {"result": (inner.out(0),), "expand": graph.finalize()}

    inputs = {"value": ("*", {})}
    nodes = {
        "Double": simple_node(double, {"value": SEED}, ("INT",)),
        "Always": simple_node(
            double, {"value": SEED}, ("INT",), IS_CHANGED=staticmethod(lambda value: float("nan"))
        ),
        "Grow": simple_node(grow, {"value": SEED}, ("INT",)),
        "Fail": simple_node(lambda value: 1 / 0, inputs, ("INT",)),
        "Show": simple_node(lambda value: {"ui": {"text": [value]}}, inputs, (), OUTPUT_NODE=True),
    }
    return Executor(nodes, providers=lambda: providers), ran


def prompt(kind: str) -> dict[str, Any]:
    return {
        "a": {"class_type": kind, "inputs": {"value": 3}},
        "b": {"class_type": "Double", "inputs": {"value": ["a", 0]}},
        "s": {"class_type": "Show", "inputs": {"value": ["b", 0]}},
    }


def run(made: Executor, kind: str = "Double") -> Any:
    """What a prompt shows; returns when what it stores beside is stored."""
    outputs = made.run_here(prompt(kind), prompt_id="p").outputs
    done = threading.Event()
    made.lane.submit(asyncio.sleep(0), lambda *_: done.set())
    assert done.wait(10)
    return outputs


def test_a_second_host_takes_what_the_first_made() -> None:
    shelf = Shelf()
    first, ran = executor(shelf)
    assert run(first)["s"] == {"text": [12]} and ran == [3, 6]
    assert len(shelf.kept) == 2 and shelf.prompts == ["p began", "p ended"]
    second, ran = executor(shelf)
    shown = run(second)
    assert ran == [] and shown["s"] == {"text": [12]} and shown["b"] == {"text": ["6"]}
    assert shelf.asked == ["Double", "Double", "Double"]  # the second asks for the last alone


@pytest.mark.parametrize("kind", ["Always", "Grow"])
def test_what_is_never_equal_or_came_of_an_expansion_is_not_offered(kind: str) -> None:
    shelf = Shelf()
    made, _ = executor(shelf)
    assert run(made, kind)["s"] == {"text": [12]}
    assert len(shelf.kept) == {"Always": 0, "Grow": 2}[kind]  # of Grow: the inner node and the one after it


@pytest.mark.parametrize("provider", [Broken(), Wrong()])
def test_a_provider_that_fails_changes_nothing(provider: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    made, ran = executor(provider, shelf := Shelf())
    assert run(made)["s"] == {"text": [12]} and ran == [3, 6]
    assert len(shelf.kept) == 2
    assert "cache provider" in caplog.text


def test_a_prompt_that_fails_is_over_too() -> None:
    made, _ = executor(shelf := Shelf())
    with pytest.raises(NodeError):
        run(made, "Fail")
    assert shelf.prompts == ["p began", "p ended"]
