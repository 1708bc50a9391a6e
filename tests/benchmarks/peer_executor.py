"""Runs in a peer's interpreter: the same graphs through ComfyUI's own executor, as its checkout has it.

peer_executor.py CHECKOUT NODES CHAIN_NODES prints one JSON line. Only what surrounds the executor is replaced
(the node module and the GPU memory manager), so that it can be imported without a GPU and without models.
"""

import asyncio
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

REPEATS = 2
CACHE_ARGUMENTS = {"lru": 0, "ram": 0, "ram_inactive": 0}


def anything(owner: object, name: str) -> Any:
    """Whatever is asked of a stand-in, but for what Python itself asks."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Idle()


class Fake(types.ModuleType):
    """A module that has whatever is asked of it: exceptions for capital names, idle functions for others."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = Kind(name, (Exception,), {"__getattr__": anything}) if name[0].isupper() else Idle()
        setattr(self, name, found)
        return found


class Kind(type):
    """A class that has whatever is asked of it."""

    def __getattr__(cls, name: str) -> Any:
        return anything(cls, name)


class Idle:
    """Can be called, and has whatever is asked of it; is false."""

    def __call__(self, *args: Any, **options: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return Idle()

    def __mul__(self, other: object) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __bool__(self) -> bool:
        return False


class Surroundings(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what the executor's modules import around it; never for the executor's own parts."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        own = name.startswith("comfy.comfy_types") or name in ("comfy_types", "comfy")
        faked = name in ("nodes", "folder_paths", "server", "av") or name.startswith(("comfy.", "av."))
        return self.spec(name) if faked and not own else None

    def spec(self, name: str) -> importlib.machinery.ModuleSpec:
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: Any) -> types.ModuleType:
        return Fake(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class Absent(Surroundings):
    """Comes last: packages that the peer requires and this environment lacks."""

    NAMES = frozenset(
        (
            *("alembic", "comfy_aimdo", "comfy_kitchen", "einops", "glfw", "kornia", "psutil", "scipy"),
            *("pydantic_settings", "simpleeval", "spandrel", "sqlalchemy", "torchaudio", "torchsde"),
            *("torchvision", "yaml"),
        )
    )

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return self.spec(name) if name.partition(".")[0] in self.NAMES else None


class Server:
    client_id = None
    last_node_id = None

    def send_sync(self, *args: Any) -> None:
        pass


def main() -> None:
    checkout, count, chain_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sys.path[:0] = [checkout]
    here = Path(__file__).parent
    sys.path.append(str(here))
    from bench_executor import NODES, chain, named, parallel

    sys.meta_path.insert(0, Surroundings())
    sys.meta_path.append(Absent())
    import nodes

    nodes.NODE_CLASS_MAPPINGS = dict(NODES)
    import execution

    sys.setrecursionlimit(100_000)

    def run(executor: Any, prompt: dict[str, Any], nodes: int) -> float:
        outputs = [node_id for node_id, node in prompt.items() if node["class_type"] == "End"]
        start = time.process_time()
        asyncio.run(executor.execute_async(prompt, "p", {}, outputs))
        assert executor.success
        return (time.process_time() - start) * 1e6 / nodes

    def measure(graph: Any, nodes: int) -> dict[str, float]:
        rows = []
        for turn in range(REPEATS if nodes <= 200 or graph is parallel else 1):
            executor = execution.PromptExecutor(Server(), False, CACHE_ARGUMENTS)
            rows.append(
                {
                    "cold": run(executor, graph(nodes), nodes),
                    "cached": run(executor, graph(nodes), nodes),
                    "leaf": run(executor, graph(nodes, last=turn + 1), nodes),
                    "root": run(executor, graph(nodes, first=turn + 1), nodes),
                }
            )
        return {key: min(row[key] for row in rows) for key in rows[0]}

    figures = named("chain", measure(chain, chain_count), "chain_")
    figures |= named("parallel", measure(parallel, count), "")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
