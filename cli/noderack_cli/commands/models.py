"""`nodes models get/search/info/list`: model files by name, hash or address."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_registry.client import NotFound as RegistryMissed
from noderack_registry.client import RegistryClient
from noderack_registry.schema import ModelManifest

from noderack_cli.bring import bring
from noderack_cli.errors import BadInput, NotFound, Unresolvable
from noderack_cli.keys import stored
from noderack_cli.model_files import Index, digest, find_content, known_folder, model_files
from noderack_cli.near import near
from noderack_cli.options import (
    FOLDER,
    connections_option,
    host_option,
    json_option,
    limit_rate_option,
    registry_option,
)
from noderack_cli.plan import ModelChoice
from noderack_cli.progress import Progress
from noderack_cli.remote import look_up
from noderack_cli.show import count, size, table
from noderack_cli.sources import Access
from noderack_cli.streaming import Manner, Throttle
from noderack_cli.where import open_host, open_registry

RECORD = ".json"  # the ending of a manifest that stands beside a model, or for one that is elsewhere


@click.command("get")
@click.argument("wanted", nargs=-1, required=True, metavar="NAME|SHA256|URL|FILE...")
@click.option("--folder", "category", help="The model folder, such as checkpoints or loras.")
@click.option("--name", help="The file name to give it.")
@limit_rate_option
@connections_option
@host_option
@registry_option
@json_option
def get(
    *,
    wanted: tuple[str, ...],
    category: str | None,
    name: str | None,
    limit_rate: float | None,
    connections: int,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> None:
    """Bring model files into the host, checked by hash; what is here already is linked, not downloaded.

    \b
    nodes models get noderack-shapes.safetensors
    nodes models get https://huggingface.co/org/repo/blob/main/model.safetensors --folder loras
    nodes models get URL --folder checkpoints --limit-rate 10M
    nodes models get /mnt/share/model.safetensors --folder vae
    HF_TOKEN=... nodes models get URL        # gated and private files
    """
    host = open_host(folder)
    access = Access.of(os.environ, registry or host.config.registry, stored)
    category = known_folder(host, category) if category else None
    asked = [Asked(text, category, name) for text in wanted]
    choices = [_choice(host, registry, access, one) for one in asked]  # all are found before the first comes
    manner = Manner(connections, Throttle(limit_rate))
    brought = bring(choices, host, access, Progress(as_json), manner)
    for _, error in brought.failed:
        raise error


@dataclass(frozen=True, slots=True)
class Asked:
    """One argument of `models get`, and the options that go with it."""

    text: str
    folder: str | None
    name: str | None


def _choice(host: Host, registry: str | None, access: Access, asked: Asked) -> ModelChoice:
    file = _file(asked.text)
    if file is not None:
        return _from_file(file, asked)
    manifest = _manifest(host, registry, access, asked)
    folder = asked.folder or manifest.folder
    if not folder:
        raise BadInput(f"{asked.text}: which folder is it for?", "Say it, for example: --folder loras")
    content = manifest.sha256
    present = find_content(host, Index.open(host), content, manifest.size) if content else None
    where = str(present) if present else None
    return ModelChoice(asked.name or manifest.name, folder, manifest, "you asked for it", where)


def _file(text: str) -> Path | None:
    """The file that the user names by its path or a file: address; raises NotFound if it is not there."""
    if text.startswith("file:"):
        path = Path(url2pathname(urlsplit(text).path))
        if not path.is_file():
            raise NotFound(f"{path} is not a file")
        return path
    path = Path(text).expanduser()
    if path.is_dir():
        raise BadInput(f"{text} is a folder, not a model file", "Give a file of it, a name or an address.")
    return path if ("/" in text or os.sep in text) and path.is_file() else None


def _from_file(file: Path, asked: Asked) -> ModelChoice:
    if not asked.folder:
        raise BadInput(f"{asked.text}: which folder is it for?", "Say it, for example: --folder loras")
    manifest = ModelManifest(file.name, asked.folder, digest(file), file.stat().st_size)
    return ModelChoice(
        asked.name or file.name, asked.folder, manifest, "you gave the file", str(file.resolve())
    )


def _manifest(host: Host, registry: str | None, access: Access, asked: Asked) -> ModelManifest:
    if "://" in asked.text:
        return look_up(asked.text, access, name=asked.name or "", folder=asked.folder or "")
    with open_registry(host, registry) as client:
        if re.fullmatch(r"[0-9a-fA-F]{64}", asked.text):
            return client.model(asked.text.lower())
        return _named(client, asked.text, asked.folder)


def _named(client: RegistryClient, name: str, category: str | None) -> ModelManifest:
    found = [m for m in client.find_models(name) if category in (None, m.folder)]
    contents = {m.sha256 or str(m.sources): m for m in found}
    if not contents:
        found_near = near(client, name, "model")
        hint = "Give its address: nodes models get URL --folder F"
        hint = f"Near names: {', '.join(found_near)}." if found_near else hint
        raise NotFound(f"The registry knows no model {name}", hint)
    if len(contents) > 1:
        rows = ", ".join(f"{(m.sha256 or '?')[:12]} in {m.folder}" for m in contents.values())
        raise Unresolvable(
            f"{name} is the name of several contents: {rows}", "Say --folder, or give the sha256."
        )
    return found[0]


@click.command("search")
@click.argument("query")
@host_option
@registry_option
@json_option
def search(query: str, folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Search the registry for models.

    \b
    nodes models search "pixel art"
    """
    with open_registry(_host_or_none(folder), registry) as client:
        page = client.search(query, kind="model", limit=30)
    if as_json:
        click.echo(json.dumps(page.to_json()))
        return
    click.echo(
        table([(hit.name, hit.title, (hit.sha256 or "")[:12]) for hit in page.hits]) or "Nothing found."
    )


