"""Carries out the packs of a plan: one clone, and in it one step for each pack: put in, verify in a child.

First all steps are taken and verified in one import of all packs, as a host does it. If anything is amiss,
they are taken back, and one after the other is tried: what fails is left out, the others stay. Then the clone
becomes a generation in one switch, and its steps generations of their own: see `works` and `steps`.
"""

from __future__ import annotations

from dataclasses import dataclass

from noderack_host.folder import Host

from noderack_cli import generations
from noderack_cli.errors import InstallError, NodesError
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.trust import refuse_killed, remembered
from noderack_cli.warm import Verifier
from noderack_cli.works import Report, Works, names_of


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it: packs that are in, and those that are not with the error."""

    installed: tuple[PackChoice, ...] = ()
    failed: tuple[tuple[PackChoice, NodesError], ...] = ()
    generation: int = 0


def apply(
    plan: Plan,
    host: Host,
    report: Report,
    *,
    registry: str | None,
    all_or_nothing: bool = False,
    verifier: Verifier | None = None,
) -> Applied:
    """Install the plan's packs. The caller holds the host. Raises only for what concerns all (disk full).

    A plan that takes something out is carried out whole or not at all. `verifier` is one that was begun while
    the plan was made, so that nobody waits for its start.
    """
    refuse_killed(plan, remembered(host))
    generations.tidy(host)
    batches = [plan.packs] if all_or_nothing or not plan.packs else [(pack,) for pack in plan.packs]
    done: list[PackChoice] = []
    failed: list[tuple[PackChoice, NodesError]] = []
    with Works(host, registry, plan, report, len(batches), verifier) as works:
        together = works.install_together(batches) if len(batches) > 1 else []
        for packs, number in zip(batches, together, strict=False):
            done += packs
            report("pack-installed", pack=names_of(packs), version=packs[0].version, generation=number)
        for packs in batches[len(together) :]:
            for pack in packs:
                report("pack-started", pack=pack.pack, version=pack.version, reason=pack.reason)
            try:
                number = works.install(packs)
            except InstallError as error:
                failed += [(pack, error) for pack in packs]
                version = packs[0].version if len(packs) == 1 else ""
                report("pack-failed", pack=names_of(packs), version=version, message=error.message)
            else:
                done += packs
                for pack in packs:
                    report("pack-installed", pack=pack.pack, version=pack.version, generation=number)
    return Applied(tuple(done), tuple(failed), generations.current(host).number)
