"""What is left to do in a prompt: which nodes are needed, in which order, and when a value can go.

Everything here is a loop over explicit stacks, and each link is touched a fixed number of times, so the cost
grows with the number of nodes and links, and depth does not matter.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from enum import IntEnum
from typing import Any

from noderack_host.cache import Entry, Inside
from noderack_host.call import Returned
from noderack_host.contract import Contract
from noderack_host.graph import DependencyCycleError, DynamicPrompt, UnknownNode, is_link
from noderack_host.signature import node_key

Sign = Callable[[str, dict[str, Any], Contract], tuple[Any, str]]
_FIRST = -(10**12)
_NOTHING: frozenset[str] = frozenset()


class State(IntEnum):
    """How far a node is."""

    OPEN = 0  # its ancestors are being read
    IDLE = 1  # known, but nobody needs it so far
    WAITING = 2  # needed, and what it needs is not done
    READY = 3
    RUNNING = 4
    EXPANDED = 5  # waits for the nodes that it expanded to
    DONE = 6
    GONE = 7  # nobody will need it any more


class Link:
    """One input that leads to another node's output."""

    __slots__ = ("lazy", "name", "slot", "source")

    def __init__(self, name: str, source: "Work", slot: int, lazy: bool) -> None:
        self.name = name
        self.source = source
        self.slot = slot
        self.lazy = lazy


class Work:
    """One node of a run. `users` counts the links of nodes that may still read its outputs."""

    __slots__ = (
        *(
            "asked",
            "contract",
            "dependents",
            "entry",
            "expanded",
            "id",
            "inner",
            "inner_left",
            "inside",
            "inputs",
        ),
        *("inner_keys", "key", "leader", "links", "need", "node_type", "outer", "outputs", "rank", "state"),
        *("ui", "unequal", "users", "waiting"),
    )

    def __init__(self, node_id: str, node_type: str, contract: Contract, inputs: dict[str, Any]) -> None:
        self.id = node_id
        self.node_type = node_type
        self.contract = contract
        self.inputs = inputs
        self.state = State.OPEN
        self.links: Sequence[Link] = ()
        self.key = b""
        self.unequal = False  # its key is a new one each time; only known where the agenda was told to look
        self.need = 1
        self.rank = 0
        self.users = 0
        self.waiting = 0
        self.asked: AbstractSet[str] = _NOTHING
        self.dependents: list[Work] | None = None
        self.leader: Work | None = None
        self.outputs: tuple[list[Any], ...] | None = None
        self.ui: Any = None
        self.entry: Entry | None = None  # its result, while it is held back
        self.inside: Inside = ()
        self.expanded: list[Returned] | None = None
        self.inner: list[Work] | None = None
        self.inner_keys: tuple[bytes, ...] = ()
        self.inner_left = 0
        self.outer: Work | None = None

    def await_inner(self, inner: "Work") -> None:
        """This expansion's result is kept when `inner` is done, among others."""
        if self.inner is None:
            self.inner = []
        self.inner.append(inner)
        self.inner_left += 1
        inner.outer = self

    def add_dependent(self, work: "Work") -> None:
        """`work` waits for this one."""
        if self.dependents is None:
            self.dependents = []
        self.dependents.append(work)
        work.waiting += 1

    @property
    def usable(self) -> bool:
        """Whether its record still stands: not given up, and not done with its outputs let go."""
        return self.state != State.GONE and (self.state != State.DONE or self.outputs is not None)


