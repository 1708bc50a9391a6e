"""`nodes install`: packs by name, wheel, folder or git address."""

from __future__ import annotations

from pathlib import Path

import click

from noderack_cli import generations as gens
from noderack_cli.exits import Exit
from noderack_cli.guess import guessing
from noderack_cli.options import (
    dry_run_option,
    host_option,
    json_option,
    registry_option,
    wait_option,
    yes_option,
)
from noderack_cli.pack_names import is_source
from noderack_cli.warm import Verifier
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("wanted", nargs=-1, required=True, metavar="PACK[==VERSION]|WHEEL|FOLDER|GIT...")
@dry_run_option
@yes_option
@wait_option
@host_option
@registry_option
@json_option
def install(
    *,
    wanted: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Install packs by name, or from a wheel, a folder or a git address, which is made a wheel first.

    \b
    nodes install film-look
    nodes install film-look==1.2 --dry-run
    nodes install https://github.com/owner/pack@v1.0
    """
    host = open_host(folder)
    now = gens.current(host)
    url = registry or host.config.registry
    # two processes are at work while this one imports what it needs itself
    with Verifier(host, now, begin=not dry_run) as verifier, guessing(host, url, now, wanted) as guessed:
        from noderack_cli.carry import carry_out, confirm, show_plan
        from noderack_cli.given import keep_wheels, workshop
        from noderack_cli.plan import Plan
        from noderack_cli.progress import Progress
        from noderack_cli.solving import solved
        from noderack_cli.wanted import choices

        needed = not all(map(is_source, wanted))
        with workshop() as work, open_registry(host, registry, needed=needed) as client:
            chosen = choices(host, client, now, wanted, work)
            fresh = tuple(c for c in chosen if c.replaces != c.version or c.wheel)
            plan = solved(host, client, Plan(fresh, generation=now.number), guessed=guessed)
            here = ", ".join(f"{c.pack} {c.version}" for c in chosen)
            show_plan(plan, as_json=as_json, nothing=f"Nothing to do: {here} is here already.")
            if dry_run or not plan:
                return Exit.OK
            confirm(yes or as_json)
            plan = keep_wheels(plan, host, work)
            return carry_out(host, client, plan, Progress(as_json), wait=not no_wait, verifier=verifier)
