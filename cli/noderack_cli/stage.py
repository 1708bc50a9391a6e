"""What a plan brings, unpacked once by uv beside the generations, for each step to take its part from.

uv fetches, checks hashes and unpacks everything in one call. Byte code is made by the import that verifies a
pack: of what is really imported, and for all later clones.
"""

# A Path object for each of tens of thousands of files would cost more than moving it.
# ruff: noqa: PTH101, PTH120
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from noderack_host.folder import Host
from packaging.utils import canonicalize_name

from noderack_cli import generations, links
from noderack_cli.errors import InstallError
from noderack_cli.generations import Draft, Generation
from noderack_cli.installed import Installed, installed, records
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.solve import run_install
from noderack_cli.steps import Journal, drop_empty
from noderack_cli.uv_tool import Ran, cache_for, uv
from noderack_cli.wheels import Wheel, is_at, pylock

NAME = ".stage"
# What an installer adds to a RECORD: not part of the wheel.
ADDED = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
Row = tuple[str, str, Sequence[Wheel]]  # name, version, wheels


@dataclass(frozen=True, slots=True)
class Stage:
    """Unpacked distributions, and for each pack those that come with it: itself and what it needs.

    Their scripts start the Python of the environment `base`.
    """

    root: Path
    base: Path
    have: Mapping[str, Installed]
    groups: Mapping[str, frozenset[str]]
    firsts: Mapping[str, set[str]]  # the first part of every path of a distribution
    owners: Mapping[str, int]  # how many distributions have files under such a first part

    def place(
        self, names: Iterable[str], draft: Draft, journal: Journal, before: Mapping[str, Installed]
    ) -> set[str]:
        """Move distributions into a draft in place of those it had `before`; returns the names replaced.

        Raises OSError, and InstallError for a wheel that leads out of the environment.
        """
        replaced = set()
        for name in sorted(names):
            new, old = self.have[name], before.get(name)
            if old is not None and _same(old, new):
                continue
            if old is not None:
                _take_out(old, draft.path, journal)
                replaced.add(name)
            self._put_in(new, draft, journal)
        return replaced

    def after(
        self, names: Iterable[str], draft: Draft, before: Mapping[str, Installed]
    ) -> dict[str, Installed]:
        """What a draft has when those were placed."""
        packages, new = links.site_packages(draft.path)[0], {name: self.have[name] for name in names}
        return {**before, **{n: replace(one, info=packages / one.info.name) for n, one in new.items()}}

    def tops(self, names: Iterable[str]) -> set[str]:
        """The first part of every path that those distributions have in site-packages."""
        return {top for name in names for top in self.firsts[name]}

    def sources(self, name: str) -> Iterator[Path]:
        """The Python files of one distribution."""
        one = self.have[name]
        yield from (one.info.parent / row for row in records(one.info) if row.endswith(".py"))

    def _put_in(self, new: Installed, draft: Draft, journal: Journal) -> None:
        """Move a distribution's files: whole folders where they are its own, else file by file."""
        packages, home = links.site_packages(draft.path)[0], new.info.parent
        rows = list(records(new.info))
        whole: set[str] = set()
        for top in self.firsts[new.name]:
            if self.owners[top] == 1 and (home / top).is_dir() and not (packages / top).exists():
                journal.bring(f"{home}{os.sep}{top}", f"{packages}{os.sep}{top}")
                whole.add(top)
        for row in rows:
            if row.partition("/")[0] not in whole:
                source, target = inside(home, row, self.root), inside(packages, row, draft.path)
                journal.bring(source, target)
                if os.path.dirname(source) == f"{self.root}{os.sep}{links.SCRIPTS}":
                    links.rewrite(Path(target), os.fsencode(self.base), os.fsencode(draft.path))


def tops_of(distributions: Iterable[Installed]) -> set[str]:
    """The first part of every path that distributions have in site-packages."""
    return {row.partition("/")[0] for one in distributions for row in records(one.info)}


@contextmanager
def staged(
    host: Host,
    registry: str | None,
    now: Generation,
    rows: Sequence[Row],
    packs: Sequence[PackChoice],
    args: Sequence[str] | None = None,
) -> Iterator[Stage]:
    """Those wheels, unpacked; gone afterwards. Raises StageRefused with what uv said.

    With `args` uv finds them all on the host's indexes.
    """
    root = host.generations / f"{NAME}.{os.getpid()}"  # uv goes on for a while when this process is killed
    generations.remove(root)
    try:
        yield _unpack(host, registry, now, rows, packs, root, args)
    finally:
        generations.remove(root)


class StageRefused(Exception):
    """uv could not bring and unpack all; `ran` says why."""

    def __init__(self, ran: Ran) -> None:
        super().__init__(ran.err)
        self.ran = ran


def _unpack(
    host: Host,
    registry: str | None,
    now: Generation,
    rows: Sequence[Row],
    packs: Sequence[PackChoice],
    root: Path,
    args: Sequence[str] | None,
) -> Stage:
    if not rows:
        return Stage(root, now.path, {}, {}, {}, {})
    root.mkdir(parents=True)
    into = ["--quiet", "--no-deps", "--prefix", str(root)]
    located = all(wheels for _, _, wheels in rows)
    if not located or (args is not None and _is_elsewhere(rows, registry)):
        lines = list(_lines(rows, packs))
        more = [*into, *(args or ())]
        ran = run_install(host, registry, now.python, requirements=lines, bounds=(), args=more)
    else:
        lock = root / "pylock.toml"
        lock.write_text(pylock(rows, registry=registry or ""), "utf-8")
        command = ["pip", "install", *into, "--no-index", "--python", str(now.python), "-r", str(lock)]
        ran = uv(command, cache_at=cache_for(host.root))
    if ran.code != 0:
        raise StageRefused(ran)
    have = installed(root)
    _seal_tree(str(root))
    firsts = {name: tops_of([one]) for name, one in have.items()}
    owners = Counter(top for tops in firsts.values() for top in tops)
    groups = _groups({**installed(now.path), **have}, have, packs)
    return Stage(root, now.path, have, groups, firsts, owners)