class Agenda:
    """The works of one run, and which of them are ready."""

    def __init__(
        self,
        graph: DynamicPrompt,
        contract: Callable[[str, str], Contract],
        find: Callable[[Work], Entry | None],
        sign: Sign,
        mind_unequal: bool = False,
    ) -> None:
        """`find` gives a work's kept result. `mind_unequal`: notes which keys will never be found again."""
        self.graph = graph
        self.unfinished = 0
        self.works: dict[str, Work] = {}
        self._contract = contract
        self._sign = sign
        self._find = find
        self._mind_unequal = mind_unequal
        self._ready: list[tuple[int, int, Work]] = []
        self._leaders: dict[bytes, Work] = {}
        self._lowest = 0
        self._pushed = 0

    # -- reading the graph

    def admit(self, node_ids: Iterable[str]) -> list[Work]:
        """Reads nodes and all their ancestors, lazy ones too; raises UnknownNode, DependencyCycleError."""
        return [self._admitted(node_id, None) for node_id in node_ids]

    def _admitted(self, node_id: str, wanted_by: str | None) -> Work:
        found = self.works.get(node_id)
        if found is not None and found.usable:
            return found
        stack = [self._opened(node_id, wanted_by)]
        while stack:
            work, links, read = stack[-1]
            while len(read) < len(links):
                name, value, lazy = links[len(read)]
                source = self.works.get(value[0])
                if source is None or not source.usable:
                    stack.append(self._opened(value[0], work.id))
                    break
                if source.state is State.OPEN:
                    raise DependencyCycleError(_circle([item[0].id for item in stack], source.id))
                read.append(Link(name, source, int(value[1]), lazy))
                source.users += 1
            else:
                stack.pop()
                work.links = read or ()
                self._close(work)
        return self.works[node_id]

    def _opened(self, node_id: str, wanted_by: str | None) -> tuple[Work, list[Any], list[Link]]:
        if not self.graph.has_node(node_id):
            raise UnknownNode(node_id, wanted_by)
        node = self.graph.get_node(node_id)
        contract = self._contract(node["class_type"], node_id)
        work = self.works[node_id] = Work(node_id, node["class_type"], contract, node.get("inputs", {}))
        return work, _links_of(work), []

    def _close(self, work: Work) -> None:
        work.state = State.IDLE
        work.key = self._key(work)
        if self._mind_unequal:
            above = any(link.source.unequal for link in work.links)
            work.unequal = above or self._key(work) != work.key
        if work.links:
            needs = sorted((link.source.need for link in work.links), reverse=True)
            work.need = max(need + at for at, need in enumerate(needs))

    def _key(self, work: Work) -> bytes:
        changed, salt = self._sign(work.id, self.graph.get_node(work.id), work.contract)
        linked = {link.name for link in work.links}
        return node_key(
            work.node_type,
            salt,
            work.id if work.contract.uses_own_id else None,
            changed,
            [item for item in work.inputs.items() if item[0] not in linked] if work.inputs else (),
            [(link.name, link.source.key, link.slot) for link in work.links],
        )

    # -- what has to run

    def demand(self, works: Iterable[Work]) -> list[Work]:
        """Says that these have to be done. Gives the ones that the cache had, which are done at once.

        Ranks follow a walk that goes into the part with the larger need for memory first, so that a branch's
        values are used up before the next branch begins.
        """
        hits: list[Work] = []
        planned: list[Work] = []
        for root in works:
            if self._wanted(root, hits):
                self._walk(root, hits, planned)
        self._lowest -= len(planned)
        for rank, work in enumerate(planned, self._lowest):
            work.rank = _FIRST + rank if work.contract.is_async else rank
            if work.waiting == 0:
                self.push(work)
        return hits

    def _walk(self, root: Work, hits: list[Work], planned: list[Work]) -> None:
        stack = [(root, iter(_children(root)))]
        while stack:
            work, children = stack[-1]
            child = next(children, None)
            if child is not None:
                if self._wanted(child, hits):
                    stack.append((child, iter(_children(child))))
                continue
            stack.pop()
            self.wait_for(work, _children(work))
            planned.append(work)

    def _wanted(self, work: Work, hits: list[Work]) -> bool:
        """Whether the node still has to be planned; a cached one is done here and now."""
        if work.state is not State.IDLE:
            return False
        entry = self._find(work)
        if entry is not None:
            work.state = State.DONE
            work.ui, work.inside = entry.ui, entry.inner
            work.outputs = entry.outputs if work.users else None
            hits.append(work)
            self._release_inputs(work)
            return False
        leader = self._leaders.setdefault(work.key, work)
        if leader is not work:
            if leader.state is State.GONE or (leader.state is State.DONE and leader.outputs is None):
                self._leaders[work.key] = work
            else:
                work.leader = leader
                leader.users += 1
        work.state = State.WAITING
        self.unfinished += 1
        return True

    def wait_for(self, work: Work, sources: Iterable[Work]) -> None:
        """Lets `work` become ready when these are done; the caller pushes it if `waiting` stays 0."""
        for source in dict.fromkeys(sources):
            if source.state is not State.DONE:
                source.add_dependent(work)

    def push(self, work: Work) -> None:
        """Makes a work ready."""
        work.state = State.READY
        self._pushed += 1
        heapq.heappush(self._ready, (work.rank, self._pushed, work))

    def pop(self) -> Work | None:
        """The next ready work, or None."""
        return heapq.heappop(self._ready)[2] if self._ready else None

    # -- what is over

    def finish(self, work: Work, outputs: tuple[list[Any], ...]) -> None:
        """Marks a work as done: those that waited for it may go on, and what it alone needed is let go."""
        work.state = State.DONE
        work.outputs = outputs if work.users else None
        self.unfinished -= 1
        for waiting in work.dependents or ():
            waiting.waiting -= 1
            if not waiting.waiting:
                self.push(waiting)
        work.dependents = None
        self._release_inputs(work)
        if work.leader is not None:
            self._let_go(work.leader)
            work.leader = None

    def relink(self, work: Work, sources: Iterable[tuple[Work, int]]) -> None:
        """An expanded work has handed its inputs on: its result's links take their place."""
        links = [Link("", source, slot, False) for source, slot in sources]
        for link in links:
            link.source.users += 1
        self._release_inputs(work)
        work.links = links

    def _release_inputs(self, work: Work) -> None:
        links, work.links = work.links, ()
        for link in links:
            self._let_go(link.source)

    def _let_go(self, source: Work) -> None:
        stack = [source]
        while stack:
            work = stack.pop()
            work.users -= 1
            if work.users:
                continue
            if work.state is State.DONE:
                work.outputs = None
            elif work.state is State.IDLE:
                work.state = State.GONE
                stack.extend(link.source for link in work.links)
                work.links = ()

    def stuck(self) -> list[str]:
        """The nodes that wait, when nothing is ready any more."""
        return [work.id for work in self.works.values() if work.state in (State.WAITING, State.EXPANDED)]


def _links_of(work: Work) -> list[tuple[str, list[Any], bool]]:
    found = []
    for name, value in work.inputs.items():
        if is_link(value):
            info = work.contract.built_input(name)
            found.append((name, value, info is not None and bool(info.options.get("lazy"))))
    return found


def _children(work: Work) -> list[Work]:
    """What a work needs first: its leader alone, or the sources of its links that are not lazy."""
    if work.leader is not None:
        return [work.leader]
    links = work.links
    if len(links) < 2:
        return [link.source for link in links if not link.lazy]
    sources = dict.fromkeys(link.source for link in links if not link.lazy)
    return sorted(sources, key=lambda source: -source.need)


def _circle(path: list[str], again: str) -> list[str]:
    return [*path[path.index(again) :], again]
