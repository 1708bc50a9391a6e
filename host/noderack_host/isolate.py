"""Packs in a process of their own (`isolation = "process"` in host.toml): a crash or leak stays there.

The host never imports such a pack. It gets classes that pass each call on; tensors travel through shared
memory where torch is in use, and values that are of the pack's own classes, or cannot travel, stay with the
pack and are passed by reference. What the host reads of a pack makes plain data, tensors and pictures, and
nothing else (`crossing`). This keeps accidents in: the process has the same user's rights as the host.

Errors:
    IsolatedFailed   the pack's code failed, or its process died: says which pack and how
"""

import inspect
import io
import multiprocessing
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from noderack_host.crossing import Refused, received
from noderack_host.folder import Host
from noderack_host.isolated import Described, serve
from noderack_host.packs import Contents, load_here
from noderack_host.revoked import refusing
from noderack_host.running import Interrupted, Running, Wanted, current_or_none

_LOOK_EVERY = 0.05
_PATIENCE = 10.0


class IsolatedFailed(RuntimeError):
    """A pack's process failed; `trace` is its traceback where it had one."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class Remote:
    """A value that stays in a pack's process. Nodes of that pack can take it; nobody else can look in."""

    __slots__ = ("__weakref__", "key", "kind", "pack")

    def __init__(self, pack: str, key: int, kind: str) -> None:
        self.pack = pack
        self.key = key
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind} in the process of {self.pack}>"


class IsolatedPack:
    """One pack's process; started when first asked, and again after it died."""

    def __init__(self, point: EntryPoint, root: Path | None) -> None:
        self.name = point.name
        self._point = (point.name, point.value, point.group)
        self._root = root
        self._process: Any = None
        self._lock = threading.Lock()
        self._gone: list[tuple[str, Any]] = []

    def ask(self, *request: Any) -> Any:
        """Sends a request and waits for its answer; reports progress and passes interrupts on meanwhile."""
        with self._lock:
            self._start()
            running = current_or_none()
            try:
                self._connection.send_bytes(self._packed((request, self._taken_gone())))
                return self._answer(running)
            except (EOFError, BrokenPipeError, ConnectionResetError) as cause:
                raise IsolatedFailed(f"the process of pack {self.name} {self._ending()}") from cause

    @property
    def pid(self) -> int | None:
        """The id of its process, while it has one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
                self._process = None

    def forget(self, kind: str, key: Any) -> None:
        """An instance or a value is not needed any more; told with the next request."""
        self._gone.append((kind, key))

    def _taken_gone(self) -> list[tuple[str, Any]]:
        gone, self._gone = self._gone, []
        return gone

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._stop = context.Event()
        arguments = (theirs, self._stop, self._point, self._root, "torch" in sys.modules)
        self._process = context.Process(target=serve, args=arguments, name=f"pack {self.name}", daemon=True)
        self._process.start()
        theirs.close()

    def _answer(self, running: Running | None) -> Any:
        waited = 0.0
        while True:
            while not self._connection.poll(_LOOK_EVERY):
                if running is not None and running.stopped():
                    self._stop.set()
                    waited += _LOOK_EVERY
                if waited > _PATIENCE:
                    self._process.kill()
                    raise Interrupted
            kind, *rest = self._unpacked(self._connection.recv_bytes())
            if kind == "done":
                return rest[0]
            if kind == "stopped":
                self._stop.clear()
                raise Interrupted
            if kind == "wanted":
                raise Wanted(*rest[0])
            if kind == "failed":
                raise IsolatedFailed(f"{rest[0]} (in the process of pack {self.name})", rest[1])
            if running is not None:
                try:
                    running.progress(*rest)
                except Interrupted:  # the pack hears of it by its own flag, and stops where it may
                    self._stop.set()

    def _ending(self) -> str:
        self._process.join(1)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended by itself (code {code}); it starts again with the next call"
        return f"was ended by {signal.Signals(-code).name}; it starts again with the next call"

    def _packed(self, value: Any) -> Any:
        buffer = io.BytesIO()
        pickler = ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL)
        pickler.persistent_id = self._reference  # type: ignore[method-assign]
        try:
            _register_tensors()
            pickler.dump(value)
        except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as cause:
            said = f"an input cannot be sent to the process of pack {self.name}: {cause}"
            raise IsolatedFailed(f"{said}; set its isolation to none in host.toml") from cause
        return buffer.getbuffer()

    def _reference(self, value: Any) -> Any:
        if type(value) is not Remote:
            return None
        if value.pack != self.name:
            raise pickle.PicklingError(f"{value!r} cannot leave it")
        return value.key

    def _unpacked(self, data: bytes) -> Any:
        try:
            return received(data, self._remote)
        except Refused as cause:
            raise IsolatedFailed(f"the answer of pack {self.name} is refused: {cause}") from cause

    def _remote(self, reference: Any) -> Remote:
        key, kind = reference
        found = Remote(self.name, key, kind)
        weakref.finalize(found, self.forget, "value", key)
        return found


def _register_tensors() -> None:
    """Has tensors travel by shared memory, where torch is in use."""
    if "torch" in sys.modules:
        pass


def isolated_contents(point: EntryPoint, root: Path | None) -> Contents:
    """The nodes of a pack as classes that pass their calls on to its process; raises IsolatedFailed."""
    pack = IsolatedPack(point, root)
    described: Mapping[str, Described]
    described, names, web, module = pack.ask("describe")
    nodes = {node_type: _class_for(pack, node_type, found) for node_type, found in described.items()}
    return Contents(nodes, names, web, module)


def loader(isolated: Callable[[str], bool], root: Path | None) -> Callable[[EntryPoint], Contents]:
    """How packs are loaded: those for whose name `isolated` is true in a process of their own."""

    def load(point: EntryPoint) -> Contents:
        own = point.dist is not None and point.dist.name == "noderack"
        if isolated(point.name) and not own:
            return isolated_contents(point, root)
        return load_here(point)

    return load


def for_host(host: Host) -> Callable[[EntryPoint], Contents]:
    """How a host's packs are loaded, as its host.toml says; those that were revoked are not."""
    return refusing(host, loader(lambda pack: host.config.isolation_of(pack) == "process", host.root))


