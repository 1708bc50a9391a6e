"""The engine that has prompts run by workers on a Ray cluster.

Each worker is tended by a task: brought up, brought up again after it died, renewed when packs changed. A
prompt waits for an idle worker that has its node types, and is run again when its worker is lost.
"""

import asyncio
import contextlib
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from noderack_host.cluster import joining
from noderack_host.cluster.files import Folder, Made, read_by, renamed
from noderack_host.cluster.home import Site, sweep_all
from noderack_host.cluster.seats import (
    BUSY,
    IDLE,
    STARTING,
    Seat,
    choose,
    fitting,
    models_of,
    types_of,
)
from noderack_host.events import ExecutionError, ExecutionInterrupted
from noderack_host.execute import NodeError, PromptStopped, RunResult
from noderack_host.folder import Host
from noderack_host.measure import Timing
from noderack_host.outlet import LOG, Hear
from noderack_host.preview import Picture
from noderack_host.renewal import in_use
from noderack_host.server.queue import Entry

log = logging.getLogger(__name__)
TRIES = 3  # how often a prompt is run whose worker is lost: it may be what kills them
LOOK_EVERY = 5.0  # seconds between looks for machines that came or went
SOONEST, LATEST = 1.0, 60.0  # seconds until a worker that did not come up is tried again
Say = Callable[[str | int, Any, str | None], None]


class SeatLost(Exception):
    """A worker was lost in the middle of a prompt; the message says how."""


class Unfit(Exception):
    """No worker has the node types of a prompt."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the cluster is asked for: its address (None: the one at hand), how many workers (None: all it has
    room for), the folder of hosts that workers keep of their own, where outputs go, which results are kept.
    """

    address: str | None = None
    workers: int | None = None
    apart: str | None = None
    outputs: str | None = None
    cache: str = "classic"
    keep: str | None = None


