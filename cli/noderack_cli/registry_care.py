"""`nodes registry check | backup | restore | mirror | export | index | admin`: looking after a registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from noderack_cli.errors import NodesError
from noderack_cli.exits import Exit
from noderack_cli.registry import BLOBS, DATA, DATABASE, JSON, opened, settings

if TYPE_CHECKING:
    from noderack_registry.server import Registry
    from noderack_registry.server.accounts import Actor

T = TypeVar("T")


class Disagreement(NodesError):
    """Database and blobs do not agree."""

    code, exit = "registry-disagrees", Exit.BAD_INPUT


@click.command(epilog="Example:\n\n  nodes registry check --data /srv/registry --repair")
@DATA
@DATABASE
@BLOBS
@click.option("--repair", is_flag=True, help="Remove leftovers that nothing shows; uploads under way stay.")
@JSON
def check(data: Path, database: str | None, blobs: str | None, repair: bool, as_json: bool) -> None:
    """Prove that the database and the files agree; every file is read and hashed."""
    chosen = settings(data, database, blobs)
    from noderack_registry.server import inspection

    with opened(chosen) as registry:
        faults = inspection.check(registry)
        if repair:
            inspection.repair(registry, faults)
            faults = [fault for fault in faults if not fault.repairable]
    for fault in faults:
        click.echo(json.dumps(asdict(fault)) if as_json else f"{fault.kind}: {fault.what}")
    if any(not fault.repairable for fault in faults):
        raise Disagreement(
            f"{len(faults)} things do not agree", "restore the files named above from a backup"
        )
    if not as_json:
        click.echo(f"Database and files agree ({len(faults)} leftovers).")


@click.command(epilog="Example:\n\n  nodes registry backup /backups/monday --data /srv/registry")
@click.argument("target", type=click.Path(path_type=Path))
@DATA
@BLOBS
def backup(target: Path, data: Path, blobs: str | None) -> None:
    """Copy the whole registry into a new folder, while it runs."""
    from noderack_registry.server import backup as backups

    with opened(settings(data, None, blobs)) as registry:
        click.echo(f"{backups.backup(registry, target)} files in {target}")


@click.command(epilog="Example:\n\n  nodes registry restore /backups/monday --data /srv/new")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATA
def restore(source: Path, data: Path) -> None:
    """Make a registry's data folder from a backup."""
    settings(data)
    from noderack_registry.server import backup as backups
    from noderack_registry.server.refusals import Refusal

    from noderack_cli.errors import BadInput

    try:
        backups.restore(source, data)
    except Refusal as cause:
        raise BadInput(cause.message, "choose another --data") from cause
    click.echo(f"Restored into {data}.")


@click.command(epilog="Example:\n\n  nodes registry mirror https://registry.example --data /srv/mirror")
@click.argument("url")
@DATA
@DATABASE
@BLOBS
@JSON
def mirror(url: str, data: Path, database: str | None, blobs: str | None, as_json: bool) -> None:
    """Fetch what another registry published since the last time. Serve it with --read-only."""
    from noderack_registry.server import mirror as mirrors

    with opened(settings(data, database, blobs)) as registry:
        done = mirrors.mirror(registry, url, report=lambda line: None if as_json else click.echo(line))
    click.echo(
        json.dumps(asdict(done)) if as_json else f"{done.versions} versions, {done.models} models fetched"
    )


@click.command(
    epilog="Examples:\n\n  nodes registry export site-data --data /srv/registry\n\n"
    "  nodes registry export site-data --url https://registry.example"
)
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", default="", help="The registry's address, for addresses in the records to lead there.")
@DATA
@DATABASE
@BLOBS
@JSON
def export(
    target: Path, url: str, data: Path, database: str | None, blobs: str | None, as_json: bool
) -> None:
    """Write the public data as files: records as JSON lines, pictures and workflows beside them."""
    from noderack_registry.server import exporting

    with opened(settings(data, database, blobs)) as registry:
        counts = exporting.export(registry, target, url.rstrip("/"))
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    click.echo(json.dumps(counts) if as_json else f"{said} in {target}")


