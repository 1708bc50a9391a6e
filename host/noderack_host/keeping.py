"""Puts results into the cache: that of an expansion only when all output nodes in it are done.

So a kept result is never a half one, whatever interrupts or fails in between.
"""

from collections.abc import Callable, Iterable

from noderack_host.cache import Entry
from noderack_host.expand import shown_inside
from noderack_host.graph import DynamicPrompt
from noderack_host.work import Agenda, Work


class Keeper:
    """Keeps the results of one run."""

    def __init__(self, put: Callable[[Work, Entry], None], graph: DynamicPrompt, agenda: Agenda) -> None:
        self._put = put
        self._graph = graph
        self._agenda = agenda

    def hold(self, work: Work, inner: Iterable[Work]) -> None:
        """Keeps a work's result back until these are done, and the result of the expansion around it too."""
        for item in inner:
            work.await_inner(item)
        parent = self._graph.get_parent_node_id(work.id)
        outer = self._agenda.works.get(parent) if parent is not None else None
        if work.inner and work.outer is None and outer is not None and outer.expanded is not None:
            outer.await_inner(work)

    def store(self, work: Work | None) -> None:
        """Keeps a work's result once nothing holds it back, and then that of the expansion around it."""
        while work is not None and work.entry is not None and not work.inner_left:
            entry, work.entry = work.entry, None
            work.inside = shown_inside(work, self._graph)
            self._put(work, Entry(entry.outputs, entry.ui, work.inside, entry.keys))
            work = _inner_done(work)

    def store_around(self, work: Work) -> None:
        """A work is done without a result of its own to keep: the expansion around it waits for one less."""
        self.store(_inner_done(work))


def _inner_done(work: Work) -> Work | None:
    outer, work.outer = work.outer, None
    if outer is not None:
        outer.inner_left -= 1
    return outer
