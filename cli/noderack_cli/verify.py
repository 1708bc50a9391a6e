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
from pathlib import Path
from typing import Any

from noderack_cli.errors import InstallError

CHILD = Path(__file__).with_name("verify_child.py")
SECONDS = 120
MEMORY = 16 << 30
TAIL = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """A pack that does not import, or one node type of it that breaks the contract."""

    pack: str
    cause: str
    node_type: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a child found. `node_types` maps a type to its object_info entry, `packs` a pack to its types."""

    node_types: Mapping[str, Any] = field(default_factory=dict)
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def inspect(
    python: Path, root: Path, packs: Sequence[str] = (), *, seconds: int = SECONDS, memory: int = MEMORY
) -> Inspection:
    """Import `packs` (all when empty) with the generation's `python`; raises InstallError."""
    with tempfile.TemporaryDirectory(prefix="noderack-") as private:
        allowed = os.pathsep.join([private, str(root / "user"), str(root / "temp")])
        command = [str(python), "-I", str(CHILD), str(seconds), str(memory), allowed]
        command += ["inspect", "--host", str(root), *(["--packs", *packs] if packs else [])]
        code, out, err = _run(command, private, seconds)
    what = ", ".join(packs) or "the packs"
    if code != 0 and not _last_json(out):
        raise InstallError(f"Importing {what} {_ending(code, seconds)}{_last_words(err)}")
    return _inspection(_last_json(out), what)


def _run(command: list[str], private: str, seconds: int) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"), private)
    out, err = Path(private) / ".out", Path(private) / ".err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
        try:
            code = child.wait(seconds + 10)
        except subprocess.TimeoutExpired:
            code = -signal.SIGALRM
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # whatever the pack started goes too
            child.wait()
    return code, _text(out, 64 << 20), _text(err, 1 << 20)


def _text(file: Path, most: int) -> str:
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


def _inspection(data: dict[str, Any], what: str) -> Inspection:
    if "node_types" not in data:
        raise InstallError(f"Importing {what} gave no list of node types")
    failures = tuple(
        Failure(str(f.get("pack", "?")), str(f.get("cause", f)), f.get("node_type"))
        for f in data.get("failures", ())
    )
    return Inspection(data["node_types"], _packs(data.get("packs", ())), failures)


def _packs(packs: Any) -> dict[str, tuple[str, ...]]:
    listed = packs.values() if isinstance(packs, dict) else packs
    return {str(p.get("distribution") or p["name"]): tuple(p.get("node_types", ())) for p in listed}
