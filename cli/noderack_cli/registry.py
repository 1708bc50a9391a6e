"""`nodes registry …`: run a registry and make tokens for it. The service is imported when a command runs."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noderack_cli.errors import BadInput, NotFound

if TYPE_CHECKING:
    from noderack_registry.server import Registry, Settings

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("registry-data"),
    show_default=True,
    help="Folder with the registry's database and files.",
)
DATABASE = click.option("--database", metavar="URL", help="postgresql://… instead of a file in --data.")
BLOBS = click.option("--blobs", metavar="URL", help="s3://bucket/prefix instead of a folder in --data.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings(data: Path, database: str | None = None, blobs: str | None = None) -> Settings:
    """The settings that the options name. Raises BadInput when the registry extra is not installed."""
    try:
        from noderack_registry.server import Settings
    except ModuleNotFoundError as cause:
        raise BadInput(
            f"running a registry needs {cause.name!r}, which is not installed here",
            "install it with: pip install 'noderack[registry]'",
        ) from cause
    return Settings(data=data, database=database, blobs=blobs)


@click.command(
    epilog="Examples:\n\n  nodes registry serve\n\n"
    "  nodes registry serve --data /srv/registry --port 8080 --token-file token.txt\n\n"
    "  nodes registry serve --database postgresql://registry@db/registry --blobs s3://bucket/registry"
)
@DATA
@DATABASE
@BLOBS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a token that may do everything into this file, unless it exists.",
)
@click.option("--public-url", metavar="URL", help="The address that clients use, behind a proxy.")
@click.option("--read-only", is_flag=True, help="Answer questions only: for a mirror.")
@click.option("--reads", type=int, default=0, help="Reads a minute that one address may make; 0: any number.")
@click.option(
    "--writes", type=int, default=0, help="Writes a minute that one address may make; 0: any number."
)
@click.option("--verify", is_flag=True, help="Import each new version in a jail, and say what appeared.")
@click.option(
    "--verify-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python with noderack[host] to do that; this one unless said.",
)
@click.option("--verify-index", default="default", help="Where requirements come from: default, none, URL.")
@click.option("--log", is_flag=True, help="Write a line of JSON for each request to stderr.")
@JSON
def serve(
    data: Path,
    database: str | None,
    blobs: str | None,
    host: str,
    port: int,
    token_file: Path | None,
    public_url: str | None,
    read_only: bool,
    reads: int,
    writes: int,
    verify: bool,
    verify_python: Path | None,
    verify_index: str,
    log: bool,
    as_json: bool,
) -> None:
    """Run a registry until interrupted. Nothing needs to be configured."""
    gc.disable()  # what starting makes is there to stay: looking for garbage in it takes a sixth of the time
    from dataclasses import replace

    chosen = replace(settings(data, database, blobs), public_url=public_url, read_only=read_only)
    from noderack_registry.server import RateLimits
    from noderack_registry.server import serve as run
    from noderack_registry.server.settings import Verifying

    chosen = replace(
        chosen, rates=RateLimits(reads, writes), verifying=Verifying(verify, verify_python, verify_index)
    )
    if log:
        start_log()

    if token_file is not None and not token_file.exists():
        write_token(chosen, token_file)

    def ready(url: str) -> None:
        gc.freeze()
        gc.enable()
        if as_json:
            click.echo(json.dumps({"event": "ready", "url": url, "data": str(data.resolve())}))
        else:
            click.echo(f"Registry at {url} (data in {data.resolve()}). Stop with Ctrl-C.")

    try:
        run(chosen, host, port, ready)
    except OSError as cause:
        raise BadInput(
            f"cannot listen on {host}:{port}: {cause.strerror}", "choose another --port"
        ) from cause


def start_log() -> None:
    """A line of JSON for each request, on stderr."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("noderack.registry")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@contextmanager
def opened(chosen: Settings) -> Iterator[Registry]:
    """The registry's own database and files; a refusal becomes an error of the command line."""
    from noderack_registry.server import open_registry
    from noderack_registry.server.refusals import Refusal

    registry = open_registry(chosen)
    try:
        yield registry
    except Refusal as cause:
        kind = NotFound if cause.status == 404 else BadInput
        raise kind(cause.message, cause.hint) from cause
    finally:
        registry.database.close()