@click.command(
    epilog="Examples:\n\n  nodes registry index https://github.com/someone/ComfyUI-Something\n\n"
    "  nodes registry index file:///srv/git/pack --tags 'v2.*'"
)
@click.argument("git_url")
@click.option("--tags", "pattern", default="*", show_default=True, help="Only tags that fit this pattern.")
@click.option("--name", help="The pack's name, if it differs from the repository's.")
@click.option("--scheme", "schemes", multiple=True, help="Only addresses by this: https, http, ssh or file.")
@click.option("--retry", is_flag=True, help="Try tags again that were refused before.")
@DATA
@DATABASE
@BLOBS
@JSON
def index(
    git_url: str,
    pattern: str,
    name: str | None,
    schemes: tuple[str, ...],
    retry: bool,
    data: Path,
    database: str | None,
    blobs: str | None,
    as_json: bool,
) -> None:
    """Build and publish a wheel for each tag of a repository that is not here yet. Its code is not run."""
    from noderack_registry.server import git_address, gitindex

    def say(line: str) -> None:
        if not as_json:
            click.echo(line)

    with opened(settings(data, database, blobs)) as registry:
        done = gitindex.index(
            registry, git_url, pattern, name, schemes or git_address.SCHEMES, report=say, retry=retry
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        click.echo(f"{len(done.published)} published, {done.known} known, {len(done.refused)} refused")


@click.group(epilog="Example:\n\n  nodes registry admin yank some-pack 1.0 --reason 'breaks on load'")
def admin() -> None:
    """Yank, quarantine, transfer, reserve, revoke: what an operator does to packs and publishers."""


def operator(registry: Registry) -> Actor:
    """Whoever can reach the database may do everything; the audit log calls them the operator."""
    from noderack_registry.server.accounts import Actor, ensure_account

    now = registry.settings.now()
    account = registry.database.writing(lambda session: ensure_account(session, "operator", now, admin=True))
    return Actor(account.id or 0, "operator", True, frozenset({"admin"}))


def change(data: Path, database: str | None, work: Callable[..., T], *what: Any) -> T:
    """Let the operator do `work(session, *what, actor, now)` in the registry's own database."""
    with opened(settings(data, database)) as registry:
        return registry.database.writing(work, *what, operator(registry), registry.settings.now())


REASON = click.option("--reason", default="", help="Why; everybody can read it.")


@admin.command(
    epilog="Examples:\n\n  nodes registry admin yank film-grain 1.2 --reason 'breaks on load'\n\n"
    "  nodes registry admin yank film-grain 1.2 --undo"
)
@click.argument("pack")
@click.argument("version")
@click.option("--undo", is_flag=True, help="Take the yank back.")
@REASON
@DATA
@DATABASE
def yank(pack: str, version: str, undo: bool, reason: str, data: Path, database: str | None) -> None:
    """Take a version out of what installers choose by themselves."""
    from noderack_registry.server import lifecycle

    change(data, database, lifecycle.yank, pack, version, None if undo else reason)
    click.echo(f"{pack} {version}: {'no longer yanked' if undo else 'yanked'}")


@admin.command(
    epilog="Examples:\n\n  nodes registry admin status film-grain deprecated --successor film-tools\n\n"
    "  nodes registry admin status film-grain quarantined --version 1.2 --reason 'under review'"
)
@click.argument("pack")
@click.argument("status", type=click.Choice(["active", "deprecated", "archived", "quarantined"]))
@click.option("--successor", help="The pack to use instead.")
@click.option("--version", help="Quarantine only this version, or lift that.")
@REASON
@DATA
@DATABASE
def status(
    pack: str,
    status: str,
    successor: str | None,
    version: str | None,
    reason: str,
    data: Path,
    database: str | None,
) -> None:
    """Deprecate, archive, quarantine or activate a pack."""
    from noderack_registry.server import lifecycle

    if version:
        change(data, database, lifecycle.set_version_status, pack, version, status, reason)
    else:
        change(data, database, lifecycle.set_status, pack, status, reason, successor)
    click.echo(f"{pack}{' ' + version if version else ''}: {status}")


@admin.command(epilog="Example:\n\n  nodes registry admin transfer film-grain studio")
@click.argument("pack")
@click.argument("publisher")
@DATA
@DATABASE
def transfer(pack: str, publisher: str, data: Path, database: str | None) -> None:
    """Give a pack to another publisher, made if need be."""
    from noderack_registry.server import accounts, lifecycle

    with opened(settings(data, database)) as registry:
        actor, now = operator(registry), registry.settings.now()
        registry.database.writing(accounts.ensure_publisher, publisher, actor.account_id, now)
        registry.database.writing(lifecycle.transfer, pack, publisher, actor, now)
    click.echo(f"{pack} belongs to {publisher}")


@admin.command(epilog="Example:\n\n  nodes registry admin member studio ann maintainer")
@click.argument("publisher")
@click.argument("account")
@click.argument("role", type=click.Choice(["owner", "maintainer", "none"]))
@DATA
@DATABASE
def member(publisher: str, account: str, role: str, data: Path, database: str | None) -> None:
    """Give an account a role at a publisher."""
    from noderack_registry.server import accounts, lifecycle

    with opened(settings(data, database)) as registry:
        actor, now = operator(registry), registry.settings.now()
        registry.database.writing(accounts.ensure_publisher, publisher, actor.account_id, now)
        wish = None if role == "none" else role
        registry.database.writing(lifecycle.set_member, publisher, account, wish, actor, now)
    click.echo(f"{account} at {publisher}: {role}")


@admin.command(epilog="Example:\n\n  nodes registry admin publisher studio banned")
@click.argument("publisher")
@click.argument("status", type=click.Choice(["active", "banned"]))
@DATA
@DATABASE
def publisher(publisher: str, status: str, data: Path, database: str | None) -> None:
    """Ban a publisher and quarantine its packs, or make it active."""
    from noderack_registry.server import lifecycle

    change(data, database, lifecycle.ban, publisher, status)
    click.echo(f"{publisher}: {status}")


@admin.command(
    epilog="Examples:\n\n  nodes registry admin reserve noderack --reason 'ours'\n\n"
    "  nodes registry admin reserve noderack --release"
)
@click.argument("name")
@click.option("--release", is_flag=True, help="Let the name go.")
@REASON
@DATA
@DATABASE
def reserve(name: str, release: bool, reason: str, data: Path, database: str | None) -> None:
    """Keep a name back from everybody but admins."""
    from noderack_registry.server import lifecycle

    change(data, database, lifecycle.reserve, name, None if release else reason)
    click.echo(f"{name}: {'released' if release else 'reserved'}")


@admin.command(
    epilog="Examples:\n\n  nodes registry admin revoke film-grain 1.2 --reason 'steals tokens'\n\n"
    "  nodes registry admin revoke film-grain --sha256 9f86d0… --reason 'the same, elsewhere'"
)
@click.argument("pack")
@click.argument("version", required=False)
@click.option("--sha256", help="One file, published here or not, instead of a version.")
@REASON
@DATA
@DATABASE
def revoke(
    pack: str, version: str | None, sha256: str | None, reason: str, data: Path, database: str | None
) -> None:
    """Kill a file, or every file of a version: clients refuse it, by hash, wherever it comes from."""
    from noderack_registry.server.bodies import Kill
    from noderack_registry.server.routes.admin import kill

    with opened(settings(data, database)) as registry:
        wish = Kill(pack, sha256, version, reason)
        registry.database.writing(kill, wish, operator(registry), registry.settings)
    click.echo(f"{pack} {version or sha256}: revoked")


@admin.command(
    epilog="Examples:\n\n  nodes registry admin audit\n\n"
    "  nodes registry admin audit --since 1200 > audit.jsonl"
)
@click.option("--since", type=int, default=0, help="Only what came after this serial.")
@DATA
@DATABASE
def audit(since: int, data: Path, database: str | None) -> None:
    """Print who did what and when, as JSON lines."""
    from noderack_registry.server.routes.admin import events

    with opened(settings(data, database)) as registry:
        for event in registry.database.reading(events, since, 100_000):
            click.echo(json.dumps(event))
