"""Copies a virtualenv by hard links: the same bytes under a new root, with the paths inside it made right.

Files are shared, so only what holds the old root's path is written anew: scripts, `pyvenv.cfg`, `*.pth`.
"""

# A Path object for each of tens of thousands of files would cost more than the link.
# ruff: noqa: PTH102, PTH115, PTH211
from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What links cannot do here, by filesystem or by policy: then the file is copied.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}
# What a disk says when bytes that it took are not on it.
LOST = {errno.EIO, errno.ENOSPC, errno.EDQUOT}
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
LARGEST_SCRIPT = 1 << 20


@dataclass(slots=True)
class Cloned:
    """What a clone did: files linked, files copied because a link was refused, and the first refusal."""

    linked: int = 0
    copied: int = 0
    refusal: str = ""


def clone(
    source: Path,
    target: Path,
    skip: Callable[[str], bool] = lambda name: False,
    done: Cloned | None = None,
) -> Cloned:
    """Make `target` (which must not exist) the same tree as `source`; `skip` names top entries to leave out,
    `done` goes on counting.

    Raises OSError (disk full, not writable); then `target` is there in part, for the caller to remove.
    """
    done = Cloned() if done is None else done
    target.mkdir(parents=True)
    todo = [(str(source), str(target))]
    while todo:
        here, there = todo.pop()
        with os.scandir(here) as entries:
            found = [e for e in entries if not (here == str(source) and skip(e.name))]
        for entry in found:
            _one(entry, f"{there}{os.sep}{entry.name}", todo, done)
    return done


def _one(entry: os.DirEntry[str], there: str, todo: list[tuple[str, str]], done: Cloned) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), there)
    elif entry.is_dir():
        os.mkdir(there)
        todo.append((entry.path, there))
    elif entry.is_file():
        link_or_copy(entry.path, there, done)


def link_or_copy(here: str, there: str, done: Cloned) -> None:
    """Give the file `here` the second name `there`, or copy it once links were refused."""
    if not done.refusal:
        try:
            os.link(here, there)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            done.refusal = error.strerror or str(error)
        else:
            done.linked += 1
            return
    shutil.copy2(here, there)
    done.copied += 1


def relocate(target: Path, old: Path) -> int:
    """Write anew each file of the clone `target` that names the root `old`; returns how many there were."""
    count = 0
    for file in _path_bearers(target):
        if file.is_symlink():
            count += _relink(file, old, target)
        elif file.is_file() and file.stat().st_size <= LARGEST_SCRIPT:
            count += rewrite(file, os.fsencode(old), os.fsencode(target))
    return count


def _path_bearers(root: Path) -> Iterator[Path]:
    yield root / "pyvenv.cfg"
    if (root / SCRIPTS).is_dir():
        yield from sorted((root / SCRIPTS).iterdir())
    for packages in site_packages(root):
        yield from sorted(packages.glob("*.pth"))
        yield from sorted(packages.glob("__editable__*.py"))


def site_packages(root: Path) -> list[Path]:
    """The site-packages folders of a virtualenv."""
    if os.name == "nt":
        return [root / "Lib" / "site-packages"]
    return sorted(root.glob("lib/python3.*/site-packages"))


def _relink(link: Path, old: Path, new: Path) -> int:
    goal = os.readlink(link)
    if not goal.startswith(f"{old}{os.sep}"):
        return 0
    link.unlink()
    link.symlink_to(str(new) + goal[len(str(old)) :])
    return 1


def rewrite(file: Path, old: bytes, new: bytes) -> int:
    """Write a script anew if it names the root `old`, with `new` instead; returns whether it did."""
    text = file.read_bytes()
    if old not in text or b"\0" in text:
        return 0
    mode = file.stat().st_mode
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(_with_short_shebang(text.replace(old, new), new))
    beside.chmod(mode)
    beside.replace(file)  # a new file under the name: the linked one elsewhere keeps its bytes
    return 1


def _with_short_shebang(text: bytes, root: bytes) -> bytes:
    """Kernels cut `#!` lines at 127 bytes; beyond that let /bin/sh start the interpreter, as pip does."""
    line, newline, rest = text.partition(b"\n")
    if not line.startswith(b"#!" + root) or len(line) <= 126:
        return text
    start = b"#!/bin/sh\n'''exec' \"" + line[2:].strip() + b'" "$0" "$@"\n' + b"' '''"
    return start + newline + rest


def settle(path: Path) -> None:
    """Return when all that was written on the filesystem of `path` is on the disk; raises OSError."""
    if sys.platform == "linux":
        handle = os.open(path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(handle) == 0:
                return
        finally:
            os.close(handle)
        if (refused := ctypes.get_errno()) in LOST:
            raise OSError(refused, os.strerror(refused), str(path))
    if hasattr(os, "sync"):
        os.sync()


def settle_folder(path: Path) -> None:
    """Return when the names in the folder `path` are on the disk (where folders can be synced)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_settled(file: Path, text: str) -> None:
    """Write `file` beside its place, on the disk, then rename: it is there whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    settle_folder(file.parent)
