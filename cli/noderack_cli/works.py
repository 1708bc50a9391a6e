"""The work on one batch of packs: uv unpacks it into a stage, steps move it into a clone, one for each pack.

A step whose pack does not import, or that meets any error, is taken back; the others become a generation.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noderack_host.folder import Host

from noderack_cli import generations, stage
from noderack_cli.errors import InstallError, NoSpace, TookTooLong
from noderack_cli.generations import Draft, Generation, InstalledPack
from noderack_cli.installed import Constraint, Installed, constraints, installed
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.proof import Company, beside, touched, unbroken, verified, verified_together
from noderack_cli.solve import changes_of
from noderack_cli.stage import Stage, StageRefused, staged, wanted
from noderack_cli.steps import Journal
from noderack_cli.uv_said import FULL, sentence
from noderack_cli.uv_tool import Ran
from noderack_cli.warm import Verifier

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
        """`event` is packs-together, pack-started, pack-step, pack-installed or pack-failed."""


@dataclass(frozen=True, slots=True)
class Put:
    """A step whose files are in the draft: `names` its distributions, `tops` the first parts of their paths.

    `replaced` are those of which the draft had another version, `have` is all that the draft has now.
    """

    number: int
    packs: tuple[PackChoice, ...]
    names: frozenset[str]
    tops: frozenset[str]
    replaced: frozenset[str]
    have: Mapping[str, Installed]


class Works:
    """What installing needs while it goes on: the stage, the clone, the verifier, and the steps taken.

    At the end, whatever ended it, the steps that were taken become a generation.
    """

    def __init__(
        self,
        host: Host,
        registry: str | None,
        plan: Plan,
        report: Report,
        count: int,
        verifier: Verifier | None = None,
    ) -> None:
        self._host, self._registry, self._plan, self._report = host, registry, plan, report
        self._start = generations.current(host)
        self._early = verifier  # one that was begun before, which counts if it is of this generation
        self._gone = [change.name for change in plan.distributions if change.new is None]
        self._first = generations.next_number(host)
        self._draft_number = self._first + max(count, 1) - 1
        self._packs: Mapping[str, InstalledPack] = {
            name: pack for name, pack in self._start.packs.items() if name not in self._gone
        }
        self._steps: list[Generation] = []
        self._placed: frozenset[str] = frozenset()  # the distributions that the steps put in
        self._tops: frozenset[str] = frozenset()  # and the first parts of their paths
        self._broken = False  # whether the draft is other than the generation before with the steps
        self._have: Mapping[str, Installed] = {}  # what the draft has with the steps; none: look
        self._stage: Stage | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Works:
        try:
            pool = self._stack.enter_context(ThreadPoolExecutor(1, "noderack-clone"))
            self._clone: Future[Draft] = pool.submit(
                generations.begin, self._host, self._start.path, self._draft_number, self._start.number
            )
            self._stack.callback(self._discard)
            self._verifier = self._ready()
            self._stage = self._common_stage()
        except BaseException:  # a Ctrl-C too: what was begun is ended
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._steps and not self._broken:
                self._commit()
        finally:
            self._stack.close()

    def _ready(self) -> Verifier:
        if self._early is not None and self._early.base.number == self._start.number:
            return self._early
        return self._stack.enter_context(Verifier(self._host, self._start))

    def _discard(self) -> None:
        self._clone.exception()  # waits
        generations.discard(self._host, self._draft_number)

    def _common_stage(self) -> Stage | None:
        """All of the plan unpacked in one go; None where that fails: then each pack tells for itself."""
        packs = self._plan.packs
        try:
            made = self._stack.enter_context(
                staged(self._host, self._registry, self._start, wanted(self._plan), packs, self._plan.args)
            )
        except StageRefused as refused:
            _refuse_full(refused.ran, packs, self._host)
            return None
        self._verifier.preload(heavy(made, packs))
        return made

    def install_together(self, batches: Sequence[Sequence[PackChoice]]) -> list[int]:
        """Add all packs, a step for each batch, if every pack then imports; returns the steps' numbers.

        None where one does not, or nobody knows how to tell: then the draft is as it was.
        """
        if self._stage is None or self._gone:
            return []
        draft, puts, placed = self._clone.result(), list[Put](), self._placed
        have = self._have or installed(draft.path)
        self._report("packs-together", packs=[pack.pack for packs in batches for pack in packs])
        try:
            with ExitStack() as journals:
                for number, packs in enumerate(batches, self._first):
                    _check_given(packs)
                    journal = journals.enter_context(self._journal(draft, number))
                    names = self._group(packs) - placed
                    puts.append(self._put(packs, self._stage, names, draft, journal, have))
                    placed, have = placed | names, puts[-1].have
                proven = self._proven_together(puts, draft)
        except InstallError:
            return []
        return [self._take(put, proven) for put in puts]

    def install(self, packs: Sequence[PackChoice]) -> int:
        """Add `packs` to the draft, verified; returns the number of the step. Raises InstallError.

        Whatever is raised, the draft is as it was.
        """
        _check_given(packs)
        self._tell("clone", packs)
        draft = self._clone.result()
        self._tell("install", packs)
        number = self._first + len(self._steps)
        with self._staged(packs, draft) as (here, names), self._journal(draft, number) as journal:
            have = self._have or installed(draft.path)
            put = self._put(packs, here, names, draft, journal, have)
            self._tell("verify", packs)
            proven = self._proven(put, draft)
        return self._take(put, proven)

    @contextmanager
    def _journal(self, draft: Draft, number: int) -> Iterator[Journal]:
        journal = Journal(draft.path, number)
        try:
            with journal:
                yield journal
        finally:
            self._broken |= not journal.closed

    def _put(
        self,
        packs: Sequence[PackChoice],
        here: Stage,
        names: frozenset[str],
        draft: Draft,
        journal: Journal,
        before: Mapping[str, Installed],
    ) -> Put:
        """Put distributions into the draft, and take out what goes; raises InstallError, OSError."""
        replaced = here.place(names, draft, journal, before)
        have = here.after(names, draft, before)
        if self._gone:
            replaced |= stage.take_out(self._gone, draft, journal, have)
            have = {name: one for name, one in have.items() if name not in self._gone}
        tops = frozenset(here.tops(names))
        return Put(journal.number, tuple(packs), names, tops, frozenset(replaced), have)

    def _proven(self, put: Put, draft: Draft) -> dict[str, InstalledPack]:
        """The records of the packs when they are imported and break no other; raises InstallError."""
        company, known = self._company(put.packs), True
        if len(put.packs) > 1 or company.packs:
            try:
                return self._proven_together([put], draft)
            except TookTooLong:
                known = False
            except InstallError:  # each alone says better what it is
                pass
        tops, done = self._tops | put.tops, dict[str, InstalledPack]()
        for pack in put.packs:
            record = _record(pack, verified(self._verifier.inspect, draft, pack, tops))
            if known:
                others = Company([*company.packs, *done.values()])
                beside(self._verifier.inspect_quickly, draft, pack, tops, others)
            done[pack.pack] = record
        self._refuse_broken([put], draft)
        return done

    def _proven_together(self, puts: Sequence[Put], draft: Draft) -> dict[str, InstalledPack]:
        packs = [pack for put in puts for pack in put.packs]
        tops = self._tops.union(*(put.tops for put in puts))
        company = self._company(packs)
        types = verified_together(self._verifier.inspect_quickly, draft, packs, tops, company)
        self._refuse_broken(puts, draft)
        return {pack.pack: _record(pack, types[pack.pack]) for pack in packs}

    def _company(self, new: Sequence[PackChoice]) -> Company:
        """The packs that the host would import beside new ones."""
        names = {pack.pack for pack in new}
        used = [pack for name, pack in self._packs.items() if name not in names and not pack.disabled]
        return Company([pack for pack in used if pack.origin != "host" and pack.node_types])

    def _refuse_broken(self, puts: Sequence[Put], draft: Draft) -> None:
        """Raise InstallError if a pack that was there lost node types."""
        packs = [pack for put in puts for pack in put.packs]
        tops = self._tops.union(*(put.tops for put in puts))
        replaced = frozenset().union(*(put.replaced for put in puts))
        for other in touched(self._packs, draft, replaced, {pack.pack for pack in packs}):
            unbroken(self._verifier.inspect, draft, other, tops, packs)

    def _take(self, put: Put, proven: Mapping[str, InstalledPack]) -> int:
        """Count a step as taken; returns its number."""
        told = [f"install {pack.pack} {pack.version}" for pack in put.packs]
        why = "; ".join([*told, *(f"remove {name}" for name in self._gone)]) or "change what packs need"
        parent = self._steps[-1].number if self._steps else self._start.number
        packs = {**self._packs, **{pack.pack: proven[pack.pack] for pack in put.packs}}
        path = self._clone.result().path
        versions = {name: one.version for name, one in put.have.items()}
        self._steps.append(Generation(put.number, path, parent, time.time(), why, "", packs, versions))
        self._have = put.have
        self._packs, self._tops, self._placed = packs, self._tops | put.tops, self._placed | put.names
        return put.number

    def _group(self, packs: Sequence[PackChoice]) -> frozenset[str]:
        """The distributions of the common stage that come with `packs`; all where there is no pack."""
        assert self._stage is not None
        groups = [self._stage.groups[pack.pack] for pack in packs] or [frozenset(self._stage.have)]
        return frozenset().union(*groups)

    @contextmanager
    def _staged(self, packs: Sequence[PackChoice], draft: Draft) -> Iterator[tuple[Stage, frozenset[str]]]:
        """Where the distributions of `packs` are, and their names."""
        if self._stage is not None:
            yield self._stage, self._group(packs) - self._placed
            return
        have = self._have or installed(draft.path)
        bounds = (*constraints(have, [pack.pack for pack in packs]), *_solved(self._plan, packs))
        rows = wanted(self._plan, self._names(draft, packs, bounds))
        with ExitStack() as stack:
            try:
                own = stack.enter_context(
                    staged(self._host, self._registry, self._start, rows, packs, self._plan.args)
                )
            except StageRefused as refused:
                _refuse_full(refused.ran, packs, self._host)
                raise _not_installed(packs, refused.ran) from refused
            yield own, frozenset(own.have)

    def _names(self, draft: Draft, packs: Sequence[PackChoice], bounds: Sequence[Constraint]) -> list[str]:
        """What installing these packs alone changes."""
        changes = changes_of(
            self._host,
            self._registry,
            draft.python,
            packs,
            bounds=bounds,
            left_out=self._plan.left_out,
            args=self._plan.args or (),
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


def names_of(packs: Sequence[PackChoice]) -> str:
    return ", ".join(pack.pack for pack in packs)


def _record(pack: PackChoice, types: tuple[str, ...]) -> InstalledPack:
    return InstalledPack(pack.pack, pack.version, types, pack.wheel or "registry", pack.sha256)


def _check_given(packs: Sequence[PackChoice]) -> None:
    for pack in packs:
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
        raise NoSpace(f"There is no room for {names_of(packs)} in {host.root}", hint)


def _not_installed(packs: Sequence[PackChoice], ran: Ran) -> InstallError:
    said, hint = sentence(ran.err)
    what = ", ".join(f"{pack.pack} {pack.version}" for pack in packs)
    return InstallError(f"{what} could not be installed: {said}", hint)


def heavy(stage: Stage, packs: Sequence[PackChoice]) -> list[str]:
    """What the packs' own sources import that takes long and is not itself about to change."""
    changing = stage.tops(stage.have)
    text = "\n".join(
        file.read_text("utf-8", "replace") for pack in packs for file in stage.sources(pack.pack)
    )
    asked = set(re.findall(r"^(?:import|from) +(\w+)", text, re.MULTILINE))
    return [name for name in HEAVY if (top := name.partition(".")[0]) in asked and top not in changing]
