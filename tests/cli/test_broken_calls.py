"""kill -9, EIO and a full disk at every call by which an install changes the disk: old or new, and told.

Each point starts from the same host and installs two packs, a library and a model; then the next run finishes
the work. uv's cache is filled, so that its calls are those that change this host; or empty, for those of its
downloads. The default run takes a sample; `make test-all` takes every point, and NODERACK_FAULT_PART=K/N one
part of N. Quick in memory: pytest --basetemp=/dev/shm/faults.
"""

import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import broken_calls
import pytest
from broken_calls import Broken, Point
from noderack_cli import generations
from noderack_cli.doctor import look
from noderack_cli.exits import Exit
from noderack_cli.installed import installed
from noderack_cli.main import run
from noderack_host.folder import Host

FAULTS = ["KILL", "EIO", "ENOSPC"]
PACKS = {"film", "sheet"}
MODEL = bytes(range(256)) * 400
SAMPLE = 3
CLEANING = ("unlink", "unlinkat", "rmdir")  # what is left when these fail is for the next run
TOLD = {Exit.OK, Exit.INSTALL_FAILED, Exit.NO_SPACE, Exit.UNRESOLVABLE, Exit.REGISTRY}

needs_linux = pytest.mark.skipif(
    not broken_calls.HERE, reason="Linux on x86-64 can break a call by its number"
)


