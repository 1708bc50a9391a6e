import asyncio
import sys
import textwrap
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from noderack_host.check import check_prompt
from noderack_host.execute import Executor, NodeError, PromptStopped
from noderack_host.isolate import loader
from noderack_host.packs import Packs, load_packs

SOURCE = """
import os, threading, time
from noderack_host.native import node
from noderack_host.running import current

class Palette:
    def __init__(self, names): self.names = names; self.lock = threading.Lock()

class Make:
    RETURN_TYPES = ("PALETTE", "STRING")
    FUNCTION = "run"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING",)}})
    VALIDATE_INPUTS = classmethod(lambda cls, name: True if name != "bad" else "no bad ones")
    def run(self, name):
        self.count = getattr(self, "count", 0) + 1
        return (Palette([name, str(self.count)]), str(os.getpid()))

class Tell:
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    INPUT_TYPES = classmethod(lambda cls: {"required": {"palette": ("PALETTE",), "pid": ("STRING",)}})
    def run(self, palette, pid):
        return {"ui": {"text": palette.names + [str(pid == str(os.getpid()))]}}

class Crash(Tell):
    INPUT_TYPES = classmethod(lambda cls: {"required": {"how": ("STRING",)}})
    def run(self, how):
        if how == "raise": raise ValueError("no")
        if how == "wait":
            for step in range(1000):
                current().progress(step, 1000)
                time.sleep(0.02)
        os.kill(os.getpid(), 9)

class Tensor:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",)}})
    def run(self, image):
        return (image + 1,)

NODE_CLASS_MAPPINGS = {"Tensor": Tensor, "Make": Make, "Tell": Tell, "Crash": Crash}
"""


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packs]:
    folder = tmp_path_factory.mktemp("packs")
    (folder / "pack_apart.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    sys.path.insert(0, str(folder))
    found = load_packs(
        [EntryPoint("apart", "pack_apart", "noderack.packs")], load=loader(lambda name: True, None)
    )
    yield found
    sys.path.remove(str(folder))


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def prompt(name: str) -> dict[str, Any]:
    return {"1": node("Make", name=name), "2": node("Tell", palette=["1", 0], pid=["1", 1])}


def test_a_pack_runs_apart_and_its_own_values_stay_there(packs: Packs) -> None:
    assert packs.failures == () and "pack_apart" not in sys.modules
    executor = Executor(packs.nodes)
    assert executor.run_here(prompt("red")).outputs == {"2": {"text": ["red", "1", "True"]}}
    assert executor.run_here(prompt("blue")).outputs == {"2": {"text": ["blue", "2", "True"]}}
    problems = check_prompt(prompt("bad"), packs.nodes).problems
    assert [found.details for found in problems] == ["name - no bad ones"]


def test_tensors_travel_through_shared_memory(packs: Packs) -> None:
    torch = pytest.importorskip("torch")
    found = load_packs(
        [EntryPoint("apart", "pack_apart", "noderack.packs")], load=loader(lambda name: True, None)
    )
    cls: Any = found.nodes["Tensor"]
    sent = torch.ones(2, 8, 8, 3)
    (image,) = cls().run(image=sent)["result"]
    assert torch.equal(image, sent + 1)
    assert sent.is_shared() and image.is_shared()


def test_a_crash_stays_there_and_the_next_call_works(packs: Packs) -> None:
    executor = Executor(packs.nodes)
    with pytest.raises(NodeError, match=r"ValueError: no \(in the process of pack apart\)"):
        executor.run_here({"1": node("Crash", how="raise")})
    with pytest.raises(NodeError, match="was ended by SIGKILL"):
        executor.run_here({"1": node("Crash", how="die")})
    assert executor.run_here(prompt("red")).outputs["2"]["text"][0] == "red"


async def test_an_interrupt_reaches_the_pack(packs: Packs) -> None:
    executor = Executor(packs.nodes)
    told: list[Any] = []
    task = asyncio.ensure_future(executor.run({"1": node("Crash", how="wait")}, told.append))
    while not any(event.name == "progress" for event in told):
        await asyncio.sleep(0.05)
    start = time.perf_counter()
    executor.interrupt()
    with pytest.raises(PromptStopped):
        await task
    assert time.perf_counter() - start < 5
    assert executor.run_here(prompt("red")).outputs["2"]["text"][2] == "True"
