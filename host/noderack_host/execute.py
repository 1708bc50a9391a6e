"""Runs a prompt: what is needed and not known yet, in an order that lets values go early.

One thread decides and runs the nodes that are plain functions; async nodes run beside it in a loop of their
own (`lane`), in parallel with everything else. Events are told from these threads, one at a time.

Errors:
    NodeError        a node failed: which, of what type, with which inputs, and the cause
    PromptStopped    the user interrupted the prompt
"""

import asyncio
import contextlib
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from noderack_host.cache import Cache, Classic
from noderack_host.events import (
    Event,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
)
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.lane import Lane
from noderack_host.measure import MemoryProbe, Timing
from noderack_host.providers import CacheProvider, registered
from noderack_host.run import NodeFailed, Run
from noderack_host.running import Interrupted, Running

OnEvent = Callable[[Event], None]


class NodeError(Exception):
    """A node failed. `inputs` are the values it had, as text where they are no plain data."""

    def __init__(self, node_id: str, node_type: str, cause: BaseException, inputs: Mapping[str, Any]) -> None:
        super().__init__(f"node {node_id} ({node_type}): {type(cause).__name__}: {cause}")
        self.node_id = node_id
        self.node_type = node_type
        self.inputs = inputs


class PromptStopped(Exception):
    """The prompt was interrupted, at this node if at one."""

    def __init__(self, prompt_id: str, node_id: str | None) -> None:
        super().__init__(f"prompt {prompt_id} was interrupted" + (f" at node {node_id}" if node_id else ""))
        self.node_id = node_id


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a prompt gave: ui payloads by node id and whose they are, what was cached, how long it took."""

    prompt_id: str
    outputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    cached: tuple[str, ...]
    timings: tuple[Timing, ...]


class Executor:
    """Runs prompts one after the other and keeps results between them.

    nodes: node type → class. cache: what is kept (Classic unless said). host: whose folders nodes see.
    versions: node type → version of its code; results of another version are not used. providers: whom to
    ask for results that are not kept here, looked up as each prompt begins.
    """

    def __init__(
        self,
        nodes: Mapping[str, Any],
        cache: Cache | None = None,
        host: Host | None = None,
        versions: Mapping[str, str] | None = None,
        measure_memory: bool = True,
        providers: Callable[[], Sequence[CacheProvider]] = registered,
    ) -> None:
        self.nodes = nodes
        self.cache: Cache = Classic() if cache is None else cache
        self.running = Running(host=host, folders=ModelFolders.of(host) if host else None)
        self.versions = versions or {}
        self.providers = providers
        self.instances: dict[tuple[str, str], Any] = {}
        self._measure = measure_memory
        self._lane = Lane(_InferenceMode())
        self._thread = ThreadPoolExecutor(1, "noderack-nodes")
        self._busy = threading.Lock()
        self._asked: dict[str, _Asked] = {}

    async def run(
        self,
        prompt: Mapping[str, Any],
        on_event: OnEvent = lambda event: None,
        extra_data: Mapping[str, Any] | None = None,
        prompt_id: str | None = None,
        outputs: Iterable[str] | None = None,
    ) -> RunResult:
        """Runs a checked prompt. `outputs` limits which output nodes run.

        `on_event` is called in the threads that run nodes, never twice at once; it must be quick. Cancelling
        the call interrupts the prompt. Raises NodeError, PromptStopped, GraphError.
        """
        asked = self._ask(prompt_id)
        wanted = None if outputs is None else tuple(outputs)
        job = self._thread.submit(self._run, asked, prompt, on_event, extra_data or {}, wanted)
        running = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks for it
            asked.interrupt()
            if job.cancel():
                self._over(asked)
            raise

    def run_here(
        self,
        prompt: Mapping[str, Any],
        on_event: OnEvent = lambda event: None,
        extra_data: Mapping[str, Any] | None = None,
        prompt_id: str | None = None,
        outputs: Iterable[str] | None = None,
    ) -> RunResult:
        """The same in the calling thread."""
        return self._run(self._ask(prompt_id), prompt, on_event, extra_data or {}, outputs)

    def _ask(self, prompt_id: str | None) -> "_Asked":
        """Notes a prompt before it begins, so that an interrupt finds it from the first instant on."""
        asked = _Asked(prompt_id or str(uuid.uuid4()))
        self._asked[asked.prompt_id] = asked
        return asked

    def _over(self, asked: "_Asked") -> None:
        if self._asked.get(asked.prompt_id) is asked:
            del self._asked[asked.prompt_id]

    def _run(
        self,
        asked: "_Asked",
        prompt: Mapping[str, Any],
        on_event: OnEvent,
        extra_data: Mapping[str, Any],
        outputs: Iterable[str] | None,
    ) -> RunResult:
        with contextlib.ExitStack() as stack:
            stack.callback(self._over, asked)
            stack.enter_context(self._busy)
            probe = MemoryProbe() if self._measure else None
            if probe is not None:
                stack.callback(probe.close)
            asked.run = run = Run(self, prompt, on_event, extra_data, asked.prompt_id, probe, asked.stop)
            stack.callback(self.cache.end)
            stack.enter_context(inference_mode())
            return self._drive(run, outputs)

    def _drive(self, run: Run, outputs: Iterable[str] | None) -> RunResult:
        run.teller.tell(ExecutionStart(run.prompt_id))
        try:
            run.begin(outputs)
            run.loop()
        except NodeFailed as failed:
            run.teller.tell(_error_event(run, failed))
            raise NodeError(failed.node_id, failed.node_type, failed.cause, failed.inputs) from failed.cause
        except Interrupted:
            node_id, node_type = run.where()
            run.teller.tell(ExecutionInterrupted(run.prompt_id, node_id, node_type, list(run.executed)))
            raise PromptStopped(run.prompt_id, node_id) from None
        finally:
            run.abandon()
        run.teller.tell(ExecutionSuccess(run.prompt_id))
        return RunResult(
            run.prompt_id, run.teller.outputs, run.teller.meta, tuple(run.cached), tuple(run.timings)
        )

    def take(self, nodes: Mapping[str, Any], changed: Iterable[str] = ()) -> None:
        """These are the node types from the next prompt on; what `changed` ones gave is not used again.

        A prompt that runs goes on with the classes that it began with.
        """
        stamp = uuid.uuid4().hex
        self.versions = {**self.versions, **dict.fromkeys(changed, stamp)}
        self.nodes = nodes

    @property
    def lane(self) -> Lane:
        """Where async nodes run."""
        return self._lane

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stops what was asked for (or only the prompt of that id) at once; False if there is nothing.

        A prompt that was handed to `run` and has not begun yet stops before its first node.
        """
        found = [asked for key, asked in tuple(self._asked.items()) if prompt_id is None or key == prompt_id]
        for asked in found:
            asked.interrupt()
        return bool(found)

    def free(self) -> None:
        """Forgets every result and every instance."""
        self.cache.clear()
        self.instances.clear()

    def close(self) -> None:
        """Ends the executor's threads."""
        self._thread.shutdown(wait=False)
        self._lane.close()


