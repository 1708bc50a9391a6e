"""Weights files as they lie on the disk: mapped, never changed, touched only where they are read.

Safetensors by our own reader, GGUF likewise (its packed weights are unpacked when read); pickled checkpoints
(.ckpt, .pt, .pth, .bin) by torch with ``weights_only``, which runs none of their code.

The file is the backup: whatever is done to a model in memory, its tensors here stay as they were.
"""

import errno
import hashlib
import json
import math
import mmap
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import FileError
from noderack_diffusion.filekind import another_kind
from noderack_diffusion.gguf_blocks import PACKINGS, Packing
from noderack_diffusion.gguf_file import read_gguf

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_HEADER = 100_000_000
MAX_TENSORS = 200_000
MAX_DIMS = 16


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the header says of one tensor; ``start`` and ``end`` count bytes from the end of the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int
    packing: Packing | None = None
    """How its weights are packed in the file, if they are."""


State = tuple[int, int, int, int] | None
"""Which file it is, how long, and when it was last written to."""
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin"})
_NESTED = ("state_dict", "params_ema", "params")
"""Under what name trainers put the weights into a pickled file, the averaged ones first."""
_LEFT = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "_codecs.encode",
)
"""What the first checkpoints of Stable Diffusion hold of their trainer's state; it is not wanted, nor run."""


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """One mapped weights file."""

    path: Path
    header: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    key: str
    """Names the content: a hash of path, size, time and header."""
    _bytes: mmap.mmap | None = field(repr=False)
    _offset: int = field(repr=False)
    _loaded: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    _state: State = None

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """Map a weights file. Raises FileError with the reason if it is not a sound one."""
        path = Path(path)
        if path.is_dir():
            raise FileError(f"{path} is a folder, no file; folders of diffusers have their own loader")
        if path.suffix.lower() in PICKLES:
            return _open_pickle(path)
        if path.suffix.lower() == ".gguf":
            return _open_gguf(path)
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                raw = _read_header(path, file.read(8), size, file)
                header, metadata = _parse(path, raw, size - 8 - len(raw))
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as cause:
            raise FileError(f"cannot read {path}: {cause.strerror or cause}") from cause
        return cls(path, header, metadata, _identity(path, raw), mapped, 8 + len(raw), _state=_state(path))

    def tensor(self, name: str) -> Tensor:
        """The tensor ``name`` as it is stored; shares the mapped bytes, so do not write into it."""
        if name not in self.header:
            raise FileError(f"{self.path.name} holds no tensor {name!r}")
        if self._bytes is None:
            return self._loaded[name]
        info = self.header[name]
        count = math.prod(info.shape)
        if not count:
            return torch.empty(info.shape, dtype=info.dtype)
        if info.packing is not None:
            raw = self._mapped(torch.uint8, info.end - info.start, info.start)
            return info.packing.unpack(raw.view(-1, info.packing.size)).view(info.shape)
        return self._mapped(info.dtype, count, info.start).view(info.shape)

    def _mapped(self, dtype: torch.dtype, count: int, start: int) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.frombuffer(self._bytes, dtype=dtype, count=count, offset=self._offset + start)

    def check(self) -> None:
        """Raises FileError if the mapped file was cut or written over since: it is no longer what was opened,
        and a page that is gone ends the process. One that was removed or replaced as a whole stays as it was.
        """
        if self._bytes is None:
            return
        if self._bytes.size() < len(self._bytes) or _written(self.path, self._state):
            raise FileError(
                f"{self.path} was cut or written over while it is in use; run the workflow again to load "
                "what is there now (to exchange a model, move the new file onto the old one instead)"
            )

    def forget(self, name: str) -> None:
        """Give back the memory of a tensor's pages; they are read again when it is touched."""
        if self._bytes is None or not hasattr(self._bytes, "madvise") or not hasattr(mmap, "MADV_DONTNEED"):
            return
        info, page = self.header[name], mmap.PAGESIZE
        first = -(-(self._offset + info.start) // page) * page
        length = (self._offset + info.end) // page * page - first
        if length > 0:
            self._bytes.madvise(mmap.MADV_DONTNEED, first, length)

    def shapes(self, prefix: str = "") -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors under ``prefix``, keyed without it."""
        return {k.removeprefix(prefix): v.shape for k, v in self.header.items() if k.startswith(prefix)}

    def __contains__(self, name: object) -> bool:
        return name in self.header


def _open_gguf(path: Path) -> Store:
    try:
        with path.open("rb") as file:
            entries, metadata = read_gguf(path, file)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as cause:
        raise FileError(f"cannot read {path}: {cause.strerror or cause}") from cause
    header = {
        name: TensorInfo(e.dtype, e.shape, e.start, e.end, PACKINGS.get(e.kind))
        for name, e in entries.items()
    }
    key = _identity(path, repr(sorted(entries)).encode())
    return Store(path, header, metadata, key, mapped, 0, _state=_state(path))


def _open_pickle(path: Path) -> Store:
    try:
        found = _unpickled(path)
    except OSError as cause:
        if cause.errno == errno.EINVAL:
            raise FileError(f"{path} is damaged or cut short; download it again") from cause
        raise FileError(f"cannot read {path}: {cause.strerror or cause}") from cause
    except Exception as cause:  # torch raises many kinds; all mean one of these here
        raise FileError(f"cannot read {path}: {_why_not(path, cause)}") from cause
    while isinstance(found, Mapping) and (inner := _nested(found)) is not None:
        found = inner
    if not isinstance(found, Mapping):
        raise FileError(f"{path} holds no table of weights but a {type(found).__name__}")
    tensors = {str(name): value.detach() for name, value in found.items() if isinstance(value, Tensor)}
    header = {
        n: TensorInfo(t.dtype, tuple(t.shape), 0, t.numel() * t.element_size()) for n, t in tensors.items()
    }
    return Store(path, header, {}, _identity(path, repr(sorted(header)).encode()), None, 0, tensors)


def _unpickled(path: Path) -> Any:
    """Mapped where the file's form allows it."""
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    with warnings.catch_warnings(), torch.serialization.safe_globals(_ignored()):
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


class _Ignored:
    """Stands for what trainers leave beside the weights; takes anything and does nothing."""

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _ignored() -> list[Any]:
    """A class that does nothing for each name of ``_LEFT``, under that name."""
    split = (name.rpartition(".") for name in _LEFT)
    return [type(own, (_Ignored,), {"__module__": module}) for module, _, own in split]


def _why_not(path: Path, cause: Exception) -> str:
    """Why a pickled file cannot be opened, as far as torch's words and its first bytes tell."""
    asked = re.search(r"GLOBAL (\S+)", str(cause))
    if asked:
        return (
            f"it asks for {asked[1]} to be run, and pickled checkpoints are opened without running code; "
            "get its safetensors version, from whom you trust"
        )
    kind = another_kind(path)
    if kind is not None and not kind.startswith("a pickled"):
        return f"it is {kind}"
    return "it is damaged, or no pickled checkpoint; download it again, or get its safetensors version"


def _nested(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The table of weights that lies under one of the usual names."""
    tables = (found.get(name) for name in _NESTED)
    return next((table for table in tables if isinstance(table, Mapping)), None)


def _read_header(path: Path, first: bytes, size: int, file: Any) -> bytes:
    if len(first) < 8:
        raise FileError(f"{path} is no safetensors file: it has only {size} bytes; download it again")
    (length,) = struct.unpack("<Q", first)
    kind = another_kind(path) if length > MAX_HEADER else None
    if kind is not None:
        raise FileError(f"{path} is no safetensors file but {kind}")
    if length > min(MAX_HEADER, size - 8):
        raise FileError(
            f"{path} is no safetensors file, or is cut short: it announces a header of {length} bytes "
            f"and has {size}; download it again"
        )
    raw: bytes = file.read(length)
    return raw


def _state(path: Path) -> State:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _written(path: Path, before: State) -> bool:
    """Whether it is still the same file, with other content."""
    now = _state(path)
    return before is not None and now is not None and now[:2] == before[:2] and now != before


def _identity(path: Path, raw: bytes) -> str:
    stat = path.stat()
    facts = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode()
    return hashlib.sha256(facts + raw).hexdigest()


def _parse(path: Path, raw: bytes, data: int) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    try:
        entries = json.loads(raw)
        metadata = dict(entries.pop("__metadata__", None) or {})
        if len(entries) > MAX_TENSORS:
            raise ValueError(f"{len(entries)} tensors")
        header = {name: _info(name, entry, data) for name, entry in entries.items()}
        _refuse_overlaps(header)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
        raise FileError(f"the header of {path} is damaged ({cause}); download the file again") from cause
    return header, {str(k): str(v) for k, v in metadata.items()}


def _refuse_overlaps(header: Mapping[str, TensorInfo]) -> None:
    last, before = 0, ""
    for name, info in sorted(header.items(), key=lambda row: row[1].start):
        if info.end > info.start and info.start < last:
            raise ValueError(f"tensors {before!r} and {name!r} lie in the same place")
        last, before = max(last, info.end), name


def _info(name: str, entry: Mapping[str, Any], data: int) -> TensorInfo:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if kind not in DTYPES:
        raise ValueError(f"tensor {name!r} has the unknown dtype {kind!r}")
    if len(shape) > MAX_DIMS or not all(type(n) is int and n >= 0 for n in (*shape, start, end)):
        raise ValueError(f"tensor {name!r} has the shape {shape}")
    if end > data:
        raise ValueError(f"tensor {name!r} ends {end - data} bytes beyond the file, which is cut short")
    if end - start != math.prod(shape) * DTYPES[kind].itemsize:
        raise ValueError(f"tensor {name!r} does not lie where the header says")
    return TensorInfo(DTYPES[kind], shape, start, end)
