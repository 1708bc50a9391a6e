"""What is running: how a node learns where its host's folders are, reports progress and notices an interrupt.

The executor sets it around each call, in a context variable, so that it is right in every thread and task.
"""

import itertools
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from noderack_host.folder import Host
from noderack_host.folders import ModelFolders


class NothingRunning(RuntimeError):
    """A question about the running host was asked where nothing runs."""


class Interrupted(BaseException):
    """The user stopped the prompt. Not an Exception, so that a pack's broad `except` does not swallow it."""


class Wanted(BaseException):
    """A node needs lazy inputs after all: it is called again once they are there. Not an Exception either."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names


class Report(Protocol):
    """Takes a node's progress: `preview` is what the node shows: (format, picture, longest side), or a
    function that makes that, called only if somebody looks, or None."""

    def __call__(self, node_id: str, value: float, total: float, preview: Any) -> None: ...


def _no_report(node_id: str, value: float, total: float, preview: Any) -> None:
    """Reports to nobody."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Running:
    """One node call under way. `host` and `folders` are None where nodes run without a host, as in tests."""

    host: Host | None = None
    folders: ModelFolders | None = None
    prompt_id: str = ""
    node_id: str = ""
    list_index: int | None = None
    graphs: Iterator[int] = field(default_factory=itertools.count, repr=False)
    report: Report = field(default=_no_report, repr=False)
    stopped: Callable[[], bool] = field(default=_never, repr=False)
    asked: AbstractSet[str] = frozenset()
    """The lazy inputs that are there because the node asked for them."""

    def progress(self, value: float, total: float, preview: Any = None) -> None:
        """Says that `value` of `total` steps are done; raises Interrupted if the user stopped the prompt."""
        self.interrupted()
        self.report(self.node_id, value, total, preview)

    def next_graph(self) -> int:
        """The number of the next graph that this call builds, from 0."""
        return next(self.graphs)

    def interrupted(self) -> None:
        """Raises Interrupted if the user stopped the prompt; call it in long loops."""
        if self.stopped():
            raise Interrupted


_RUNNING: ContextVar[Running] = ContextVar("noderack_running")


def current() -> Running:
    """What is running here; raises NothingRunning outside of a node call."""
    try:
        return _RUNNING.get()
    except LookupError as cause:
        raise NothingRunning(
            "no host is running here: run the node in a host, or set one with running.use()"
        ) from cause


def current_or_none() -> Running | None:
    """What is running here, or None."""
    return _RUNNING.get(None)


@contextmanager
def use(running: Running) -> Iterator[Running]:
    """Makes `running` the current one inside the block; tests of nodes use it as the executor does."""
    token = _RUNNING.set(running)
    try:
        yield running
    finally:
        _RUNNING.reset(token)
