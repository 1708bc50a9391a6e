"""The jail's parent: starts the command behind its walls, watches time, memory and output, and ends it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from noderack_registry.errors import RegistryError

WALLS = Path(__file__).with_name("walls.py")
NEEDED = ("files", "network", "limits")
_LOOK_EVERY = 0.2
_START_SECONDS = 20
_TAIL = 8_000
_PAGE = 4096


class JailError(RegistryError):
    """The command was not started: this machine does not give the walls that are needed."""

    code = "no-jail"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of wall time and of each process's CPU; bytes of memory, of files and of output; processes."""

    seconds: int = 120
    memory: int = 6 << 30
    disk: int = 512 << 20
    processes: int = 256
    output: int = 32 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended. `why` is '' when it ended itself, else time, memory or output.

    `code` is its exit code, negative for a signal; `walls` says of each wall whether it stood.
    """

    code: int
    why: str
    out: bytes
    err: str
    seconds: float
    walls: Mapping[str, str] = field(default_factory=dict)


def run(
    command: Sequence[str],
    *,
    shown: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    weak: bool = False,
) -> Ended:
    """Run `command`, which can read `shown` and the system's programs, and write to its own /tmp alone.

    Raises JailError when a wall in NEEDED does not stand, unless `weak`.
    """
    if sys.platform != "linux":
        raise JailError(f"there is no jail on {sys.platform}", "run this on Linux")
    with tempfile.TemporaryDirectory(prefix="noderack-jail-") as folder:
        root, work = Path(folder) / "root", Path(folder) / "work"
        for path in (root, work):
            path.mkdir()
        Path(folder).chmod(0o755)
        work.chmod(0o777)
        spec: dict[str, object] = {
            "root": str(root),
            "shown": [str(path) for path in shown],
            "writable": [str(work)],
            "command": list(command),
            "environment": dict(environment or {}),
        }
        return _Watch(spec, limits or Limits()).run(weak)


class _Watch:
    """One command under watch."""

    def __init__(self, spec: dict[str, object], limits: Limits) -> None:
        self._spec, self._limits = spec, limits
        self._out, self._err = bytearray(), bytearray()

    def run(self, weak: bool) -> Ended:
        with self._started() as (child, report, go):
            walls = _report(report)
            missing = [name for name in NEEDED if walls.get(name) != "stood"]
            if missing and not weak:
                said = "; ".join(f"{name}: {walls.get(name, 'no answer')}" for name in missing)
                raise JailError(f"this machine gives no walls for a jail ({said})", "see registry/README.md")
            begun = time.monotonic()
            os.write(go, b"y")
            why = self._watch(child, begun)
            _end(child)
            return Ended(
                child.returncode,
                why,
                bytes(self._out),
                bytes(self._err[-_TAIL:]).decode("utf-8", "replace"),
                round(time.monotonic() - begun, 3),
                walls,
            )

    @contextmanager
    def _started(self) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
        report, report_in = os.pipe()
        go_out, go = os.pipe()
        spec = {**self._spec, "limits": asdict(self._limits), "report": report_in, "go": go_out}
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WALLS), json.dumps(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"LANG": "C.UTF-8"},
            pass_fds=(report_in, go_out),
            start_new_session=True,
        )
        os.close(report_in)
        os.close(go_out)
        try:
            yield child, report, go
        finally:
            os.close(report)
            os.close(go)
            _end(child)
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()

    def _watch(self, child: subprocess.Popen[bytes], begun: float) -> str:
        """Read what it says until it ends; the reason if it had to be ended."""
        with selectors.DefaultSelector() as ready:
            for stream, kept in ((child.stdout, self._out), (child.stderr, self._err)):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                ready.register(stream, selectors.EVENT_READ, kept)
            looked = 0.0
            while ready.get_map():
                for key, _ in ready.select(_LOOK_EVERY):
                    if not self._read(key.fileobj, key.data):
                        ready.unregister(key.fileobj)
                now = time.monotonic()
                if now - begun > self._limits.seconds:
                    return "time"
                if len(self._out) > self._limits.output:
                    return "output"
                if now - looked >= _LOOK_EVERY:
                    looked = now
                    if child.poll() is not None:
                        return ""
                    if memory_of(child.pid) > self._limits.memory:
                        return "memory"
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, self._limits.seconds - (time.monotonic() - begun)))
            return ""
        return "time"

    def _read(self, stream: object, kept: bytearray) -> bool:
        block = os.read(stream.fileno(), 1 << 16)  # type: ignore[attr-defined]
        kept += block
        if kept is self._err and len(kept) > 4 * _TAIL:
            del kept[:-_TAIL]
        return bool(block)


def _report(report: int) -> dict[str, str]:
    """What the child says of its walls; nothing when it died before."""
    with selectors.DefaultSelector() as ready:
        ready.register(report, selectors.EVENT_READ)
        if not ready.select(_START_SECONDS):
            return {}
    line = os.read(report, 1 << 16)
    found = json.loads(line) if line else {}
    return found if isinstance(found, dict) else {}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill it with all that it started: its processes die with the first of their world."""
    if child.poll() is None:
        for pid in _below(child.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        child.kill()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def memory_of(pid: int) -> int:
    """Bytes in memory of a process and all below it; shared pages count for each."""
    total = 0
    for one in (pid, *_below(pid)):
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{one}/statm").read_text().split()
            total += (int(fields[1]) - int(fields[2])) * _PAGE
    return total


def _below(pid: int) -> list[int]:
    """All processes that descend from one."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                stat = Path(f"/proc/{entry.name}/stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found