def write_token(chosen: Settings, file: Path) -> None:
    """Make a token for everything and write it where only this user can read it."""
    from noderack_registry.server.accounts import create_token

    with opened(chosen) as registry:
        minted = registry.database.writing(
            create_token,
            "local",
            chosen.now(),
            scopes=("admin", "models", "publish"),
            label=str(file),
            days=None,
            admin=True,
        )
    file.touch(mode=0o600)
    file.write_text(minted.text + "\n", encoding="utf-8")


@click.group(epilog="Example:\n\n  nodes registry token create --account ann --days 30")
def token() -> None:
    """Make, list and revoke upload tokens."""


@token.command(
    "create",
    epilog="Examples:\n\n  nodes registry token create --account ann\n\n"
    "  nodes registry token create --account ci --scope publish:my-pack --days 30",
)
@DATA
@DATABASE
@click.option("--account", default="local", show_default=True, help="Whose token; made if need be.")
@click.option(
    "--scope", "scopes", multiple=True, help="publish, publish:<pack>, models or admin; may repeat."
)
@click.option("--days", type=int, default=90, show_default=True, help="Until it expires; at most 365.")
@click.option("--label", default="", help="What it is for.")
@click.option("--admin", is_flag=True, help="Make the account an admin, if it is new.")
@JSON
def token_create(
    data: Path,
    database: str | None,
    account: str,
    scopes: tuple[str, ...],
    days: int,
    label: str,
    admin: bool,
    as_json: bool,
) -> None:
    """Make an upload token. It is shown this once."""
    chosen = settings(data, database)
    from noderack_registry.server.accounts import create_token

    with opened(chosen) as registry:
        minted = registry.database.writing(
            create_token,
            account,
            chosen.now(),
            scopes=scopes or (("admin", "models", "publish") if admin else ("models", "publish")),
            label=label,
            days=days,
            admin=admin,
        )
    click.echo(json.dumps({"token": minted.text, "account": account}) if as_json else minted.text)


@token.command("list", epilog="Example:\n\n  nodes registry token list")
@DATA
@DATABASE
def token_list(data: Path, database: str | None) -> None:
    """List all tokens, without their secrets, as JSON lines."""
    from noderack_registry.server.tables import Account, Token
    from sqlmodel import select

    with opened(settings(data, database)) as registry:
        rows = registry.database.reading(
            lambda session: session.exec(
                select(Token, Account.name).join(Account, Account.id == Token.account_id)  # type: ignore[arg-type]
            ).all()
        )
    for row, account in rows:
        shown = row.model_dump(include={"public", "label", "scopes", "created", "expires", "revoked"})
        click.echo(json.dumps({"account": account, **shown}))


@token.command("revoke", epilog="Example:\n\n  nodes registry token revoke 1f0c6a2b9d3e4f50")
@click.argument("public")
@DATA
@DATABASE
def token_revoke(public: str, data: Path, database: str | None) -> None:
    """Make a token worthless at once. PUBLIC is the part between the underscores."""
    chosen = settings(data, database)
    from noderack_registry.server.accounts import revoke_token

    with opened(chosen) as registry:
        registry.database.writing(revoke_token, public, chosen.now(), "operator")
    click.echo(f"{public}: revoked")


@click.command(
    "import",
    epilog="Example:\n\n  nodes registry import ../shared/data/catalogue --data /srv/registry",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATA
@DATABASE
@JSON
def import_catalogue(folder: Path, data: Path, database: str | None, as_json: bool) -> None:
    """Take in the public catalogue's files as seed claims; a second time only what changed."""
    chosen = settings(data, database)
    from noderack_registry.server import catalogue, seeding

    with opened(chosen) as registry:
        read = catalogue.read(folder)
        quiet: Callable[[str], None] = lambda line: None
        done = registry.database.writing(
            seeding.store, read, chosen.now(), report=quiet if as_json else click.echo
        )
    if as_json:
        click.echo(json.dumps(asdict(done)))
