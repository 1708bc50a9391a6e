"""Has the queue's prompts run, as many at once as the engine takes, and tells clients and history of it."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from noderack_host.events import Executing
from noderack_host.execute import NodeError, PromptStopped, RunResult
from noderack_host.outlet import LOG, Message
from noderack_host.preview import Picture
from noderack_host.server.clients import Clients, Greeting
from noderack_host.server.engine import Engine
from noderack_host.server.figures import Figures, Step
from noderack_host.server.logs import Logs
from noderack_host.server.queue import CANCELLED, DONE, FAILED, Entry, Queue
from noderack_host.server.webhooks import calls_for

log = logging.getLogger(__name__)
KEPT_IN_HISTORY = frozenset(
    {"execution_start", "execution_cached", "execution_success", "execution_error", "execution_interrupted"}
)
TO_EVERYONE = frozenset({"progress", "progress_state", "execution_interrupted"})
_STATES: Mapping[type[BaseException] | None, str] = {None: DONE, NodeError: FAILED, PromptStopped: CANCELLED}
STATUS_SECONDS = 0.05  # how often all clients are told how many prompts remain
TOGETHER_SECONDS = 0.001  # what a prompt says within that is brought together
OWN_EVENTS = "noderack."  # existing clients complain of messages that they do not know


@dataclass(slots=True)
class Under:
    """A prompt under way: at which node it is, and how far that is."""

    entry: Entry
    node: str | None = None
    step: Step = field(default_factory=Step)


class Worker:
    """The one who has prompts run. `under` are those under way; `idle` is set while there are none."""

    def __init__(
        self,
        queue: Queue,
        engine: Engine,
        clients: Clients,
        fair: bool = False,
        logs: Logs | None = None,
        webhooks: Sequence[str] = (),
    ) -> None:
        self.under: dict[str, Under] = {}
        self.idle = asyncio.Event()
        self.idle.set()
        self.figures = Figures()
        self._queue, self._engine, self._clients, self._fair = queue, engine, clients, fair
        self._logs, self._webhooks = logs or Logs(), webhooks
        self._called = asyncio.Event()
        self._held = False
        self._status_due: asyncio.TimerHandle | None = None
        self._status_stale = False
        self._lanes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to run what waits."""
        await self._engine.start(self._widen)
        self._widen()

    def _widen(self) -> None:
        """Sees to it that there is a lane for each of the engine's places; those too many rest."""
        for index in range(len(self._lanes), self._engine.places):
            self._lanes.append(asyncio.create_task(self._lane(index)))
        self._wake()

    async def stop(self) -> None:
        """Interrupts what runs; it stays in the queue as running, which the next start settles."""
        for lane in self._lanes:
            lane.cancel()
        for lane in self._lanes:
            with contextlib.suppress(asyncio.CancelledError):
                await lane

    async def hold(self) -> None:
        """Starts nothing more; returns when what runs is over. What waits stays in the queue."""
        self._held = True
        self._wake()
        await self.idle.wait()

    def call(self) -> None:
        """Something came into the queue, or the queue goes on: look, and tell the clients how many wait."""
        self._wake()
        self.tell_status()

    def _wake(self) -> None:
        called, self._called = self._called, asyncio.Event()
        called.set()

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stops what runs, or only the prompt of that id."""
        return self._engine.interrupt(prompt_id)

    def tell_status(self) -> None:
        """Tells every client how many prompts remain: now, or a moment later what came together."""
        if self._status_due is not None:
            self._status_stale = True
            return
        self._status_stale = False
        self._status_due = asyncio.get_running_loop().call_later(STATUS_SECONDS, self._status_again)
        self._clients.send(self._status())

    def _status(self) -> Message:
        status = {"status": {"exec_info": {"queue_remaining": self._queue.remaining}}}
        return {"type": "status", "data": status}

    def _status_again(self) -> None:
        self._status_due = None
        if self._status_stale:
            self.tell_status()

    def greeting(self) -> Greeting:
        """What a client that connects now hears."""
        at = [(one.entry.client, one.entry.id, one.node) for one in self.under.values() if one.node]
        return Greeting(self._queue.remaining, at)

    async def _lane(self, index: int) -> None:
        """Runs one prompt after the other, as long as the engine has a place for it."""
        while True:
            called, rests = self._called, self._held or index >= self._engine.places
            entry = None if rests else self._queue.take(self._fair)
            if entry is not None:
                await self._run(entry)
                continue
            if not self.under:
                self.idle.set()
            await called.wait()

    async def _run(self, entry: Entry) -> None:
        self.idle.clear()
        under = self.under[entry.id] = Under(entry)
        self.figures.steps[entry.id] = under.step
        teller = _Teller(under, self._clients, self._logs)
        try:
            result, error = await self._result(entry, teller)
            teller.bring()
            state = _STATES.get(type(error) if error else None, FAILED)
            self._finish(entry, state, teller, result)
        finally:
            del self.under[entry.id], self.figures.steps[entry.id]
        self.tell_status()
        if self._status_stale and entry.client:  # who waits for the end knows how many remain before it
            self._clients.send(self._status(), entry.client)
        self._clients.send(Executing(entry.id, None).as_dict(), entry.client or None)

    def _finish(self, entry: Entry, state: str, teller: "_Teller", result: RunResult | None) -> None:
        """Writes the prompt's end down, and whom to tell of it, in one transaction; counts it."""
        outputs = result.outputs if result else teller.outputs
        status = {
            "status_str": "success" if result else "error",
            "completed": result is not None,
            "messages": teller.messages,
        }
        ended = int(time.time() * 1000)
        calls: list[tuple[str, str]] = []
        if self._webhooks or "webhook" in entry.extra:
            over = replace(entry, state=state, outputs=outputs, status=status, ended=ended)
            calls = calls_for(over, self._webhooks)
        self._queue.finish(
            *(entry.id, state, status, outputs, result.meta if result else {}),
            logs=self._logs.close_prompt(entry.id),
            calls=calls,
        )
        started = entry.started or ended
        timings = result.timings if result else ()
        self.figures.over(state, (started - entry.created) / 1000, (ended - started) / 1000, timings)

    async def _result(self, entry: Entry, teller: "_Teller") -> tuple[RunResult | None, BaseException | None]:
        try:
            return await self._engine.run(entry, teller), None
        except (NodeError, PromptStopped) as error:
            return None, error
        except Exception as error:  # a bug of ours or of a pack's class: the queue goes on
            log.exception("prompt %s broke the executor", entry.id)
            return None, error


