"""One prompt being run: takes ready works from the agenda, has their nodes called, settles what they give.

Errors:
    NodeFailed   carries a node's error to the executor, with what is known about it
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from noderack_host.cache import Entry, Inside
from noderack_host.call import Returned, merge, merge_ui, normalise
from noderack_host.calling import Caller, forget_instances
from noderack_host.contract import Contract, contract_of
from noderack_host.events import Event, ExecutionCached
from noderack_host.expand import add_nodes, flat, resolved
from noderack_host.fingerprint import Fingerprints
from noderack_host.flights import Flights, Landed
from noderack_host.graph import DependencyCycleError, DynamicPrompt, GraphError
from noderack_host.keeping import Keeper
from noderack_host.measure import MemoryProbe, Timing
from noderack_host.providers import Elsewhere
from noderack_host.running import Interrupted, Wanted
from noderack_host.tell import Teller
from noderack_host.work import Agenda, State, Work

if TYPE_CHECKING:
    from noderack_host.execute import Executor


class NodeFailed(Exception):
    """A node's error on its way up; the ids are those of the prompt, whatever expansion it happened in."""

    def __init__(self, node_id: str, node_type: str, cause: BaseException, inputs: Mapping[str, Any]) -> None:
        super().__init__(node_id)
        self.node_id = node_id
        self.node_type = node_type
        self.cause = cause
        self.inputs = inputs


