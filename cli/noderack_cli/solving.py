"""From chosen packs to a solved plan: what changes in the environment, where its wheels are, what they are.

uv solves; meanwhile the registry's list of revoked files is fetched and verified. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from noderack_host.folder import Host
from noderack_registry.client import RegistryClient

from noderack_cli import generations
from noderack_cli.clashes import clashes
from noderack_cli.errors import Unresolvable
from noderack_cli.generations import Generation
from noderack_cli.guess import Guessed
from noderack_cli.own_wheels import own_args
from noderack_cli.pack_facts import wheels_here
from noderack_cli.plan import Distribution, Plan
from noderack_cli.solve import Solution, solve
from noderack_cli.trust import refreshed, refuse_killed
from noderack_cli.uv_tool import cache_for, cache_of, index_args
from noderack_cli.wheel_facts import facts_of
from noderack_cli.wheels import locate


def solved(host: Host, client: RegistryClient, plan: Plan, guessed: Guessed | None = None) -> Plan:
    """The plan with the distributions that its packs would change; raises Unresolvable with ways out."""
    if not plan.packs:
        return plan
    generation = generations.numbered(host, plan.generation)
    with ThreadPoolExecutor(1, "noderack-revoked") as pool:
        revoked = pool.submit(refreshed, host, client, keep=False)
        try:
            early = guessed.result() if guessed and not guessed.exception() else ()
            solution = solve(host, client.url, generation, plan.packs, early)
        except Unresolvable as error:
            from noderack_cli.again import Again
            from noderack_cli.ways import told, ways_out

            raise told(error, ways_out(host, client, generation, plan.packs, Again.here())) from error
        changes = _with_facts(host, _located(host, client, generation, plan, solution))
        notes = (*plan.notes, *solution.notes, *clashes(plan.packs, generation))
        found = replace(plan, distributions=changes, notes=notes)
        refuse_killed(found, revoked.result())
    return replace(found, left_out=solution.left_out, args=solution.args, solved=True)


def _located(
    host: Host, client: RegistryClient, generation: Generation, plan: Plan, solution: Solution
) -> tuple[Distribution, ...]:
    """The changes with their wheels: where each is, its size and its hash."""
    given = {pack.pack for pack in plan.packs if pack.wheel}
    pins = {c.name: c.new for c in solution.changes if c.new is not None and c.name not in given}
    wheels = wheels_here(client, pins)
    pins = {name: version for name, version in pins.items() if name not in wheels}
    registry = None if wheels else client.url  # one that told of the packs has told of all that it has
    indexes = [*index_args(registry, host.config.python_index), *own_args()]
    wheels |= locate(pins, generation.python, indexes, cache_for(host.root), solution.args)
    return tuple(replace(change, wheels=wheels.get(change.name, ())) for change in solution.changes)


def _with_facts(host: Host, changes: Sequence[Distribution]) -> tuple[Distribution, ...]:
    """The distributions with what their wheels tell: how large they are unpacked, which licence they have."""
    wheels = [change.wheel for change in changes if change.wheel]
    facts = facts_of(wheels, cache_of(host.root))
    return tuple(replace(c, facts=facts.get(c.wheel.sha256) if c.wheel else None) for c in changes)
