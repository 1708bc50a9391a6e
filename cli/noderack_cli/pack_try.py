"""Imports a pack in a process of its own, runs its nodes on generated inputs, writes what came of it.

Started as a file, with the standard library alone at hand: the same file tries a pack under another host, so
that results can be compared. (So no module beside it may be named as one of the standard library's.) Inputs
follow from each node's declaration and are the same at every run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS = 20
PLAIN = {"INT": 1, "FLOAT": 0.5, "BOOLEAN": True, "STRING": "red, green"}


class Skip(Exception):
    """A node that cannot be tried: it wants something that is not generated, such as a model."""


def main(job: Mapping[str, Any]) -> dict[str, Any]:
    """Does one job: {"paths": [...], "modules" or "folder", "run": bool, "host": "" or a ComfyUI folder}."""
    prepare(job)
    return look(job)


def prepare(job: Mapping[str, Any]) -> None:
    """Brings up the host that packs are to meet: {"paths": [...], "host": "" or a folder, "warm": [...]}."""
    sys.path[:0] = job.get("paths", [])
    if job.get("host"):
        _other_host(job["host"])
    for name in job.get("warm", ()):
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)


def look(job: Mapping[str, Any]) -> dict[str, Any]:
    """Imports a pack where a host is up, and runs its nodes."""
    started = time.perf_counter()
    result: dict[str, Any] = {"loaded": False, "error": "", "types": [], "nodes": {}}
    try:
        mapping = {k: v for module in _import(job) for k, v in mapping_of(module).items()}
        result.update(loaded=True, types=sorted(mapping))
    except BaseException as error:  # pack code: whatever it raises, SystemExit too, is the answer
        result.update(error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-3000:])
        mapping = {}
    result["seconds"] = time.perf_counter() - started
    result["absent"] = [name for name in job.get("imports", ()) if not _is_there(name)]
    if job.get("run"):
        with _running():
            result["nodes"] = _all(mapping, job.get("each", SECONDS), job.get("all", 3600))
    return result


def _is_there(name: str) -> bool:
    """Whether a module is installed; one inside a package that nobody has imported counts as being there."""
    if name in sys.modules or ("." in name and name.partition(".")[0] not in sys.modules):
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:  # a package's own code, which is imported to look into it
        return False


def _import(job: Mapping[str, Any]) -> list[Any]:
    if "modules" in job:
        return [importlib.import_module(name) for name in job["modules"]]
    folder = Path(job["folder"])
    file = folder / "__init__.py" if folder.is_dir() else folder
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return [module]


def _other_host(folder: str) -> None:
    """Brings up as much of a ComfyUI as packs look for at import."""
    sys.argv = ["main.py", "--cpu", "--disable-all-custom-nodes"]
    os.chdir(folder)
    sys.path.insert(0, folder)
    importlib.import_module("comfy.options").enable_args_parsing()
    server = importlib.import_module("server")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    nodes = importlib.import_module("nodes")
    done = nodes.init_builtin_extra_nodes() if hasattr(nodes, "init_builtin_extra_nodes") else None
    if inspect.isawaitable(done):
        loop.run_until_complete(done)


def mapping_of(module: Any) -> dict[str, Any]:
    """Node types to classes, of either form."""
    mapping = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if isinstance(mapping, Mapping):
        return {str(key): value for key, value in mapping.items()}
    entry = getattr(module, "comfy_entrypoint", None)
    if entry is not None:
        return asyncio.run(_extension(entry))
    native = sys.modules.get("noderack_host.native")
    marked = [v for v in vars(module).values() if native is not None and native.is_node(v)]
    return {native.type_name(item): native.class_of(item) for item in marked} if native is not None else {}


async def _extension(entry: Any) -> dict[str, Any]:
    extension = entry()
    if inspect.isawaitable(extension):
        extension = await extension
    loading = extension.on_load() if hasattr(extension, "on_load") else None
    if inspect.isawaitable(loading):
        await loading
    nodes = extension.get_node_list()
    nodes = await nodes if inspect.isawaitable(nodes) else nodes
    return {cls.GET_SCHEMA().node_id: cls for cls in nodes}


# Running


def _running() -> contextlib.AbstractContextManager[Any]:
    """What built-in nodes ask for that packs call: the host that NODERACK_HOST names, where this is ours."""
    running: Any = sys.modules.get("noderack_host.running")
    if running is None or not os.environ.get("NODERACK_HOST"):
        return contextlib.nullcontext()
    host = importlib.import_module("noderack_host.folder").Host.open(os.environ["NODERACK_HOST"])
    folders = importlib.import_module("noderack_host.folders").ModelFolders.of(host)
    used: contextlib.AbstractContextManager[Any] = running.use(running.Running(host=host, folders=folders))
    return used


def _all(mapping: Mapping[str, Any], each: int, together: float) -> dict[str, Any]:
    """Runs all nodes, none for longer than `each` seconds, and none begins after `together`."""
    until, found = time.monotonic() + together, {}
    for name in sorted(mapping):
        late = time.monotonic() > until
        found[name] = {"state": "skipped", "why": "no time is left"} if late else attempt(mapping[name], each)
    return found


def attempt(cls: Any, seconds: int = SECONDS) -> dict[str, Any]:
    """Runs one node: {"state": ran | failed | skipped, ...}."""
    started = time.perf_counter()
    try:
        inputs = arguments(cls)
        _fix_randomness()
        value = _bounded(lambda: _call(cls, inputs), seconds)
        told: dict[str, Any] = {"state": "ran", "result": digest(value)}
    except Skip as reason:
        told = {"state": "skipped", "why": str(reason)}
    except BaseException as error:  # pack code
        told = {"state": "failed", "why": f"{type(error).__name__}: {str(error)[:300]}"}
    return {**told, "seconds": round(time.perf_counter() - started, 4)}


def _call(cls: Any, inputs: dict[str, Any]) -> Any:
    schema = getattr(cls, "GET_SCHEMA", None)
    if schema is not None and hasattr(cls, "execute"):
        value = cls.execute(**inputs)
    else:
        value = getattr(cls(), cls.FUNCTION)(**inputs)
    value = asyncio.run(value) if inspect.iscoroutine(value) else value
    return getattr(value, "args", value)


def _bounded(work: Any, seconds: int) -> Any:
    """Gives up after some seconds, where the system has an alarm for that."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        return work()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return work()
    finally:
        signal.alarm(0)


