"""From an agreed plan to the end: show it, ask, install its packs, bring its models, tell what came of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from noderack_host.folder import Host
from noderack_registry.client import RegistryClient

from noderack_cli import generations, plan_view
from noderack_cli.errors import BadInput, HostHeld, NoSpace
from noderack_cli.exits import Exit
from noderack_cli.held import hold
from noderack_cli.install import Applied, apply
from noderack_cli.plan import Plan
from noderack_cli.policy import keep_few
from noderack_cli.progress import Progress
from noderack_cli.serving import tell_server
from noderack_cli.show import count, seconds, size
from noderack_cli.trust import refreshed, refuse_killed
from noderack_cli.warm import Verifier

if TYPE_CHECKING:
    from noderack_cli.bring import Brought
    from noderack_cli.streaming import Manner


def show_plan(plan: Plan, *, as_json: bool, nothing: str = "Nothing is missing.") -> None:
    """Print the plan, or `nothing` where it is empty."""
    if as_json:
        click.echo(json.dumps({"event": "plan", "plan": plan.as_dict()}))
        return
    if nothing and not (plan or plan.tosses or plan.unknown):
        click.echo(nothing)
    for line in plan_view.lines(plan):
        click.echo(line)


def confirm(agreed: bool, question: str = "Do it?", *, default: bool = True) -> None:
    """Ask, unless it was agreed before; raises Abort, or BadInput where nobody can be asked."""
    if agreed:
        return
    if not sys.stdin.isatty():
        raise BadInput("Nothing was changed: nobody is here to agree to it", "Agree with --yes.")
    click.confirm(question, default=default, abort=True)


def carry_out(
    host: Host,
    client: RegistryClient,
    plan: Plan,
    progress: Progress,
    *,
    wait: bool,
    all_or_nothing: bool = False,
    doing: str = "nodes install",
    manner: Manner | None = None,
    verifier: Verifier | None = None,
) -> int:
    """Install the packs, bring the models, tell the result; returns the exit code.

    Raises NoSpace before anything is done when the disk cannot hold it.
    """
    refuse_killed(plan, refreshed(host, client, keep=True))
    refuse_if_full(host, plan)
    applied = Applied(generation=plan.generation)
    if plan.packs:
        with hold(host.root, doing, wait=600 if wait else 0, tell=progress.line):
            plan = _up_to_date(host, client, plan)
            applied = apply(
                plan,
                host,
                progress,
                registry=client.url,
                all_or_nothing=all_or_nothing,
                verifier=verifier,
            )
            keep_few(host)
        if applied.installed:
            tell_server(host, progress)
    elif generations.unfinished(host):
        with suppress(HostHeld), hold(host.root, "nodes, tidying up", wait=0):
            generations.tidy(host)
    brought = None
    if plan.models and not (all_or_nothing and applied.failed):
        brought = _bring(plan, host, client, progress, manner)
    return tell_result(applied, brought, progress)


def _bring(
    plan: Plan, host: Host, client: RegistryClient, progress: Progress, manner: Manner | None
) -> Brought:
    from noderack_cli.bring import bring  # what downloads need is loaded where there are any
    from noderack_cli.keys import stored
    from noderack_cli.sources import Access

    return bring(plan.models, host, Access.of(os.environ, client.url, stored), progress, manner)


def _up_to_date(host: Host, client: RegistryClient, plan: Plan) -> Plan:
    """The plan, solved again if another process changed the host since; raises Unresolvable."""
    number = generations.current(host).number
    if plan.generation == number or not plan.solved:
        return plan
    from noderack_cli.solving import solved

    return solved(host, client, replace(plan, generation=number))


def refuse_if_full(host: Host, plan: Plan) -> None:
    """Raise NoSpace if the plan needs more than is free."""
    free = shutil.disk_usage(host.root).free
    if plan.disk > free:
        told = f"The plan needs about {size(plan.disk)} at {host.root}, where {size(free)} are free"
        raise NoSpace(told, "Free some space, for example with: nodes prune --keep 1")


def tell_result(applied: Applied, brought: Brought | None, progress: Progress) -> int:
    """Say what came of it; returns the exit code, or raises the first error of a pack or a model."""
    paths, refused = (brought.paths, brought.failed) if brought else ((), ())
    errors = list({id(error): error for _, error in (*applied.failed, *refused)}.values())
    done = {"packs": [p.pack for p in applied.installed], "models": [str(p) for p in paths]}
    if progress.as_json:
        progress("result", **done, generation=applied.generation, failed=[e.message for e in errors])
    else:
        parts = [count(len(applied.installed), "pack"), count(len(paths), "model")]
        took = seconds(time.monotonic() - progress.started)
        progress.line(f"Done in {took}: {' and '.join(parts)}; generation {applied.generation} is in use.")
    if not errors:
        return Exit.OK
    first = errors[0]
    if len(errors) > 1:
        first.message += f" (and {len(errors) - 1} more, above)"
    if applied.installed and applied.failed:
        left = "It was" if len(applied.failed) == 1 else f"{len(applied.failed)} packs were"
        first.hint = f"{left} left out; {count(len(applied.installed), 'other pack')} went in."
    elif len(applied.failed) > 1 and len({id(error) for _, error in applied.failed}) == 1:
        first.hint = f"All or nothing was asked for, so none of the {len(applied.failed)} packs went in."
    raise first
