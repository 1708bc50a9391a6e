"""How existing packs fare, untouched: built, types seen, loaded, and giving the results they give elsewhere.

    make bench-packs                             # small packs of its own
    make bench-packs PACKS=DIR                   # a folder of repositories
    make bench-packs PACKS=DIR PEER=COMFYUI PACKS_PYTHON=PYTHON

PACKS_PYTHON is a Python that has what the packs need, and what ComfyUI needs; without it a clone of this one
gets that installed from the index (20 minutes at most; what cannot be had is told, and such packs may not
load). Without PEER, a wheel is compared with its own folder. The last line is JSON: shares of packs, of nodes
that ran on both sides, and of the places in packs whose name of the host is backed here (host_names.py has
the others); import_vs_peer is a ratio. A pack takes half a minute, some minutes at most; --resume FILE goes
on where an earlier run was stopped.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import host_names
from noderack_registry.packing import BuiltWheel, PackError, build_wheel
from noderack_registry.packing.layout import PARENT, identifier
from noderack_registry.packing.syntax import node_types_from_source
from packs_env import environment

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests" / "cases" / "packs"
ROOMS = ("registry", "host", "cli", "plugins/nodes", "plugins/upscale")
ROOMS += ("plugins/compat", "plugins/compat/modules")


SECONDS = 150  # for one pack, all its nodes included
LIMITS = {"each": 5, "all": 60}  # seconds for one node, and after which none begins

# What a host has imported before its first pack; import times count from there on, on both sides.
WARM = (
    "torch",
    "folder_paths",
    "nodes",
    "server",
    "comfy.utils",
    "comfy.sd",
    "comfy.samplers",
    "comfy_api.latest",
)


@dataclass
class Row:
    """What was found out about one pack."""

    name: str
    built: bool = False
    why: str = ""
    types: int = 0
    types_seen: bool | None = None
    loaded: bool = False
    ours: dict[str, Any] = field(default_factory=dict)
    peer: dict[str, Any] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    @property
    def lacking(self) -> int:
        """At how many places the pack uses a name of the host that is not backed here."""
        return self.names.get("refused", 0) + self.names.get("lacking", 0)

    def compared(self) -> tuple[list[str], list[str]]:
        """Nodes that ran on both sides, and those of them that gave the same."""
        mine, theirs = self.ours.get("nodes", {}), self.peer.get("nodes", {})
        both = [n for n in mine if mine[n]["state"] == "ran" and theirs.get(n, {}).get("state") == "ran"]
        return both, [n for n in both if close(mine[n]["result"], theirs[n]["result"])]


def close(a: Any, b: Any) -> bool:
    """Equal, numbers within what single precision leaves open."""
    if isinstance(a, float | int) and isinstance(b, float | int) and not isinstance(a, bool):
        return abs(a - b) <= 2e-3 * max(1.0, abs(a), abs(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    return bool(a == b)


class Up:
    """A process in which a host is up; each pack is tried in a copy of it."""

    def __init__(self, python: Path, host: dict[str, Any], log: Path) -> None:
        self.log = log
        self._process = subprocess.Popen(
            [str(python), str(ROOT / "cli" / "noderack_cli" / "pack_try.py"), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("ab"),
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},  # packs loop over sets
            cwd=_corner(log.parent),
        )
        self._tell(host, "ready")

    def _tell(self, job: dict[str, Any], until: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        while (line := self._process.stdout.readline()).strip() != until:
            if not line:
                raise SystemExit(f"the host's process died; its last words are in {self.log}")

    def look(self, job: dict[str, Any], out: Path) -> dict[str, Any]:
        """What a copy of the process found out."""
        out.unlink(missing_ok=True)
        self._tell({**job, "out": str(out), "seconds": SECONDS}, "done")
        if not out.is_file():
            error = f"it died, or took longer than {SECONDS} s"
            return {"loaded": False, "types": [], "seconds": 0.0, "nodes": {}, "error": error}
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return found

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Bench:
    """Both sides, and where things are put meanwhile."""

    ours: Up
    theirs: Up
    work: Path
    run: bool
    places: dict[Path, Path]


def measure(pack: Path, bench: Bench) -> Row:
    """One pack, from its folder to the comparison."""
    work = bench.work
    row = Row(pack.stem)
    try:
        built = build_wheel(pack, work / "wheels")
    except PackError as cause:
        row.why = f"not built: {cause}"
        return row
    row.built = True
    site = work / "site" / built.metadata.name
    with zipfile.ZipFile(built.path) as wheel:
        wheel.extractall(site)
    imports = imported(pack)
    mine = {
        **LIMITS,
        "imports": imports,
        "paths": [str(site)],
        "modules": built.entry_modules,
        "run": bench.run,
    }
    row.ours = bench.ours.look(mine, work / "ours.json")
    row.ours = _renamed(row.ours, {site / PARENT / identifier(pack.stem): pack, **bench.places})
    row.peer = bench.theirs.look(
        {**LIMITS, "folder": str(pack), "run": bench.run, "imports": imports}, work / "theirs.json"
    )
    row.loaded, row.types = row.ours["loaded"], len(row.ours["types"])
    _compare_types(row, pack, built)
    if not row.loaded:
        row.why = row.ours["error"]
    shutil.rmtree(site, ignore_errors=True)
    return row


def _renamed(found: dict[str, Any], places: dict[Path, Path]) -> dict[str, Any]:
    """Our answer with the peer's folders for ours: nodes tell where they saved something."""
    text = json.dumps(found)
    for mine, theirs in places.items():
        text = text.replace(str(mine), str(theirs))
    renamed: dict[str, Any] = json.loads(text)
    return renamed