class _Asked:
    """A prompt from the moment it is asked for: `stop` is set when it is not wanted any more."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.stop = threading.Event()
        self.run: Run | None = None

    def interrupt(self) -> None:
        self.stop.set()
        if self.run is not None:
            self.run.wake()


def inference_mode() -> contextlib.AbstractContextManager[Any]:
    """torch's inference mode where torch is in use, else nothing: nodes expect it."""
    torch = sys.modules.get("torch")
    found: contextlib.AbstractContextManager[Any] = (
        torch.inference_mode() if torch is not None else contextlib.nullcontext()
    )
    return found


class _InferenceMode:
    """Puts the lane's thread into inference mode once, as soon as torch is there."""

    def __init__(self) -> None:
        self._entered: contextlib.AbstractContextManager[Any] | None = None

    def __call__(self) -> None:
        if self._entered is None and "torch" in sys.modules:
            self._entered = inference_mode()
            self._entered.__enter__()


def _error_event(run: Run, failed: NodeFailed) -> ExecutionError:
    cause = failed.cause
    kind = type(cause)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ExecutionError(
        prompt_id=run.prompt_id,
        node_id=failed.node_id,
        node_type=failed.node_type,
        executed=list(run.executed),
        exception_message=f"{cause}\n",
        exception_type=getattr(cause, "wire_name", name),
        traceback=traceback.format_tb(cause.__traceback__),
        current_inputs=failed.inputs,
        current_outputs=list(run.agenda.works),
    )