def _host_or_none(folder: Path | None) -> Host | None:
    from noderack_host.folder import HostError

    try:
        return open_host(folder)
    except HostError:
        return None


@click.command("info")
@click.argument("wanted", metavar="NAME|SHA256")
@host_option
@registry_option
@json_option
def info(wanted: str, folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Show all that the registry knows of a model, and where it is here.

    \b
    nodes models info noderack-shapes.safetensors
    nodes models info 3871fd46180592d7 --json
    """
    host = _host_or_none(folder)
    here = _here(host, wanted) if host else {}
    try:
        facts = _told(host, registry, wanted)
    except (RegistryMissed, NotFound, BadInput):
        if not here:
            raise
        facts = {"name": wanted}  # no registry knows it, and it is here none the less
    facts |= {"here": list(here)} if here else {}
    facts |= {"sha256": next(iter(here.values()))} if here and not facts.get("sha256") else {}
    if as_json:
        click.echo(json.dumps(facts))
        return
    rows = {**facts, "sources": ", ".join(source["url"] for source in facts.get("sources") or ())}
    said = {key: value for key, value in rows.items() if value not in (None, "", [], False)}
    click.echo(table([(key, _text(value)) for key, value in said.items()]))


def _told(host: Host | None, registry: str | None, wanted: str) -> dict[str, Any]:
    with open_registry(host, registry) as client:
        is_hash = re.fullmatch(r"[0-9a-fA-F]{64}", wanted)
        manifest = client.model(wanted.lower()) if is_hash else _named(client, wanted, None)
    return dict(manifest.to_json())


def _here(host: Host, wanted: str) -> dict[str, str]:
    """The files of the host that have this name, or a hash that begins so, with their hashes."""
    index, name = Index.open(host), Path(wanted).name
    is_hash = re.fullmatch(r"[0-9a-fA-F]{8,64}", wanted)
    found = {}
    for path in model_files(host):
        known = index.known.get(str(path))
        if path.name == name or (is_hash and known and known.sha256.startswith(wanted.lower())):
            found[str(path)] = index.sha256(path)
    return found


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@click.command("list")
@click.argument("category", required=False)
@host_option
@json_option
def list_models(category: str | None, folder: Path | None, as_json: bool) -> None:
    """List the model files of the host, by folder.

    \b
    nodes models list
    nodes models list loras --json
    """
    host = open_host(folder)
    folders = ModelFolders.of(host)
    index = Index.open(host)
    rows: list[dict[str, Any]] = []
    for name in [known_folder(host, category)] if category else folders.categories:
        for file in folders.files(name):
            path = folders.find(name, file)
            known = index.known.get(str(path)) if path else None
            length = path.stat().st_size if path else 0
            sha256 = known.sha256 if known else None
            rows.append({"folder": name, "name": file, "size": length, "sha256": sha256})
    if as_json:
        click.echo(json.dumps({"models": rows}))
        return
    lines = [(f"{r['folder']}/{r['name']}", size(r["size"]), (r["sha256"] or "")[:12]) for r in rows]
    click.echo(table(lines) or "No models.")
    click.echo(count(len(rows), "file"))


@click.command("publish")
@click.argument("files", nargs=-1, required=True, type=FOLDER)
@click.option("--folder", "category", help="The model folder, where no manifest beside the file says it.")
@click.option("--registry", metavar="URL", envvar="NODERACK_REGISTRY", required=True, help="Where to.")
@click.option("--token", envvar="NODERACK_TOKEN", required=True, help="Your upload token.")
@json_option
def publish(files: tuple[Path, ...], category: str | None, registry: str, token: str, as_json: bool) -> None:
    """Publish model FILES with their manifests (NAME.json beside NAME.safetensors) in a registry.

    \b
    nodes models publish shapes.safetensors
    nodes models publish detail.safetensors --folder loras
    nodes models publish detail.json       # the manifest alone: name, folder, sha256, size, sources
    """
    manifests = [_manifest_beside(file, category) for file in files]  # all are read before the first goes
    with RegistryClient(registry, token) as client:
        for file, manifest in zip(files, manifests, strict=True):
            client.put_model(manifest, None if file.suffix == RECORD else file)
            if not as_json:
                what = f"{manifest.folder}/{manifest.name} ({size(manifest.size or 0)})"
                click.echo(f"{what} is published at {registry}")
    if as_json:
        click.echo(json.dumps({"models": [manifest.to_json() for manifest in manifests]}))


def _manifest_beside(file: Path, category: str | None) -> ModelManifest:
    if not file.is_file():
        raise NotFound(f"{file} is not a file")
    if file.suffix == RECORD:
        return _manifest_in(file)
    facts: dict[str, Any] = {"name": file.name, "sha256": digest(file), "size": file.stat().st_size}
    beside = file.with_suffix(".json")
    if not beside.is_file():
        if not category:
            raise BadInput(f"{file} has no manifest beside it", f"Write {beside.name}, or say --folder.")
        return ModelManifest(file.name, category, facts["sha256"], facts["size"])
    said = _manifest_in(beside)
    if said.sha256 not in (None, facts["sha256"]):
        raise BadInput(f"{beside} tells sha256 {said.sha256}, but {file.name} has {facts['sha256']}")
    return replace(said, sha256=facts["sha256"], size=facts["size"], folder=category or said.folder)


def _manifest_in(file: Path) -> ModelManifest:
    try:
        return ModelManifest.from_json(json.loads(file.read_text("utf-8")))
    except ValueError as cause:
        raise BadInput(f"{file}: {cause}") from cause
