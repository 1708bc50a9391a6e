"""Import of the public catalogue as seed: packs, claims and models, each marked as a catalogue's word.

Reading is pure; storing (seeding.py) compares with what is there and touches only what differs, so a second
import of the same files changes nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noderack_registry import names
from noderack_registry.errors import Malformed
from noderack_registry.schema import ModelManifest, Source
from noderack_registry.server.repositories import repository_key

CORE_REPOSITORY = "github.com/comfyanonymous/comfyui"
CORE_KEY = "comfy-core"
LONGEST_PATTERN = 300
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_UNSAFE = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_FOLDERS = {
    "upscale": "upscale_models",
    "clip": "text_encoders",
    "VAE": "vae",
    "diffusion_model": "diffusion_models",
}


@dataclass(frozen=True, slots=True)
class SeedPack:
    """A pack of the catalogue with the node types that it is said to have."""

    key: str
    name: str
    title: str
    description: str
    author: str
    repository: str
    stars: int = 0
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    preferred: frozenset[str] = frozenset()
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, as read."""

    packs: tuple[SeedPack, ...]
    models: tuple[ModelManifest, ...]
    type_entries: int = 0

    @property
    def claimants(self) -> Mapping[str, int]:
        """How many packs claim each type."""
        return Counter(name for pack in self.packs for name in pack.types)


@dataclass(slots=True)
class _Listed:
    """What the files say of one repository, while they are read."""

    entry: dict[str, Any]
    url: str
    types: dict[str, None] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


def read(folder: Path) -> Catalogue:
    """The catalogue in `folder`: the JSON files of the field's channel. Raises Malformed naming the file."""
    listed = _objects(_load(folder, "custom-node-list.json"), "custom_nodes")
    stars = _load(folder, "github-stats.json", optional=True)
    extra = _objects(_load(folder, "alter-list.json", optional=True), "items")
    mapped = _load(folder, "extension-node-map.json")
    found = _gather(listed, mapped)
    tags = {repository_key(str(item.get("id"))): str(item.get("tags", "")) for item in extra}
    known_stars = {_place(url): _number(said) for url, said in stars.items()}
    packs = tuple(_named(found, known_stars, tags))
    models = tuple(_models(_objects(_load(folder, "model-list.json", optional=True), "models")))
    return Catalogue(packs, models, sum(len(types) for types, _ in _map_rows(mapped)))


def _load(folder: Path, name: str, optional: bool = False) -> dict[str, Any]:
    path = folder / name
    if optional and not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise Malformed(
            str(path), "is not there; a catalogue is a folder with the channel's files"
        ) from cause
    except ValueError as cause:
        raise Malformed(str(path), f"is not JSON ({cause})") from cause
    if not isinstance(data, dict):
        raise Malformed(str(path), "must be an object")
    return data


