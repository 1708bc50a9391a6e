"""What one step did to a draft, so that it can be taken back: when its pack fails, or in a later clone.

A batch of packs goes into one clone of the generation in use. Each step moves files in, and moves those that
are in the way aside, into `.steps/NUMBER` of the draft, with a list of both. Taken back from the last to the
first, in another clone, the steps give each generation between.
"""

# A Path object for each of thousands of files would cost more than moving it.
# ruff: noqa: PTH103, PTH104, PTH106, PTH108, PTH120
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from noderack_cli import links

FOLDER = ".steps"  # in a generation; clones leave out what begins with a dot
LIST = "moves.json"


@dataclass(frozen=True, slots=True)
class Move:
    """A path of a draft that was moved in from `source`, or moved aside where there is none."""

    path: str
    source: str | None = None


@dataclass(slots=True)
class Journal:
    """The moves of one step. As a context it takes them back when anything is raised, or writes them down.

    `closed` says that it could: else the draft is neither as it was before the step nor as after it.
    """

    root: Path
    number: int
    moves: list[Move] = field(default_factory=list)
    closed: bool = False

    def __enter__(self) -> Journal:
        os.makedirs(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write()
        except OSError as refused:
            error = refused
            raise
        finally:
            if error is not None:
                self.take_back()
            self.closed = True

    def _write(self) -> None:
        rows = [[move.path, move.source is not None] for move in self.moves]
        text = json.dumps({"root": str(self.root), "moves": rows})
        Path(self._folder, LIST).write_text(text, "utf-8")

    @property
    def _folder(self) -> str:
        return f"{self.root}{os.sep}{FOLDER}{os.sep}{self.number}"

    def bring(self, source: str, path: str) -> None:
        """Move `source` (a file, or a folder that is not there yet) to `path` of the draft.

        Raises OSError.
        """
        if os.path.lexists(path):
            self.put_aside(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(source, path)
        self.moves.append(Move(path, source))

    def put_aside(self, path: str) -> None:
        """Move a file out of the draft, with what was compiled from it; does nothing where there is none."""
        with suppress(FileNotFoundError):
            os.rename(path, f"{self._folder}{os.sep}{len(self.moves)}")
            self.moves.append(Move(path))
            drop_byte_code(path)

    def take_back(self) -> None:
        """Make the draft as it was before the step; raises OSError, and then the draft is of no use."""
        while self.moves:
            move = self.moves[-1]
            aside = f"{self._folder}{os.sep}{len(self.moves) - 1}"
            here, there = (aside, move.path) if move.source is None else (move.path, move.source)
            drop_byte_code(move.path)
            os.makedirs(os.path.dirname(there), exist_ok=True)
            os.rename(here, there)
            self.moves.pop()
            if move.source is not None:
                drop_empty(os.path.dirname(move.path), str(self.root))
        shutil.rmtree(self._folder)


def undone(clone: Path, holder: Path, number: int) -> None:
    """Make `clone`, a clone of the generation at `holder`, what that was after its step `number`.

    Raises OSError.
    """
    for step in sorted(_numbers(holder), reverse=True):
        if step > number:
            _undo(clone, holder / FOLDER / str(step))


def _undo(clone: Path, step: Path) -> None:
    said = json.loads((step / LIST).read_text("utf-8"))
    was, done = str(said["root"]), links.Cloned()
    for index, (path, came) in reversed(list(enumerate(said["moves"]))):
        target = f"{clone}{path[len(was) :]}"
        drop_byte_code(target)
        if came:
            _remove(target)
            drop_empty(os.path.dirname(target), str(clone))
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            links.link_or_copy(f"{step}{os.sep}{index}", target, done)
    links.relocate(clone, Path(was))


def forget(holder: Path, before: int) -> None:
    """Remove what is only needed to go back further than to the step `before`."""
    for step in _numbers(holder):
        if step <= before:
            shutil.rmtree(holder / FOLDER / str(step))
    with suppress(OSError):
        (holder / FOLDER).rmdir()


def _numbers(holder: Path) -> Iterator[int]:
    with suppress(FileNotFoundError):
        yield from [int(name) for name in os.listdir(holder / FOLDER) if name.isdigit()]  # noqa: PTH208


def _remove(path: str) -> None:
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path)
    else:
        os.unlink(path)


def drop_byte_code(source: str) -> None:
    """Remove what Python compiled from the file `source`, if it is one of Python's."""
    folder, name = os.path.split(source)
    if name.endswith(".py"):
        for file in Path(folder, "__pycache__").glob(f"{name.removesuffix('.py')}.*.pyc"):
            file.unlink()


def drop_empty(folder: str, root: str) -> None:
    """Remove `folder` and those above it, below `root`, as far as nothing is in them."""
    while folder.startswith(root + os.sep):
        with suppress(OSError):
            os.rmdir(f"{folder}{os.sep}__pycache__")
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)
