"""Builds a pack with its own build backend (hatchling, setuptools …), in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from noderack_registry.packing.errors import BackendError
from noderack_registry.packing.layout import GROUPS

TIMEOUT = 600


def wanted(table: Mapping[str, Any]) -> bool:
    """Whether pyproject.toml describes a wheel that a host can use: a backend, and an entry point of ours.

    A backend alone is not enough: packs have one for their linter's sake, and its wheel would not load.
    """
    if "build-backend" not in table.get("build-system", {}):
        return False
    points = table.get("project", {}).get("entry-points", {})
    library = table.get("tool", {}).get("noderack", {}).get("library") is True
    return library or any(group in points for group in GROUPS)


def build(root: Path, table: Mapping[str, Any], work: Path) -> Path:
    """The wheel that the backend makes of a copy of `root`, below `work`; BackendError has its last words."""
    tree, out = work / "tree", work / "built"
    shutil.copytree(
        root, tree, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", "dist", "*.egg-info")
    )
    command = [uv(), "build", "--wheel", "--quiet", "--no-config", "--out-dir", str(out)]
    command += ["--python", sys.executable, *_isolation(table), str(tree)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environment
        )
    except subprocess.TimeoutExpired as cause:
        raise BackendError(
            f"{root}: the build backend did not end in {TIMEOUT} s", "run it by hand"
        ) from cause
    wheels = sorted(out.glob("*.whl")) if out.is_dir() else []
    if done.returncode or len(wheels) != 1:
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise BackendError(f"{root}: the build backend failed:\n{last}", f"try it alone: uv build {root}")
    return wheels[0]


def _isolation(table: Mapping[str, Any]) -> list[str]:
    """No isolation, and so no network, when all that the build asks for is installed here already."""
    asked = [Requirement(str(text)) for text in table["build-system"].get("requires", ())]
    return ["--no-build-isolation", "--offline"] if asked and all(map(_installed, asked)) else []


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def uv() -> str:
    """The uv beside this Python, else the one on PATH."""
    own = Path(sysconfig.get_path("scripts")) / ("uv.exe" if os.name == "nt" else "uv")
    found = str(own) if own.is_file() else shutil.which("uv")
    if not found:
        raise BackendError("uv is not installed", "pip install uv")
    return found
