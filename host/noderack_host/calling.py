"""Calls the nodes of one run: whose method it is, with which arguments, and what is running meanwhile."""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from noderack_host.call import Gathered, blocker_in, gather, slices
from noderack_host.fingerprint import bound_method
from noderack_host.graph import DynamicPrompt, ExecutionBlocker
from noderack_host.lane import finish
from noderack_host.running import Running, Wanted, use
from noderack_host.tell import Teller, told_value
from noderack_host.work import Work

Results = list[tuple[Running, Any]]
"""Each call's (what was running, what it gave); the second may have to be awaited."""
Instances = dict[tuple[str, str], Any]
"""{(node id, node type): (instance, id of the prompt's node)}, kept between runs."""


class Caller:
    """Calls nodes for one prompt. `executed` are the nodes that are done, for error messages."""

    def __init__(
        self,
        graph: DynamicPrompt,
        teller: Teller,
        base: Running,
        stopped: Callable[[], bool],
        instances: Instances,
        hidden_value: Callable[[str, str], Any],
        executed: Iterable[str],
    ) -> None:
        self._graph = graph
        self._teller = teller
        self._base = base
        self._stopped = stopped
        self._instances = instances
        self._hidden_value = hidden_value
        self._executed = executed
        self._done: dict[str, dict[int, tuple[Running, Any]]] = {}

    def gather(self, work: Work) -> Gathered:
        """The values that a work's inputs have now."""
        links = {link.name: link for link in work.links}

        def value_of(name: str) -> list[Any] | None:
            link = links.get(name)
            outputs = link.source.outputs if link is not None else None
            if link is None or outputs is None or link.slot >= len(outputs):
                return None
            if link.lazy and name not in work.asked:
                return None  # whether another node needed it must make no difference
            return outputs[link.slot]

        return gather(
            work.contract, work.inputs, value_of, lambda source: self._hidden_value(source, work.id)
        )

    def told_inputs(self, work: Work) -> dict[str, Any]:
        """The inputs of a node that failed, as far as they are still there."""
        try:
            values = self.gather(work).values
        except Exception:  # the failure itself may be in reading the inputs
            return {}
        return {name: [told_value(value) for value in found] for name, found in values.items()}

    def call(self, work: Work, gathered: Gathered) -> tuple[Results, bool]:
        """Calls a node for each slice of its inputs; whether any of the results must be awaited.

        Raises Wanted if a call needs a lazy input; what other calls gave is kept for the next time.
        """
        method = bound_method(work.contract, self._owner(work), gathered.hidden, work.contract.function)
        results = self._done.pop(work.id, {})
        wanted: dict[str, None] = {}
        try:
            for at, arguments in enumerate(slices(gathered.values, work.contract.input_is_list)):
                if at in results:
                    continue
                try:
                    results[at] = self._one_call(work, at, arguments, method)
                except Wanted as cause:
                    wanted.update(dict.fromkeys(cause.names))
            if wanted:
                raise Wanted(*wanted)
        except Wanted:
            self._done[work.id] = results
            raise
        except BaseException:  # pack code, or an interrupt
            close(results.values())
            raise
        found = [results[at] for at in sorted(results)]
        return found, any(hasattr(result, "__await__") for _, result in found)

    def _one_call(
        self, work: Work, at: int, arguments: dict[str, Any], method: Callable[..., Any]
    ) -> tuple[Running, Any]:
        running = self._running_for(work, at)
        running.interrupted()
        blocker = blocker_in(arguments, work.contract.input_is_list)
        if blocker is not None:
            return running, self._blocked(work, blocker)
        with use(running):
            return running, method(**arguments)

    def wanted(self, work: Work, gathered: Gathered) -> list[str]:
        """The inputs that check_lazy_status names and that are not there; raises whatever it raises."""
        method = bound_method(
            work.contract, self._owner(work), gathered.hidden, str(work.contract.lazy_status)
        )
        wanted: dict[str, None] = {}
        for at, arguments in enumerate(slices(gathered.values, work.contract.input_is_list)):
            if blocker_in(arguments, work.contract.input_is_list) is not None:
                continue
            with use(self._running_for(work, at)):
                answer = finish(method(**arguments))
            if isinstance(answer, (list, tuple, set)):
                wanted.update(dict.fromkeys(name for name in answer if isinstance(name, str)))
        return [name for name in wanted if name not in gathered.values or name in gathered.missing]

    def _running_for(self, work: Work, at: int) -> Running:
        base, report = self._base, self._teller.progress
        return Running(
            base.host,
            base.folders,
            self._teller.prompt_id,
            work.id,
            at,
            itertools.count(),
            report,
            self._stopped,
            work.asked,
        )

    def _blocked(self, work: Work, blocker: ExecutionBlocker) -> ExecutionBlocker:
        """The first node that a blocker with a message reaches tells the message; after that it is silent."""
        if blocker.message is None:
            return blocker
        self._teller.blocked(work.id, work.node_type, blocker.message, list(self._executed))
        return ExecutionBlocker(None)

    def _owner(self, work: Work) -> Any:
        """The instance that a V1 node keeps between prompts; the class itself for V3."""
        if work.contract.is_v3:
            return work.contract.cls
        key = (work.id, work.node_type)
        found = self._instances.get(key)
        if found is None or type(found[0]) is not work.contract.cls:
            found = (work.contract.cls(), self._graph.get_real_node_id(work.id))
            self._instances[key] = found
        return found[0]


def close(results: Iterable[tuple[Running, Any]]) -> None:
    """Ends coroutines that nobody will await; those that are done take no notice."""
    for _, result in results:
        if inspect.iscoroutine(result):
            result.close()


def forget_instances(instances: Instances, prompt: Mapping[str, Any]) -> None:
    """Drops the instances whose node, or the node that expanded to it, is no longer in the prompt."""
    for key in [key for key in instances if not _kept(key, instances[key][1], prompt)]:
        del instances[key]


def _kept(key: tuple[str, str], real_id: str, prompt: Mapping[str, Any]) -> bool:
    node_id, node_type = key
    if real_id != node_id:
        return real_id in prompt
    return bool(prompt.get(node_id, {}).get("class_type") == node_type)