@dataclass
class Stand:
    """A host, a registry with two packs and a model, and a workflow that wants them all."""

    host: Host
    shop: Any
    scratch: Path
    flow: str = ""
    seen: set[str] = field(default_factory=set)  # states of the host that were looked at, and finished

    def __post_init__(self) -> None:
        files = {f"data/{n}.txt": b"x" * 1000 for n in range(3)}
        self.shop.sell("lib", library=True)
        self.shop.sell("film", types=["FilmGrain"], requires=["lib"], files=files)
        self.shop.sell("sheet", types=["Sheet"])
        self.shop.sell_model("shapes.safetensors", MODEL)
        nodes = {"1": {"class_type": "FilmGrain", "inputs": {}}, "2": {"class_type": "Sheet", "inputs": {}}}
        wanted = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "shapes.safetensors"}}
        file = self.scratch / "flow.json"
        file.write_text(json.dumps({**nodes, "3": wanted}))
        self.flow = str(file)
        shutil.copytree(self.host.root, self.scratch / "saved", symlinks=True)
        (self.scratch / "saved-cache").mkdir()

    def fill_cache(self) -> None:
        """From now on uv's cache holds what an install needs."""
        self.broken()
        shutil.copytree(
            self.scratch / "uv-cache", self.scratch / "saved-cache", symlinks=True, dirs_exist_ok=True
        )

    @property
    def words(self) -> list[str]:
        return ["install-missing", self.flow, "--yes"]

    def fresh(self) -> None:
        """The host and uv's cache as they were at the start."""
        for folder in (self.host.root, self.scratch / "uv-cache", self.scratch / "tmp"):
            generations.remove(folder)
        shutil.copytree(self.scratch / "saved", self.host.root, symlinks=True)
        shutil.copytree(self.scratch / "saved-cache", self.scratch / "uv-cache", symlinks=True)
        (self.scratch / "tmp").mkdir()

    def broken(self, at: Point | None = None, fault: str = "KILL") -> Broken:
        """A fresh install, broken there."""
        self.fresh()
        return broken_calls.run([sys.executable, "-m", "noderack_cli", *self.words], at, fault)

    def wrong(self, at: Point, fault: str) -> Iterator[str]:
        """What is not as it should be after a fault at that point, and after the next run."""
        done = self.broken(at, fault)
        killed = fault == "KILL" and at.role == "nodes"
        place = f"{fault} at {at.role} {at.number} ({done.hit}): "
        yield from (f"{place}{ill}" for ill in self._told(done, killed))
        if not killed and not (done.hit and done.hit.name in CLEANING):
            yield from (f"{place}left behind: {name}" for name in self.leftovers() if not self._goes_on(name))
        state = self.state()
        if state not in self.seen:
            self.seen.add(state)
            yield from (f"{place}{ill}" for ill in self._whole())
            yield from (f"{place}then the next run: {ill}" for ill in self._finish())

    def _told(self, done: Broken, killed: bool) -> Iterator[str]:
        if done.left:
            yield "a process is left behind"
        if "Traceback" in done.err + done.out:
            yield f"a traceback: {done.err[-600:]}"
        if not killed and done.code not in TOLD:
            yield f"exit code {done.code}: {done.err[-600:]}"
        if not killed and done.code != 0 and "nodes: " not in done.err:
            yield f"not told: {done.out} {done.err}"
        if done.code == 0 and not self.installed():
            yield "exit code 0, and not all is there"

    def _whole(self) -> Iterator[str]:
        now = generations.current(self.host)
        have = installed(now.path)
        if {name for name in have if name in PACKS} != {name for name in now.packs if name in PACKS}:
            yield f"generation {now.number} is neither old nor new"
        if packs := sorted(PACKS & set(now.packs)):
            words = [now.python, "-c", f"import {', '.join(packs)}"]
            started = subprocess.run(words, capture_output=True, text=True, check=False)
            if started.returncode != 0:
                yield f"the host does not start: {started.stderr[-300:]}"
        yield from (f"doctor: {ill.what}" for ill in look(self.host))
        if self.model.exists() and self.model.read_bytes() != MODEL:
            yield "the model has its name and other bytes"

    def _finish(self) -> Iterator[str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run(self.words)
        if code != 0 or not self.installed():
            yield f"exit code {code}, not finished: {said.getvalue()[-600:]}"
        yield from self._whole()
        yield from (f"left behind: {name}" for name in self.leftovers() if not self._harmless(name))

    def _goes_on(self, name: str) -> bool:
        """What came of a download is kept for the next run."""
        part = self.model.with_name(f"{self.model.name}.part")
        return ".part" in name and part.is_file() and part.stat().st_size > 0

    def _harmless(self, name: str) -> bool:
        """What a killed command may leave for good: temporary folders, and the lock of a whole model."""
        return name.startswith("tmp/") or (name.endswith(".part.lock") and self.model.is_file())

    @property
    def model(self) -> Path:
        return self.host.models / "checkpoints" / "shapes.safetensors"

    def installed(self) -> bool:
        """Whether all is there."""
        return set(generations.current(self.host).packs) >= PACKS and self.model.is_file()

    def leftovers(self) -> list[str]:
        """What an install should have taken away."""
        root, now = self.host.root, generations.current(self.host)
        found = [*generations.unfinished(self.host), *root.glob(".env.*"), *root.rglob("*.part*")]
        found += [*root.glob("generations/*/.generation.json.*"), *root.glob("wheels/.*")]
        found += [p for p in self.host.generations.glob("[0-9]*") if int(p.name) > now.number]
        return [str(p.relative_to(root)) for p in found] + [
            f"tmp/{p.name}" for p in (self.scratch / "tmp").iterdir()
        ]

    def state(self) -> str:
        """A hash of all names, links and sizes: two hosts with the same one are the same to the next run."""
        rows = []
        for root in (self.host.root, self.scratch / "uv-cache"):
            for path in sorted(root.rglob("*")):
                size = path.lstat().st_size if path.is_file() and path.name != "generation.json" else 0
                name = re.sub(r"\.tmp\w+|\.\d+$|[0-9a-f]{16,}|[\w-]{21}", "", str(path.relative_to(root)))
                rows.append(f"{name} {size} {path.is_symlink() and path.readlink().name}")
        return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


@pytest.fixture
def stand(shop: Any, rack: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stand:
    """Nothing installed yet, and every cache and temporary folder its own."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    return Stand(rack, shop, tmp_path)


def part(points: list[Point]) -> list[Point]:
    """The part K/N of the points that NODERACK_FAULT_PART names, all of them where it names none."""
    number, _, parts = os.environ.get("NODERACK_FAULT_PART", "1/1").partition("/")
    return points[int(number) - 1 :: int(parts)]


def tried(stand: Stand, fault: str, points: list[Point]) -> str:
    """Try each point; returns what to say of it, and fails with all that is wrong."""
    wrong: list[str] = []
    for point in points:
        found = list(stand.wrong(point, fault))
        wrong += found
        print(f"{fault} {point.role} {point.number} {found}", flush=True)
    assert not wrong, "\n".join(wrong)
    counts = Counter(point.role for point in points)
    return f"{fault}: {len(points)} points {dict(counts)}, {len(stand.seen)} states finished"


@needs_linux
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_a_call_leaves_the_old_or_the_new(stand: Stand, fault: str) -> None:
    normal = stand.broken()
    assert normal.code == 0 and stand.installed() and not stand.leftovers(), normal.err
    assert {"nodes", "uv", "verifier"} <= {point.role for point in normal.points}
    tried(stand, fault, random.Random(fault).sample(normal.points, SAMPLE))


@needs_linux
@pytest.mark.slow
@pytest.mark.timeout(36000)
@pytest.mark.parametrize("cache", ["filled", "empty"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call(
    stand: Stand, fault: str, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stand.broken()  # writes byte code of what is not the host's
    if cache == "filled":
        stand.fill_cache()
    points = [p for p in stand.broken().points if cache == "filled" or p.role == "uv"]
    with capsys.disabled():
        print(f"\n{len(points)} points; {tried(stand, fault, part(points))}")
