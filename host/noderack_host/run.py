"""One prompt being run: takes ready works from the agenda, calls their nodes, and keeps what they give.

Errors:
    NodeFailed   carries a node's error to the executor, with what is known about it
"""

import asyncio
import inspect
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from noderack_host.cache import Entry, Inside
from noderack_host.call import Gathered, Returned, blocker_in, gather, merge, merge_ui, normalise, slices
from noderack_host.contract import Contract, contract_of
from noderack_host.events import Event, ExecutionCached
from noderack_host.expand import add_nodes, flat, resolved, shown_inside
from noderack_host.fingerprint import Fingerprints, bound_method
from noderack_host.graph import DependencyCycleError, DynamicPrompt, ExecutionBlocker, GraphError
from noderack_host.lane import finish, together
from noderack_host.measure import MemoryProbe, Timing
from noderack_host.running import Interrupted, Running, use
from noderack_host.tell import Teller, told_value
from noderack_host.work import Agenda, State, Work

if TYPE_CHECKING:
    from noderack_host.execute import Executor

_PATIENCE = 5.0  # seconds that cancelled async nodes get to clean up


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
    ) -> None:
        self.prompt_id = prompt_id
        self.graph = DynamicPrompt(prompt)
        self.teller = Teller(prompt_id, self.graph, on_event)
        self.cached: list[str] = []
        self.executed: dict[str, None] = {}
        self.timings: list[Timing] = []
        self._executor = executor
        self._cache = executor.cache
        self._extra = extra_data
        self._probe = probe
        self._stopped = threading.Event()
        self._landed: queue.SimpleQueue[tuple[Work, Any, BaseException | None] | None] = queue.SimpleQueue()
        self._flying: dict[str, tuple[Work, float, list[tuple[Running, Any]]]] = {}
        self._contracts: dict[str, Contract] = {}
        self._at: Work | None = None
        self._signs = Fingerprints(self.graph, self.hidden_value, executor.versions)
        self.agenda = Agenda(self.graph, self.contract, executor.cache, self._signs.sign)

    # -- what the agenda and the calls ask

    def contract(self, node_type: str, node_id: str) -> Contract:
        """The contract of a type, read once in this run; raises GraphError, ContractError."""
        found = self._contracts.get(node_type)
        if found is None:
            cls = self._executor.nodes.get(node_type)
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

    def where(self) -> tuple[str | None, str | None]:
        """The (id, type) of the prompt's node that is being worked on."""
        if self._at is None:
            return None, None
        real = self.graph.get_real_node_id(self._at.id)
        return real, str(self.graph.get_node(real)["class_type"])

    def interrupt(self) -> None:
        """Stops the run: before the next call, at the next report of progress, at once for async nodes."""
        self._stopped.set()
        self._landed.put(None)

    # -- the run

    def begin(self, outputs: Iterable[str] | None) -> None:
        """Reads the graph, asks the cache, and finds out what has to run; raises NodeFailed."""
        every = [
            node_id for node_id, node in self.graph.get_original_prompt().items() if self._is_output(node)
        ]
        roots = every if outputs is None else list(outputs)
        self._forget_instances()
        try:
            works = self.agenda.admit(roots)
        except Exception as cause:  # pack code: INPUT_TYPES may raise anything
            raise self._failure(self._culprit(cause, roots), cause, {}) from cause
        keys = {work.key for work in self.agenda.works.values()}
        self._cache.begin(keys if outputs is None else keys | self._other_keys(every))
        self.cached = [work.id for work in self.agenda.works.values() if work.key in self._cache]
        self.teller.tell(ExecutionCached(self.prompt_id, self.cached))
        for work in self.agenda.works.values():
            entry = self._cache.peek(work.key)
            if entry is not None and (entry.ui or entry.inner):
                self._show_kept(work, entry.ui, entry.inner)
        self._demand(works, told=True)

    def _is_output(self, node: Mapping[str, Any]) -> bool:
        cls = self._executor.nodes.get(node.get("class_type", ""))
        return getattr(cls, "OUTPUT_NODE", False) is True

    def _other_keys(self, outputs: list[str]) -> set[bytes]:
        """The keys of what is not run this time but stays in the prompt, as far as they can be told."""
        agenda = Agenda(self.graph, self.contract, self._cache, self._signs.sign)
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

    def _forget_instances(self) -> None:
        prompt = self.graph.get_original_prompt()
        instances = self._executor.instances
        for key in [key for key in instances if not _kept(key, instances[key][1], prompt)]:
            del instances[key]

    def _demand(self, works: Iterable[Work], told: bool) -> None:
        """Has these planned, and says what the cache had of them; `told` for nodes asked for by name."""
        wanted = list(works)
        for work in self.agenda.demand(wanted):
            if told and work.contract.output_node:
                self.teller.executed(work.id, work.ui)
            elif not told:
                self._show_kept(work, work.ui, work.inside)
            self._store(self._inner_done(work))

    def _show_kept(self, work: Work, ui: Mapping[str, Any] | None, inside: Inside) -> None:
        """What a kept result showed counts as shown; the output nodes of an expansion say so again."""
        if ui:
            self.teller.record(work.id, ui)
        for shown in flat(inside):
            self.teller.show(shown)

    def loop(self) -> None:
        """Works until nothing is left; raises NodeFailed, Interrupted."""
        while self.agenda.unfinished:
            if self._stopped.is_set():
                raise Interrupted
            while not self._landed.empty():
                self._land()
            work = self.agenda.pop()
            if work is not None:
                self._at = work
                self._guarded(self._step, work)
            elif self._flying:
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
            raise self._failure(work.id, cause, self._told_inputs(work)) from cause

    def _failure(self, node_id: str, cause: BaseException, inputs: Mapping[str, Any]) -> NodeFailed:
        real = self.graph.get_real_node_id(node_id)
        node_type = self.graph.get_node(real).get("class_type", "") if self.graph.has_node(real) else ""
        return NodeFailed(real, node_type, cause, inputs)

    def _told_inputs(self, work: Work) -> dict[str, Any]:
        """The inputs of a node that failed, as far as they are still there."""
        try:
            values = self._gather(work).values
        except Exception:  # the failure itself may be in reading the inputs
            return {}
        return {name: [told_value(value) for value in found] for name, found in values.items()}

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
        self._store(self._inner_done(work))

    # -- calling a node

    def _gather(self, work: Work) -> Gathered:
        links = {link.name: link for link in work.links}

        def value_of(name: str) -> list[Any] | None:
            link = links.get(name)
            outputs = link.source.outputs if link is not None else None
            if link is None or outputs is None or link.slot >= len(outputs):
                return None
            if link.lazy and name not in work.asked:
                return None  # whether another node needed it must make no difference
            return outputs[link.slot]

        return gather(work.contract, work.inputs, value_of, lambda source: self.hidden_value(source, work.id))

    def _call(self, work: Work) -> None:
        self.teller.began(work.id)
        gathered = self._gather(work)
        owner = self._owner(work)
        if work.contract.lazy_status is not None and self._ask_for_more(work, gathered, owner):
            return
        started = self._probe.begin() if self._probe is not None else time.perf_counter()
        method = bound_method(work.contract, owner, gathered.hidden, work.contract.function)
        results, awaited = self._calls(work, gathered, method)
        if awaited:
            work.state = State.RUNNING
            self._fly(work, started, results)
            return
        self._timed(work, started)
        self._returned(work, [result for _, result in results])

    def _owner(self, work: Work) -> Any:
        if work.contract.is_v3:
            return work.contract.cls
        key = (work.id, work.node_type)
        found = self._executor.instances.get(key)
        if found is None or type(found[0]) is not work.contract.cls:
            found = (work.contract.cls(), self.graph.get_real_node_id(work.id))
            self._executor.instances[key] = found
        return found[0]

    def _calls(
        self, work: Work, gathered: Gathered, method: Callable[..., Any]
    ) -> tuple[list[tuple[Running, Any]], bool]:
        """Each call's (what was running, result); whether any of the results must be awaited."""
        whole = work.contract.input_is_list
        results: list[tuple[Running, Any]] = []
        try:
            for at, arguments in enumerate(slices(gathered.values, whole)):
                results.append(self._one_call(work, at, arguments, method))
        except BaseException:  # pack code, or an interrupt
            _close(results)
            raise
        return results, any(hasattr(result, "__await__") for _, result in results)

    def _one_call(
        self, work: Work, at: int, arguments: dict[str, Any], method: Callable[..., Any]
    ) -> tuple[Running, Any]:
        running = self._running_for(work.id, at)
        running.interrupted()
        blocker = blocker_in(arguments, work.contract.input_is_list)
        if blocker is not None:
            return running, self._blocked(work, blocker)
        with use(running):
            return running, method(**arguments)

    def _running_for(self, node_id: str, at: int) -> Running:
        base = self._executor.running
        report, stopped = self.teller.progress, self._stopped.is_set
        return Running(
            base.host, base.folders, self.prompt_id, node_id, at, itertools.count(), report, stopped
        )

    def _blocked(self, work: Work, blocker: ExecutionBlocker) -> ExecutionBlocker:
        """The first node that a blocker with a message reaches tells the message; after that it is silent."""
        if blocker.message is None:
            return blocker
        self.teller.blocked(work.id, work.node_type, blocker.message, list(self.executed))
        return ExecutionBlocker(None)

    def _ask_for_more(self, work: Work, gathered: Gathered, owner: Any) -> bool:
        """Whether the node wants lazy inputs that are not there yet; they are demanded then."""
        method = bound_method(work.contract, owner, gathered.hidden, str(work.contract.lazy_status))
        wanted: dict[str, None] = {}
        for at, arguments in enumerate(slices(gathered.values, work.contract.input_is_list)):
            if blocker_in(arguments, work.contract.input_is_list) is not None:
                continue
            with use(self._running_for(work.id, at)):
                answer = finish(method(**arguments))
            if isinstance(answer, (list, tuple, set)):
                wanted.update(dict.fromkeys(name for name in answer if isinstance(name, str)))
        absent = [name for name in wanted if name not in gathered.values or name in gathered.missing]
        asked = [name for name in absent if name not in work.asked]
        if not asked:
            return False
        sources = [self._lazy_source(work, name) for name in asked]
        work.asked.update(asked)
        self._demand(sources, told=False)
        work.state = State.WAITING
        self.agenda.wait_for(work, sources)
        if work.waiting == 0:
            self.agenda.push(work)
        return True

    def _lazy_source(self, work: Work, name: str) -> Work:
        """The node that an input leads to which check_lazy_status named; raises GraphError."""
        if name not in work.inputs:
            raise GraphError(f"check_lazy_status asks for the input {name!r}, but nothing is given to it")
        link = next((link for link in work.links if link.name == name), None)
        if link is None:
            raise GraphError(f"check_lazy_status asks for the input {name!r}, which is no link")
        return link.source

    # -- async nodes

    def _fly(self, work: Work, started: float, results: list[tuple[Running, Any]]) -> None:
        self._flying[work.id] = (work, started, results)
        self._executor.lane.submit(
            together(results), lambda found, error: self._landed.put((work, found, error))
        )

    def _land(self) -> None:
        """Takes the next async node that is done, waiting for it; or notices an interrupt."""
        landed = self._landed.get()
        if self._stopped.is_set() and landed is not None:
            _close(self._flying.pop(landed[0].id)[2])
        if landed is None or self._stopped.is_set():
            raise Interrupted
        work, results, error = landed
        self._at, started, _ = self._flying.pop(work.id)
        self._timed(work, started)
        self._guarded(self._returned_or_failed, work, results, error)

    def _returned_or_failed(self, work: Work, results: list[Any], error: BaseException | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            raise RuntimeError("the node cancelled itself") from error
        if error is not None:
            raise error
        self._returned(work, results)

    def abandon(self) -> None:
        """Cancels async nodes that are still under way, and waits for them a moment."""
        if self._flying:
            self._executor.lane.cancel()
        while self._flying:
            try:
                landed = self._landed.get(timeout=_PATIENCE)
            except queue.Empty:
                return
            if landed is not None:
                _close(self._flying.pop(landed[0].id)[2])

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
        self._hold(work, works[: len(roots)])
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
        self._store(work)

    def _hold(self, work: Work, inner: list[Work]) -> None:
        """Keeps a work's result back until these are done, and the result of the expansion around it too."""
        work.inner += inner
        work.inner_left += len(inner)
        for item in inner:
            item.outer = work
        parent = self.graph.get_parent_node_id(work.id)
        outer = self.agenda.works.get(parent) if parent is not None else None
        if inner and work.outer is None and outer is not None and outer.expanded is not None:
            outer.inner.append(work)
            outer.inner_left += 1
            work.outer = outer

    def _store(self, work: Work | None) -> None:
        """Keeps a result once all that it expanded to is done, so that a kept result is never a half one."""
        while work is not None and work.entry is not None and not work.inner_left:
            entry, work.entry = work.entry, None
            work.inside = shown_inside(work, self.graph)
            self._cache.put(work.key, Entry(entry.outputs, entry.ui, work.inside, entry.keys))
            work = self._inner_done(work)

    def _inner_done(self, work: Work) -> Work | None:
        """One node less that the expansion around this one waits for; gives that expansion."""
        outer, work.outer = work.outer, None
        if outer is not None:
            outer.inner_left -= 1
        return outer


def _close(results: list[tuple[Running, Any]]) -> None:
    """Ends coroutines that nobody will await; those that are done take no notice."""
    for _, result in results:
        if inspect.iscoroutine(result):
            result.close()


def _kept(key: tuple[str, str], real_id: str, prompt: Mapping[str, Any]) -> bool:
    """Whether an instance stays: its node, or the node that expanded to it, is still in the prompt."""
    node_id, node_type = key
    if real_id != node_id:
        return real_id in prompt
    return bool(prompt.get(node_id, {}).get("class_type") == node_type)
