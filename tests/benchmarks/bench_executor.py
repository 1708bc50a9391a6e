"""What the executor costs for each trivial node, in µs of CPU time; beside a peer's when PEER names it.

    make bench-executor                    # 1,000 nodes; NODES and LARGE (the linearity check) take others
    make bench-executor PEER=~/ComfyUI     # PEER_NODES: the length of its chain, for it is slow
                                           # PEER_PYTHON: its interpreter; else its own .venv, else ours

Figures: chain_us, parallel_us cold; cached_us, leaf_us, root_us on the parallel graph, chain_cached_us and so
on for the chain; large_us on a chain of LARGE nodes, and growth, what such a node costs over one of 1,000;
images: how many of a 50-node chain's live at once. Each has …_vs_peer.
"""

import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from noderack_host.cache import NoCache
from noderack_host.execute import Executor
from noderack_host.testing import simple_node

Prompt = dict[str, Any]
REPEATS = 5
PEER_SCRIPT = Path(__file__).with_name("peer_executor.py")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def chain(count: int, first: Any = 0, last: Any = 0) -> Prompt:
    """A chain of `count` nodes and an output; `first` and `last` are constants of its ends."""
    prompt: Prompt = {"0": node("Start", seed=first)}
    prompt |= {str(n): node("Step", value=[str(n - 1), 0], seed=0) for n in range(1, count)}
    return {**prompt, "end": node("End", value=[str(count - 1), 0], seed=last)}


def parallel(count: int, first: Any = 0, last: Any = 0) -> Prompt:
    """One root, `count` nodes on it, an output on each; `last` is the constant of one of the outputs."""
    prompt: Prompt = {"root": node("Start", seed=first)}
    for n in range(count // 2):
        prompt[f"n{n}"] = node("Step", value=["root", 0], seed=n)
        prompt[f"e{n}"] = node("End", value=[f"n{n}", 0], seed=last if n == 0 else 0)
    return prompt


SEED = ("INT", {"default": 0})
NODES = {
    "Start": simple_node(lambda seed: (seed,), {"seed": SEED}),
    "Step": simple_node(lambda value, seed: (value,), {"value": ("*", {}), "seed": SEED}),
    "End": simple_node(lambda value, seed: (), {"value": ("*", {}), "seed": SEED}, (), OUTPUT_NODE=True),
}


def cost(run: Callable[[], object], nodes: int) -> float:
    """µs of CPU time for each node."""
    start = time.process_time()
    run()
    return (time.process_time() - start) * 1e6 / nodes


def measure(graph: Callable[..., Prompt], count: int) -> dict[str, float]:
    """Cold, cached, one leaf changed, one root changed: the best of some repeats each."""
    rows = [_one_turn(graph, count, turn) for turn in range(1, REPEATS + 1)]
    return {key: min(row[key] for row in rows) for key in rows[0]}


def _one_turn(graph: Callable[..., Prompt], count: int, turn: int) -> dict[str, float]:
    executor = Executor(NODES)
    prompts = {"cold": graph(count), "cached": graph(count)}
    prompts |= {"leaf": graph(count, last=turn), "root": graph(count, first=turn)}
    found = {key: cost(partial(executor.run_here, prompt), count) for key, prompt in prompts.items()}
    executor.close()
    return found


class Value:
    """Stands for an image; knows how many are alive."""

    alive: ClassVar["weakref.WeakSet[Value]"] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def most_images() -> int:
    """The most values of a 50-node chain that live at the same time when nothing is cached."""
    peaks: list[int] = []

    def step(value: Any, seed: int) -> Any:
        made = Value()
        peaks.append(len(Value.alive))
        return (made,)

    step_node = simple_node(step, {"value": ("*", {}), "seed": SEED})
    Executor({**NODES, "Step": step_node}, NoCache()).run_here(chain(50))
    return max(peaks)


def peer_figures(checkout: str, count: int, chain_count: int) -> dict[str, float]:
    """The same measured in the peer's executor, in its own interpreter."""
    own = [Path(checkout) / folder / "bin/python" for folder in (".venv", "venv")]
    python = os.environ.get("PEER_PYTHON") or next((str(p) for p in own if p.exists()), sys.executable)
    command = [python, str(PEER_SCRIPT), checkout, str(count), str(chain_count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the peer's executor could not be measured: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def named(name: str, row: dict[str, float], prefix: str) -> dict[str, float]:
    return {
        f"{name}_us": row["cold"],
        **{f"{prefix}{key}_us": row[key] for key in ("cached", "leaf", "root")},
    }


def main() -> None:
    count = int(os.environ.get("NODES", "1000"))
    large = int(os.environ.get("LARGE", "100000"))
    figures = named("chain", measure(chain, count), "chain_") | named(
        "parallel", measure(parallel, count), ""
    )
    figures["large_us"] = cost(lambda: Executor(NODES).run_here(chain(large)), large)
    figures["growth"] = figures["large_us"] / figures["chain_us"]
    figures["images"] = most_images()
    if peer := os.environ.get("PEER"):
        chain_count = int(os.environ.get("PEER_NODES", "200"))
        theirs = peer_figures(peer, count, chain_count)
        ours = dict(figures)
        if chain_count != count:
            ours |= named("chain", measure(chain, chain_count), "chain_")
        figures["peer_chain_nodes"] = chain_count
        figures |= {f"peer_{key}": value for key, value in theirs.items()}
        figures |= {f"{key}_vs_peer": ours[key] / value for key, value in theirs.items()}
    for key, value in figures.items():
        print(f"{key:28} {value:12.4f}")
    print(
        json.dumps({"bench": "executor", "figures": {key: round(value, 5) for key, value in figures.items()}})
    )


if __name__ == "__main__":
    main()
