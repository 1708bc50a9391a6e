"""The part of a download on the disk: NAME.part, what of it is there (NAME.part.json), and who writes it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from noderack_cli.held import locked, write_holder

WAIT = 0.2


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a part: the size of the whole, the server's entity tag, and what is still to come.

    `still` None means that all bytes of the part are there and the rest is not.
    """

    total: int | None = None
    tag: str = ""
    still: tuple[tuple[int, int], ...] | None = None


def part_of(target: Path) -> Path:
    """Where the bytes of `target` gather."""
    return target.with_name(target.name + ".part")


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def load(part: Path) -> State:
    """What is known of the part; of one without notes, or with broken ones, only its length counts."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        data = json.loads(_notes(part).read_text("utf-8"))
        still = data["still"]
        spans = None if still is None else tuple((int(at), int(end)) for at, end in still)
        return State(data["total"], str(data["tag"]), spans)
    return State()


def save(part: Path, state: State) -> None:
    """Write it down, replacing what was said before."""
    beside = _notes(part).with_suffix(".new")
    beside.write_text(json.dumps({"total": state.total, "tag": state.tag, "still": state.still}), "utf-8")
    beside.replace(_notes(part))


def forget(part: Path) -> None:
    """The part and its notes are not there afterwards."""
    part.unlink(missing_ok=True)
    _forget_notes(part)


def keep(part: Path, target: Path) -> None:
    """The part is whole and checked: it gets its name. Its notes go first, as nobody looks for them later."""
    _forget_notes(part)
    part.replace(target)


def _forget_notes(part: Path) -> None:
    for file in (_notes(part), _notes(part).with_suffix(".new")):
        file.unlink(missing_ok=True)


def missing(part: Path, total: int | None) -> int:
    """How many bytes of `total` are still to come."""
    state = load(part)
    if state.still is not None:
        return sum(end - at for at, end in state.still)
    return max(0, (total or 0) - length(part))


def length(part: Path) -> int:
    """The length of the part, 0 if there is none."""
    return part.stat().st_size if part.exists() else 0


@contextmanager
def alone(target: Path, tell: Callable[[str], None] = lambda text: None) -> Iterator[bool]:
    """Be the only one that writes the part of `target`; waits for another process, and says if it did."""
    lock = part_of(target).with_name(part_of(target).name + ".lock")
    waited = False
    while True:
        with lock.open("a+", encoding="utf-8") as file:
            if not locked(file):
                if not waited:
                    tell(f"another process is downloading {target.name}: waiting for it")
                waited = True
                time.sleep(WAIT)
                continue
            if not _same(lock, file.fileno()):
                continue
            try:
                write_holder(file, f"downloading {target.name}")
                yield waited
            finally:
                with suppress(OSError):  # an open file cannot be removed on Windows; the next one does it
                    lock.unlink()
            return


def _same(path: Path, descriptor: int) -> bool:
    """Whether the file at `path` is still the one that was opened."""
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
