"""`nodes lock`, `nodes sync`, `nodes bundle create/apply`: the same host again, elsewhere, offline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from noderack_host.folder import Host

from noderack_cli import generations as gens
from noderack_cli import lock_file
from noderack_cli.bring import Brought, bring
from noderack_cli.carry import confirm, show_plan, tell_result
from noderack_cli.errors import BadInput, NotFound
from noderack_cli.exits import Exit
from noderack_cli.held import hold
from noderack_cli.install import Applied, apply
from noderack_cli.keys import stored
from noderack_cli.links import write_settled
from noderack_cli.model_files import Index, link, scan, target_for
from noderack_cli.options import FOLDER, dry_run_option, host_option, json_option, registry_option, yes_option
from noderack_cli.progress import Progress
from noderack_cli.serving import tell_server
from noderack_cli.show import count
from noderack_cli.sources import Access
from noderack_cli.sync import make_bundle, plan_of
from noderack_cli.where import open_host

LOCK_NAME = "nodes.lock"


@click.command("lock")
@host_option
@registry_option
@json_option
def lock(folder: Path | None, registry: str | None, as_json: bool) -> None:
    """Write nodes.lock: every pack, distribution and model of the host with its hash.

    \b
    nodes lock
    """
    host = open_host(folder)
    made = _lock(host, registry)
    write_settled(host.lockfile, lock_file.text(made))
    facts = {"lock": str(host.lockfile), "packages": len(made.packages), "models": len(made.models)}
    told = (
        f"{host.lockfile}: {count(len(made.packages), 'distribution')}, {count(len(made.models), 'model')}."
    )
    facts |= {"without_hash": made.without_hash}
    if made.without_hash:
        told += (
            f"\n  No index tells the hash of {', '.join(made.without_hash)}: `nodes sync` cannot bring it."
        )
    click.echo(json.dumps(facts) if as_json else told)


def _lock(host: Host, registry: str | None) -> lock_file.Lock:
    scan(host, Index.open(host))
    return lock_file.lock_of(host, gens.current(host), registry or host.config.registry)


@click.command()
@click.argument("file", type=FOLDER, required=False)
@dry_run_option
@yes_option
@host_option
@registry_option
@json_option
def sync(
    *,
    file: Path | None,
    dry_run: bool,
    yes: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Make the host what the lock FILE says (its own nodes.lock when none is named), each hash checked.

    \b
    nodes sync
    nodes sync ../other/nodes.lock --dry-run
    """
    host = open_host(folder)
    return _apply(host, file or host.lockfile, None, registry, Choices(dry_run, yes, as_json))


@dataclass(frozen=True, slots=True)
class Choices:
    """How a lock is applied: only shown, agreed to beforehand, told as JSON."""

    dry_run: bool
    yes: bool
    as_json: bool


def _apply(host: Host, file: Path, bundle: Path | None, registry: str | None, choices: Choices) -> int:
    if not file.is_file():
        raise NotFound(f"There is no lock {file}", "Write one with: nodes lock")
    made = lock_file.read(file.read_text("utf-8", "replace"), str(file))
    wheels = bundle / "wheels" if bundle else None
    plan = plan_of(made, host, gens.current(host), wheels)
    show_plan(plan, as_json=choices.as_json, nothing=f"The host is as {file} says.")
    if choices.dry_run or not plan:
        return Exit.OK
    confirm(choices.yes or choices.as_json)
    progress = Progress(choices.as_json)
    url = registry or host.config.registry or made.registry
    applied = Applied(generation=plan.generation)
    if plan.packs or plan.distributions:
        with hold(host.root, "nodes sync", tell=progress.line):
            plan = plan_of(made, host, gens.current(host), wheels)  # another process may have changed it
            applied = apply(plan, host, progress, registry=None if bundle else url, all_or_nothing=True)
    if applied.failed:
        raise applied.failed[0][1]
    if applied.generation != plan.generation:
        tell_server(host, progress)
    if bundle is not None:
        brought = Brought(paths=tuple(_place_models(host, bundle)))
    else:
        brought = bring(plan.models, host, Access.of(os.environ, url, stored), progress)
    return tell_result(applied, brought, progress)


def _place_models(host: Host, bundle: Path) -> Iterator[Path]:
    """Link the models of a bundle that are not there yet."""
    index = Index.open(host)
    for source in sorted(p for p in (bundle / "models").rglob("*") if p.is_file()):
        category, *rest = source.relative_to(bundle / "models").parts
        target = target_for(host, category, "/".join(rest))
        if not target.exists():
            link(source, target)
            index.sha256(target)
            yield target
    index.save()


@click.command("create")
@click.argument("out", type=FOLDER)
@click.option("--models/--no-models", default=True, show_default=True, help="With the model files.")
@host_option
@registry_option
@json_option
def bundle_create(
    *, out: Path, models: bool, folder: Path | None, registry: str | None, as_json: bool
) -> None:
    """Put all that the host's packs and models need into the folder OUT, to carry where no network is.

    \b
    nodes bundle create ~/stick/pictures
    """
    if out.suffix in (".zip", ".tar", ".gz"):
        told = f"A bundle is a folder, and {out.name} is the name of an archive"
        raise BadInput(told, f"Say: nodes bundle create {out.with_suffix('')} (and pack that yourself)")
    host = open_host(folder)
    made = _lock(host, registry)
    files = make_bundle(
        made, host, out, Access.of(os.environ, registry or host.config.registry), models=models
    )
    write_settled(out / LOCK_NAME, lock_file.text(made))
    click.echo(
        json.dumps({"bundle": str(out), "files": len(files)})
        if as_json
        else f"{out}: {count(len(files), 'file')}. On the other machine: nodes bundle apply {out.name}"
    )


@click.command("apply")
@click.argument("bundle", type=FOLDER)
@dry_run_option
@yes_option
@host_option
@json_option
def bundle_apply(bundle: Path, dry_run: bool, yes: bool, folder: Path | None, as_json: bool) -> int:
    """Make the host what a bundle holds, without any network.

    \b
    nodes bundle apply /media/stick/pictures --dry-run
    nodes bundle apply /media/stick/pictures
    """
    bundle = bundle.expanduser().resolve()
    return _apply(open_host(folder), bundle / LOCK_NAME, bundle, None, Choices(dry_run, yes, as_json))
