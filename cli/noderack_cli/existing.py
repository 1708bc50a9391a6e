"""What other tools left: a manager's snapshot, or a whole installation. Read only, nothing of it is run."""

from __future__ import annotations

import configparser
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import Pack

from noderack_cli.at_once import at_once
from noderack_cli.errors import BadInput
from noderack_cli.pack_facts import with_facts
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Unknown

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


def read_snapshot(text: str, where: str) -> tuple[Found, ...]:
    """The packs in a manager's snapshot (JSON); disabled ones are left out. Raises BadInput."""
    try:
        data = json.loads(text)
    except ValueError as cause:
        raise BadInput(f"{where} is not JSON: {cause}") from cause
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
    return (*released, *cloned)


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _repository_name(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").rpartition("/")[2]


def read_installation(root: Path) -> tuple[tuple[Found, ...], tuple[Path, ...]]:
    """The packs and the model folders of an existing installation; raises BadInput if it is none."""
    packs, models = root / "custom_nodes", root / "models"
    if not packs.is_dir() and not models.is_dir():
        raise BadInput(f"{root} is no installation: it has neither custom_nodes nor models")
    found = [
        _pack(folder)
        for folder in (sorted(packs.iterdir()) if packs.is_dir() else ())
        if folder.is_dir() and folder.name.lower() not in NOT_PACKS and not folder.name.startswith(".")
    ]
    paths = [models] if models.is_dir() else []
    extra = root / "extra_model_paths.yaml"  # host.toml names the file itself: it stays the one to edit
    return tuple(found), (*paths, *([extra] if extra.is_file() else []))


def _pack(folder: Path) -> Found:
    name, version = folder.name, None
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
        name, version = str(project.get("name") or name), project.get("version")
    except (OSError, ValueError):
        pass
    remote = _remote(folder / ".git/config")
    return Found(name, str(version) if version else None, remote, folder=folder)


def _remote(config: Path) -> str | None:
    parser = configparser.ConfigParser(strict=False)
    try:
        parser.read_string(config.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return None
    return parser.get('remote "origin"', "url", fallback=None)


def choose(
    found: tuple[Found, ...], client: RegistryClient, installed: Mapping[str, str]
) -> tuple[tuple[PackChoice, ...], tuple[Unknown, ...]]:
    """A choice for each pack that the registry has; for the others the command that builds them."""
    choices, unknown = [], []
    named = {normal(one.name): one for one in reversed(found)}
    packs = at_once(lambda name: _of_registry(client, name), named)
    for (name, one), pack in zip(named.items(), packs, strict=True):
        if pack is None or not pack.versions:
            place = f"{one.repository}@{one.commit}" if one.commit else one.repository or one.folder
            hint = f"nodes install {place}" if place else ""
            unknown.append(Unknown("pack", one.name, "no version of it is in this registry", hint))
            continue
        version = one.version if one.version in pack.versions else pack.latest
        if version and installed.get(name) != version:
            reason = "the version that was there" if version == one.version else "its newest version here"
            choice = PackChoice(name, version, (), reason, replaces=installed.get(name))
            choices.append(choice)
    return with_facts(client, choices[::-1]), tuple(reversed(unknown))


def _of_registry(client: RegistryClient, name: str) -> Pack | None:
    try:
        return client.pack(name)
    except NotFound:
        return None