@dataclass(slots=True)
class Asked:
    """A prompt that was asked for, and the worker that has it. `stop`: it is not wanted any more."""

    id: str
    seat: Seat | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class RayEngine:
    """Runs prompts on a cluster. `say` brings packs' own messages to clients."""

    def __init__(self, host: Host, wishes: Wishes, say: Say) -> None:
        self._host, self._wishes, self._say = host, wishes, say
        self._seats: list[Seat] = []
        self._asked: dict[str, Asked] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed: Callable[[], None] = lambda: None
        self._stirred = asyncio.Event()
        self._site = self._site_of_now(host.temp / f".engine-{secrets.token_hex(8)}", 0)
        self._place = Folder(host.root)

    @property
    def places(self) -> int:
        """One for each worker that is up."""
        return sum(seat.state in (IDLE, BUSY) for seat in self._seats)

    async def start(self, changed: Callable[[], None]) -> None:
        """Joins the cluster, and has workers come up; raises ClusterError."""
        self._changed, self._loop = changed, asyncio.get_running_loop()
        await asyncio.to_thread(joining.join, self._wishes.address)
        mark = Path(self._site.mark)
        mark.parent.mkdir(parents=True, exist_ok=True)
        sweep_all(self._host.root)
        mark.touch()
        self._tasks.append(asyncio.create_task(self._grow()))

    async def close(self) -> None:
        """Ends the workers and leaves the cluster."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        actors = [seat.actor for seat in self._seats if seat.actor is not None]
        with contextlib.suppress(Exception):  # Ray's own, of workers that are gone
            await asyncio.wait_for(asyncio.gather(*(actor.leave.remote() for actor in actors)), 5)
        await asyncio.to_thread(joining.ray_module().shutdown)
        Path(self._site.mark).unlink(missing_ok=True)

    def workers(self) -> list[dict[str, Any]]:
        """Every worker and how it is."""
        return [seat.as_dict() for seat in self._seats]

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Stops prompts where they run, or before they get there."""
        found = [one for key, one in self._asked.items() if prompt_id is None or key == prompt_id]
        for asked in found:
            asked.stop.set()
            if asked.seat is not None and asked.seat.actor is not None:
                asked.seat.actor.interrupt.remote(asked.id)
        self._stir()
        return bool(found)

    def free(self) -> None:
        for seat in self._seats:
            if seat.state in (IDLE, BUSY):
                seat.actor.free.remote()
                seat.models = frozenset()

    def take(self, nodes: Mapping[str, Any], changed: Iterable[str] = ()) -> None:
        """Packs changed: each worker begins a new process with them, as soon as its prompt is over."""
        site = self._site_of_now(Path(self._site.mark), self._site.number + 1)
        self._loop.call_soon_threadsafe(self._renew, site)

    def _renew(self, site: Site) -> None:
        self._site = site
        for seat in self._seats:
            seat.stirred.set()

    def _site_of_now(self, mark: Path, number: int) -> Site:
        host, wishes = self._host, self._wishes
        lock = host.lockfile.read_text("utf-8") if host.lockfile.is_file() else ""
        python = in_use(host)[1] / host.python.relative_to(host.env)
        config = (host.root / "host.toml").read_text("utf-8")
        asked = (wishes.apart, wishes.outputs, wishes.cache, wishes.keep)
        return Site(str(host.root), str(mark), str(python), lock, config, *asked, number)

    # -- workers

    async def _grow(self) -> None:
        """Keeps as many workers as were asked for, or as the machines have room for; sees a new lock."""
        while True:
            if (
                site := self._site_of_now(Path(self._site.mark), self._site.number + 1)
            ).lock != self._site.lock:
                self._renew(site)
            wanted = self._wishes.workers
            room = await asyncio.to_thread(joining.room) if wanted is None else wanted
            while len(self._seats) < room:
                seat = Seat(len(self._seats))
                self._seats.append(seat)
                self._tasks.append(asyncio.create_task(self._tend(seat)))
            await asyncio.sleep(LOOK_EVERY)

    async def _tend(self, seat: Seat) -> None:
        """Brings a worker up, and again whenever it is lost or packs changed."""
        delay = SOONEST
        while True:
            since = time.monotonic()
            try:
                await self._bring_up(seat)
                await self._stays_up(seat)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever Ray raises, or the installation on that machine
                self._down(seat, joining.cause_of(error))
                delay = SOONEST if time.monotonic() - since > LATEST else min(LATEST, delay * 2)
                await asyncio.sleep(delay)

    async def _bring_up(self, seat: Seat) -> None:
        site = self._site
        seat.stirred.clear()
        seat.state = STARTING
        if seat.actor is None:
            seat.actor = await asyncio.to_thread(joining.new_actor)
        seat.up(await seat.actor.ready.remote(site), site.number)
        log.info("worker %d is up: process %d on %s", seat.number, seat.pid, seat.host)
        self._stir()
        self._changed()

    async def _stays_up(self, seat: Seat) -> None:
        """Returns when the worker is to be brought up anew, which is not while it has a prompt."""
        watch = asyncio.ensure_future(seat.actor.watch.remote())
        stirred = asyncio.ensure_future(seat.stirred.wait())
        try:
            await asyncio.wait((watch, stirred), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                how = watch.result()  # raises if the actor itself is gone
                self._down(seat, f"its process {how}", ended=False)
                await asyncio.sleep(SOONEST)
            while seat.state == BUSY:
                await self._stirring()
        finally:
            watch.cancel()
            stirred.cancel()

    def _down(self, seat: Seat, why: str, ended: bool = True) -> None:
        seat.down(why)
        log.warning("worker %d on %s is lost: %s", seat.number, seat.host or "the cluster", why)
        if ended and seat.actor is not None:
            with contextlib.suppress(Exception):  # Ray's own, of an actor that is gone already
                joining.end_actor(seat.actor)
            seat.actor = None
        self._stir()
        self._changed()

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    async def _stirring(self) -> None:
        await self._stirred.wait()

    # -- prompts

    async def run(self, entry: Entry, hear: Hear) -> RunResult:
        """Runs a prompt on a worker, on another one if that is lost; raises NodeError, PromptStopped."""
        asked = self._asked[entry.id] = Asked(entry.id)
        causes: list[str] = []
        try:
            while len(causes) < TRIES:
                try:
                    return await self._run_once(asked, entry, hear)
                except SeatLost as lost:
                    causes.append(str(lost))
                    log.warning("prompt %s lost its worker: %s", entry.id, lost)
            raise _failed(
                entry, "WorkerLost", f"its worker was lost {TRIES} times: {'; '.join(causes)}", hear
            )
        except Unfit as unfit:
            raise _failed(entry, "NoWorker", str(unfit), hear) from unfit
        finally:
            self._asked.pop(entry.id, None)

    async def _run_once(self, asked: Asked, entry: Entry, hear: Hear) -> RunResult:
        """Runs a prompt on the worker that is next; raises SeatLost when that is lost."""
        seat = await self._seat_for(entry, asked, hear)
        asked.seat, lost = seat, False
        try:
            return await self._run_at(seat, entry, hear)
        except SeatLost as cause:
            lost = True
            raise SeatLost(f"worker {seat.number} on {seat.host}: {cause}") from cause
        finally:
            asked.seat = None
            seat.end(entry.id, lost)
            self._stir()

    async def _seat_for(self, entry: Entry, asked: Asked, hear: Hear) -> Seat:
        """The worker for a prompt, as soon as one is idle; raises PromptStopped, Unfit."""
        models, types = models_of(entry.prompt), types_of(entry.prompt)
        while True:
            if asked.stop.is_set():
                hear(ExecutionInterrupted(entry.id, None, None, []).as_dict(), None)
                raise PromptStopped(entry.id, None)
            fit = fitting(self._seats, types)
            if not fit and all(seat.state in (IDLE, BUSY) for seat in self._seats) and self._seats:
                raise Unfit(_lacking(self._seats, types))
            idle = [seat for seat in fit if seat.state == IDLE and seat.site == self._site.number]
            if idle:
                seat = choose(self._seats, idle, models)
                seat.begin(entry.id, models)
                return seat
            await self._stirring()

    async def _run_at(self, seat: Seat, entry: Entry, hear: Hear) -> RunResult:
        job: dict[str, Any] = {
            "id": entry.id,
            "prompt": entry.prompt,
            "extra": entry.extra,
            "wanted": list(entry.wanted),
        }
        reads = await asyncio.to_thread(lambda: list(read_by(entry.prompt, self._host)))
        job["reads"] = [asdict(made) for made, _ in reads] if seat.shared else []
        brought = [] if seat.shared else await asyncio.to_thread(_brought, reads)
        try:
            async for batch in seat.actor.run.remote(job, brought):
                for head, data in await batch:
                    if "lost" in head:
                        raise SeatLost(f"its process {head['lost']}")
                    if "end" in head:
                        return self._ended(entry, seat, head["end"], hear)
                    await self._heard(entry, seat, head, data, hear)
        except SeatLost:
            raise
        except (NodeError, PromptStopped):
            raise
        except Exception as error:  # Ray's own: the actor or its machine is gone
            raise SeatLost(joining.cause_of(error)) from error
        raise SeatLost("it said nothing more")

    async def _heard(
        self, entry: Entry, seat: Seat, head: Mapping[str, Any], data: bytes, hear: Hear
    ) -> None:
        if "event" in head:
            message = head["event"]
            if message["type"] == "executed":
                told = message["data"]
                message = {**message, "data": {**told, "output": renamed(told["output"], seat.names)}}
            hear(message, Picture(head["form"], data) if "form" in head else None)
        elif "file" in head:
            made = Made(**head["file"])
            seat.names[made] = await asyncio.to_thread(self._kept, made, data, seat.names)
        elif "log" in head:
            hear({"type": LOG, "data": {"lines": head["log"], "node": head["node"]}}, None)
        elif "say" in head:
            self._say(head["say"], head.get("data", data), head["to"])

    def _kept(self, made: Made, data: bytes, names: Mapping[Made, Made]) -> Made:
        """An output that came back: in the host's folder, under a name that is free there."""
        self._host.temp.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._host.temp, prefix=".brought-") as file:
            file.write(data)
            file.flush()
            return self._place.put(made, Path(file.name), names)

    def _ended(self, entry: Entry, seat: Seat, end: Mapping[str, Any], hear: Hear) -> RunResult:
        if end["state"] == "done":
            outputs = {node: renamed(ui, seat.names) for node, ui in end["outputs"].items()}
            timings = tuple(Timing(**one) for one in end["timings"])
            return RunResult(entry.id, outputs, end["meta"], tuple(end["cached"]), timings)
        if end["state"] == "stopped":
            raise PromptStopped(entry.id, end["node"])
        if not end["node"]:
            raise _failed(entry, "WorkerFailed", end["why"], hear)
        raise NodeError(end["node"], end["type"], RuntimeError(end["why"]), {})


def _brought(reads: Iterable[tuple[Made, Path]]) -> list[tuple[dict[str, str], Any]]:
    """Files with their bytes, in Ray's store: they travel once, and only to the machine that reads them."""
    ray = joining.ray_module()
    return [(asdict(made), ray.put(path.read_bytes())) for made, path in reads]


def _lacking(seats: Iterable[Seat], types: Iterable[str]) -> str:
    have = frozenset().union(*(seat.node_types for seat in seats))
    lacking = ", ".join(sorted(set(types) - have)) or "all of them together"
    return f"no worker has these node types: {lacking}; run nodes lock in the server's host"


def _failed(entry: Entry, kind: str, why: str, hear: Hear) -> NodeError:
    """Tells that a prompt failed by no node's fault."""
    node = next(iter(entry.prompt), "")
    node_type = str(entry.prompt.get(node, {}).get("class_type", ""))
    event = ExecutionError(entry.id, node, node_type, [], why, kind, [], {}, [])
    hear(event.as_dict(), None)
    return NodeError(node, node_type, RuntimeError(why), {})
