"""Which files of a pack's tree ship."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from noderack_registry.packing import ignore
from noderack_registry.packing.errors import SourceError

MOST_FILES = 50_000  # as many as a tag of a repository may hold

# Never part of a pack: version control, environments, caches, what systems drop into folders.
NEVER = frozenset(
    [
        "__pycache__",
        ".venv",
        "venv",
        ".env",
        "node_modules",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".idea",
        ".vscode",
    ]
)
NEVER_NAMES = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", ".comfyignore"))


def shipped(root: Path, includes: Iterable[str] = ()) -> tuple[str, ...]:
    """Paths below `root` with `/`, sorted. What git tracks if `root` is a repository, else the whole tree.

    `.comfyignore` takes files out, `includes` (of [tool.comfy]) brings them back; links out of the tree go.
    """
    wanted = tuple(part.strip("/") for part in includes)
    patterns = _patterns(root)
    tracked = tracked_files(root)
    found = tracked if tracked is not None else walk(root)
    kept = {path for path in found if not _never(path) and not ignore.ignored(path, patterns)}
    if wanted:
        kept.update(path for path in walk(root) if _under(path, wanted))
    return tuple(sorted(path for path in kept if _inside(root, path)))


def _patterns(root: Path) -> tuple[ignore.Pattern, ...]:
    file = root / ".comfyignore"
    return ignore.parse(file.read_text("utf-8", "replace")) if file.is_file() else ()


def _under(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _never(path: str) -> bool:
    *folders, name = path.split("/")
    if name in NEVER_NAMES or name.endswith((".pyc", ".pyo")) or name.startswith(".git"):
        return True
    return any(part in NEVER or part.startswith(".git") or part.endswith(".egg-info") for part in folders)


def _inside(root: Path, path: str) -> bool:
    """Whether the path is a file whose content lies in the tree, links followed."""
    file = root / path
    if not file.is_file():
        return False
    return not file.is_symlink() or file.resolve().is_relative_to(root.resolve())


def walk(root: Path) -> tuple[str, ...]:
    """Every file below `root`, folders that never ship left out; links to folders are not followed.

    Raises SourceError for what is no pack: a home, a disk.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in NEVER and name != ".git")
        base = Path(folder).relative_to(root)
        found.extend((base / name).as_posix() for name in names)
        if len(found) > MOST_FILES:
            told = f"{root} holds more than {MOST_FILES:,} files, which is no pack"
            raise SourceError(told, "give the folder that holds the pack's __init__.py")
    return tuple(sorted(found))


def tracked_files(root: Path) -> tuple[str, ...] | None:
    """What git tracks, submodules too; None when `root` is no repository's top or git is missing."""
    if not (root / ".git").exists():
        return None
    listed = git(root, "ls-files", "-z", "--recurse-submodules")
    return None if listed is None else tuple(sorted(path for path in listed.split("\0") if path))


def git(root: Path, *args: str) -> str | None:
    """What `git ARGS` prints in `root`, or None when it fails or is not there."""
    # A folder from somewhere may hold hooks and settings in its .git: only reading commands are run here.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *args]
    unchanged = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # nor is the index written anew to make it faster
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=unchanged)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
