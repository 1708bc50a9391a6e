"""`nodes registry admin accounts | account | publishers | describe | allow | reserved | revocations`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from noderack_cli.registry import DATA, DATABASE, opened, settings
from noderack_cli.registry_care import admin, change


def _lines(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


@admin.command(epilog="Example:\n\n  nodes registry admin accounts")
@DATA
@DATABASE
def accounts(data: Path, database: str | None) -> None:
    """Print all accounts with their roles, as JSON lines."""
    from noderack_registry.server import people

    with opened(settings(data, database)) as registry:
        _lines(registry.database.reading(people.accounts))


@admin.command(epilog="Example:\n\n  nodes registry admin account ann --admin")
@click.argument("name")
@click.option("--admin/--no-admin", "is_admin", required=True, help="Whether it may do everything.")
@DATA
@DATABASE
def account(name: str, is_admin: bool, data: Path, database: str | None) -> None:
    """Make an account an admin, or no longer; it is made if need be."""
    from noderack_registry.server import people

    change(data, database, people.set_admin, name, is_admin)
    click.echo(f"{name}: {'an admin' if is_admin else 'no admin'}")


@admin.command(epilog="Example:\n\n  nodes registry admin publishers")
@DATA
@DATABASE
def publishers(data: Path, database: str | None) -> None:
    """Print all publishers, as JSON lines."""
    from noderack_registry.server import people

    with opened(settings(data, database)) as registry:
        _lines(registry.database.reading(people.publishers))


@admin.command(epilog="Example:\n\n  nodes registry admin describe studio --title 'The Studio'")
@click.argument("publisher")
@click.option("--title", default="", help="Its name as people write it.")
@click.option("--description", default="", help="What it is.")
@click.option("--website", default="", help="Where it is.")
@DATA
@DATABASE
def describe(
    publisher: str, title: str, description: str, website: str, data: Path, database: str | None
) -> None:
    """Change what is said of a publisher."""
    from noderack_registry.server import people

    change(data, database, people.describe, publisher, title, description, website)
    click.echo(f"{publisher}: changed")


@admin.command(epilog="Example:\n\n  nodes registry admin allow film-brain --account ann")
@click.argument("name")
@click.option("--account", help="Who may; nobody any more if not said.")
@DATA
@DATABASE
def allow(name: str, account: str | None, data: Path, database: str | None) -> None:
    """Let an account take a name that is reserved, or looks like another pack's."""
    from noderack_registry.server import naming

    change(data, database, naming.allow, name, account)
    click.echo(f"{name}: {f'{account} may take it' if account else 'nobody may take it'}")


@admin.command(epilog="Example:\n\n  nodes registry admin reserved")
@DATA
@DATABASE
def reserved(data: Path, database: str | None) -> None:
    """Print the names that are kept back, and those that somebody may take, as JSON lines."""
    from noderack_registry.server import naming
    from noderack_registry.server.routes.admin import reserved_names

    with opened(settings(data, database)) as registry:
        _lines(registry.database.reading(reserved_names))
        _lines(registry.database.reading(naming.allowed))


@admin.command(epilog="Example:\n\n  nodes registry admin revocations")
@DATA
@DATABASE
def revocations(data: Path, database: str | None) -> None:
    """Print the signed list of killed artefacts, with the key that clients pin, as JSON."""
    from noderack_registry.server import revocations as lists

    with opened(settings(data, database)) as registry:
        click.echo(json.dumps(registry.database.writing(lists.feed, registry.settings.now())))


@admin.command("change-key", epilog="Example:\n\n  nodes registry admin change-key")
@DATA
@DATABASE
def change_key(data: Path, database: str | None) -> None:
    """Sign the list of killed artefacts with a new key. Hosts that trust the old one go on by themselves."""
    from noderack_registry.server import revocations as lists

    key = change(data, database, lists.change_key)
    click.echo(f"signing with {key} from now on")
