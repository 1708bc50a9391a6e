"""Carries out the packs of a plan, one generation for each: clone, install, verify in a child, switch.

uv brings and unpacks everything once, into a stage; each generation links its part from there. While one
pack is verified, the next clone is made. Whatever fails leaves the generation in use as it was; the packs
before it stay. All-or-nothing makes one generation of all packs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noderack_host.folder import Host

from noderack_cli import generations, links, stage
from noderack_cli.errors import InstallError, NodesError, NoSpace
from noderack_cli.generations import Draft, Generation, InstalledPack
from noderack_cli.installed import Constraint, Installed, constraints, installed
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.proof import touched, unbroken, verified
from noderack_cli.solve import changes_of, run_install
from noderack_cli.stage import Row, Stage, StageRefused, seal, staged, tops_of, wanted
from noderack_cli.trust import refuse_killed, remembered
from noderack_cli.uv_tool import Ran
from noderack_cli.verify import Inspection
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
    steps = [plan.packs] if all_or_nothing or not plan.packs else [(pack,) for pack in plan.packs]
    done: list[PackChoice] = []
    failed: list[tuple[PackChoice, NodesError]] = []
    with Works(host, registry, plan, report) as works:
        for number, packs in enumerate(steps):
            for pack in packs:
                report("pack-started", pack=pack.pack, version=pack.version, reason=pack.reason)
            try:
                made = works.install(packs, more=number + 1 < len(steps))
            except InstallError as error:
                failed += [(pack, error) for pack in packs]
                report("pack-failed", pack=_names(packs), version=packs[0].version, message=error.message)
            else:
                done += packs
                for pack in packs:
                    report("pack-installed", pack=pack.pack, version=pack.version, generation=made.number)
    return Applied(tuple(done), tuple(failed), generations.current(host).number)


def _names(packs: Sequence[PackChoice]) -> str:
    return ", ".join(pack.pack for pack in packs)


class Works:
    """What installing needs while it goes on: the stage, the verifier, and the next clone being made."""

    def __init__(self, host: Host, registry: str | None, plan: Plan, report: Report) -> None:
        self._host, self._registry, self._plan, self._report = host, registry, plan, report
        self._start = generations.current(host)
        self._gone = [change.name for change in plan.distributions if change.new is None]
        self._placed: frozenset[str] = frozenset()  # the distributions of the stage that are in already
        self._stage: Stage | None = None
        self._made: list[tuple[Path, str]] = []  # byte code that verifying the pack before wrote
        self._clone: tuple[int, Future[Draft]] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Works:
        try:
            self._pool = self._stack.enter_context(ThreadPoolExecutor(2, "noderack-clone"))
            self._stack.callback(self._drop_clone)
            self._verifier = self._stack.enter_context(Verifier(self._host, self._start))
            self._stage = self._common_stage()
        except BaseException:  # a Ctrl-C too: what was begun is ended
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _common_stage(self) -> Stage | None:
        """All of the plan unpacked in one go; None where that fails: then each pack tells for itself."""
        rows = wanted(self._plan)
        if rows is None:
            return None
        self._begin_clone(self._start.path)
        try:
            made = self._stack.enter_context(staged(self._host, self._start, rows, self._plan.packs))
        except StageRefused as refused:
            _refuse_full(refused.ran, self._plan.packs, self._host)
            self._drop_clone()
            return None
        self._verifier.preload(heavy(made, self._plan.packs))
        return made

    def _begin_clone(self, source: Path) -> None:
        number = generations.next_number(self._host)
        self._clone = number, self._pool.submit(generations.begin, self._host, source, number, None)

    def _drop_clone(self) -> None:
        if self._clone is not None:
            number, clone = self._clone
            clone.exception()  # waits
            generations.discard(self._host, number)
            self._clone = None

    def install(self, packs: Sequence[PackChoice], *, more: bool) -> Generation:
        """A generation with `packs` added to those in use, verified, switched to; raises InstallError."""
        for pack in packs:
            _check_given(pack)
        if self._stage is None:
            return self._install_alone(packs)
        names: frozenset[str] = frozenset().union(*(self._stage.groups[pack.pack] for pack in packs))
        if not packs:
            names = frozenset(self._stage.have)
        self._tell("clone", packs)
        draft = self._cloned()
        try:
            self._tell("install", packs)
            replaced = self._stage.place(names, draft) | stage.take_out(self._gone, draft)
            if more:
                self._begin_clone(draft.path)
            made = self._finish(draft, packs, self._stage.tops(self._placed | names), replaced)
        except BaseException:  # whatever it was, the next clone holds what failed
            self._drop_clone()
            raise
        finally:
            generations.discard(self._host, draft.number)
        self._placed |= names
        return made

    def _cloned(self) -> Draft:
        """The clone that was begun while the pack before was verified, or one that is made now."""
        if self._clone is None:
            self._begin_clone(generations.current(self._host).path)
        assert self._clone is not None
        number, clone = self._clone
        try:
            draft = clone.result()
        except OSError:
            generations.discard(self._host, number)
            raise
        finally:
            self._clone = None
        stage.share(self._made, draft)
        return draft

    def _install_alone(self, packs: Sequence[PackChoice]) -> Generation:
        """Without a common stage: what these packs change is asked for anew, and installed on its own."""
        now = generations.current(self._host)
        self._tell("clone", packs)
        with generations.draft(self._host, now.path, now.number) as draft:
            self._tell("install", packs)
            have = installed(draft.path)
            leaving = [pack.pack for pack in packs]
            bounds = (*constraints(have, leaving), *_solved(self._plan, packs))
            rows = wanted(self._plan, self._names(draft, packs, bounds))
            if rows is not None:
                replaced, tops = self._placed_alone(now, draft, packs, rows)
            else:
                self._uv(draft, packs, bounds)
                changed = [one for one in installed(draft.path).values() if not _was(one, have)]
                for one in changed:
                    seal(one, draft.path)
                replaced = {one.name for one in changed if one.name in have}
                tops = tops_of(changed)
            return self._finish(draft, packs, tops, replaced)

    def _names(self, draft: Draft, packs: Sequence[PackChoice], bounds: Sequence[Constraint]) -> list[str]:
        """What installing these packs alone changes."""
        changes = changes_of(
            self._host, self._registry, draft.python, packs, bounds=bounds, left_out=self._plan.left_out
        )
        return list(dict.fromkeys([*(pack.pack for pack in packs), *(c.name for c in changes if c.new)]))

    def _placed_alone(
        self, now: Generation, draft: Draft, packs: Sequence[PackChoice], rows: Sequence[Row]
    ) -> tuple[set[str], set[str]]:
        try:
            with staged(self._host, now, rows, packs) as own:
                return own.place(own.have, draft), own.tops(own.have)
        except StageRefused as refused:
            _refuse_full(refused.ran, packs, self._host)
            raise _not_installed(packs, refused.ran) from refused

    def _uv(self, draft: Draft, packs: Sequence[PackChoice], bounds: Sequence[Constraint]) -> None:
        """uv into the draft itself: for an index that tells no hashes."""
        ran = run_install(
            self._host,
            self._registry,
            draft.python,
            requirements=[pack.requirement for pack in packs],
            bounds=bounds,
            args=["--quiet"],
            left_out=self._plan.left_out,
        )
        if ran.code != 0:
            _refuse_full(ran, packs, self._host)
            raise _not_installed(packs, ran)

    def _finish(
        self, draft: Draft, packs: Sequence[PackChoice], tops: Collection[str], replaced: Collection[str]
    ) -> Generation:
        """Verify the packs while the draft's bytes go to the disk; then commit it."""
        now = generations.current(self._host)
        self._tell("verify", packs)
        settled, self._made = self._pool.submit(links.settle, draft.path), []
        records = {name: pack for name, pack in now.packs.items() if name not in self._gone}
        for pack in packs:
            types = verified(self._inspect, draft, pack, tops)
            origin = pack.wheel or "registry"
            records[pack.pack] = InstalledPack(pack.pack, pack.version, types, origin, pack.sha256)
        for other in touched(now, draft, replaced, packs):
            unbroken(self._inspect, draft, other, tops, packs)
        settled.result()
        if self._made:
            links.settle(draft.path)
        draft.parent = now.number
        told = [f"install {pack.pack} {pack.version}" for pack in packs]
        why = "; ".join([*told, *(f"remove {name}" for name in self._gone)]) or "change what packs need"
        return generations.commit(self._host, draft, why, records, settled=True)

    def _inspect(self, draft: Draft, packs: Sequence[str], changed: Collection[str]) -> Inspection:
        found = self._verifier.inspect(draft, packs, changed)
        self._made += [(draft.path, file) for file in found.byte_code]
        return found

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


def _was(one: Installed, have: Mapping[str, Installed]) -> bool:
    old = have.get(one.name)
    return old is not None and old.info.name == one.info.name


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