class _Teller:
    """Takes what a prompt says in any thread, and brings it to clients and history in the event loop's."""

    def __init__(self, under: Under, clients: Clients, logs: Logs) -> None:
        self.messages: list[list[Any]] = []
        self.outputs: dict[str, Any] = {}
        self._under, self._clients, self._logs = under, clients, logs
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Message, Picture | None]] = deque()
        self._called = False
        self._due: asyncio.TimerHandle | None = None

    def __call__(self, message: Message, picture: Picture | None = None) -> None:
        self._waiting.append((message, picture))
        if not self._called:  # waking the loop costs more than a message, and both want the interpreter
            self._called = True
            self._loop.call_soon_threadsafe(self._bring_soon)

    def _bring_soon(self) -> None:
        if self._called:
            self._due = self._loop.call_later(TOGETHER_SECONDS, self.bring)

    def bring(self) -> None:
        """Brings what was said so far."""
        self._called = False
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for _ in range(len(self._waiting)):  # no more than there are now: a node may tell without a pause
            self._bring(*self._waiting.popleft())

    def _bring(self, message: Message, picture: Picture | None) -> None:
        name, data = message["type"], message["data"]
        if name == "execution_start":  # the first, or once more after a worker was lost
            self.messages.clear()
            self.outputs.clear()
        if name in KEPT_IN_HISTORY:
            self.messages.append([name, data])
        if name == "executing":
            self._under.node = data["node"]
        if name == "progress":
            self._under.step.heard(str(data["node"]), data["value"], data["max"])
        if name == "executed":
            self.outputs[data["node"]] = data["output"]
        if name == LOG:
            self._logs.take_from(self._under.entry.id, data["lines"], data["node"])
        if name.startswith(OWN_EVENTS):
            return
        for client_id in self._listeners(name):
            self._clients.send(message, client_id)
            if picture is not None:
                about = {"node_id": data.get("node"), "prompt_id": data.get("prompt_id")}
                self._clients.preview(picture, {**about, "display_node_id": data.get("node")}, client_id)

    def _listeners(self, name: str) -> list[str | None]:
        """A prompt's client hears of it; without one, only what the field sends to everyone is sent."""
        client = self._under.entry.client
        if client and name != "execution_interrupted":
            return [client]
        return [None] if name in TO_EVERYONE else []
