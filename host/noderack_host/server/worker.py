"""Runs the queue's prompts one after the other, and tells clients and history what happens."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from noderack_host.events import Event, Executing, Progress
from noderack_host.execute import Executor, NodeError, PromptStopped, RunResult
from noderack_host.server.clients import Clients, Greeting, Picture
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
OWN_EVENTS = "noderack."  # existing clients complain of messages that they do not know
PROGRESS_SECONDS = 0.1  # how often a node's progress is told, but for its first and last


class Worker:
    """The one who runs prompts. `idle` is set while nothing runs."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        clients: Clients,
        fair: bool = False,
        logs: Logs | None = None,
        webhooks: Sequence[str] = (),
    ) -> None:
        self.running: Entry | None = None
        self.node: str | None = None
        self.idle = asyncio.Event()
        self.idle.set()
        self.figures = Figures()
        self._queue, self._executor, self._clients, self._fair = queue, executor, clients, fair
        self._logs, self._webhooks = logs or Logs(), webhooks
        self._called = asyncio.Event()
        self._held = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to run what waits."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Interrupts what runs; it stays in the queue as running, which the next start settles."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def hold(self) -> None:
        """Starts nothing more; returns when what runs is over. What waits stays in the queue."""
        self._held = True
        self._called.set()
        await self.idle.wait()

    def call(self) -> None:
        """Something came into the queue, or the queue goes on: look, and tell the clients how many wait."""
        self._called.set()
        self.tell_status()

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stops the running prompt, or only the one of that id."""
        return self._executor.interrupt(prompt_id)

    def tell_status(self) -> None:
        """Tells every client how many prompts remain."""
        status = {"status": {"exec_info": {"queue_remaining": self._queue.remaining}}}
        self._clients.send({"type": "status", "data": status})

    def greeting(self) -> Greeting:
        """What a client that connects now hears."""
        entry = self.running
        if entry is None or self.node is None:
            return Greeting(self._queue.remaining, {})
        running = {"client": entry.client, "prompt_id": entry.id, "node": self.node}
        return Greeting(self._queue.remaining, running)

    async def _work(self) -> None:
        while True:
            entry = None if self._held else self._queue.take(self._fair)
            if entry is None:
                self.idle.set()
                self._called.clear()
                await self._called.wait()
                continue
            self.idle.clear()
            await self._run(entry)

    async def _run(self, entry: Entry) -> None:
        self.running = entry
        teller = _Teller(self, self._clients, entry)
        result, error = await self._result(entry, teller)
        await teller.told()
        self._finish(
            replace(entry, state=_STATES.get(type(error) if error else None, FAILED)), teller, result
        )
        self.running = self.node = None
        self.tell_status()
        self._clients.send(Executing(entry.id, None).as_dict(), entry.client or None)

    def _finish(self, entry: Entry, teller: "_Teller", result: RunResult | None) -> None:
        """Writes the prompt's end down, and whom to tell of it, in one transaction; counts it."""
        outputs = result.outputs if result else teller.outputs
        status = {
            "status_str": "success" if result else "error",
            "completed": result is not None,
            "messages": teller.messages,
        }
        ended = int(time.time() * 1000)
        over = replace(entry, outputs=outputs, status=status, ended=ended)
        self._queue.finish(
            *(entry.id, entry.state, status, outputs, result.meta if result else {}),
            logs=self._logs.close_prompt(entry.id),
            calls=calls_for(over, self._webhooks) if self._webhooks or "webhook" in entry.extra else (),
        )
        started = entry.started or ended
        timings = result.timings if result else ()
        self.figures.over(entry.state, (started - entry.created) / 1000, (ended - started) / 1000, timings)
        self.figures.step = Step()

    async def _result(self, entry: Entry, teller: "_Teller") -> tuple[RunResult | None, BaseException | None]:
        try:
            ran = self._executor.run(
                entry.prompt, teller, entry.extra, entry.id, entry.wanted if entry.wanted else None
            )
            return await ran, None
        except (NodeError, PromptStopped) as error:
            return None, error
        except Exception as error:  # a bug of ours or of a pack's class: the queue goes on
            log.exception("prompt %s broke the executor", entry.id)
            return None, error


class _Teller:
    """Takes a run's events in its threads and brings them to clients and history in the event loop's."""

    def __init__(self, worker: Worker, clients: Clients, entry: Entry) -> None:
        self.messages: list[list[Any]] = []
        self.outputs: dict[str, Any] = {}
        self._worker, self._clients, self._entry = worker, clients, entry
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._edge: tuple[str, float] | None = None
        self._waiting: deque[tuple[dict[str, Any], Picture | None]] = deque()
        self._called = False

    def __call__(self, event: Event) -> None:
        picture = None
        if event.name in ("progress", "progress_state"):
            picture = Picture.of(getattr(event, "preview", None))
            if picture is None and not self._is_due(event):
                return
        self._waiting.append((event.as_dict(), picture))
        if (
            not self._called
        ):  # one call brings all that came meanwhile: waking the loop costs more than a message
            self._called = True
            self._loop.call_soon_threadsafe(self._bring_all)

    def _bring_all(self) -> None:
        self._called = False
        for _ in range(len(self._waiting)):  # no more than there are now: a node may tell without a pause
            self._bring(*self._waiting.popleft())

    async def told(self) -> None:
        """Returns when everything that was said so far has been brought."""
        done = asyncio.Event()
        self._loop.call_soon(done.set)
        await done.wait()

    def _is_due(self, event: Event) -> bool:
        now = time.monotonic()
        if isinstance(event, Progress) and event.value in (0, event.max):
            edge = (event.node, event.value)
            if edge != self._edge:
                self._edge = edge
                return True
        if now - self._last < PROGRESS_SECONDS:
            return False
        self._last = now
        return True

    def _bring(self, message: dict[str, Any], picture: Picture | None) -> None:
        name, data = message["type"], message["data"]
        if name in KEPT_IN_HISTORY:
            self.messages.append([name, data])
        if name == "executing":
            self._worker.node = data["node"]
        if name == "progress":
            self._worker.figures.step.heard(str(data["node"]), data["value"], data["max"])
        if name == "executed":
            self.outputs[data["node"]] = data["output"]
        if name.startswith(OWN_EVENTS):
            return
        for client_id in self._listeners(name):
            self._clients.send(message, client_id)
            if picture is not None:
                about = {"node_id": data.get("node"), "prompt_id": data.get("prompt_id")}
                self._clients.preview(picture, {**about, "display_node_id": data.get("node")}, client_id)

    def _listeners(self, name: str) -> list[str | None]:
        """A prompt's client hears of it; without one, only what the field sends to everyone is sent."""
        if self._entry.client and name != "execution_interrupted":
            return [self._entry.client]
        return [None] if name in TO_EVERYONE else []
