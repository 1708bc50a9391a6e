"""Results that outlive the process: those of tensors and plain data, as safetensors files in a folder.

Nothing is pickled: a file holds tensors, and in its metadata the structure that they stand in, as JSON. What
a node shows (files that it wrote) is not kept: an output node runs again after a restart.
"""

import json
import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from noderack_host.cache import Cache, Entry, byte_count, cache_named
from noderack_host.folder import Host

_FORM = "noderack-result-1"


def cache_for(policy: str, keep: str | None, host: Host) -> Cache:
    """The cache of a policy ("lru:100"), with `keep` ("2G") bytes on the host's disk behind it.

    Raises ValueError for a text that is neither.
    """
    cache = cache_named(policy)
    return cache if keep is None else OnDisk(cache, host.user / "results", byte_count(keep))


class NotPlain(TypeError):
    """A value that no file of ours can hold."""


class OnDisk:
    """A folder behind another cache: results go to both, and are read from disk where that has none.

    limit: bytes of all files together; those used longest ago go first. What cannot be read is not there.
    """

    def __init__(self, cache: Cache, folder: Path, limit: int) -> None:
        self.cache = cache
        self.folder = folder
        self.limit = limit

    def begin(self, keys: AbstractSet[bytes]) -> None:
        self.cache.begin(keys)

    def get(self, key: bytes) -> Entry | None:
        entry = self.cache.get(key)
        if entry is None:
            entry = self._read(key)
            if entry is not None:
                self.cache.put(key, entry)
        return entry

    def peek(self, key: bytes) -> Entry | None:
        return self.cache.peek(key)

    def put(self, key: bytes, entry: Entry) -> None:
        self.cache.put(key, entry)
        if entry.outputs and not entry.ui and not entry.inner:
            self._write(key, entry)

    def __contains__(self, key: bytes) -> bool:
        return key in self.cache or self._file(key).is_file()

    def end(self) -> None:
        self.cache.end()
        self._tidy()

    def clear(self) -> None:
        self.cache.clear()
        for file in self._files():
            file.unlink(missing_ok=True)

    def _file(self, key: bytes) -> Path:
        return self.folder / f"{key.hex()}.safetensors"

    def _files(self) -> list[Path]:
        return list(self.folder.glob("*.safetensors")) if self.folder.is_dir() else []

    def _read(self, key: bytes) -> Entry | None:
        file = self._file(key)
        if not file.is_file():
            return None
        try:
            entry = Entry(tuple(read_result(file)))
            os.utime(file)
        except Exception:  # a file that was cut off or changed is a result that we do not have
            file.unlink(missing_ok=True)
            return None
        return entry

    def _write(self, key: bytes, entry: Entry) -> None:
        file = self._file(key)
        if file.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}")
        try:
            write_result(beside, list(entry.outputs))
            beside.replace(file)
        except (NotPlain, OSError):  # it stays in memory, where it is
            beside.unlink(missing_ok=True)

    def _tidy(self) -> None:
        files = sorted(((file.stat(), file) for file in self._files()), key=lambda item: item[0].st_mtime)
        total = sum(stat.st_size for stat, _ in files)
        for stat, file in files:
            if total <= self.limit:
                return
            file.unlink(missing_ok=True)
            total -= stat.st_size


def write_result(file: Path, outputs: list[Any]) -> None:
    """Writes outputs; raises NotPlain where they hold anything but tensors and plain data."""
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    structure = json.dumps(_taken_apart(outputs, tensors))
    save_file(tensors, file, metadata={"form": _FORM, "structure": structure})


def read_result(file: Path) -> list[Any]:
    """What `write_result` wrote; tensors are copies of their own. Raises whatever reading raises."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
        if metadata.get("form") != _FORM:
            raise ValueError(f"{file} is no result of ours")
        outputs = _put_together(json.loads(metadata["structure"]), opened.get_tensor)
    if not isinstance(outputs, list):
        raise ValueError(f"{file} holds {type(outputs).__name__}, expected a list")
    return outputs


def _taken_apart(value: Any, tensors: dict[str, Any]) -> Any:
    """The value as JSON: every container and tensor as [kind, content], plain data as it is."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return [kind.__name__, [_taken_apart(item, tensors) for item in value]]
    if kind is dict and all(type(key) is str for key in value):
        return ["dict", {key: _taken_apart(item, tensors) for key, item in value.items()}]
    if kind.__name__ == "Tensor" and kind.__module__ == "torch" and str(value.layout) == "torch.strided":
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return ["tensor", name]
    raise NotPlain(f"{kind.__module__}.{kind.__qualname__} cannot be kept on disk")


def _put_together(value: Any, tensor: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "tensor":
        return tensor(content)
    if kind == "dict":
        return {key: _put_together(item, tensor) for key, item in content.items()}
    items = [_put_together(item, tensor) for item in content]
    return tuple(items) if kind == "tuple" else items
