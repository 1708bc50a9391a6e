"""`nodes models scan/verify/dedupe/import/link/rm`: the files that are here, known by their content."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import click
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders, safe_relative
from noderack_registry.client import NotFound as UnknownModel
from noderack_registry.schema import ModelManifest

from noderack_cli.carry import confirm
from noderack_cli.errors import BadInput, FetchError, NotFound
from noderack_cli.model_files import (
    Index,
    digest,
    doubles,
    find_content,
    known_folder,
    link,
    scan,
    target_for,
)
from noderack_cli.options import FOLDER, host_option, json_option, registry_option, yes_option
from noderack_cli.show import count, size, table
from noderack_cli.where import open_host, open_registry

HASH = re.compile(r"[0-9a-fA-F]{8,64}")  # or its beginning


@click.command("scan")
@host_option
@json_option
def scan_models(folder: Path | None, as_json: bool) -> None:
    """Read every new or changed model file once, and remember its hash.

    \b
    nodes models scan
    """
    host = open_host(folder)
    index = Index.open(host)
    files = scan(host, index)
    if as_json:
        listed = {str(path): index.known[str(path)].sha256 for path in files}
        click.echo(json.dumps({"files": listed, "read": index.read}))
    else:
        click.echo(f"{count(len(files), 'file')}, {index.read} read, the others were known.")


@click.command("verify")
@click.argument("names", nargs=-1)
@host_option
@registry_option
@json_option
def verify(names: tuple[str, ...], folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Read model files again and compare them with what the index and the registry say.

    \b
    nodes models verify
    nodes models verify loras/detail.safetensors
    """
    host = open_host(folder)
    index = Index.open(host)
    files = [_existing(host, name) for name in names] or [Path(path) for path in sorted(index.known)]
    bad = [(path, why) for path in files if (why := _fault(host, index, path, registry)) is not None]
    if as_json:
        click.echo(json.dumps({"checked": len(files), "bad": [[str(path), why] for path, why in bad]}))
    else:
        click.echo(table([(str(path), why) for path, why in bad]) or f"{count(len(files), 'file')} checked.")
    if bad:
        raise FetchError(
            f"{bad[0][0]} {bad[0][1]}", "Bring it again: nodes models rm NAME, nodes models get NAME"
        )


def _fault(host: Host, index: Index, path: Path, registry: str | None) -> str | None:
    if not path.is_file():
        return "is not there any more"
    now, known = digest(path), index.known.get(str(path))
    if known is not None and known.sha256 != now:
        return f"has changed: sha256 {now[:12]}…, was {known.sha256[:12]}…"
    expected = _published(host, registry, path.name)
    if expected and now not in {m.sha256 for m in expected}:
        return f"is not what the registry calls {path.name} (sha256 {now[:12]}…)"
    return None


def _published(host: Host, registry: str | None, name: str) -> list[ModelManifest]:
    if not (registry or host.config.registry):
        return []
    with open_registry(host, registry) as client:
        try:
            return [m for m in client.find_models(name) if m.sha256]
        except UnknownModel:
            return []


@click.command("dedupe")
@yes_option
@host_option
@json_option
def dedupe(yes: bool, folder: Path | None, as_json: bool) -> None:
    """Store each content once: files with the same hash become links to one.

    \b
    nodes models dedupe          # shows what it would do
    nodes models dedupe --yes
    """
    host = open_host(folder)
    index = Index.open(host)
    groups = doubles(index, scan(host, index))
    saved = sum(group[0].stat().st_size * (len({p.stat().st_ino for p in group}) - 1) for group in groups)
    if yes:
        for first, *others in groups:
            for path in others:
                link(first, path)
                index.note(path, index.sha256(first))
        index.save()
    if as_json:
        listed = [[str(path) for path in group] for group in groups]
        click.echo(json.dumps({"groups": listed, "bytes": saved, "done": yes}))
        return
    for first, *others in groups:
        click.echo(f"  {first}\n" + "\n".join(f"    = {path}" for path in others))
    said = "saved" if yes else "could be saved; do it with --yes"
    click.echo(f"{size(saved)} {said}." if groups else "Nothing is stored twice.")


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=FOLDER)
@click.option("--folder", "category", required=True, help="The model folder, such as checkpoints or loras.")
@click.option("--move", is_flag=True, help="Take the file away from where it is.")
@host_option
@json_option
def import_models(
    files: tuple[Path, ...], category: str, move: bool, folder: Path | None, as_json: bool
) -> None:
    """Take model FILES into the host, by link where that is possible.

    \b
    nodes models import ~/Downloads/detail.safetensors --folder loras
    """
    host = open_host(folder)
    category = known_folder(host, category)
    index = Index.open(host)
    done = []
    for file in files:
        if not file.is_file():
            raise NotFound(f"{file} is not a file")
        target = target_for(host, category, file.name)
        if target.exists():
            raise BadInput(f"{target} is there already", "Remove it first: nodes models rm NAME")
        how = link(file, target)
        index.note(target, digest(target))
        if move:
            _take_away(file, target)
        done.append({"path": str(target), "how": how, "sha256": index.known[str(target)].sha256})
    index.save()
    click.echo(json.dumps({"models": done}) if as_json else table([(d["how"], d["path"]) for d in done]))


