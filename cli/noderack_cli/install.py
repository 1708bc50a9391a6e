"""Carries out the packs of a plan: one clone, and in it one step for each pack: put in, verify in a child.

uv brings and unpacks everything once, into a stage; each step moves its part from there. What fails is taken
back, and the steps before it stay. When all were tried, the clone becomes a generation in one switch, and
the steps in it generations of their own: see `generations` and `steps`. All-or-nothing is one step.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noderack_host.folder import Host

from noderack_cli import generations, stage
from noderack_cli.errors import InstallError, NodesError, NoSpace
from noderack_cli.generations import Draft, Generation, InstalledPack
from noderack_cli.installed import Constraint, constraints, installed
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.proof import touched, unbroken, verified
from noderack_cli.solve import changes_of
from noderack_cli.stage import Stage, StageRefused, staged, wanted
from noderack_cli.steps import Journal
from noderack_cli.trust import refuse_killed, remembered
from noderack_cli.uv_tool import Ran
from noderack_cli.warm import Verifier

FULL = re.compile(r"No space left|os error 28|Read-only file system|os error 30")
# What packs import that takes long: loaded once, before the packs are, if one of them asks for it.
HEAVY = (
    "torch",
    "torchvision",
    "torchaudio",
    "numpy",
    "PIL.Image",
    "scipy",
    "cv2",
    "transformers",
    "safetensors",
)


class Report(Protocol):
    """Hears what happens while it happens."""

    def __call__(self, event: str, **facts: object) -> None:
        """`event` is pack-started, pack-step, pack-installed or pack-failed."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it: packs that are in, and those that are not with the error."""

    installed: tuple[PackChoice, ...] = ()
    failed: tuple[tuple[PackChoice, NodesError], ...] = ()
    generation: int = 0


def apply(
    plan: Plan, host: Host, report: Report, *, registry: str | None, all_or_nothing: bool = False
) -> Applied:
    """Install the plan's packs. The caller holds the host. Raises only for what concerns all (disk full).

    A plan that takes something out is carried out whole or not at all.
    """
    refuse_killed(plan, remembered(host))
    for left in generations.unfinished(host):
        generations.remove(left)
    batches = [plan.packs] if all_or_nothing or not plan.packs else [(pack,) for pack in plan.packs]
    done: list[PackChoice] = []
    failed: list[tuple[PackChoice, NodesError]] = []
    with Works(host, registry, plan, report, len(batches)) as works:
        for packs in batches:
            for pack in packs:
                report("pack-started", pack=pack.pack, version=pack.version, reason=pack.reason)
            try:
                number = works.install(packs)
            except InstallError as error:
                failed += [(pack, error) for pack in packs]
                report("pack-failed", pack=_names(packs), version=packs[0].version, message=error.message)
            else:
                done += packs
                for pack in packs:
                    report("pack-installed", pack=pack.pack, version=pack.version, generation=number)
    return Applied(tuple(done), tuple(failed), generations.current(host).number)


def _names(packs: Sequence[PackChoice]) -> str:
    return ", ".join(pack.pack for pack in packs)