def _is_elsewhere(rows: Sequence[Row], registry: str | None) -> bool:
    """Whether a wheel is on another index than the registry's.

    uv keeps wheels by their index. By address alone it would download once more what it has, whoever brought
    that; and a lock cannot name the index where uv looks by itself.
    """
    wheels = (wheel for _, _, wheels in rows for wheel in wheels)
    return any("://" in wheel.url and not (registry and is_at(wheel, registry)) for wheel in wheels)


def _lines(rows: Sequence[Row], packs: Sequence[PackChoice]) -> Iterator[str]:
    """Requirements that mean exactly these wheels, where their hashes are known."""
    given = {pack.pack: pack.requirement for pack in packs}
    for name, version, wheels in rows:
        hashes = "".join(f" --hash=sha256:{wheel.sha256}" for wheel in wheels)
        local = next((wheel for wheel in wheels if "://" not in wheel.url), None)
        place = f"{name} @ {Path(local.url).as_uri()}" if local else f"{name}=={version}"
        yield given.get(name) or f"{place}{hashes}"


def wanted(plan: Plan, names: Iterable[str] | None = None) -> list[Row]:
    """All that the plan brings (or those of `names`); without wheels where it knows no place or no hash."""
    packs = {pack.pack: pack for pack in plan.packs}
    found: dict[str, Row] = {
        change.name: (change.name, change.new, change.wheels)
        for change in plan.distributions
        if change.new is not None
    }
    for name, pack in packs.items():
        found[name] = (name, pack.version, _wheels_of(pack, found.get(name, ("", "", ()))[2]))
    return [found[name] for name in (found if names is None else names) if name in found]


def _wheels_of(pack: PackChoice, known: Sequence[Wheel]) -> Sequence[Wheel]:
    """A pack's wheel: the file that was given, or what the index has, under the hash that was told."""
    if pack.wheel is not None:
        file = Path(pack.wheel)
        if not file.is_file():
            return ()
        return (Wheel(file.name, str(file), pack.sha256 or digest(file), file.stat().st_size),)
    told = tuple(wheel for wheel in known if pack.sha256 in (None, wheel.sha256))
    return told or tuple(Wheel(one.name, one.url, pack.sha256 or one.sha256, 0) for one in known)


def _seal_tree(folder: str) -> None:
    """Make files read-only: generations share them (those that uv's cache has sealed before are skipped)."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _seal_tree(entry.path)
            elif entry.is_file(follow_symlinks=False) and (mode := entry.stat().st_mode) & 0o222:
                os.chmod(entry.path, mode & ~0o222)


def inside(packages: Path, row: str, root: Path) -> str:
    """Where a RECORD row leads; raises InstallError for one that leaves the environment."""
    path = os.path.normpath(f"{packages}{os.sep}{row}")
    if not path.startswith(f"{root}{os.sep}"):
        raise InstallError(f"A wheel wants to put {row} outside the environment")
    return path


def _same(old: Installed, new: Installed) -> bool:
    """Whether two are the same bytes: their RECORDs are equal but for what the installer adds."""
    return old.info.name == new.info.name and _own_rows(old) == _own_rows(new)


def _own_rows(one: Installed) -> set[str]:
    lines = (one.info / "RECORD").read_text("utf-8").splitlines()
    return {line for line in lines if line.partition(",")[0].rpartition("/")[2] not in ADDED}


def take_out(names: Iterable[str], draft: Draft, journal: Journal, have: Mapping[str, Installed]) -> set[str]:
    """Put those of the distributions that a draft has aside; returns their names."""
    there = {name for name in names if name in have}
    for name in there:
        _take_out(have[name], draft.path, journal)
    return there


def _take_out(old: Installed, root: Path, journal: Journal) -> None:
    """Put aside what a distribution's RECORD lists; folders that are empty then are removed."""
    folders = {str(old.info)}
    for row in list(records(old.info)):
        file = inside(old.info.parent, row, root)
        journal.put_aside(file)
        folders.add(os.path.dirname(file))
    for folder in sorted(folders, key=len, reverse=True):
        drop_empty(folder, str(root))


def _groups(
    have: Mapping[str, Installed], new: Mapping[str, Installed], packs: Sequence[PackChoice]
) -> dict[str, frozenset[str]]:
    """For each pack the new distributions that it leads to; those that no pack leads to go with each."""
    reach = {pack.pack: closure(have, pack.pack) & set(new) for pack in packs}
    loose = set(new).difference(*reach.values())
    return {name: frozenset(names | loose) for name, names in reach.items()}


def closure(have: Mapping[str, Installed], name: str) -> set[str]:
    """`name` and all that it requires, extras included, as far as it is in `have`."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    while todo:
        step = todo.pop()
        if step in seen or step[0] not in have:
            continue
        seen.add(step)
        needs = have[step[0]].requires(step[1])
        todo += [(str(canonicalize_name(r.name)), frozenset(r.extras)) for r in needs]
    return {found for found, _ in seen}