def imported(pack: Path) -> list[str]:
    """All modules of others that the pack imports anywhere, and the packages that those are in."""
    files = pack.rglob("*.py") if pack.is_dir() else [pack]
    found: set[str] = set()
    for file in files:
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module)
    return sorted(found | {name.partition(".")[0] for name in found})


def _compare_types(row: Row, pack: Path, built: BuiltWheel) -> None:
    """Syntax against the import that gave most. What is not installed there is absent for the reader, too."""
    loaded = [side for side in (row.peer, row.ours) if side["loaded"]]
    if not loaded:
        return
    best = max(loaded, key=lambda side: len(side["types"]))
    truth, seen = best["types"], built.types
    if set(truth) != set(seen.node_types) and best.get("absent"):
        seen = node_types_from_source(pack, best["absent"])
    differ = sorted(set(truth) ^ set(seen.node_types))
    told = " ".join(seen.unseen)
    row.types_seen = not differ
    row.why = "" if not differ else f"types differ: {', '.join(differ[:4])} ({len(differ)}); told: {told}"
    lost = sorted(set(row.peer["types"]) - set(row.ours["types"]))
    if row.ours["loaded"] and lost:
        row.why += f" only under the peer: {', '.join(lost[:3])} ({len(lost)})"


def _corner(work: Path) -> Path:
    """Where packs may write what they write into the working folder."""
    folder = work / "corner"
    folder.mkdir(exist_ok=True)
    return folder


def _paths() -> list[str]:
    return [str(ROOT / room) for room in ROOMS]


ROUNDS = 4  # of starts; the first reads everything from the disk and writes byte code


def side_by_side(packs: list[Path], python: Path, peer: Path | None, work: Path) -> dict[str, float]:
    """A host that starts with all these packs, on both sides in turn: the best seconds of each."""
    site, folders = work / "all", work / "custom_nodes"
    folders.mkdir()
    for pack in packs:
        with zipfile.ZipFile(build_wheel(pack, work / "wheels").path) as wheel:
            wheel.extractall(site)
        copy = shutil.copy if pack.is_file() else shutil.copytree  # byte code is written beside them
        copy(pack, folders / pack.name)
    other = {"peer": str(peer)} if peer else {"paths": _paths()}
    jobs = {
        "ours": {"paths": [*_paths(), str(site)]},
        "theirs": {**other, "folders": [str(folders / pack.name) for pack in packs]},
    }
    took: dict[str, list[dict[str, Any]]] = {side: [] for side in jobs}
    for _ in range(ROUNDS):
        for side, job in jobs.items():
            took[side].append(start_host(job, python, work))
    told: dict[str, float] = {"packs_together": len(packs)}
    for side, name in (("ours", "seconds"), ("theirs", "peer_seconds")):
        best = min(took[side][1:], key=lambda one: float(one["start"] + one["packs"]))
        told[name] = round(best["start"] + best["packs"], 2)
        parts = f"{best['start']:.1f} s to start, {best['packs']:.1f} s for {best['loaded']} packs"
        print(f"{side}: {parts}", *best["failed"], sep="\n    ")
    told["import_vs_peer"] = round(told["seconds"] / told["peer_seconds"], 3)
    return told