class Works:
    """What installing needs while it goes on: the stage, the clone, the verifier, and the steps taken.

    At the end, whatever ended it, the steps that were taken become a generation.
    """

    def __init__(self, host: Host, registry: str | None, plan: Plan, report: Report, count: int) -> None:
        self._host, self._registry, self._plan, self._report = host, registry, plan, report
        self._start = generations.current(host)
        self._gone = [change.name for change in plan.distributions if change.new is None]
        self._first = generations.next_number(host)
        self._draft_number = self._first + max(count, 1) - 1
        self._packs: Mapping[str, InstalledPack] = {
            name: pack for name, pack in self._start.packs.items() if name not in self._gone
        }
        self._steps: list[Generation] = []
        self._placed: frozenset[str] = frozenset()  # the distributions that the steps put in
        self._tops: frozenset[str] = frozenset()  # and the first parts of their paths
        self._whole = True  # whether the draft is the one before the steps, and the steps
        self._stage: Stage | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Works:
        try:
            pool = self._stack.enter_context(ThreadPoolExecutor(1, "noderack-clone"))
            self._clone: Future[Draft] = pool.submit(
                generations.begin, self._host, self._start.path, self._draft_number, self._start.number
            )
            self._stack.callback(self._discard)
            self._verifier = self._stack.enter_context(Verifier(self._host, self._start))
            self._stage = self._common_stage()
        except BaseException:  # a Ctrl-C too: what was begun is ended
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._steps and self._whole:
                self._commit()
        finally:
            self._stack.close()

    def _discard(self) -> None:
        self._clone.exception()  # waits
        generations.discard(self._host, self._draft_number)

    def _common_stage(self) -> Stage | None:
        """All of the plan unpacked in one go; None where that fails: then each pack tells for itself."""
        packs = self._plan.packs
        try:
            made = self._stack.enter_context(
                staged(self._host, self._registry, self._start, wanted(self._plan), packs)
            )
        except StageRefused as refused:
            _refuse_full(refused.ran, packs, self._host)
            return None
        self._verifier.preload(heavy(made, packs))
        return made

    def install(self, packs: Sequence[PackChoice]) -> int:
        """Add `packs` to the draft, verified; returns the number of the step. Raises InstallError.

        Whatever is raised, the draft is as it was.
        """
        for pack in packs:
            _check_given(pack)
        self._tell("clone", packs)
        draft = self._clone.result()
        self._tell("install", packs)
        with self._staged(packs, draft) as (here, names):
            self._whole = False
            journal = Journal(draft.path, self._first + len(self._steps))
            try:
                with journal:
                    taken = self._step(packs, here, names, draft, journal)
            finally:
                self._whole = journal.closed
        self._steps.append(taken)
        self._packs = taken.packs
        self._tops |= here.tops(names)
        self._placed |= names
        return taken.number

    def _step(
        self, packs: Sequence[PackChoice], here: Stage, names: frozenset[str], draft: Draft, journal: Journal
    ) -> Generation:
        replaced = here.place(names, draft, journal)
        if self._gone:
            replaced |= stage.take_out(self._gone, draft, journal)
        tops = self._tops | here.tops(names)
        self._tell("verify", packs)
        proven = self._proven(packs, draft, tops, replaced)
        have = {name: one.version for name, one in installed(draft.path).items()}
        told = [f"install {pack.pack} {pack.version}" for pack in packs]
        why = "; ".join([*told, *(f"remove {name}" for name in self._gone)]) or "change what packs need"
        parent = journal.number - 1 if self._steps else self._start.number
        packs_now = {**self._packs, **proven}
        return Generation(journal.number, draft.path, parent, time.time(), why, "", packs_now, have)

    def _proven(
        self, packs: Sequence[PackChoice], draft: Draft, tops: Collection[str], replaced: Collection[str]
    ) -> dict[str, InstalledPack]:
        """The records of `packs` when they are imported and break no other; raises InstallError."""
        found = {}
        for pack in packs:
            types = verified(self._verifier.inspect, draft, pack, tops)
            origin = pack.wheel or "registry"
            found[pack.pack] = InstalledPack(pack.pack, pack.version, types, origin, pack.sha256)
        for other in touched(self._packs, draft, replaced, list(found)):
            unbroken(self._verifier.inspect, draft, other, tops, packs)
        return found

    @contextmanager
    def _staged(self, packs: Sequence[PackChoice], draft: Draft) -> Iterator[tuple[Stage, frozenset[str]]]:
        """Where the distributions of `packs` are, and their names."""
        if self._stage is not None:
            groups = [self._stage.groups[pack.pack] for pack in packs] or [frozenset(self._stage.have)]
            yield self._stage, frozenset().union(*groups) - self._placed
            return
        have = installed(draft.path)
        bounds = (*constraints(have, [pack.pack for pack in packs]), *_solved(self._plan, packs))
        rows = wanted(self._plan, self._names(draft, packs, bounds))
        with ExitStack() as stack:
            try:
                own = stack.enter_context(staged(self._host, self._registry, self._start, rows, packs))
            except StageRefused as refused:
                _refuse_full(refused.ran, packs, self._host)
                raise _not_installed(packs, refused.ran) from refused
            yield own, frozenset(own.have)

    def _names(self, draft: Draft, packs: Sequence[PackChoice], bounds: Sequence[Constraint]) -> list[str]:
        """What installing these packs alone changes."""
        changes = changes_of(
            self._host, self._registry, draft.python, packs, bounds=bounds, left_out=self._plan.left_out
        )
        return list(dict.fromkeys([*(pack.pack for pack in packs), *(c.name for c in changes if c.new)]))

    def _commit(self) -> None:
        """The draft becomes the generation of the last step, and is switched to."""
        *between, last = self._steps
        draft = self._clone.result()
        if last.number != draft.number:
            draft = generations.renumber(self._host, draft, last.number)
            self._draft_number = last.number
        generations.commit(self._host, draft, last.why, last.packs, between)

    def _tell(self, step: str, packs: Sequence[PackChoice]) -> None:
        for pack in packs:
            self._report("pack-step", pack=pack.pack, step=step)


def _check_given(pack: PackChoice) -> None:
    if pack.wheel and pack.sha256 and digest(Path(pack.wheel)) != pack.sha256:
        raise InstallError(f"{pack.wheel} is not the wheel that was locked: its sha256 differs")


def _solved(plan: Plan, packs: Sequence[PackChoice]) -> Iterator[Constraint]:
    """The versions that the whole plan was solved with, so that one pack at a time ends where all would."""
    names = {pack.pack for pack in packs}
    for change in plan.distributions:
        if change.new is not None and change.name not in names:
            yield Constraint(change.name, f"=={change.new}", "the plan says so")


def _refuse_full(ran: Ran, packs: Sequence[PackChoice], host: Host) -> None:
    """Raise NoSpace if that is what uv met."""
    if FULL.search(ran.err):
        hint = "Free some space (nodes prune --keep 1 removes old generations); the host is as it was."
        raise NoSpace(f"There is no room for {_names(packs)} in {host.root}", hint)


def _not_installed(packs: Sequence[PackChoice], ran: Ran) -> InstallError:
    lines = [line.strip() for line in ran.err.splitlines() if line.strip()]
    said = " ".join(line.removeprefix("error: ").removeprefix("cause: ") for line in lines)
    what = ", ".join(f"{pack.pack} {pack.version}" for pack in packs)
    return InstallError(f"{what} could not be installed: {said[:1500]}", "The host is as it was.")


def heavy(stage: Stage, packs: Sequence[PackChoice]) -> list[str]:
    """What the packs' own sources import that takes long and is not itself about to change."""
    changing = stage.tops(stage.have)
    text = "\n".join(
        file.read_text("utf-8", "replace") for pack in packs for file in stage.sources(pack.pack)
    )
    asked = set(re.findall(r"^(?:import|from) +(\w+)", text, re.MULTILINE))
    return [name for name in HEAVY if (top := name.partition(".")[0]) in asked and top not in changing]
