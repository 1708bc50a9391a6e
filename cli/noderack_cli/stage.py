"""What a plan brings, unpacked once by uv beside the generations, for each draft to link its part from.

uv fetches, checks hashes, unpacks and compiles everything in one call; a draft links what its pack needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from noderack_host.folder import Host
from packaging.utils import canonicalize_name

from noderack_cli import generations, links
from noderack_cli.errors import InstallError
from noderack_cli.generations import Draft, Generation
from noderack_cli.installed import Installed, installed, records
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.uv_tool import Ran, cache_for, uv
from noderack_cli.wheels import Wheel, pylock

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

    def place(self, names: Iterable[str], draft: Draft) -> set[str]:
        """Put distributions into a draft in place of their other versions; returns the names replaced.

        Raises OSError, and InstallError for a wheel that leads out of the environment.
        """
        before = installed(draft.path)
        replaced = set()
        for name in sorted(names):
            new, old = self.have[name], before.get(name)
            if old is not None and _same(old, new):
                continue
            replaced |= take_out([name], draft)
            self._put_in(new, draft)
        return replaced

    def tops(self, names: Iterable[str]) -> set[str]:
        """The first part of every path that those distributions have in site-packages."""
        return tops_of(self.have[name] for name in names)

    def sources(self, name: str) -> Iterator[Path]:
        """The Python files of one distribution."""
        one = self.have[name]
        yield from (one.info.parent / row for row in records(one.info) if row.endswith(".py"))

    def _put_in(self, new: Installed, draft: Draft) -> None:
        packages, home = links.site_packages(draft.path)[0], new.info.parent
        compiled = ByteCode()
        for row in records(new.info):
            source, target = inside(home, row, self.root), inside(packages, row, draft.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target, draft)
            for file in compiled.of(source):
                (target.parent / file.parent.name).mkdir(exist_ok=True)
                _link(file, target.parent / file.parent.name / file.name, draft)
            if source.parent == self.root / links.SCRIPTS:
                links.rewrite(target, os.fsencode(self.base), os.fsencode(draft.path))


def tops_of(distributions: Iterable[Installed]) -> set[str]:
    """The first part of every path that distributions have in site-packages."""
    return {row.partition("/")[0] for one in distributions for row in records(one.info)}


@contextmanager
def staged(host: Host, now: Generation, rows: Sequence[Row], packs: Sequence[PackChoice]) -> Iterator[Stage]:
    """Those wheels, unpacked; gone afterwards. Raises StageRefused with what uv said."""
    root = host.generations / NAME
    generations.remove(root)
    try:
        yield _unpack(host, now, rows, packs, root)
    finally:
        generations.remove(root)


class StageRefused(Exception):
    """uv could not bring and unpack all; `ran` says why."""

    def __init__(self, ran: Ran) -> None:
        super().__init__(ran.err)
        self.ran = ran


def _unpack(
    host: Host, now: Generation, rows: Sequence[Row], packs: Sequence[PackChoice], root: Path
) -> Stage:
    if not rows:
        return Stage(root, now.path, {}, {})
    root.mkdir(parents=True)
    lock = root / "pylock.toml"
    lock.write_text(pylock(rows), "utf-8")
    command = ["pip", "install", "--quiet", "--no-index", "--compile-bytecode", "--python", str(now.python)]
    ran = uv([*command, "--prefix", str(root), "-r", str(lock)], cache_at=cache_for(host.root))
    if ran.code != 0:
        raise StageRefused(ran)
    have = installed(root)
    for one in have.values():
        seal(one, root)
    return Stage(root, now.path, have, _groups({**installed(now.path), **have}, have, packs))


def wanted(plan: Plan, names: Iterable[str] | None = None) -> list[Row] | None:
    """All that the plan brings (or those of `names`); None where it does not know a place or a hash."""
    packs = {pack.pack: pack for pack in plan.packs}
    found: dict[str, Row] = {
        change.name: (change.name, change.new, change.wheels)
        for change in plan.distributions
        if change.new is not None
    }
    for name, pack in packs.items():
        found[name] = (name, pack.version, _wheels_of(pack, found.get(name, ("", "", ()))[2]))
    rows = [found[name] for name in (found if names is None else names) if name in found]
    return rows if all(wheels for _, _, wheels in rows) else None


def _wheels_of(pack: PackChoice, known: Sequence[Wheel]) -> Sequence[Wheel]:
    """A pack's wheel: the file that was given, or what the index has, under the hash that was told."""
    if pack.wheel is not None:
        file = Path(pack.wheel)
        if not file.is_file():
            return ()
        return (Wheel(file.name, str(file), pack.sha256 or digest(file), file.stat().st_size),)
    told = tuple(wheel for wheel in known if pack.sha256 in (None, wheel.sha256))
    return told or tuple(Wheel(one.name, one.url, pack.sha256 or one.sha256, 0) for one in known)


def seal(one: Installed, root: Path) -> None:
    """Make a distribution's files read-only: generations share them."""
    compiled = ByteCode()
    for row in records(one.info):
        with suppress(OSError, InstallError):
            file = inside(one.info.parent, row, root)
            for each in (file, *compiled.of(file)):
                if not each.is_symlink():
                    each.chmod(each.stat().st_mode & ~0o222)


def inside(packages: Path, row: str, root: Path) -> Path:
    """Where a RECORD row leads; raises InstallError for one that leaves the environment."""
    path = os.path.normpath(packages / row)
    if not path.startswith(str(root) + os.sep):
        raise InstallError(f"A wheel wants to put {row} outside the environment")
    return Path(path)


class ByteCode:
    """Finds the byte code of sources; each folder is listed once."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, list[Path]]] = {}

    def of(self, source: Path) -> list[Path]:
        """The .pyc files beside a .py file; none for other files."""
        if source.suffix != ".py":
            return []
        if source.parent not in self._known:
            self._known[source.parent] = _by_stem(source.parent / "__pycache__")
        return self._known[source.parent].get(source.stem, [])


def _by_stem(cache: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    with suppress(OSError):
        for file in cache.iterdir():
            found.setdefault(file.name.partition(".")[0], []).append(file)
    return found


def _same(old: Installed, new: Installed) -> bool:
    """Whether two are the same bytes: their RECORDs are equal but for what the installer adds."""
    return old.info.name == new.info.name and _own_rows(old) == _own_rows(new)


def _own_rows(one: Installed) -> set[str]:
    lines = (one.info / "RECORD").read_text("utf-8").splitlines()
    return {line for line in lines if line.partition(",")[0].rpartition("/")[2] not in ADDED}


def take_out(names: Iterable[str], draft: Draft) -> set[str]:
    """Remove distributions from a draft; returns those that were there."""
    have = installed(draft.path)
    there = {name for name in names if name in have}
    for name in there:
        _take_out(have[name], draft.path)
    return there


def _take_out(old: Installed, root: Path) -> None:
    """Remove what a distribution's RECORD lists, and the folders that are empty then."""
    folders, compiled = {old.info}, ByteCode()
    for row in records(old.info):
        file = inside(old.info.parent, row, root)
        for each in (file, *compiled.of(file)):
            with suppress(FileNotFoundError):
                each.unlink()
            folders |= {each.parent, file.parent, *(up for up in file.parents if root in up.parents)}
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        with suppress(OSError):
            folder.rmdir()


def _link(source: Path, target: Path, draft: Draft) -> None:
    with suppress(FileNotFoundError):  # two distributions with one file: the later stays, as with pip and uv
        target.unlink()
    links.link_or_copy(str(source), str(target), draft.cloned)


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