def _fix_randomness() -> None:
    random.seed(0)
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(0)
    if torch is not None:
        torch.manual_seed(0)


def arguments(cls: Any) -> dict[str, Any]:
    """A value for every required input, and for those optional ones that have a widget; raises Skip."""
    types = cls.INPUT_TYPES()
    inputs: dict[str, Any] = {}
    for kind in ("required", "optional"):
        for name, spec in dict(types.get(kind) or {}).items():
            try:
                inputs[name] = value_for(name, spec)
            except Skip:
                if kind == "required":
                    raise
    hidden = types.get("hidden") or {}
    values = {"UNIQUE_ID": "1", "PROMPT": {}, "EXTRA_PNGINFO": {}}
    inputs.update(
        {name: values.get(source) for name, source in dict(hidden).items() if isinstance(source, str)}
    )
    if getattr(cls, "INPUT_IS_LIST", False):
        inputs = {name: [value] for name, value in inputs.items()}
    return inputs


def value_for(name: str, spec: Any) -> Any:
    """A value that an input's declaration allows; raises Skip."""
    kind = spec[0] if isinstance(spec, list | tuple) and spec else spec
    options = (
        spec[1] if isinstance(spec, list | tuple) and len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    )
    if isinstance(kind, list | tuple) or kind == "COMBO":
        choices = list(kind) if isinstance(kind, list | tuple) else list(options.get("options") or ())
        if not choices:
            raise Skip(f"{name}: there is nothing to choose from")
        default = options.get("default")
        return default if default in choices else choices[0]
    kind = str(getattr(kind, "value", kind))
    if kind in PLAIN:
        return options.get("default", _within(PLAIN[kind], options))
    maker = MADE.get(kind) or (MADE["IMAGE"] if "IMAGE" in kind.split(",") else None)
    if maker is None:
        raise Skip(f"{name}: a {kind} is not generated")
    return maker()


def _within(value: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(value, str | bool):
        return value
    return type(value)(min(max(value, options.get("min", value)), options.get("max", value)))


def _tensor(*shape: int) -> Any:
    torch = importlib.import_module("torch")
    generator = torch.Generator().manual_seed(math.prod(shape))
    return torch.rand(shape, generator=generator)


MADE: dict[str, Any] = {
    "IMAGE": lambda: _tensor(2, 64, 48, 3),
    "MASK": lambda: _tensor(2, 64, 48),
    "LATENT": lambda: {"samples": _tensor(1, 4, 8, 8)},
    "CONDITIONING": lambda: [[_tensor(1, 77, 64), {"pooled_output": _tensor(1, 64)}]],
    "SIGMAS": lambda: _tensor(9).sort(descending=True).values,
    "AUDIO": lambda: {"waveform": _tensor(1, 2, 4410), "sample_rate": 44100},
    "*": lambda: 3,
    "INT,FLOAT": lambda: 3,
    "FLOAT,INT": lambda: 3,
}


# Comparing


def digest(value: Any, depth: int = 0) -> Any:
    """A value as something that can be compared across processes: tensors by shape and rounded content."""
    if depth > 6:
        return "…"
    if hasattr(value, "detach") and hasattr(value, "shape"):
        array = value.detach().to("cpu").double()
        shape = list(value.shape)
        if 0 in shape:
            return {"tensor": shape}
        flat = array.reshape(-1)
        picked = flat[:: max(1, flat.numel() // 64)]
        return {"tensor": shape, "mean": _round(flat.mean()), "some": [_round(x) for x in picked[:64]]}
    if isinstance(value, Mapping):
        return {str(key): digest(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [digest(item, depth + 1) for item in value[:64]]
    if isinstance(value, float):
        return _round(value)
    if isinstance(value, str | int | bool | type(None)):
        return (
            value
            if not isinstance(value, str) or len(value) < 4000
            else hashlib.sha256(value.encode()).hexdigest()
        )
    return f"<{type(value).__name__}>"


def _round(value: Any) -> Any:
    number = float(value)
    return round(number, 4) if math.isfinite(number) else str(number)


# Many packs, each in a process that begins as a copy of one where the host is up


def serve() -> None:
    """Reads a host's description and then jobs, a line of JSON each; says "done" after each."""
    prepare(json.loads(sys.stdin.readline()))
    _say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            sys.path[:0] = job.get("paths", [])
            answer(job, look)
        _end(child, float(job.get("seconds", 600)))
        _say("done")


def _say(word: str) -> None:
    os.write(3 if os.environ.get("PACK_TRY_ON_3") else 1, f"{word}\n".encode())


def _end(child: int, seconds: float) -> None:
    """Waits for a child, and ends it with all that it started when its time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def answer(job: Mapping[str, Any], do: Any) -> None:
    """Writes what came of a job into the file that it names, and ends the process."""
    Path(job["out"]).write_text(json.dumps(do(job)), encoding="utf-8")
    os._exit(0)  # packs leave threads behind


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        asked = json.loads(sys.argv[1])
        answer(asked, main)
