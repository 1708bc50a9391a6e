"""The other end of `isolate`: what runs in a pack's own process. It imports the pack and answers requests."""

import inspect
import io
import itertools
import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from noderack_host.call import normalise
from noderack_host.contract import Contract, contract_of
from noderack_host.crossing import Sender
from noderack_host.fingerprint import bound_method
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.lane import finish
from noderack_host.packs import load_here
from noderack_host.running import Interrupted, Running, Wanted, use
from noderack_host.v3.dynamic import is_dynamic

_MEMBERS = (
    *("RETURN_TYPES", "RETURN_NAMES", "OUTPUT_IS_LIST", "OUTPUT_NODE", "OUTPUT_TOOLTIPS", "INPUT_IS_LIST"),
    *("CATEGORY", "DESCRIPTION", "DISPLAY_NAME", "DEPRECATED", "EXPERIMENTAL", "API_NODE", "NOT_IDEMPOTENT"),
    *("DEV_ONLY", "SEARCH_ALIASES", "ESSENTIALS_CATEGORY", "HAS_INTERMEDIATE_OUTPUT"),
    *("ACCEPT_ALL_INPUTS", "OUTPUT_MATCHTYPES", "PRICE_BADGE"),
)


@dataclass(frozen=True, slots=True)
class Described:
    """A node class, as far as the host needs to know it."""

    members: Mapping[str, Any]
    function: str
    lazy: bool
    fingerprint: str | None
    validator: str | None
    validated: tuple[str, ...] = ()
    validates_all: bool = False
    dynamic: bool = False


def serve(connection: Any, stop: Any, point: tuple[str, str, str], root: Path | None, tensors: bool) -> None:
    """Answers requests until the host goes away."""
    if tensors:
        import torch.multiprocessing  # noqa: F401
    Service(connection, stop, EntryPoint(*point), root).loop()


class Service:
    """The pack and what it holds: its classes, their instances, and the values that stay here."""

    def __init__(self, connection: Any, stop: Any, point: EntryPoint, root: Path | None) -> None:
        self._connection = connection
        self._stop = stop
        self._point = point
        host = Host.open(root) if root is not None else None
        self._running = Running(host=host, folders=ModelFolders.of(host) if host else None)
        self._nodes: Mapping[str, Any] = {}
        self._instances: dict[str, Any] = {}
        self._values: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self._own = point.module.split(".")[0]

    def loop(self) -> None:
        while True:
            try:
                request, gone = self._unpacked(self._connection.recv_bytes())
            except EOFError:
                return
            for kind, key in gone:
                (self._instances if kind == "instance" else self._values).pop(key, None)
            self._send(self._answered(request))

    def _answered(self, request: Any) -> tuple[Any, ...]:
        try:
            return ("done", getattr(self, "_" + request[0])(*request[1:]))
        except Interrupted:
            return ("stopped",)
        except Wanted as wanted:
            return ("wanted", wanted.names)
        except (Exception, SystemExit) as cause:  # pack code
            return ("failed", f"{type(cause).__name__}: {cause}", traceback.format_exc())

    def _describe(self) -> Any:
        with use(self._running):
            contents = load_here(self._point)
            self._nodes = contents.nodes
            found = {name: _described(contract_of(name, cls)) for name, cls in contents.nodes.items()}
        return found, dict(contents.display_names), contents.web_directory, contents.module

    def _input_types(self, node_type: str) -> Any:
        with use(self._running):
            return plain(self._node(node_type).INPUT_TYPES())

    def _live_input_types(self, node_type: str, values: Any) -> Any:
        with use(self._running):
            return plain(self._node(node_type).LIVE_INPUT_TYPES(values))

    def _node(self, node_type: str) -> Any:
        if not self._nodes:
            self._describe()  # a process that was started again
        return self._nodes[node_type]

    def _call(self, node_type: str, key: str | None, method: str, inputs: dict[str, Any], ids: Any) -> Any:
        prompt_id, node_id, index, asked = ids
        base = self._running
        running = Running(
            base.host,
            base.folders,
            prompt_id,
            node_id,
            index,
            itertools.count(),
            self._progress,
            self._stop.is_set,
            asked,
        )
        cls = self._node(node_type)
        with use(running):
            contract = contract_of(node_type, cls)
            owner = cls if key is None or contract.is_v3 else self._instance(key, cls)
            hidden = {name: inputs.pop(name, None) for name in contract.hidden} if contract.is_v3 else {}
            found = finish(bound_method(contract, owner, hidden, method)(**inputs))
        if method != contract.function:
            return found
        returned = normalise(found, contract)
        parts = {"result": returned.result, "ui": returned.ui, "expand": returned.expand}
        return {name: part for name, part in parts.items() if part is not None}

    def _instance(self, key: str, cls: Any) -> Any:
        if key not in self._instances:
            self._instances[key] = cls()
        return self._instances[key]

    def _progress(self, node_id: str, value: float, total: float, preview: Any) -> None:
        self._send(("progress", value, total, preview() if callable(preview) else preview))

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            data = self._packed(message, whole=False)
        except Exception:  # something in it cannot travel: then its parts stay here one by one
            data = self._packed(message, whole=True)
        self._connection.send_bytes(data)

    def _packed(self, message: Any, whole: bool) -> Any:
        buffer = io.BytesIO()
        pickler = Sender(buffer, pickle.HIGHEST_PROTOCOL)

        def stays(value: Any) -> Any:
            kind = type(value)
            own = kind.__module__.split(".")[0] == self._own
            if own or (whole and not _travels(value)):
                key = next(self._numbers)
                self._values[key] = value
                return key, kind.__name__
            return None

        pickler.persistent_id = stays  # type: ignore[method-assign]
        pickler.dump(message)
        return buffer.getbuffer()

    def _unpacked(self, data: bytes) -> Any:
        unpickler = pickle.Unpickler(io.BytesIO(data))  # noqa: S301
        unpickler.persistent_load = self._values.__getitem__  # type: ignore[method-assign]
        return unpickler.load()


def _travels(value: Any) -> bool:
    if isinstance(value, (dict, list, tuple, str, int, float, bytes, type(None))):
        return True
    try:
        Sender(io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # whatever a class does when it is pickled
        return False
    return True


def _described(contract: Contract) -> Described:
    names: tuple[str, ...] = ()
    every = False
    if contract.validator is not None:
        spec = inspect.getfullargspec(getattr(contract.cls, contract.validator))
        names = tuple(name for name in (*spec.args, *spec.kwonlyargs) if name not in ("cls", "self", "s"))
        every = spec.varkw is not None
    members = {name: plain(getattr(contract.cls, name)) for name in _MEMBERS if hasattr(contract.cls, name)}
    lazy = contract.lazy_status is not None
    dynamic = contract.is_live and any(map(is_dynamic, contract.cls.FIXED_SCHEMA().inputs))
    return Described(
        members, contract.function, lazy, contract.fingerprint, contract.validator, names, every, dynamic
    )


def plain(value: Any) -> Any:
    """A value whose classes are Python's own: what packs derive from dict, tuple and str is turned back."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str.__str__(value) if isinstance(value, str) else value
