"""A worker's process, in the interpreter of a generation: takes prompts as frames, tells all that happens.

`python -m noderack_host.cluster.child`: the first frame on standard input says which host (`Setup`), the ones
after it what to do. It ends when its input does, in the middle of a node too: nobody would hear of the rest.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from noderack_host.cluster.bucket import Bucket
from noderack_host.cluster.files import Apart, Folder, Made, Outbox, Place, renamed
from noderack_host.cluster.frames import packed, read
from noderack_host.execute import Executor, NodeError, PromptStopped, RunResult
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.isolate import for_host
from noderack_host.outlet import Message, Outlet
from noderack_host.packs import Packs, load_packs
from noderack_host.persist import cache_for
from noderack_host.preview import Picture
from noderack_host.running import Running, current_or_none, use
from noderack_host.server.logs import Logs, Tee

FOLDER, CARRIED = "folder", "carried"  # outputs go to the host's own folders, or back to the server


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker's process is told first.

    root: the host's folder here. own: the folder for what this worker writes. outputs: FOLDER, CARRIED or the
    address of a bucket. cache, keep: as for a server.
    """

    root: str
    own: str
    outputs: str
    cache: str
    keep: str | None


def main() -> int:
    """Serves until the input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what packs print, in C too, is no frame
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    said = read(sys.stdin.buffer)
    if said is None:
        return 0
    Child(Setup(**said[0]), sys.stdin.buffer, out).serve()
    return 0


class Child:
    """The host's packs and executor, and what is between them and the pipes."""

    def __init__(self, setup: Setup, source: BinaryIO, out: BinaryIO) -> None:
        self._source, self._out = source, out
        self._lock = threading.Lock()
        self._todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._dropped: set[str] = set()
        host = Host.open(setup.root)
        own = Path(setup.own)
        brought = setup.outputs == CARRIED
        self._host = Apart(host.root, host.config, own, brought)
        for kind in ("output", "temp", *(["input"] if brought else [])):
            (own / kind).mkdir(parents=True, exist_ok=True)
        also = None if setup.outputs == FOLDER else host.root
        self._outbox = Outbox(own, _place(setup.outputs, host, self._send), also)
        self._logs = Logs()
        running = Running(host=self._host, folders=ModelFolders.of(host))
        with self._heard(), use(running):
            self._packs = load_packs(load=for_host(host))
        cache = cache_for(setup.cache, setup.keep, host)
        self._executor = Executor(self._packs.nodes, cache, self._host, self._packs.versions())
        self._executor.running = running
        _let_out(self._say)

    def serve(self) -> None:
        """Tells that it is ready, and runs what comes."""
        self._send({"ready": ready(self._packs)})
        threading.Thread(target=self._listen, name="noderack-listen", daemon=True).start()
        while True:
            job = self._todo.get()
            with self._heard():
                self._run(job)

    def _listen(self) -> None:
        while (frame := read(self._source)) is not None:
            head = frame[0]
            if "run" in head:
                self._todo.put(head["run"])
            elif "file" in head:
                self._bring(Made(**head["file"]), frame[1])
            elif "interrupt" in head:
                self._dropped.add(head["interrupt"])  # first: it may be about to begin
                self._executor.interrupt(head["interrupt"])
            elif "free" in head:
                self._todo.put({"free": True})
        os._exit(0)

    def _bring(self, made: Made, data: bytes) -> None:
        """A file that the next prompt reads."""
        path = made.below(self._host.own)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._outbox.known(made, path)

    def _run(self, job: dict[str, Any]) -> None:
        if "free" in job:
            self._executor.free()
            return
        for one in job["reads"]:
            self._link(Made(**one))
        outlet = Outlet(self._hear, job["extra"])
        try:
            wanted = job["wanted"] or None
            result = self._executor.run_here(job["prompt"], outlet, job["extra"], job["id"], wanted)
            self._outbox.sweep()
            end = self._end("done", result)
        except NodeError as error:
            end = {"state": "failed", "node": error.node_id, "type": error.node_type, "why": str(error)}
        except PromptStopped as stopped:
            end = {"state": "stopped", "node": stopped.node_id}
        except Exception as error:  # a pack's class, or the place for outputs: the worker goes on
            logging.getLogger(__name__).exception("prompt %s failed outside its nodes", job["id"])
            end = {"state": "failed", "node": "", "type": "", "why": f"{type(error).__name__}: {error}"}
        self._dropped.discard(job["id"])
        self._send({"end": {"id": job["id"], **end}})

    def _end(self, state: str, result: RunResult) -> dict[str, Any]:
        outputs = {node: renamed(ui, self._outbox.names) for node, ui in result.outputs.items()}
        told = {"outputs": outputs, "meta": result.meta, "cached": result.cached}
        return {"state": state, **told, "timings": [asdict(timing) for timing in result.timings]}

    def _link(self, made: Made) -> None:
        """An output of before, on the same machine, that the prompt reads."""
        here, there = made.below(self._host.own), made.below(self._host.root)
        if made.kind != "input" and here and there and there.is_file() and not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(there)
            self._outbox.known(made, here)

    def _hear(self, message: Message, picture: Picture | None) -> None:
        if message["type"] == "execution_start" and message["data"]["prompt_id"] in self._dropped:
            self._executor.interrupt(message["data"]["prompt_id"])
        if message["type"] == "executed":
            data = message["data"]
            message = {**message, "data": {**data, "output": self._outbox.sent(data["output"])}}
        if picture is None:
            self._send({"event": message})
        else:
            self._send({"event": message, "form": picture.form}, picture.data)

    def _say(self, event: str | int, data: Any, client_id: str | None) -> None:
        """A message of a pack's own, to the server's clients."""
        if isinstance(event, str):
            self._send({"say": event, "data": data, "to": client_id})
        else:
            self._send({"say": event, "to": client_id}, bytes(data))

    def _log(self, lines: list[dict[str, str]]) -> None:
        running = current_or_none()
        self._send({"log": lines, "node": running.node_id if running is not None else ""})

    def _send(self, head: Mapping[str, Any], data: bytes = b"") -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._out.write(packed(head, data))
            self._out.flush()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """What is logged or printed meanwhile travels, too."""
        self._logs.listener = self._log
        root = logging.getLogger()
        root.addHandler(self._logs)
        try:
            with (
                contextlib.redirect_stdout(Tee(sys.stderr, self._logs)),
                contextlib.redirect_stderr(Tee(sys.stderr, self._logs)),
            ):
                yield
        finally:
            root.removeHandler(self._logs)


class Carried:
    """Sends outputs back to the server, which names them."""

    def __init__(self, send: Callable[[Mapping[str, Any], bytes], None]) -> None:
        self._send = send

    def put(self, made: Made, file: Path, names: Mapping[Made, Made]) -> Made:
        self._send({"file": asdict(made)}, file.read_bytes())
        return made


def _place(outputs: str, host: Host, send: Callable[[Mapping[str, Any], bytes], None]) -> Place:
    if outputs == CARRIED:
        return Carried(send)
    return Folder(host.root) if outputs == FOLDER else Bucket(outputs)


def ready(packs: Packs) -> dict[str, Any]:
    """What a worker tells of itself when it can begin."""
    failed = [{"pack": failure.pack, "cause": failure.cause} for failure in packs.failures]
    return {"pid": os.getpid(), "node_types": sorted(packs.nodes), "failed": failed}


def _let_out(say: Callable[[str | int, Any, str | None], None]) -> None:
    """Lets packs' own messages out, where a pack has asked for the object that sends them."""
    from noderack_host.server.pack_routes import found

    instance = found()
    if instance is not None:
        instance.sender = say


if __name__ == "__main__":
    sys.exit(main())
