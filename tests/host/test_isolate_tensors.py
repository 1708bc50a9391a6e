"""Tensors between a host and an isolated pack: shared memory while they are used, and nothing left behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from noderack_host.check import check_prompt
from noderack_host.execute import Executor, NodeError
from noderack_host.isolate import loader
from noderack_host.packs import Packs, load_packs
from noderack_host.testing import simple_node

torch = pytest.importorskip("torch")
SHARED = Path("/dev/shm")
SIDE = 512

SOURCE = """
import asyncio, os, time
from collections.abc import Generator
from noderack_host.native import Image, Lazy, Progress, node
from noderack_host.v3 import ComfyExtension, io

@node
def invert(image: Image) -> Image:
    return 1 - image

@node
def view(image: Image) -> Image:
    return image[:, ::2]

@node
def die(image: Image) -> Image:
    kept.append(image + 1)
    os.kill(os.getpid(), 9)
    return image

@node
def slow(image: Image) -> Generator[Progress, None, Image]:
    for step in range(1000):
        yield Progress(step, 1000)
        time.sleep(0.02)
    return image

@node
async def later(image: Image) -> Image:
    await asyncio.sleep(0.01)
    return image * 2

@node
def either(first: bool, a: Lazy[Image], b: Lazy[Image]) -> Image:
    return a() if first else b()

kept = []

class Grow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        number = io.Int.Input("n", default=0, min=0)
        options = [io.DynamicCombo.Option("plain", []), io.DynamicCombo.Option("sized", [number])]
        inputs = [io.Autogrow.Input("all", template=io.Autogrow.TemplatePrefix(number, "n", min=1, max=3))]
        inputs += [io.DynamicCombo.Input("model", options=options)]
        return io.Schema("Grow", inputs=inputs, outputs=[io.AnyType.Output()], hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, all, model):
        return (f"{all} {model} {cls.hidden.unique_id}",)

NODE_CLASS_MAPPINGS = {"Grow": Grow}
"""

SHOW = simple_node(
    lambda value: {"ui": {"shown": [float(value.sum()) if hasattr(value, "sum") else value]}},
    {"value": ("*",)},
    (),
    OUTPUT_NODE=True,
)
MAKE = simple_node(lambda n: (torch.ones(1, SIDE, SIDE, 3) * n,), {"n": ("INT",)}, ("IMAGE",))


def mine() -> set[str]:
    """The shared memory of this process and its children: torch names it by the process that made it."""
    return {name.name for name in SHARED.glob("torch_*")} if SHARED.is_dir() else set()


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packs]:
    (tmp_path / "pack_tensors.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("tensors", "pack_tensors", "noderack.packs")
    found = load_packs([point], load=loader(lambda name: True, None))
    assert found.failures == () and "pack_tensors" not in sys.modules
    yield found


def chain(*types: str, **inputs: Any) -> dict[str, Any]:
    """Make → each of `types` → Show."""
    prompt: dict[str, Any] = {"0": {"class_type": "Make", "inputs": {"n": 1}}}
    for at, kind in enumerate(types, 1):
        prompt[str(at)] = {"class_type": kind, "inputs": {"image": [str(at - 1), 0], **inputs}}
    return {**prompt, "s": {"class_type": "Show", "inputs": {"value": [str(len(types)), 0]}}}


def executor_of(packs: Packs) -> Executor:
    return Executor({**packs.nodes, "Make": MAKE, "Show": SHOW})


def test_nothing_stays_in_shared_memory(packs: Packs) -> None:
    before = mine()
    executor = executor_of(packs)
    whole = SIDE * SIDE * 3
    assert executor.run_here(chain("Invert", "Later", "View")).outputs["s"]["shown"] == [0.0]
    assert executor.run_here(chain("View", "Later")).outputs["s"]["shown"] == [float(whole)]
    with pytest.raises(NodeError, match="was ended by SIGKILL"):
        executor.run_here(chain("Invert", "Die"))
    assert executor.run_here(chain("Invert")).outputs["s"]["shown"] == [0.0]
    executor.free()
    del executor
    close(packs)
    assert mine() <= before


def close(packs: Packs) -> None:
    packs.nodes["Invert"].PACK.close()
    gc.collect()


def test_lazy_and_dynamic_inputs_reach_the_pack(packs: Packs) -> None:
    executor = executor_of(packs)
    either = {
        "a": {"class_type": "Make", "inputs": {"n": 0}},
        "b": {"class_type": "Nobody", "inputs": {}},
        "1": {"class_type": "Either", "inputs": {"first": True, "a": ["a", 0], "b": ["b", 0]}},
        "s": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
    }
    executor.nodes = {**executor.nodes, "Nobody": simple_node(lambda: 1 / 0, {})}
    assert executor.run_here(either).outputs["s"]["shown"] == [0.0]
    inputs = {"all.n0": 1, "all.n2": 3, "model": "sized", "model.n": 7}
    grow = {"1": {"class_type": "Grow", "inputs": inputs}, "s": either["s"]}
    assert check_prompt(grow, executor.nodes).problems == ()
    told = "{'n0': 1, 'n2': 3} {'model': 'sized', 'n': 7} 1"
    assert executor.run_here(grow).outputs["s"]["shown"] == [told]
    bad = {"1": {"class_type": "Grow", "inputs": {**inputs, "model.n": -1}}, "s": either["s"]}
    assert [found.kind for found in check_prompt(bad, executor.nodes).problems] == ["value_smaller_than_min"]
    close(packs)


@pytest.mark.skipif(not SHARED.is_dir(), reason="only Linux shows shared memory as files")
def test_a_host_that_is_killed_leaves_no_process_and_no_memory(packs: Packs, tmp_path: Path) -> None:
    close(packs)
    script = tmp_path / "host.py"
    script.write_text(
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import test_isolate_tensors as t\n"
        "from importlib.metadata import EntryPoint\n"
        "from noderack_host.packs import load_packs\n"
        "from noderack_host.isolate import loader\n"
        "if __name__ == '__main__':\n"
        "    point = EntryPoint('tensors', 'pack_tensors', 'noderack.packs')\n"
        "    packs = load_packs([point], load=loader(lambda name: True, None))\n"
        "    def hear(event):\n"
        "        if event.name == 'progress': print(packs.nodes['Slow'].PACK.pid, flush=True)\n"
        "    t.executor_of(packs).run_here(t.chain('Invert', 'Slow'), hear)\n",
        encoding="utf-8",
    )
    before = mine()
    command = [sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        os.kill(host.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (Path(f"/proc/{pid}").exists() or not mine() <= before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
    assert mine() <= before
