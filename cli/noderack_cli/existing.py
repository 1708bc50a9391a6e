"""What other tools left: a manager's snapshot, or a whole installation. Read only, nothing of it is run."""

from __future__ import annotations

import configparser
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noderack_host.model_paths import NAME, read_pack_folders
from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.packing import PackError
from noderack_registry.schema import Pack

from noderack_cli.at_once import at_once
from noderack_cli.errors import BadInput
from noderack_cli.pack_facts import with_facts
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Unknown
from noderack_cli.show import quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_PACKS = {
    "__pycache__",
    "comfyui-manager",
    ".disabled",
    "websocket_image_save.py",
    "example_node.py.example",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A pack that another tool had: its name, and the version, repository, commit and folder if told."""

    name: str
    version: str | None = None
    repository: str | None = None
    commit: str | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Existing:
    """What was found: packs, the model folders (or files that name some), and in words what is left out."""

    packs: tuple[Found, ...] = ()
    models: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def read_snapshot(text: str, where: str) -> Existing:
    """The packs in a manager's snapshot (JSON); disabled ones are left out. Raises BadInput."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as cause:
        hint = "Save it as JSON: cm-cli save-snapshot --output NAME.json"
        raise BadInput(f"{where} is not JSON: {cause}", hint) from cause
    if isinstance(data, dict) and "custom_nodes" in data:
        data = data["custom_nodes"]
    if not isinstance(data, dict) or not {"git_custom_nodes", "cnr_custom_nodes"} & data.keys():
        raise BadInput(f"{where} is no snapshot: it lists no git_custom_nodes and no cnr_custom_nodes")
    released = [Found(str(name), str(version)) for name, version in _table(data, "cnr_custom_nodes").items()]
    cloned = [
        Found(_repository_name(url), None, str(url), facts.get("hash"))
        for url, facts in _table(data, "git_custom_nodes").items()
        if isinstance(facts, dict) and not facts.get("disabled")
    ]
    return Existing((*released, *cloned), notes=tuple(_not_taken(data)))


def _not_taken(data: Mapping[str, Any]) -> Iterator[str]:
    """What a snapshot lists and is not installed from it, in words."""
    off = [_repository_name(url) for url, facts in _table(data, "git_custom_nodes").items() if _is_off(facts)]
    if off:
        yield f"disabled there, so left out: {', '.join(off)}"
    files = [f for f in data.get("file_custom_nodes") or () if isinstance(f, dict) and not _is_off(f)]
    names = [str(f.get("filename")) for f in files if str(f.get("filename")).lower() not in NOT_PACKS]
    if names:
        yield f"of single files a snapshot keeps the names alone: {', '.join(names)} (nodes install FILE)"
    if data.get("pips"):
        yield f"{len(data['pips'])} Python distributions are listed there; here they come with their packs"


def _is_off(facts: object) -> bool:
    return isinstance(facts, dict) and bool(facts.get("disabled"))


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _repository_name(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").rpartition("/")[2]


def read_installation(root: Path) -> Existing:
    """The packs and the model folders of an existing installation; raises BadInput if it is none."""
    own, models = root / "custom_nodes", root / "models"
    if not own.is_dir() and not models.is_dir():
        raise BadInput(f"{root} is no installation: it has neither custom_nodes nor models")
    extra = root / NAME  # host.toml names the file itself: it stays the one to edit
    places = [folder for folder in (own, *read_pack_folders(extra)) if folder.is_dir()]
    entries = [entry for folder in dict.fromkeys(places) for entry in sorted(folder.iterdir())]
    entries = [e for e in entries if e.name.lower() not in NOT_PACKS and not e.name.startswith(".")]
    off = [e.name for e in entries if e.name.endswith(".disabled")]
    off += [e.name for folder in places for e in sorted((folder / ".disabled").glob("*"))]
    rest = [e for e in entries if e.name not in off and (e.is_dir() or e.suffix == ".py")]
    packs = [e for e in rest if _is_pack(e)]
    none = [e.name for e in rest if e not in packs]
    notes = [f"disabled there, so left out: {', '.join(off)}"] if off else []
    notes += [f"no packs, as they hold no __init__.py: {', '.join(none)}"] if none else []
    paths = [models] if models.is_dir() else []
    paths += [extra] if extra.is_file() else []
    return Existing(tuple(map(_pack, packs)), tuple(paths), tuple(notes))


def _is_pack(entry: Path) -> bool:
    """Whether it holds code, or says where it comes from."""
    return entry.is_file() or any((entry / n).exists() for n in ("__init__.py", "pyproject.toml", ".git"))


def _pack(entry: Path) -> Found:
    if entry.is_file():
        return Found(entry.stem, folder=entry)
    name, version = entry.name, None
    try:
        project = tomllib.loads((entry / "pyproject.toml").read_text("utf-8")).get("project", {})
        name, version = str(project.get("name") or name), project.get("version")
    except (OSError, ValueError):
        pass
    remote = _remote(entry / ".git/config")
    return Found(name, str(version) if version else None, remote, folder=entry)


def _remote(config: Path) -> str | None:
    parser = configparser.ConfigParser(strict=False)
    try:
        parser.read_string(config.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return None
    return parser.get('remote "origin"', "url", fallback=None)


def choose(
    found: tuple[Found, ...],
    client: RegistryClient,
    installed: Mapping[str, str],
    build: Callable[[str], PackChoice] | None = None,
) -> tuple[tuple[PackChoice, ...], tuple[Unknown, ...]]:
    """A choice for each pack that the registry has; for the others the command that builds them.

    `build` makes those, where it is given; what it refuses is told with its reason.
    """
    choices: list[PackChoice] = []
    built: list[PackChoice] = []
    unknown: list[Unknown] = []
    named = {normal(one.name): one for one in reversed(found)}
    packs = at_once(lambda name: _of_registry(client, name), named)
    for (name, one), pack in reversed([*zip(named.items(), packs, strict=True)]):
        if pack is not None and pack.versions:
            choices += _in_registry(name, one, pack, installed)
        elif build is None:
            unknown.append(_not_there(one))
        else:
            made = _made(one, build)
            if isinstance(made, PackChoice):
                built.append(made)
            else:
                unknown.append(made)
    new = [pack for pack in built if pack.pack not in installed]
    return (*with_facts(client, choices), *new), tuple(unknown)


def _in_registry(name: str, one: Found, pack: Pack, installed: Mapping[str, str]) -> Iterator[PackChoice]:
    version = one.version if one.version in pack.versions else pack.latest
    if version and installed.get(name) != version:
        reason = "the version that was there"
        if version != one.version:
            lost = f", as {one.version} is not in this registry" if one.version else ""
            reason = f"its newest version here{lost}"
        yield PackChoice(name, version, (), reason, replaces=installed.get(name))


def _source(one: Found) -> str:
    """Where it can be built from: the folder that is there, else its repository at its commit."""
    if one.folder:
        return str(one.folder)
    return f"{one.repository}@{one.commit}" if one.repository and one.commit else one.repository or ""


def _not_there(one: Found) -> Unknown:
    place = _source(one)
    hint = f"nodes install {quoted(place)}" if place else "If you know its repository: nodes install URL"
    return Unknown("pack", one.name, "no version of it is in this registry", hint)


def _made(one: Found, build: Callable[[str], PackChoice]) -> PackChoice | Unknown:
    place = _source(one)
    if not place:
        return _not_there(one)
    try:
        return build(place)
    except PackError as error:
        return Unknown("pack", one.name, f"it cannot be built: {error}", getattr(error, "hint", "") or "")


def _of_registry(client: RegistryClient, name: str) -> Pack | None:
    try:
        return client.pack(name)
    except NotFound:
        return None
