"""Imports packs of a generation in a child process with limits, and says which node types came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any

from noderack_host.folder import Host

from noderack_cli.errors import InstallError, TookTooLong

CHILD = Path(__file__).with_name("verify_child.py")
LONGER = "The host is as it was. Packs may take longer with seconds under [verify] in host.toml."
AS_IT_WAS = "The host is as it was."
OTHERS = AS_IT_WAS + " Other versions of it: nodes show {}"
GRACE = 10  # seconds after which a child that outlived its own alarm is ended from outside


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pack may take while it is imported: `seconds`, and `memory` in bytes."""

    seconds: int = 120
    memory: int = 16 << 30

    @classmethod
    def of(cls, host: Host) -> Limits:
        """As [verify] of host.toml says: `seconds`, and `memory` in GiB."""
        said = host.config.other.get("verify", {})
        said = said if isinstance(said, Mapping) else {}
        seconds, memory = said.get("seconds"), said.get("memory")
        return cls(
            int(seconds) if isinstance(seconds, int | float) and seconds >= 1 else cls().seconds,
            int(memory * (1 << 30)) if isinstance(memory, int | float) and memory > 0 else cls().memory,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A pack that does not import, or one node type of it that breaks the contract."""

    pack: str
    cause: str
    node_type: str | None = None
    where: tuple[str, ...] = ()
    """The last lines of code on the way to it."""
    distribution: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a child found. `node_types` maps a type to its object_info entry, `packs` a pack to its types.

    `seconds` is how long each pack took to import; `lacking` which names of the field's host interface packs
    asked for that are not provided: {"pack", "name", "count"} each.
    """

    node_types: Mapping[str, Any] = field(default_factory=dict)
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    lacking: tuple[Mapping[str, Any], ...] = ()


class Place:
    """A private folder for one inspection: what the child says is written there; gone afterwards."""

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noderack-")
        self.path = Path(self._folder.name)
        self.out, self.err = self.path / ".out", self.path / ".err"
        self.allowed = [str(self.path), str(root / "user"), str(root / "temp")]
        self.allowed += [f"+{root / name}" for name in ("models", "input", "output")]
        self.arguments = ["inspect", "--host", str(root)]

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """This process's, with temporary files and caches in the private folder."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        names = ("TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")
        return kept | dict.fromkeys(names, str(self.path))

    def found(self, code: int, packs: Sequence[str], limits: Limits) -> Inspection:
        """What a child that ended with `code` found; raises InstallError."""
        what, said = ", ".join(packs) or "the packs", _last_json(_text(self.out, 64 << 20))
        if code != 0 and not said:
            last = _last_words(_text(self.err, 1 << 20))
            kind = TookTooLong if code == -signal.SIGALRM else InstallError
            told = f"Importing {what} {_ending(code, limits.seconds)}{last}"
            raise kind(told, LONGER if kind is TookTooLong else OTHERS.format(*packs, "PACK"))
        return _inspection(said, what, limits)


def inspect(python: Path, host: Host, packs: Sequence[str] = (), limits: Limits | None = None) -> Inspection:
    """Import `packs` (all when empty) with that Python, in a new process; raises InstallError."""
    limits = limits or Limits.of(host)
    with Place(host.root) as place:
        command = [str(python), "-I", str(CHILD), str(limits.seconds), str(limits.memory)]
        command += [os.pathsep.join(place.allowed), *place.arguments]
        code = _run([*command, *(["--packs", *packs] if packs else [])], place, limits)
        return place.found(code, packs, limits)


def _run(command: list[str], place: Place, limits: Limits) -> int:
    with place.out.open("wb") as stdout, place.err.open("wb") as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=place.environment(),
            start_new_session=True,
        )
        try:
            return child.wait(limits.seconds + GRACE)
        except subprocess.TimeoutExpired:
            return -signal.SIGALRM
        finally:
            end_group(child.pid)
            child.wait()


def end_group(pid: int) -> None:
    """End a child and whatever the pack started with it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _text(file: Path, most: int) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - most))
        return stream.read().decode("utf-8", "replace")


def _ending(code: int, seconds: int) -> str:
    if code == -signal.SIGALRM:
        return f"did not end within {seconds} s"
    if code < 0:
        return f"crashed the process ({signal.Signals(-code).name})"
    return f"ended the process with code {code}"


def _last_words(err: str) -> str:
    lines = [line for line in err.strip().splitlines() if line.strip()]
    return f": {lines[-1].strip()[:400]}" if lines else ""


def _last_json(out: str) -> dict[str, Any]:
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            with suppress(ValueError):
                found = json.loads(line)
                return found if isinstance(found, dict) else {}
    with suppress(ValueError):
        whole = json.loads(out)
        return whole if isinstance(whole, dict) else {}
    return {}


def _inspection(data: dict[str, Any], what: str, limits: Limits) -> Inspection:
    if "node_types" not in data:
        raise InstallError(f"Importing {what} gave no list of node types", AS_IT_WAS)
    failures = tuple(
        Failure(
            str(f.get("pack", "?")),
            _cause(str(f.get("cause", f)), limits),
            f.get("node_type"),
            _where(f.get("trace")),
            str(f.get("distribution", f.get("pack", "?"))),
        )
        for f in data.get("failures", ())
    )
    brought: dict[str, tuple[str, ...]] = {}
    seconds: dict[str, float] = {}
    for pack in _each(data.get("packs", ())):  # a distribution may bring several, an entry point each
        name = str(pack.get("distribution") or pack["name"])
        brought[name] = (*brought.get(name, ()), *pack.get("node_types", ()))
        seconds[name] = seconds.get(name, 0.0) + float(pack.get("seconds", 0.0))
    return Inspection(
        data["node_types"],
        brought,
        failures,
        seconds=seconds,
        lacking=tuple(data.get("lacking", ())),
    )


def _cause(told: str, limits: Limits) -> str:
    """Why an import failed; for memory, how much there was."""
    if not told.startswith("MemoryError"):
        return told
    most = f"{limits.memory / (1 << 30):g} GiB"
    return (
        f"{told.rstrip(': ')}: it may take {most} while it is imported (memory under [verify] in host.toml)"
    )


def _each(packs: Any) -> list[dict[str, Any]]:
    return list(packs.values() if isinstance(packs, dict) else packs)


def _where(trace: Any, most: int = 3) -> tuple[str, ...]:
    """The last places in a traceback, `file, line, code`."""
    lines = [line.strip() for line in str(trace or "").splitlines()]
    places = [
        f"{line.removeprefix('File ')}: {after}" if not after.startswith("File ") else line
        for line, after in zip_longest(lines, lines[1:], fillvalue="")
        if line.startswith("File ")
    ]
    return tuple(places[-most:])
