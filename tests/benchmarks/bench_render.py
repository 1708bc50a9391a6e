"""Runs whole workflows of the families here with random weights, and compares with another host's pictures.

    make bench-render                      small workflows of its own
    make bench-render CORPUS=DIR           every workflow below a folder that needs built-in node types alone
                                           and draws with Stable Diffusion 1, 2 or XL (as bench-types tells)
    make bench-render CORPUS=DIR PEER=~/ComfyUI PEER_PYTHON=…   the same prompts by that host too

Each is made cheap (an eighth or a sixteenth of each side, three steps, batches of two) and is otherwise left
as it is; checkpoints, adapters, encoders and pictures are random, of the structure that their names tell, few
layers deep unless a peer shall read them (`render_files.py`). RENDER_WORK names a folder that keeps files and
results, so that a run cut short goes on where it was and tries again what failed; prompts that become
the same are run once. RENDER_ONLY is a
regular expression for paths.

Figures: `workflows`; `prompts`, those that differ; `ran`, in percent; with a peer also `peer_ran`, and
`same_picture`: in how many of the workflows that ran there all pictures differ by at most five of 255.
Each that did not run, and each that differs, is listed with the reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from bench_types import CASES, KNOWN, Needed, needed_in
from noderack_host.execute import NodeError
from noderack_host.folder import Host, HostConfig
from noderack_host.headless import Session, Wishes
from noderack_host.problems import PromptInvalid
from noderack_host.running import use
from noderack_host.workflow import read_workflow
from PIL import Image
from render_files import put_model, put_picture
from render_peer import Answer, Peer, peer, pictures_of
from render_prompt import Prompt, as_posix, cheaper, local_pictures

TOLERANCE = 5
"""Of 255, in any channel of any pixel: what sums in another order, rounded to eight bits, may differ by."""


@dataclass
class Result:
    """What became of one prompt."""

    key: str
    paths: list[str] = field(default_factory=list)
    failed: str = ""
    seconds: float = 0.0
    peer_failed: str | None = None
    apart: int | None = None
    """The largest difference of any pixel, of 255; none where one side has no pictures."""
    note: str = ""


def main() -> None:
    corpus = Path(os.environ.get("CORPUS") or CASES)
    with ExitStack() as stack:
        signal.signal(signal.SIGTERM, lambda *_: (stack.close(), os._exit(1)))
        kept = os.environ.get("RENDER_WORK")
        work = Path(kept or stack.enter_context(tempfile.TemporaryDirectory())).absolute()
        bench = Bench(work, stack)
        for one in in_turn(wanted(corpus, set(bench.session.schemas))):
            bench.run(one.path, str(one.path.relative_to(corpus)))
        print(json.dumps({"bench": "render", "figures": report(list(bench.results.values()), bench.other)}))


def wanted(corpus: Path, here: set[str]) -> Iterator[Needed]:
    """The workflows that this is about."""
    core = set(json.loads(KNOWN.read_text(encoding="utf-8"))) if KNOWN.exists() else here
    only = os.environ.get("RENDER_ONLY", "")
    for one in needed_in(corpus):
        if one.types <= core | here and one.of_the_families() and re.search(only, str(one.path)):
            yield one


def in_turn(found: Iterable[Needed]) -> list[Needed]:
    """One of each set of types first, so that a run that is cut short has seen most."""
    rows: dict[frozenset[str], list[Needed]] = {}
    for one in found:
        rows.setdefault(one.types, []).append(one)
    return [one for turn in zip_longest(*rows.values()) for one in turn if one is not None]


class Bench:
    """A host with random files, perhaps another beside it, and what became of each prompt so far."""

    def __init__(self, work: Path, stack: ExitStack) -> None:
        self.work, self.told = work, work / "results.jsonl"
        self.host = Host(work / "ours", HostConfig())
        for folder in (self.host.models, self.host.input, self.host.output, self.host.temp):
            folder.mkdir(parents=True, exist_ok=True)
        self.session = Session(self.host, lambda line: None)
        stack.callback(self.session.executor.close)
        self.other = self._peer(stack)
        self.results = {row.key: row for row in self._earlier()}

    def _peer(self, stack: ExitStack) -> Peer | None:
        if not (checkout := os.environ.get("PEER")):
            return None
        root = self.work / "theirs"
        root.mkdir(exist_ok=True)
        for name in ("models", "input"):
            if not (root / name).exists():
                (root / name).symlink_to(self.work / "ours" / name)
        python = os.environ.get("PEER_PYTHON") or sys.executable
        return stack.enter_context(peer(python, Path(checkout), root, self.work / "peer.log"))

    def _earlier(self) -> Iterator[Result]:
        if self.told.exists():
            rows = (Result(**json.loads(line)) for line in self.told.read_text().splitlines())
            yield from (row for row in rows if not (row.failed or row.peer_failed))

    def run(self, path: Path, name: str) -> None:
        """Run one workflow, unless the same prompt has been run."""
        workflow = read_workflow(path)
        with use(self.session.executor.running):
            prompt = cheaper(workflow.prompt(self.session.schemas).prompt, self.session.schemas)
        for picture in local_pictures(prompt):
            put_picture(self.host.input, picture)
        plain = {k: {**v, "_meta": None} for k, v in prompt.items()}
        key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self.results:
            for use_ in workflow.model_uses():
                put_model(
                    self.host.models, self.work / "pool", use_.folder or "", use_.name, self.other is not None
                )
            self.results[key] = self._result(key, prompt)
            print(f"{self.results[key].failed or 'ran'} [{self.results[key].seconds} s]: {name}", flush=True)
        if name not in self.results[key].paths:
            self.results[key].paths.append(name)
        self._keep()

    def _keep(self) -> None:
        lines = (json.dumps(asdict(row)) for row in self.results.values())
        self.told.write_text("".join(f"{line}\n" for line in lines))

    def _result(self, key: str, prompt: Prompt) -> Result:
        posted = self.other.post(as_posix(prompt)) if self.other else None
        began = time.monotonic()
        ours = self._ours(prompt)
        result = Result(key, failed=ours.failed, seconds=round(time.monotonic() - began, 1))
        if self.other and posted is not None:
            theirs = self.other.wait(posted)
            result.peer_failed = theirs.failed
            if not ours.failed and not theirs.failed:
                result.apart, result.note = apart(ours.pictures, theirs.pictures)
        return result

    def _ours(self, prompt: Prompt) -> Answer:
        file = self.work / "prompt.json"
        file.write_text(json.dumps(prompt))
        try:
            (done,) = self.session.run(read_workflow(file), Wishes())
        except (NodeError, PromptInvalid) as error:
            return Answer({}, str(error))
        return Answer(pictures_of(done.outputs, self.host.root))


def apart(ours: Mapping[str, list[Path]], theirs: Mapping[str, list[Path]]) -> tuple[int | None, str]:
    """The largest difference of any pixel, and what keeps pictures from being compared."""
    worst = 0
    for node, files in theirs.items():
        mine = ours.get(node, [])
        if len(mine) != len(files):
            return None, f"node {node}: {len(mine)} pictures here, {len(files)} there"
        for one, other in zip(mine, files, strict=True):
            a, b = (np.asarray(Image.open(path).convert("RGBA"), dtype=np.int16) for path in (one, other))
            if a.shape != b.shape:
                return None, f"node {node}: {a.shape[1::-1]} here, {b.shape[1::-1]} there"
            worst = max(worst, int(np.abs(a - b).max()))
    return worst, ""


def report(rows: list[Result], other: Peer | None) -> dict[str, Any]:
    """Print what failed and what differs; return the figures, which count workflows."""
    for row in rows:
        if row.failed or row.peer_failed or row.note or (row.apart or 0) > TOLERANCE:
            there = f"; there: {row.peer_failed or 'ran'}" if other else ""
            print(
                f"{len(row.paths)} × {row.paths[:1]}: {row.failed or 'ran'}{there}; {row.note or row.apart}"
            )
    total = sum(len(row.paths) for row in rows)
    ran = sum(len(row.paths) for row in rows if not row.failed)
    figures = {"workflows": total, "prompts": len(rows), "ran": percent(ran, total)}
    if other is None:
        return figures
    there = [row for row in rows if row.peer_failed == ""]
    same = sum(len(row.paths) for row in there if row.apart is not None and row.apart <= TOLERANCE)
    count = sum(len(row.paths) for row in there)
    return figures | {"peer_ran": percent(count, total), "same_picture": percent(same, count)}


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 100.0


if __name__ == "__main__":
    main()
