"""`nodes missing` and `nodes install-missing`: from workflows to a host that can run them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from noderack_host.folder import Host
from noderack_registry.client import RegistryClient, Unreachable

from noderack_cli import generations
from noderack_cli.carry import carry_out, confirm, show_plan
from noderack_cli.errors import BadInput, NodesError, NotFound, Unresolvable
from noderack_cli.exits import Exit
from noderack_cli.missing import Missing
from noderack_cli.options import (
    connections_option,
    dry_run_option,
    host_option,
    json_option,
    limit_rate_option,
    registry_option,
    wait_option,
    yes_option,
)
from noderack_cli.plan import Plan
from noderack_cli.plan_open import grouped, summary, why_open
from noderack_cli.plan_view import lines
from noderack_cli.planning import Wishes, make_plan, what_is_missing
from noderack_cli.progress import Progress
from noderack_cli.show import quoted, table
from noderack_cli.streaming import Manner, Throttle
from noderack_cli.warm import Verifier
from noderack_cli.where import open_host, open_registry


@click.command()
@click.argument("workflows", nargs=-1, required=True, metavar="FILE...")
@click.option("--offline", is_flag=True, help="Ask nobody: only what is missing, not what would bring it.")
@host_option
@registry_option
@json_option
def missing(
    workflows: tuple[str, ...], offline: bool, folder: Path | None, registry: str | None, as_json: bool
) -> int:
    """Say which node types and models FILEs need and the host lacks, and what would bring them, with reasons.

    FILE is a workflow: JSON, a picture that holds one, or an address. Changes nothing; what it would do to
    the environment says `nodes install-missing FILE --dry-run`. Exit code 4 when something is missing.

    \b
    nodes missing portrait.json
    nodes missing *.png --json
    nodes missing portrait.json --offline
    """
    host = open_host(folder)
    lacking = what_is_missing(host, generations.current(host), list(workflows))
    known = bool(registry or host.config.registry)
    plan = _found(host, registry, lacking) if lacking and known and not offline else None
    if as_json:
        click.echo(json.dumps(lacking.as_dict() | ({"plan": plan.as_dict()} if plan is not None else {})))
        return Exit.NOT_FOUND if lacking else Exit.OK
    _show_missing(lacking)
    for line in lines(plan) if plan is not None else ():
        click.echo(line)
    if lacking and (plan is None or plan or plan.tosses):
        click.echo(_next_step(workflows, partial=plan is not None and bool(plan.unknown)))
    return Exit.NOT_FOUND if lacking else Exit.OK


def _found(host: Host, registry: str | None, lacking: Missing) -> Plan | None:
    """What the registry has of it, unsolved; None, and a line that says why, where it cannot be asked."""
    try:
        with open_registry(host, registry) as client:
            return make_plan(host, client, lacking, Wishes({}, solve=False))
    except Unreachable as error:
        click.echo(f"What would bring it is not known now: {error}", err=True)
        return None


def _next_step(workflows: Sequence[str], *, partial: bool) -> str:
    """The command that brings what was found."""
    command = f"nodes install-missing {' '.join(map(quoted, workflows))}"
    return f"To bring what was found: {command} --partial" if partial else f"To bring them: {command}"


def _show_missing(lacking: Missing) -> None:
    if not lacking:
        click.echo("Nothing is missing.")
    if lacking.types:
        click.echo(f"Node types ({len(lacking.types)})")
        rows = [
            (t.type, t.pack_id or t.aux_id or "", f"node {', '.join(t.nodes[:5])}") for t in lacking.types
        ]
        click.echo(table(rows))
    if lacking.models:
        click.echo(f"Models ({len(lacking.models)})")
        click.echo(table([(f"{m.folder or 'models'}/{m.name}", m.url or "") for m in lacking.models]))


@click.command("install-missing")
@click.argument("workflows", nargs=-1, required=True, metavar="FILE...")
@click.option("--choose", multiple=True, metavar="NAME=CHOICE", help="Settle what has several candidates.")
@click.option("--without", multiple=True, metavar="PACK", help="Leave this pack out.")
@click.option(
    "--saved-versions", is_flag=True, help="Packs in the versions that FILEs were saved with, if here."
)
@click.option("--partial", is_flag=True, help="Install what was found even if something was not.")
@click.option("--all-or-nothing", is_flag=True, help="If one pack fails, go back to where it began.")
@limit_rate_option
@connections_option
@dry_run_option
@yes_option
@wait_option
@host_option
@registry_option
@json_option
def install_missing(
    *,
    workflows: tuple[str, ...],
    choose: tuple[str, ...],
    without: tuple[str, ...],
    saved_versions: bool,
    partial: bool,
    all_or_nothing: bool,
    limit_rate: float | None,
    connections: int,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    folder: Path | None,
    registry: str | None,
    as_json: bool,
) -> int:
    """Bring every pack and model that FILEs need, safely: one plan first, then one pack at a time.

    Packs go into a copy of the environment by links and are imported there in a child process; only then it
    is used, without those that fail. Models are checked by hash. `nodes rollback` undoes.

    \b
    nodes install-missing portrait.json
    nodes install-missing *.json --dry-run
    nodes install-missing portrait.json --choose "FilmGrain=film-look" --yes
    """
    host = open_host(folder)
    progress = Progress(as_json)
    now = generations.current(host)
    with open_registry(host, registry) as client, Verifier(host, now, begin=not dry_run) as verifier:
        lacking = what_is_missing(host, now, list(workflows))
        wishes = Wishes(pairs(choose), without, saved=saved_versions)
        plan = settled_plan(host, client, lacking, wishes, ask=not (yes or as_json))
        show_plan(plan, as_json=as_json, nothing="" if without else "Nothing is missing.")
        blocked = blocking(plan, partial)
        if blocked is not None:
            raise blocked
        if dry_run or not plan:
            return Exit.OK
        confirm(yes or as_json)
        manner = Manner(connections, Throttle(limit_rate))
        return carry_out(
            host,
            client,
            plan,
            progress,
            wait=not no_wait,
            all_or_nothing=all_or_nothing,
            manner=manner,
            verifier=verifier,
        )


def pairs(said: Sequence[str]) -> dict[str, str]:
    """NAME=CHOICE options as a mapping; raises BadInput."""
    found = {}
    for text in said:
        name, equals, choice = text.rpartition("=")
        if not equals or not name or not choice:
            raise BadInput(
                f"--choose {text!r} is not NAME=CHOICE", 'For example: --choose "FilmGrain=film-look"'
            )
        found[name] = choice
    return found


def settled_plan(host: Host, client: RegistryClient, lacking: Missing, wishes: Wishes, *, ask: bool) -> Plan:
    """The plan; at a terminal the user is asked what only the user can choose."""
    plan = make_plan(host, client, lacking, wishes)
    if not plan.tosses or not ask or not sys.stdin.isatty():
        return plan
    chosen = dict(wishes.choose)
    for toss, others in grouped(plan.tosses):
        click.echo(f"{toss.what} {toss.name}: {why_open(toss)}.")
        click.echo(table([(str(n), *c) for n, c in enumerate(toss.candidates, 1)]))
        if others:
            click.echo(f"  the same for: {', '.join(others)}")
        number = click.prompt("Which (0 for none)", type=click.IntRange(0, len(toss.candidates)))
        if number:
            chosen |= dict.fromkeys([toss.name, *others], toss.candidates[number - 1][0])
    return make_plan(host, client, lacking, replace(wishes, choose=chosen))


def blocking(plan: Plan, partial: bool) -> NodesError | None:
    """Why the plan cannot be carried out, if so."""
    if plan.tosses:
        first, more = plan.tosses[0], len(plan.tosses) - 1
        what = first.name + (f" and {more} more" if more else "")
        return Unresolvable(f"Nothing was changed: only you can choose for {what}", f"Add {first.hint}")
    if plan.unknown and not partial:
        hint = "What is found comes all the same with --partial; for the rest see above."
        return NotFound(f"Nothing was changed, because not found: {summary(plan.unknown)}", hint)
    return None