class Run:
    """The state of one prompt under way."""

    def __init__(
        self,
        executor: "Executor",
        prompt: Mapping[str, Any],
        on_event: Callable[[Event], None],
        extra_data: Mapping[str, Any],
        prompt_id: str,
        probe: MemoryProbe | None,
        stop: threading.Event,
    ) -> None:
        self.prompt_id = prompt_id
        self.graph = DynamicPrompt(prompt)
        self.teller = Teller(prompt_id, self.graph, on_event)
        self.cached: list[str] = []
        self.executed: dict[str, None] = {}
        self.timings: list[Timing] = []
        self._executor = executor
        self._nodes = executor.nodes  # those of now: packs may be taken in anew while this runs
        self._cache = executor.cache
        self._extra = extra_data
        self._probe = probe
        self._stop = stop
        self._contracts: dict[str, Contract] = {}
        self._at: Work | None = None
        self._flights = Flights(executor.lane)
        self._signs = Fingerprints(self.graph, self.hidden_value, executor.versions)
        self._elsewhere = Elsewhere(executor.providers(), prompt_id, executor.lane)
        mind = bool(self._elsewhere)
        self.agenda = Agenda(self.graph, self.contract, self._find, self._signs.sign, mind)
        self._keeper = Keeper(self._keep, self.graph, self.agenda)
        self._caller = Caller(
            self.graph,
            self.teller,
            executor.running,
            stop.is_set,
            executor.instances,
            self.hidden_value,
            self.executed,
        )

    # -- what the agenda and the calls ask

    def contract(self, node_type: str, node_id: str) -> Contract:
        """The contract of a type, read once in this run; raises GraphError, ContractError."""
        found = self._contracts.get(node_type)
        if found is None:
            cls = self._nodes.get(node_type)
            if cls is None:
                raise GraphError(f"node {node_id} is of the type {node_type!r}, which no pack here has")
            found = self._contracts[node_type] = contract_of(node_type, cls)
        return found

    def hidden_value(self, source: str, node_id: str) -> Any:
        """What a hidden input of that source gets; None for a source that this host does not know."""
        if source == "UNIQUE_ID":
            return node_id
        if source == "PROMPT":
            return self.graph.get_original_prompt()
        if source == "DYNPROMPT":
            return self.graph
        return self._extra.get(source.lower())

    def _find(self, work: Work) -> Entry | None:
        """A work's result that is kept, here or elsewhere."""
        entry = self._cache.get(work.key)
        if entry is None and self._elsewhere:
            entry = self._elsewhere.look(work)
            if entry is not None:
                self._cache.put(work.key, entry)
                self._show_kept(work, entry.ui, entry.inner)
        return entry

    def _keep(self, work: Work, entry: Entry) -> None:
        self._cache.put(work.key, entry)
        if self._elsewhere:
            self._elsewhere.offer(work, entry)

    def where(self) -> tuple[str | None, str | None]:
        """The (id, type) of the prompt's node that is being worked on."""
        if self._at is None:
            return None, None
        real = self.graph.get_real_node_id(self._at.id)
        return real, str(self.graph.get_node(real)["class_type"])

    def wake(self) -> None:
        """Ends a wait for async nodes, after `stop` was set.

        Plain nodes look at it before each call and at each report of progress.
        """
        self._flights.wake()

    # -- the run

    def begin(self, outputs: Iterable[str] | None) -> None:
        """Reads the graph, asks the cache, and finds out what has to run; raises NodeFailed."""
        every = [
            node_id for node_id, node in self.graph.get_original_prompt().items() if self._is_output(node)
        ]
        roots = every if outputs is None else list(outputs)
        forget_instances(self._executor.instances, self.graph.get_original_prompt())
        self._elsewhere.began()
        try:
            works = self.agenda.admit(roots)
        except Exception as cause:  # pack code: INPUT_TYPES may raise anything
            raise self._failure(self._culprit(cause, roots), cause, {}) from cause
        keys = {work.key for work in self.agenda.works.values()}
        whole = outputs is None or set(roots) >= set(every)
        self._cache.begin(keys if whole else keys | self._other_keys(every))
        self.cached = [work.id for work in self.agenda.works.values() if work.key in self._cache]
        self.teller.tell(ExecutionCached(self.prompt_id, self.cached))
        for work in self.agenda.works.values():
            entry = self._cache.peek(work.key)
            if entry is not None and (entry.ui or entry.inner):
                self._show_kept(work, entry.ui, entry.inner)
                if work.contract.shows_inside and not work.contract.output_node:
                    self.teller.executed(work.id, entry.ui)
        self._demand(works, told=True)

    def _is_output(self, node: Mapping[str, Any]) -> bool:
        cls = self._nodes.get(node.get("class_type", ""))
        return getattr(cls, "OUTPUT_NODE", False) is True

    def _other_keys(self, outputs: list[str]) -> set[bytes]:
        """The keys of what is not run this time but stays in the prompt, as far as they can be told."""
        agenda = Agenda(self.graph, self.contract, self._find, self._signs.sign)
        for node_id in outputs:
            try:
                agenda.admit([node_id])
            except Exception:  # a branch that cannot be read has nothing to keep
                continue
        return {work.key for work in agenda.works.values()}

    def _culprit(self, cause: Exception, roots: list[str]) -> str:
        opened = [node_id for node_id, work in self.agenda.works.items() if work.state is State.OPEN]
        known = [*reversed(opened), *roots]
        return next((node_id for node_id in known if self.graph.has_node(node_id)), "")

    def _demand(self, works: Iterable[Work], told: bool) -> None:
        """Has these planned, and says what the cache had of them; `told` for nodes asked for by name."""
        wanted = list(works)
        for work in self.agenda.demand(wanted):
            if told and work.contract.output_node:
                self.teller.executed(work.id, work.ui)
            elif not told:
                self._show_kept(work, work.ui, work.inside)
            self._keeper.store_around(work)

    def _show_kept(self, work: Work, ui: Mapping[str, Any] | None, inside: Inside) -> None:
        """What a kept result showed counts as shown; the output nodes of an expansion say so again."""
        if ui:
            self.teller.record(work.id, ui)
        for shown in flat(inside):
            self.teller.show(shown)

    def loop(self) -> None:
        """Works until nothing is left; raises NodeFailed, Interrupted."""
        while self.agenda.unfinished:
            if self._stop.is_set():
                raise Interrupted
            if self._flights and self._flights.arrived:
                self._land()
                continue
            work = self.agenda.pop()
            if work is not None:
                self._at = work
                self._guarded(self._step, work)
            elif self._flights:
                self._land()
            else:
                stuck = self.agenda.stuck()
                raise self._failure(stuck[0], DependencyCycleError(stuck), {})
        self._at = None

    def _guarded(self, step: Callable[..., None], work: Work, *rest: Any) -> None:
        """Does a step for a work, and turns whatever it raises into NodeFailed."""
        try:
            step(work, *rest)
        except (Interrupted, NodeFailed):
            raise
        except (Exception, SystemExit) as cause:  # pack code, or what it gave
            self.teller.ended(work.id, "error")
            raise self._failure(work.id, cause, self._caller.told_inputs(work)) from cause

    def _failure(self, node_id: str, cause: BaseException, inputs: Mapping[str, Any]) -> NodeFailed:
        real = self.graph.get_real_node_id(node_id)
        node_type = self.graph.get_node(real).get("class_type", "") if self.graph.has_node(real) else ""
        return NodeFailed(real, node_type, cause, inputs)

    def _step(self, work: Work) -> None:
        if work.leader is not None:
            self._follow(work, work.leader)
        elif work.expanded is not None:
            self._done(work, resolved(work, work.expanded))
        else:
            self._call(work)

    def _follow(self, work: Work, leader: Work) -> None:
        """An equal node has run already in this prompt: its result is this one's."""
        work.ui, work.inside = leader.ui, leader.inside
        outputs = leader.outputs or ()
        if work.ui:
            self.teller.show_ui(work.id, work.ui)
        self.agenda.finish(work, outputs)
        self.executed[work.id] = None
        self._keeper.store_around(work)

    # -- calling a node

    def _call(self, work: Work) -> None:
        self.teller.began(work.id)
        gathered = self._caller.gather(work)
        if work.contract.lazy_status is not None and self._asks_for_more(
            work, self._caller.wanted(work, gathered)
        ):
            return
        started = self._probe.begin() if self._probe is not None else time.perf_counter()
        try:
            results, awaited = self._caller.call(work, gathered)
        except Wanted as wanted:
            self._call_again(work, wanted)
            return
        if awaited:
            work.state = State.RUNNING
            self._flights.start(work, started, results)
            return
        self._timed(work, started)
        self._returned(work, [result for _, result in results])

    def _call_again(self, work: Work, wanted: Wanted) -> None:
        """A native node needs a lazy input: it goes on when that is there."""
        if not self._asks_for_more(work, wanted.names):
            raise GraphError(f"the input {wanted.names[0]!r} was asked for twice") from wanted

    def _asks_for_more(self, work: Work, wanted: Iterable[str]) -> bool:
        """Whether the node wants lazy inputs that were not asked for yet; they are demanded then."""
        asked = [name for name in wanted if name not in work.asked]
        if not asked:
            return False
        sources = [_lazy_source(work, name) for name in asked]
        work.asked |= set(asked)
        self._demand(sources, told=False)
        work.state = State.WAITING
        self.agenda.wait_for(work, sources)
        if work.waiting == 0:
            self.agenda.push(work)
        return True

    def _land(self) -> None:
        """Takes the next async node that is done, waiting for it; or notices an interrupt."""
        landed = self._flights.land()
        if landed is None or self._stop.is_set():
            raise Interrupted
        self._at = landed.work
        if not isinstance(landed.error, Wanted):
            self._timed(landed.work, landed.started)
        self._guarded(self._settle, landed.work, landed)

    def _settle(self, work: Work, landed: Landed) -> None:
        if isinstance(landed.error, asyncio.CancelledError):
            raise RuntimeError("the node cancelled itself") from landed.error
        if isinstance(landed.error, Wanted):
            self._call_again(work, landed.error)
            return
        if landed.error is not None:
            raise landed.error
        self._returned(work, landed.results)

    def abandon(self) -> None:
        """Cancels async nodes that are still under way, and waits for them a moment."""
        self._flights.abandon()
        self._elsewhere.ended()

    # -- what came back

    def _timed(self, work: Work, started: float) -> None:
        if self._probe is not None:
            seconds, peak = self._probe.end(started)
        else:
            seconds, peak = time.perf_counter() - started, None
        timing = Timing(work.id, work.node_type, started, seconds, peak)
        self.timings.append(timing)
        self.teller.timed(timing)

    def _returned(self, work: Work, results: list[Any]) -> None:
        returned = [normalise(result, work.contract) for result in results]
        work.ui = merge_ui([found.ui for found in returned if found.ui is not None])
        if work.ui:
            self.teller.show_ui(work.id, work.ui)
        if any(found.expand is not None for found in returned):
            self._expand(work, returned)
        else:
            self._done(work, [found.result for found in returned if found.result is not None])

    def _expand(self, work: Work, returned: list[Returned]) -> None:
        """Puts the new nodes into the graph; the work is done when what its result links to is."""
        added = add_nodes(self.graph, work.id, returned)
        roots = [node_id for node_id in added.nodes if self._is_output(self.graph.get_node(node_id))]
        works = self.agenda.admit([*roots, *(link[0] for link in added.links)])
        self._keeper.hold(work, works[: len(roots)])
        known = self.agenda.works
        work.inner_keys = tuple(known[node_id].key for node_id in added.nodes if node_id in known)
        sources = works[len(roots) :]
        slots = (int(link[1]) for link in added.links)
        self.agenda.relink(work, zip(sources, slots, strict=True))
        work.expanded = returned
        work.state = State.EXPANDED
        self._demand(works, told=False)
        self.agenda.wait_for(work, sources)
        if work.waiting == 0:
            self.agenda.push(work)

    def _done(self, work: Work, returns: list[tuple[Any, ...]]) -> None:
        outputs = merge(returns, work.contract)
        work.entry = Entry(outputs, work.ui, keys=work.inner_keys)
        work.expanded = None
        self.executed[work.id] = None
        self.teller.ended(work.id, "finished")
        self.agenda.finish(work, outputs)
        self._keeper.store(work)


def _lazy_source(work: Work, name: str) -> Work:
    """The node that an input leads to which check_lazy_status named; raises GraphError."""
    if name not in work.inputs:
        raise GraphError(f"check_lazy_status asks for the input {name!r}, but nothing is given to it")
    link = next((link for link in work.links if link.name == name), None)
    if link is None:
        raise GraphError(f"check_lazy_status asks for the input {name!r}, which is no link")
    return link.source