def _objects(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = data.get(key, [])
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _number(said: Any) -> int:
    value = said.get("stars") if isinstance(said, dict) else said
    return max(0, value) if isinstance(value, int) else 0


def _place(url: str) -> str:
    return repository_key(url) or url.strip().rstrip("/").lower()


def _gather(listed: list[dict[str, Any]], mapped: Mapping[str, Any]) -> dict[str, _Listed]:
    """One record for each repository: the list's entry, and the map's types, matched by address or file."""
    found: dict[str, _Listed] = {}
    by_file: dict[str, str] = {}
    for entry in listed:
        url = str(entry.get("reference") or next(iter(entry.get("files") or []), ""))
        if not url:
            continue
        place = _place(url)
        found.setdefault(place, _Listed(entry, url))
        for file in entry.get("files") or []:
            by_file[str(file).strip()] = place
            by_file.setdefault(_place(str(file)), place)
    for url, row in mapped.items():
        types, meta = _map_row(row)
        place = by_file.get(url) or by_file.get(_place(url)) or _place(url)
        record = found.setdefault(place, _Listed({}, url))
        record.types.update(dict.fromkeys(types))
        record.meta.update(meta)
    return found


def _map_rows(mapped: Mapping[str, Any]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    return (_map_row(row) for row in mapped.values())


def _map_row(row: Any) -> tuple[list[str], dict[str, Any]]:
    if not isinstance(row, list) or not row or not isinstance(row[0], list):
        return [], {}
    types = [name for name in row[0] if isinstance(name, str) and 0 < len(name) <= 200]
    return types, row[1] if len(row) > 1 and isinstance(row[1], dict) else {}


def _named(
    found: Mapping[str, _Listed], stars: Mapping[str, int], tags: Mapping[str | None, str]
) -> Iterator[SeedPack]:
    """Give each repository a key of its own: its id if it has one, its name, or owner and name."""
    taken: set[str] = set()
    order = sorted(found.items(), key=lambda item: (not item[1].entry.get("id"), -stars.get(item[0], 0)))
    for place, record in order:
        name = next(name for name in _candidates(place, record) if name not in taken)
        taken.add(name)
        yield _seed(name, place, record, stars.get(place, 0), tags.get(place, ""))


def _candidates(place: str, record: _Listed) -> Iterator[str]:
    parts = place.split("/")
    if place == CORE_REPOSITORY:
        yield CORE_KEY
    wishes = [str(record.entry.get("id") or ""), parts[-1], "-".join(parts[-2:])]
    for wish in wishes:
        try:
            yield names.check(wish.removesuffix(".py"))
        except names.BadName:
            continue
    number = 1
    while True:
        plain = "".join(mark if mark.isalnum() else "-" for mark in parts[-1])
        yield f"{names.key(plain).strip('-') or 'pack'}-{number}"
        number += 1


def _seed(key: str, place: str, record: _Listed, stars: int, tags: str) -> SeedPack:
    entry, meta = record.entry, record.meta
    pattern = entry.get("nodename_pattern") or meta.get("nodename_pattern")
    listed = entry.get("tags") if isinstance(entry.get("tags"), list) else []
    preferred = {*(entry.get("preemptions") or []), *(meta.get("preemptions") or [])}
    return SeedPack(
        key=key,
        name=place.rsplit("/", maxsplit=1)[-1],
        title=_line(entry.get("title") or meta.get("title_aux") or key),
        description=_line(entry.get("description") or meta.get("description") or "", 2000),
        author=_line(entry.get("author") or meta.get("author") or ""),
        repository=record.url,
        stars=stars,
        tags=tuple(
            sorted({tag.strip() for tag in [*map(str, listed or []), *tags.split(",")] if tag.strip()})
        ),
        types=tuple(sorted(record.types.keys() | preferred)),
        preferred=frozenset(preferred),
        pattern=str(pattern) if pattern and len(str(pattern)) <= LONGEST_PATTERN else None,
    )


def _line(value: Any, most: int = 300) -> str:
    return " ".join(str(value).split())[:most]


def _models(entries: list[dict[str, Any]]) -> Iterator[ModelManifest]:
    for entry in entries:
        name, url = str(entry.get("filename") or ""), str(entry.get("url") or "")
        if _REPOSITORY.fullmatch(url):  # a whole repository of the model host
            name, url = url.partition("/")[2], f"https://huggingface.co/{url}"
        if not name or "/" in name or not url.startswith("https://"):
            continue
        kind, folder = str(entry.get("type") or ""), str(entry.get("save_path") or "default").strip("/")
        yield ModelManifest(
            name=name,
            folder=_FOLDERS.get(kind, kind.lower() or "checkpoints") if folder == "default" else folder,
            sources=(source(url),),
            base=str(entry.get("base") or "") or None,
            kind=kind or None,
            title=_line(entry.get("name") or name),
            description=_line(
                f"{entry.get('description') or ''} ({entry.get('size') or 'size unknown'})", 1000
            ),
            page=str(entry.get("reference") or "") or None,
            unsafe_format=name.lower().endswith(_UNSAFE),
        )


def source(url: str) -> Source:
    """A download address as a source; Hugging Face addresses with repository, revision and path."""
    plain = url.partition("?")[0]
    parts = plain.removeprefix("https://").split("/")
    if parts[0] in ("huggingface.co", "hf.co") and len(parts) > 5 and parts[3] in ("resolve", "blob", "raw"):
        fixed = "/".join(["https:/", "huggingface.co", *parts[1:3], "resolve", *parts[4:]])
        return Source("hf", fixed, repo="/".join(parts[1:3]), revision=parts[4], path="/".join(parts[5:]))
    return Source("civitai" if parts[0].startswith("civitai.") else "url", url)
