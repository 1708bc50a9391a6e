"""Which names of their host packs use, and how many of those are backed here.

    python tests/benchmarks/host_names.py DIR [--peer COMFYUI] [--rows 60]      # DIR: a folder of packs

Counted by syntax: what packs import from the host's modules, and what they reach from there by attribute. A
name is *backed* when an object of ours answers to it, *refused* when it is a stand-in that raises MissingName
once a node uses it, *lacking* when there is nothing, and *gone* when no host that is known has it either (the
peer, if one is named): packs try such names and go on. The last line is JSON.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OURS = ("registry", "host", "cli", "plugins/nodes", "plugins/upscale")
OURS += ("plugins/compat", "plugins/compat/modules")
HOST = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "folder_paths",
    "nodes",
    "server",
    "execution",
}
HOST |= {"latent_preview", "node_helpers", "cuda_malloc", "protocol"}
HERE = Path(__file__)


def uses(pack: Path) -> Counter[str]:
    """Dotted names of the host in a pack's files, and at how many places each stands."""
    found: Counter[str] = Counter()
    for file in pack.rglob("*.py") if pack.is_dir() else [pack]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        found.update(_in_file(tree))
    return found


def _in_file(tree: ast.Module) -> Iterator[str]:
    nodes = list(ast.walk(tree))
    local: dict[str, str] = {}
    for node in nodes:
        for name, meant in _imported(node):
            local[name] = meant
            yield meant
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            first, *rest = _chain(node) or [""]
            if first in local:
                yield ".".join([local[first].partition(" ")[0], *rest])


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name and host name of each name that an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top in HOST:
                yield (alias.asname, alias.name) if alias.asname else (top, top)
                if alias.name != top and not alias.asname:
                    yield alias.name, alias.name
    elif isinstance(node, ast.ImportFrom) and not node.level and (module := node.module):
        for alias in node.names if module.partition(".")[0] in HOST else ():
            yield alias.asname or alias.name, module if alias.name == "*" else f"{module}.{alias.name}"


def _chain(node: ast.expr) -> list[str]:
    """`a.b.c` as its parts; nothing for what hangs on a call or an item."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def states(
    names: Iterable[str], python: Path, paths: Iterable[Path], host: Path | None = None
) -> dict[str, str]:
    """Each name's state in a process that has these paths; `host`: a folder for packs to ask about."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    env |= {"NODERACK_HOST": str(host)} if host else {}
    asked = json.dumps(sorted(set(names)))
    ran = subprocess.run(
        [python, HERE, "--resolve"], input=asked, env=env, text=True, capture_output=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"no names could be looked up:\n{ran.stderr[-2000:]}")
    found: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return found


def resolve(name: str) -> str:
    """The state of one name in this process."""
    parts = name.split(".")
    value: Any = None
    for count in range(1, len(parts) + 1):
        value = _next(value, parts[:count])
        if value is None or type(value).__name__ == "_StandIn":
            return "lacking" if value is None else "refused"
        if _module(value) and "Not provided by Noderack" in (value.__doc__ or "") and count == len(parts):
            return "refused"
    return "backed"


def _module(value: Any) -> bool:
    return type(value).__name__ == "module"


def _next(value: Any, parts: list[str]) -> Any:
    """The next value on the way: an attribute, else a module of that name."""
    if value is not None and hasattr(value, parts[-1]):
        got = getattr(value, parts[-1])
        return NONE if got is None else got
    try:
        return import_module(".".join(parts)) if value is None or _module(value) else None
    except Exception:  # a module may raise anything
        return None


NONE = object()  # a name whose value is None


def audit(
    packs: Mapping[str, Counter[str]], ours: Mapping[str, str], peer: Mapping[str, str] | None = None
) -> dict[str, Counter[str]]:
    """Per pack: how many places use a name of each state."""
    found = {}
    for pack, names in packs.items():
        row: Counter[str] = Counter()
        for name, places in names.items():
            row[told(name, ours, peer)] += places
        found[pack] = row
    return found


def told(name: str, ours: Mapping[str, str], peer: Mapping[str, str] | None) -> str:
    """Ours, but *gone* where the peer has nothing either."""
    running = name.startswith("server.PromptServer.instance")  # the peer has none before it serves
    if ours[name] != "backed" and peer is not None and peer[name] != "backed" and not running:
        return "gone"
    return ours[name]


def backed(rows: Mapping[str, Counter[str]]) -> float:
    """The share of places whose name is backed, of those that any host backs."""
    total = sum((row for row in rows.values()), Counter[str]())
    wanted = total["backed"] + total["refused"] + total["lacking"]
    return round(total["backed"] / wanted, 4) if wanted else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packs", nargs="*", type=Path)
    parser.add_argument("--peer", type=Path, help="a ComfyUI folder: names that it lacks too are gone")
    parser.add_argument("--peer-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--resolve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.resolve:
        names = json.load(sys.stdin)
        sys.argv = ["main.py", "--cpu"]  # what the peer is to read as it is imported
        import_module("comfy.options").enable_args_parsing()
        print("\n" + json.dumps({name: resolve(name) for name in names}))
        return
    packs = {
        p.stem: uses(p) for folder in asked.packs for p in sorted(folder.iterdir()) if p.name[0] not in "._"
    }
    every = {name for names in packs.values() for name in names}
    ours = states(every, Path(sys.executable), [ROOT / room for room in OURS])
    peer = states(every, asked.peer_python, [asked.peer]) if asked.peer else None
    print_names(packs, ours, peer, asked.rows)
    rows = audit(packs, ours, peer)
    for pack, row in sorted(rows.items(), key=lambda item: -(item[1]["refused"] + item[1]["lacking"]))[:20]:
        print(f"  {pack}: {dict(row)}")
    total = sum((row for row in rows.values()), Counter[str]())
    print(json.dumps({"bench": "names", "figures": {"names_backed": backed(rows), **total}}))


def print_names(
    packs: Mapping[str, Counter[str]], ours: Mapping[str, str], peer: Mapping[str, str] | None, rows: int
) -> None:
    """Names that are not backed, by how many packs and places want them."""
    per_name: dict[str, list[tuple[str, int]]] = {}
    for pack, names in packs.items():
        for name, places in names.items():
            per_name.setdefault(name, []).append((pack, places))
    order = sorted(per_name, key=lambda name: (-len(per_name[name]), -sum(n for _, n in per_name[name])))
    short = [name for name in order if told(name, ours, peer) in ("refused", "lacking")]
    for name in short[:rows]:
        wanted = per_name[name]
        some = ", ".join(pack for pack, _ in wanted[:3])
        print(f"{len(wanted):3} packs {sum(n for _, n in wanted):4} places  {ours[name]:8} {name}   ({some})")


if __name__ == "__main__":
    main()
