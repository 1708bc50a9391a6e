"""The model files of a host by content: an index of hashes, so that no file is read twice or stored twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from noderack_host.folder import Host
from noderack_host.folders import LEGACY_NAMES, ModelFolders, safe_relative

from noderack_cli.errors import BadInput
from noderack_cli.links import write_settled

INDEX = ".models.json"
CHUNK = 1 << 22
NOT_MODELS = {".part", ".json", ".txt", ".md", ".yaml", ".toml", ".png", ".jpg", ".lock"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the index remembers of a file: valid as long as size and mtime (ns) are the same."""

    size: int
    mtime: int
    sha256: str


@dataclass(slots=True)
class Index:
    """sha256 of each model file, by path. A lost index only costs reading the files again."""

    file: Path
    known: dict[str, Known] = field(default_factory=dict)
    read: int = 0

    @classmethod
    def open(cls, host: Host) -> Index:
        """The host's index; empty when there is none or it is damaged."""
        index = cls(host.root / INDEX)
        with suppress(OSError, ValueError, TypeError, KeyError):
            data = json.loads(index.file.read_text("utf-8"))
            index.known = {path: Known(*entry) for path, entry in data["files"].items()}
        return index

    def save(self) -> None:
        """Write it beside its place and rename."""
        files = {path: [k.size, k.mtime, k.sha256] for path, k in sorted(self.known.items())}
        write_settled(self.file, json.dumps({"schema": 1, "files": files}))

    def sha256(self, path: Path) -> str:
        """The hash of a file: remembered, or read now."""
        stat = path.stat()
        known = self.known.get(str(path))
        if known is None or (known.size, known.mtime) != (stat.st_size, stat.st_mtime_ns):
            known = Known(stat.st_size, stat.st_mtime_ns, digest(path))
            self.known[str(path)] = known
            self.read += 1
        return known.sha256

    def note(self, path: Path, sha256: str) -> None:
        """Remember a hash that was computed while the file was written."""
        stat = path.stat()
        self.known[str(path)] = Known(stat.st_size, stat.st_mtime_ns, sha256)

    def forget_gone(self) -> None:
        """Drop the entries of files that are not there."""
        self.known = {path: k for path, k in self.known.items() if Path(path).is_file()}


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            found.update(block)
    return found.hexdigest()


def model_files(host: Host) -> Iterator[Path]:
    """Every model file under the host's model roots, links to files included."""
    seen: set[str] = set()
    for root in ModelFolders.of(host).roots:
        for folder, folders, files in os.walk(root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder, f) for f in sorted(files) if _is_model(f))


def _is_model(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() not in NOT_MODELS


def find_content(host: Host, index: Index, sha256: str, size: int | None) -> Path | None:
    """A file of the host with this content, under whatever name: only files of the right size are read."""
    for path in model_files(host):
        with suppress(OSError):
            known = index.known.get(str(path))
            if (size is None and known is None) or (size is not None and path.stat().st_size != size):
                continue
            if index.sha256(path) == sha256:
                return path
    return None


def scan(host: Host, index: Index, tell: Callable[[Path], None] = lambda path: None) -> list[Path]:
    """Bring the index up to date with the disk; only new and changed files are read. Returns all files."""
    found = []
    for path in model_files(host):
        with suppress(FileNotFoundError):
            tell(path)
            index.sha256(path)
            found.append(path)
    index.forget_gone()
    index.save()
    return found


def doubles(index: Index, files: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same content that are stored more than once; the first is the one to keep."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(index.sha256(path), []).append(path)
    return [group for group in groups.values() if len({_inode(path) for path in group}) > 1]


def _inode(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def target_for(host: Host, folder: str, name: str) -> Path:
    """Where a model of that name goes; raises BadInput for names that lead out of the folder."""
    relative = safe_relative(name)
    if relative is None:
        raise BadInput(f"{name!r} cannot be the name of a model: it leads out of its folder")
    try:
        return ModelFolders.of(host).folder_for(folder) / relative
    except ValueError as cause:
        raise BadInput(str(cause)) from cause


def known_folder(host: Host, name: str) -> str:
    """A model folder that a user named; raises BadInput for one that nothing reads: mostly a slip."""
    folders = ModelFolders.of(host)
    first = name.partition("/")[0]
    try:
        folders.category(name)
    except ValueError as cause:
        raise BadInput(str(cause)) from cause
    if first in folders.categories or first in LEGACY_NAMES:
        return name
    if any((root / first).is_dir() for root in folders.roots):
        return name
    near = get_close_matches(first, folders.categories, n=1)
    where = f"If a pack reads it, make it first: mkdir {host.models / first}"
    hint = f"Did you mean {near[0]}? {where}" if near else where
    raise BadInput(f"{first} is no model folder of this host", hint)


def link(source: Path, target: Path) -> str:
    """Give `source` a second name: a hard link, else a symlink, else a copy; says which."""
    target.parent.mkdir(parents=True, exist_ok=True)
    real = source.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        how = _link_one(real, beside)
        beside.replace(target)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
    return how


def _link_one(source: Path, beside: Path) -> str:
    for how, make in (("linked", os.link), ("symlinked", os.symlink), ("copied", shutil.copy2)):
        try:
            make(source, beside)
        except OSError:
            if how == "copied":
                raise
        else:
            return how
    raise AssertionError
