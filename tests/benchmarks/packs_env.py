"""A Python for packs to be measured in: this one, cloned by links, with what they ask for on top.

What is in it already stays as it is, as in a host: packs must live with its torch and its NumPy. Requirements
that cannot be met so are tried one by one, then without their versions; what remains absent is told.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from noderack_cli.links import SCRIPTS, clone
from noderack_cli.uv_tool import find_uv
from noderack_registry.packing import PackError, build_wheel

UNREACHED = re.compile(r"dns error|network (is )?unreachable|connection refused", re.IGNORECASE)
HERE_ALREADY = frozenset({"noderack", "noderack-compat", "torch"})
SECONDS = 1200  # for all installing together
BUILD_SECONDS = 90  # for one library that has no wheel


class Unreachable(Exception):
    """No index of packages answers."""


def environment(packs: Iterable[Path], peer: Path | None, at: Path, seconds: float = SECONDS) -> Path:
    """Makes the environment at `at`, which must not exist; gives its Python."""
    clone(Path(sys.prefix), at)
    python = at / SCRIPTS / Path(sys.executable).name
    held = at / "held.txt"
    held.write_text("\n".join(sorted(_here())), encoding="utf-8")
    until = time.monotonic() + seconds
    wanted = [("ComfyUI", _lines(peer / "requirements.txt"))] if peer else []
    try:
        for name, needs in [*wanted, *_needs(packs, at / "wheels")]:
            if time.monotonic() > until:
                print(f"no time is left to install what {name} needs ({seconds:.0f} s for all)")
                continue
            absent = install(needs, python, held)
            if absent:
                print(f"{name}: cannot be installed here: {', '.join(absent)}", flush=True)
    except Unreachable as cause:
        print(f"no index of packages answers, so packs have what is here: {cause}")
    return python


def _here() -> set[str]:
    """Pins of what is installed, without local versions: an index has no others."""
    found: dict[str, str] = {}
    for dist in metadata.distributions():  # an environment may hold the remains of another version
        found.setdefault(dist.name, dist.version)
    mine = ("noderack", "setuptools", "pip")
    return {f"{name}=={version.partition('+')[0]}" for name, version in found.items() if name not in mine}


def _lines(file: Path) -> list[str]:
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return [line for line in lines if re.match(r"[A-Za-z0-9]", line)]


def _needs(packs: Iterable[Path], wheels: Path) -> Iterable[tuple[str, list[str]]]:
    for pack in packs:
        try:
            yield pack.stem, list(build_wheel(pack, wheels).metadata.requires)
        except PackError:  # told by the table
            continue


def install(needs: Sequence[str], python: Path, held: Path) -> list[str]:
    """Installs requirements; gives those that could not be, or took too long to build. Raises Unreachable."""
    needs = [need for need in needs if _name(need) not in HERE_ALREADY]
    if not needs or _uv(["--no-build", *needs], python, held):
        return []
    bare = ((need, [need, _name(need)]) for need in needs)
    return [need for need, ways in bare if not any(_uv([way], python, held) for way in ways)]


def _name(need: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", need.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _uv(words: Sequence[str], python: Path, held: Path) -> bool:
    command = [find_uv(), "pip", "install", "--python", str(python), "--constraint", str(held), *words]
    limit = (
        [] if "--no-build" in words else ["timeout", "--kill-after=5", str(BUILD_SECONDS)]
    )  # compilers too
    ran = subprocess.run([*limit, *command], capture_output=True, text=True, env=_variables(), check=False)
    if ran.returncode and UNREACHED.search(ran.stderr):
        raise Unreachable(ran.stderr.strip().splitlines()[-1])
    return ran.returncode == 0


def _variables() -> dict[str, str]:
    return {"UV_LINK_MODE": "hardlink", **os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
