"""`nodes models login/logout`: tokens of hosts in the operating system's keyring."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import click

from noderack_cli import keys
from noderack_cli.errors import BadInput, NotFound
from noderack_cli.sources import CIVITAI_HOSTS, HF_HOSTS


@click.command("login")
@click.argument("host", metavar="HOST")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
def login(host: str, token_stdin: bool) -> None:
    """Keep the token of HOST in the operating system's keyring; downloads from that host then use it.

    HF_TOKEN and CIVITAI_TOKEN in the environment go first. A token goes to its own host alone.

    \b
    nodes models login huggingface.co
    nodes models login civitai.com
    nodes models login models.example.org --token-stdin < token.txt
    """
    if token_stdin:
        token = sys.stdin.readline().strip()
    else:
        token = str(click.prompt("Token", hide_input=True)).strip()
    if not token:
        raise BadInput("No token was given; nothing was kept")
    keys.store(canonical(host), token)
    click.echo(f"The token of {canonical(host)} is kept in the keyring.")


@click.command("logout")
@click.argument("host", metavar="HOST")
def logout(host: str) -> None:
    """Forget the token of HOST.

    \b
    nodes models logout huggingface.co
    """
    if not keys.remove(canonical(host)):
        raise NotFound(f"The keyring has no token of {canonical(host)}")
    click.echo(f"The token of {canonical(host)} is forgotten.")


def canonical(host: str) -> str:
    """The name under which a host's token is kept: its own, or its site's first name."""
    try:
        name = (urlsplit(host).hostname or "") if "://" in host else host.strip().strip("/").lower()
    except ValueError as cause:
        raise BadInput(f"{host!r} is no address: {cause}") from cause
    if name in HF_HOSTS:
        return "huggingface.co"
    return "civitai.com" if name in CIVITAI_HOSTS else name
