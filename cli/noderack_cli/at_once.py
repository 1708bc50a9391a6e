"""Several questions to a registry at the same time: each would wait for the wire alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
MOST = 8  # connections


def at_once(ask: Callable[[Asked], Answer], questions: Iterable[Asked]) -> list[Answer]:
    """The answers in the order of the questions; raises what the first that fails raises."""
    asked = list(questions)
    if len(asked) < 2:
        return [ask(question) for question in asked]
    with ThreadPoolExecutor(min(MOST, len(asked)), "noderack-ask") as pool:
        return list(pool.map(ask, asked))