def _take_away(file: Path, target: Path) -> None:
    if target.is_symlink():
        os.replace(file, target)  # noqa: PTH105 (across a link, Path.replace reads no better)
    else:
        file.unlink()


@click.command("link")
@click.argument("wanted", metavar="FOLDER/NAME|SHA256")
@click.argument("target", metavar="[FOLDER/]NAME")
@host_option
@json_option
def link_model(wanted: str, target: str, folder: Path | None, as_json: bool) -> None:
    """Give a model that is here a second name, without storing it twice. A bare NAME goes beside it.

    \b
    nodes models link checkpoints/sd15.safetensors checkpoints/sd15/model.safetensors
    nodes models link c675235b5e7f loras/detail.safetensors
    """
    host = open_host(folder)
    index = Index.open(host)
    source = _by_hash(host, index, wanted) if HASH.fullmatch(wanted) else _existing(host, wanted)
    place = _place(host, source, target)
    if place.exists():
        raise BadInput(f"{place} is there already")
    how = link(source, place)
    index.note(place, index.sha256(source))
    index.save()
    click.echo(json.dumps({"path": str(place), "how": how}) if as_json else f"{how} {place}")


@click.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="FOLDER/NAME...")
@yes_option
@host_option
@json_option
def remove(names: tuple[str, ...], yes: bool, folder: Path | None, as_json: bool) -> None:
    """Remove model files. A file that is linked elsewhere keeps its bytes there.

    \b
    nodes models rm loras/old.safetensors
    """
    host = open_host(folder)
    paths = [_broken_link(host, name) or _existing(host, name) for name in names]
    confirm(yes or as_json, f"Remove {', '.join(map(str, paths))}?", default=False)
    index = Index.open(host)
    for path in paths:
        path.unlink()
    index.forget_gone()
    index.save()
    told = f"Removed {count(len(paths), 'file')}."
    click.echo(json.dumps({"removed": [str(path) for path in paths]}) if as_json else told)


def _existing(host: Host, name: str) -> Path:
    """The file that FOLDER/NAME, or a path in the host's folders, names; raises NotFound."""
    category, slash, rest = name.partition("/")
    folders = ModelFolders.of(host)
    with suppress(ValueError):  # a folder's name that leads out: there is no such model
        found = folders.find(category, rest) if slash and rest else None
        if found is not None:
            return found
    inside = [(c, f) for c in folders.categories for f in folders.files(c) if Path(f).name == Path(name).name]
    whole = [(c, f, path) for c, f in inside if (path := folders.find(c, f)) is not None]
    if len(whole) == 1 and whole[0][1].endswith(name):
        return whole[0][2]
    there = ", ".join(f"{category}/{file}" for category, file, _ in whole[:3])
    hint = f"There is: {there}." if whole else "See all with: nodes models list"
    raise NotFound(f"The host has no model {name}", hint)


def _broken_link(host: Host, name: str) -> Path | None:
    """A link below models/ that leads nowhere, by FOLDER/NAME or by its name alone; doctor tells of them."""
    relative = safe_relative(name)
    found = [path for path in host.models.rglob("*") if path.is_symlink() and not path.exists()]
    fits = [path for path in found if relative and path.as_posix().endswith(f"/{relative.as_posix()}")]
    return fits[0] if len(fits) == 1 else None


def _place(host: Host, source: Path, target: str) -> Path:
    """Where the second name goes; raises BadInput."""
    category, slash, name = target.partition("/")
    if slash:
        return target_for(host, known_folder(host, category), name)
    beside = safe_relative(target)
    if beside is None:
        raise BadInput(f"{target!r} cannot be the name of a model")
    return source.parent / beside


def _by_hash(host: Host, index: Index, said: str) -> Path:
    """The file whose hash begins so, as `models list` shows it; raises NotFound, BadInput."""
    if len(said) == 64:
        found = find_content(host, index, said.lower(), None)
        paths = [found] if found else []
    else:
        paths = [Path(path) for path, known in index.known.items() if known.sha256.startswith(said.lower())]
        paths = [path for path in paths if path.is_file()]
    if not paths:
        raise NotFound(f"No model here has sha256 {said}", "Read all files first: nodes models scan")
    if len({index.sha256(path) for path in paths}) > 1:
        raise BadInput(f"Several models have a sha256 that begins with {said}", "Give more of it.")
    return paths[0]