def _class_for(pack: IsolatedPack, node_type: str, found: Described) -> type:
    """A V1 class with the members of the pack's class, whose methods ask the pack's process."""

    def of_class(name: str) -> Callable[..., Any]:
        return lambda **inputs: pack.ask("call", node_type, None, name, inputs, _ids())

    def of_instance(name: str) -> Callable[..., Any]:
        return lambda self, **inputs: pack.ask("call", node_type, self.key, name, inputs, _ids())

    def start(self: Any) -> None:
        self.key = f"{node_type}/{id(self)}"
        weakref.finalize(self, pack.forget, "instance", self.key)

    members: dict[str, Any] = {**found.members, "PACK": pack}
    members["INPUT_TYPES"] = classmethod(lambda cls: pack.ask("input_types", node_type))
    if found.dynamic:
        members["LIVE_INPUT_TYPES"] = classmethod(
            lambda cls, values=None: pack.ask("live_input_types", node_type, values)
        )
    members["__init__"] = start
    members["FUNCTION"] = "run"
    members["run"] = of_instance(found.function)
    if found.lazy:
        members["check_lazy_status"] = of_instance("check_lazy_status")
    if found.fingerprint:
        members["IS_CHANGED"] = staticmethod(of_class(found.fingerprint))
    if found.validator:
        validate = of_class(found.validator)
        validate.__signature__ = _signature(found)  # type: ignore[attr-defined]
        members["VALIDATE_INPUTS"] = staticmethod(validate)
    return type(node_type, (), members)


def _signature(found: Described) -> inspect.Signature:
    kinds = inspect.Parameter
    named = [kinds(name, kinds.KEYWORD_ONLY) for name in found.validated]
    more = [kinds("more", kinds.VAR_KEYWORD)] if found.validates_all else []
    return inspect.Signature([*named, *more])


def _ids() -> tuple[str, str, int | None, frozenset[str]]:
    running = current_or_none()
    if running is None:
        return "", "", None, frozenset()
    return running.prompt_id, running.node_id, running.list_index, frozenset(running.asked)
