"""uv as a child process: which index is asked in which order, and what came back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from noderack_cli.errors import InstallError

TIMEOUT = 3600.0
FOREIGN = ("VIRTUAL_ENV", "PYTHONPATH", "CONDA_PREFIX")
QUIET = {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Ran:
    """What uv said. `code` is its exit code."""

    code: int
    out: str
    err: str


def find_uv() -> str:
    """The uv that came with Noderack, else the one on PATH; raises InstallError."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as cause:
        found = shutil.which("uv")
        if found is None:
            raise InstallError("uv is not there", "Install it: python -m pip install uv") from cause
        return found


def uv(args: Sequence[str | Path], *, stdin: str | None = None, cache_at: Path | None = None) -> Ran:
    """Run `uv ARGS`, links rather than copies, never touching anything but the Python that args name."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "CONDA_PREFIX")
    }
    environment |= {
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_COLOR": "1",
        "NO_COLOR": "1",
    }
    environment.setdefault("UV_LINK_MODE", "hardlink")
    if cache_at is not None:
        environment["UV_CACHE_DIR"] = str(cache_at)
    done = subprocess.run(
        [find_uv(), *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIMEOUT,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def cache_for(root: Path) -> Path | None:
    """A cache on the host's filesystem if uv's own is on another one (links cannot cross); else None."""
    usual = _usual_cache(os.environ.get("UV_CACHE_DIR"))
    while not usual.exists():
        usual = usual.parent
    return None if usual.stat().st_dev == root.stat().st_dev else root / ".uv-cache"


def cache_of(root: Path) -> Path:
    """The cache that a host uses, its own or uv's."""
    return cache_for(root) or _usual_cache(os.environ.get("UV_CACHE_DIR"))


@cache
def _usual_cache(named: str | None) -> Path:
    if named:
        return Path(named).absolute()
    ran = uv(["cache", "dir"])
    return Path(ran.out.strip() or Path.home())


def simple_index(registry: str) -> str:
    """The address of a registry's index."""
    return f"{registry.rstrip('/')}/simple/"


def index_args(registry: str | None, python_index: str) -> list[str]:
    """uv's index options: the registry first; "none" means that nothing else is ever asked."""
    simple = simple_index(registry) if registry else None
    if python_index == "none":
        return ["--default-index", simple] if simple else ["--no-index"]
    args = ["--index", simple] if simple else []
    return args if python_index == "default" else [*args, "--default-index", python_index]
