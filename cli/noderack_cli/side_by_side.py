"""Many questions at once, for as long as the one who asks wants to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Sequence[T], patience: float, at_once: int = 8) -> list[tuple[T, R]]:
    """(item, result) of all that was done within `patience` seconds; `work` must not raise.

    What takes longer is left behind: its thread does not keep the process from ending.
    """
    todo: SimpleQueue[T] = SimpleQueue()
    done: list[tuple[T, R]] = []
    for item in items:
        todo.put(item)

    def run() -> None:
        try:
            while True:
                item = todo.get_nowait()
                done.append((item, work(item)))
        except Empty:
            return

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(at_once, len(items)))]
    until = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return done[:]
