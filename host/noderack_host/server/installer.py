"""Changes to the host that the editor asks for: each is a child `nodes … --json`, one after the other.

The installer never runs inside the server: what it does is told by its lines, and a new generation that it
leaves is taken in afterwards.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PENDING, RUNNING, DONE, FAILED = "pending", "running", "done", "failed"
SECRETS = ("NODERACK_SERVE_TOKEN", "NODERACK_SUPERVISED", "NODERACK_WEBHOOK_SECRET")
KEPT = 50  # tasks that are over and still told
LONGEST_LINE = 16 << 20


@dataclass(slots=True)
class Task:
    """One change. `words`: the command line; `events`: what the child said; `file` is removed at the end."""

    kind: str
    words: tuple[str, ...]
    label: str
    client: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    params: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    state: str = PENDING
    events: list[dict[str, Any]] = field(default_factory=list)
    message: str = ""
    taken: Mapping[str, Any] | None = None
    ended: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """What clients see of it."""
        names = ("id", "kind", "label", "state", "message", "taken")
        return {**{name: getattr(self, name) for name in names}, "events": self.events[-20:]}


@dataclass(frozen=True, slots=True)
class Ended:
    """A child that is over: exit code, its events, and the last of what it said beside them."""

    code: int
    events: tuple[dict[str, Any], ...]
    said: str

    @property
    def message(self) -> str:
        """Why it failed, in its own words; nothing if it did not."""
        if self.code == 0:
            return ""
        errors = [event["error"] for event in self.events if isinstance(event.get("error"), dict)]
        if errors:
            return " ".join(str(errors[-1][key]) for key in ("message", "hint") if errors[-1].get(key))
        return self.said or f"it ended with the code {self.code}"


class Installer:
    """Carries out tasks. `heard` is told each event of a task, `after` is awaited when one has ended."""

    def __init__(
        self,
        root: Path,
        heard: Callable[[Task, Mapping[str, Any]], None],
        after: Callable[[Task], Awaitable[Mapping[str, Any] | None]],
    ) -> None:
        self.tasks: list[Task] = []
        self._root, self._heard, self._after = root, heard, after
        self._called = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._child: asyncio.subprocess.Process | None = None

    def put(self, task: Task) -> Task:
        """Queues a task."""
        over = [one for one in self.tasks if one.ended is not None]
        for old in over[: max(0, len(over) - KEPT)]:
            self.tasks.remove(old)
        self.tasks.append(task)
        self._idle.clear()
        self._called.set()
        return task

    def cancel(self, task_id: str) -> bool:
        """Takes a task out, or ends its child: the host stays as it was, or is as it was to be."""
        for task in self.tasks:
            if task.id == task_id and task.state == PENDING:
                self._end(task, FAILED, "cancelled")
                return True
            if task.id == task_id and task.state == RUNNING and self._child is not None:
                self._child.terminate()
                return True
        return False

    async def quiet(self) -> None:
        """Returns when no task waits or runs."""
        await self._idle.wait()

    async def work(self) -> None:
        """Carries out tasks for ever."""
        while True:
            task = next((one for one in self.tasks if one.state == PENDING), None)
            if task is None:
                self._idle.set()
                self._called.clear()
                await self._called.wait()
                continue
            await self._carry_out(task)

    async def _carry_out(self, task: Task) -> None:
        task.state = RUNNING
        self._heard(task, {"event": "started"})
        try:
            ended = await self.run(task.words, lambda event: self._told(task, event), self._begun)
            task.taken = await self._after(task)
            self._end(task, DONE if ended.code == 0 else FAILED, ended.message)
        except OSError as error:
            self._end(task, FAILED, str(error))

    def _begun(self, child: asyncio.subprocess.Process | None) -> None:
        self._child = child

    def _told(self, task: Task, event: dict[str, Any]) -> None:
        event.setdefault("event", "error" if "error" in event else "said")
        task.events.append(event)
        self._heard(task, event)

    def _end(self, task: Task, state: str, message: str) -> None:
        task.state, task.message, task.ended = state, message, time.time()
        if task.file is not None:
            task.file.unlink(missing_ok=True)
        told = {"event": "ended", "state": state, "message": message, "taken": task.taken}
        self._heard(task, told)

    async def run(
        self,
        words: Sequence[str],
        told: Callable[[dict[str, Any]], None] = lambda event: None,
        begun: Callable[[asyncio.subprocess.Process | None], None] = lambda child: None,
    ) -> Ended:
        """Runs `nodes WORDS` on this host; each JSON line is told as it comes, the child to `begun`."""
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        command = (sys.executable, "-m", "noderack_cli", *words, "--host", str(self._root))
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *command,
            stdout=pipe,
            stderr=pipe,
            stdin=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=LONGEST_LINE,
        )
        begun(child)
        try:
            said = asyncio.create_task(child.stderr.read()) if child.stderr else None
            events = [event async for event in _events(child, told)]
            code = await child.wait()
            text = (await said).decode(errors="replace").strip() if said else ""
            return Ended(code, tuple(events), text[-1000:])
        finally:
            begun(None)
            with contextlib.suppress(ProcessLookupError):
                child.terminate()


async def _events(child: asyncio.subprocess.Process, told: Callable[[dict[str, Any]], None]) -> Any:
    assert child.stdout is not None
    async for line in child.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            told(event)
            yield event