def start_host(job: dict[str, Any], python: Path, work: Path) -> dict[str, Any]:
    """Starts one host, once; raises SystemExit when it does not come up."""
    out, log = work / "start.json", work / "start.log"
    out.unlink(missing_ok=True)
    command = [str(python), str(Path(__file__).with_name("host_start.py"))]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    asked = json.dumps({**job, "out": str(out)})
    with log.open("wb") as said:  # packs write into the working folder, too
        subprocess.run([*command, asked], stdout=said, stderr=said, check=False, env=own, cwd=_corner(work))
    if not out.is_file():
        raise SystemExit(f"a host did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def figures(rows: list[Row]) -> dict[str, float]:
    """The numbers that are tracked."""
    told = [row for row in rows if row.types_seen is not None]
    compared = [row.compared() for row in rows]
    both = sum(len(all_) for all_, _ in compared)
    return {
        "packs": len(rows),
        "built": share(sum(row.built for row in rows), len(rows)),
        "types_seen": share(sum(bool(row.types_seen) for row in told), len(told)),
        "loaded": share(sum(row.loaded for row in rows), len(rows)),
        "same_result": share(sum(len(same) for _, same in compared), both),
        "nodes_compared": both,
        "names_backed": host_names.backed({row.name: Counter(row.names) for row in rows}),
    }


def names_of(packs: list[Path], python: Path, peer: Path | None, host: str) -> dict[str, dict[str, int]]:
    """For each pack, at how many places it uses names of the host that are backed, refused, lacking, gone."""
    used = {pack.stem: host_names.uses(pack) for pack in packs}
    every = {name for names in used.values() for name in names}
    ours = host_names.states(every, python, map(Path, _paths()), Path(host))
    theirs = host_names.states(every, python, [peer]) if peer else None
    return {name: dict(row) for name, row in host_names.audit(used, ours, theirs).items()}


def share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def table(rows: list[Row]) -> str:
    """A Markdown table of all packs."""
    lines = [
        "| pack | built | types | seen from syntax | loads | same result | names lacking | why not |",
        "|---|---|--:|---|---|--:|--:|---|",
    ]
    for row in rows:
        both, same = row.compared()
        seen = {True: "all", False: "not all", None: "?"}[row.types_seen]
        shown = f"{len(same)}/{len(both)}" if both else ""
        why = row.why.replace("|", "/").replace("\n", " ")[:110]
        built, loads = ("yes" if flag else "no" for flag in (row.built, row.loaded))
        lacking = f"{row.lacking} of {sum(row.names.values())}" if row.names else ""
        told = (row.name, built, row.types, seen, loads, shown, lacking, why)
        lines.append(f"| {' | '.join(map(str, told))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = {key: Path(os.environ[key]) for key in ("PACKS", "PEER", "PACKS_PYTHON") if os.environ.get(key)}
    parser.add_argument("packs", nargs="?", type=Path, default=given.get("PACKS", OWN))
    parser.add_argument("--peer", type=Path, default=given.get("PEER"), help="a ComfyUI folder")
    parser.add_argument("--python", type=Path, default=given.get("PACKS_PYTHON", Path(sys.executable)))
    parser.add_argument("--table", type=Path, help="where to write the Markdown table")
    parser.add_argument("--no-run", action="store_true", help="load only: do not run nodes")
    parser.add_argument(
        "--together", type=int, default=30, help="packs in the host that is timed whole (0: none)"
    )
    parser.add_argument("--only", help="names of packs, with commas")
    parser.add_argument(
        "--resume", type=Path, help="keep rows in this file, and do not measure those in it again"
    )
    asked = parser.parse_args()
    asked.packs, asked.python = asked.packs.absolute(), asked.python.absolute()
    asked.peer = asked.peer.absolute() if asked.peer else None
    kept = json.loads(asked.resume.read_text("utf-8")) if asked.resume and asked.resume.exists() else {}
    wanted = set(asked.only.split(",")) if asked.only else None
    packs = [
        p
        for p in sorted(asked.packs.iterdir())
        if (p.is_dir() or p.suffix == ".py") and p.name[0] not in "._"
    ]
    rows: list[Row] = []
    atexit.register((corner := tempfile.TemporaryDirectory(prefix="noderack-bench-")).cleanup)
    some = [pack for pack in packs if wanted is None or pack.name in wanted]
    asked.python = _python(asked.packs, some, asked.peer, asked.python, Path(corner.name))
    with tempfile.TemporaryDirectory(prefix="noderack-bench-") as temporary:
        os.environ.setdefault("NODERACK_HOST", _host(Path(temporary)))
        bench = _bench(asked.python, asked.peer, Path(temporary), run=not asked.no_run)
        fresh = [pack for pack in some if pack.name not in kept]
        names = names_of(fresh, asked.python, asked.peer, os.environ["NODERACK_HOST"])
        for pack in packs:
            if wanted is None or pack.name in wanted:
                if pack.name in kept:
                    rows.append(Row(**kept[pack.name]))
                    continue
                row = measure(pack, bench)
                row.names = names.get(pack.stem, {})
                kept[pack.name] = asdict(row)
                if asked.resume:
                    asked.resume.write_text(json.dumps(kept), "utf-8")
                rows.append(row)
                _tell(row)
        bench.ours.close()
        bench.theirs.close()
    if asked.table:
        asked.table.write_text(table(rows) + "\n", "utf-8")
    print(table(rows))
    found = figures(rows)
    if not asked.together:
        print(json.dumps({"bench": "packs", "figures": found}))
        return
    with tempfile.TemporaryDirectory(prefix="noderack-bench-") as temporary:
        os.environ["NODERACK_HOST"] = _host(Path(temporary))
        loaded = {row.name for row in rows if row.loaded and row.peer.get("loaded")}
        some = [pack for pack in packs if pack.stem in loaded][: asked.together]
        found |= side_by_side(some, asked.python, asked.peer, Path(temporary))
    print(json.dumps({"bench": "packs", "figures": found}))


def _python(folder: Path, packs: list[Path], peer: Path | None, python: Path, work: Path) -> Path:
    """The Python that was named; for packs of others and where none was, one with what they need."""
    if folder == OWN or python != Path(sys.executable).absolute():
        return python
    try:
        return environment(packs, peer, work / "env")
    except (OSError, subprocess.SubprocessError) as cause:
        print(f"packs have what is here, as nothing can be installed: {cause}")
        return python


def _bench(python: Path, peer: Path | None, work: Path, *, run: bool) -> Bench:
    own: dict[str, Any] = {"paths": _paths(), "warm": WARM}
    other = {"host": str(peer)} if peer else own
    places: dict[Path, Path] = {}
    if peer:
        places = {Path(os.environ["NODERACK_HOST"]): peer, _corner(work): peer}
        shutil.copytree(peer / "input", Path(os.environ["NODERACK_HOST"]) / "input", dirs_exist_ok=True)
    return Bench(
        Up(python, own, work / "ours.log"), Up(python, other, work / "theirs.log"), work, run, places
    )


def _tell(row: Row) -> None:
    """A line on a pack, and the first nodes whose results differ."""
    both, same = row.compared()
    told = f"{row.types} types, seen {row.types_seen}, loaded {row.loaded}, {row.lacking} names lacking"
    print(f"{row.name}: {told}, {len(same)}/{len(both)} same. {row.why}", flush=True)
    mine, theirs = row.ours.get("nodes", {}), row.peer.get("nodes", {})
    for name in sorted(set(both) - set(same))[:8]:
        print(f"    {name}: {str(mine[name]['result'])[:120]} | {str(theirs[name]['result'])[:120]}")


def _host(folder: Path) -> str:
    """A host for the packs to ask about, with nothing in it."""
    for name in ("models", "input", "output", "temp", "user", PARENT):
        (folder / "host" / name).mkdir(parents=True)
    (folder / "host" / "host.toml").touch()
    return str(folder / "host")


if __name__ == "__main__":
    main()
