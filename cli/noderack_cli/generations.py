"""Generations: complete virtualenvs under `generations/N`, one of them in use through the symlink `env`.

A generation is built in its final place (scripts and pyvenv.cfg hold that path) and exists once its record
`generation.json` is there, which is written last. A folder without a record is what a killed installer left.

Packs that were installed together are steps of one generation: each is a generation in the list, without
files of its own until somebody goes back to it. Its files are then made from those of the one that holds it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from noderack_host.folder import Host

from noderack_cli import links, steps
from noderack_cli.errors import BadInput, NotFound
from noderack_cli.installed import installed

RECORD = "generation.json"
SCHEMA = 1
# Files that are written beside their place, whoever holds the host; nobody takes so many seconds for that.
BESIDE, STALE = ("host.toml", "nodes.lock", ".models.json", ".revoked.json"), 3600.0


@dataclass(frozen=True, slots=True)
class InstalledPack:
    """A pack in a generation. `origin` is "host" (came with the environment), "registry" or a path or URL."""

    name: str
    version: str
    node_types: tuple[str, ...] = ()
    origin: str = "registry"
    sha256: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation; `made` is in seconds since 1970, `parent` the one it was cloned from.

    `distributions` are the versions of all that was installed when it was made, packs and others. `steps` are
    the generations between `parent` and this one; `held` is the path of the one that this is a step of.
    """

    number: int
    path: Path
    parent: int | None = None
    made: float = 0.0
    why: str = ""
    how: str = "links"
    packs: Mapping[str, InstalledPack] = field(default_factory=dict)
    distributions: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Generation, ...] = ()
    held: Path | None = None

    @property
    def python(self) -> Path:
        """This generation's own interpreter (not through `env`, which may move on)."""
        return self.path / links.SCRIPTS / ("python.exe" if os.name == "nt" else "python")

    def as_dict(self) -> dict[str, Any]:
        """The facts of generation.json but the steps."""
        return {
            "number": self.number,
            "parent": self.parent,
            "made": self.made,
            "why": self.why,
            "how": self.how,
            "packs": {name: asdict(pack) for name, pack in sorted(self.packs.items())},
            "distributions": dict(sorted(self.distributions.items())),
        }

    def record(self) -> str:
        """The text of generation.json."""
        data = {"schema": SCHEMA, **self.as_dict(), "steps": [step.as_dict() for step in self.steps]}
        return json.dumps(data, indent=1)


def read(path: Path) -> Generation | None:
    """The generation at `path`, None where there is no (readable) record."""
    try:
        data = json.loads((path / RECORD).read_text("utf-8"))
        between = [_read(row, path.with_name(str(row["number"])), held=path) for row in data.get("steps", ())]
        return _read(data, path, steps=tuple(between))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(data: dict[str, Any], path: Path, **more: Any) -> Generation:
    facts = (data["number"], path, data["parent"], data["made"], data["why"], data["how"])
    packs = {name: _pack(pack) for name, pack in data["packs"].items()}
    return Generation(*facts, packs, dict(data.get("distributions", {})), **more)


def _pack(data: dict[str, Any]) -> InstalledPack:
    return InstalledPack(**{**data, "node_types": tuple(data["node_types"])})


def every(host: Host) -> list[Generation]:
    """All complete generations and their steps, oldest first."""
    found: dict[int, Generation] = {}
    for generation in _whole(host):
        found |= {generation.number: generation}
        for step in generation.steps:
            found.setdefault(step.number, step)
    return [found[number] for number in sorted(found)]


def _whole(host: Host) -> list[Generation]:
    """The generations that have files, newest first: a step's own files count before its row in another."""
    if not host.generations.is_dir():
        return []
    found = [read(path) for path in host.generations.iterdir() if path.name.isdigit()]
    return sorted((g for g in found if g is not None), key=lambda g: -g.number)


def unfinished(host: Host) -> list[Path]:
    """Folders that an installer left without a record, for the next one to remove."""
    if not host.generations.is_dir():
        return []
    return sorted(p for p in host.generations.iterdir() if p.is_dir() and not (p / RECORD).is_file())


def tidy(host: Host) -> None:
    """Remove what installers left that were killed. The caller holds the host."""
    for path in unfinished(host):
        remove(path)
    for file in [*host.root.glob(".env.*"), *host.generations.glob(f"*/.{RECORD}.*")]:
        file.unlink()
    for name in BESIDE:
        for file in host.root.glob(f".{name}.[0-9]*"):
            if time.time() - file.stat().st_mtime > STALE:
                file.unlink()


def current(host: Host) -> Generation:
    """The generation in use; raises NotFound, BadInput."""
    try:
        path = host.generations / host.env.readlink().name
    except OSError as cause:
        hint = f"Finish it with: nodes init {host.root}, or: nodes rollback N --host {host.root}"
        raise NotFound(f"{host.root} has no environment in use ({host.env} is not a link)", hint) from cause
    generation = read(path)
    if generation is None:
        hint = f"Go back to a whole one with: nodes rollback --host {host.root}"
        raise BadInput(f"{host.env} leads to {path}, which is not a whole generation", hint)
    return generation


def numbered(host: Host, number: int) -> Generation:
    """Generation `number`; raises NotFound that names those there are."""
    generation = read(host.generations / str(number))
    if generation is None:
        there = every(host)
        generation = next((g for g in there if g.number == number), None)
        if generation is None:
            have = ", ".join(str(g.number) for g in there) or "none"
            raise NotFound(f"{host.root} has no generation {number}", f"There are: {have}.")
    return generation


@dataclass(slots=True)
class Draft:
    """A generation being built: `path` is its final place."""

    number: int
    path: Path
    parent: int | None
    cloned: links.Cloned

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return Generation(self.number, self.path).python


@contextmanager
def draft(host: Host, source: Path, parent: int | None) -> Iterator[Draft]:
    """A clone of `source` to build on; the folder is gone afterwards unless it was committed.

    The caller holds the host. Raises OSError when the disk is full or cannot be written.
    """
    host.generations.mkdir(parents=True, exist_ok=True)
    number = next_number(host)
    try:
        yield begin(host, source, number, parent)
    finally:
        discard(host, number)


def begin(host: Host, source: Path, number: int, parent: int | None) -> Draft:
    """Clone `source` as generation `number`, which is none before it is committed; raises OSError."""
    path = host.generations / str(number)
    cloned = links.clone(source, path, skip=_not_environment)
    links.relocate(path, source)
    return Draft(number, path, parent, cloned)


def discard(host: Host, number: int) -> None:
    """Remove what was begun as generation `number`, unless it was committed."""
    path = host.generations / str(number)
    if not (path / RECORD).is_file():
        remove(path)


def _not_environment(name: str) -> bool:
    return name == RECORD or name.startswith(".")


def next_number(host: Host) -> int:
    """One more than the highest number that a folder has."""
    taken = [int(p.name) for p in host.generations.iterdir() if p.name.isdigit()]
    return max(taken, default=0) + 1


def renumber(host: Host, made: Draft, number: int) -> Draft:
    """The draft under another number, which no folder has."""
    path = host.generations / str(number)
    made.path.rename(path)
    links.relocate(path, made.path)
    return replace(made, number=number, path=path)


def commit(
    host: Host,
    made: Draft,
    why: str,
    packs: Mapping[str, InstalledPack],
    between: Sequence[Generation] = (),
) -> Generation:
    """Put the draft's bytes on the disk, write its record, `between` being its steps, and switch to it."""
    facts = Generation(made.number, made.path, made.parent, time.time(), why, "", packs)
    generation = keep(made, facts, between)
    try:
        switch(host, generation)
    except OSError:
        if not _in_use(host, generation):  # without a record, it is taken away like one that was not finished
            (generation.path / RECORD).unlink(missing_ok=True)
        raise
    return generation


def _in_use(host: Host, generation: Generation) -> bool:
    return host.env.is_symlink() and host.env.readlink().name == str(generation.number)


def keep(made: Draft, facts: Generation, between: Sequence[Generation] = ()) -> Generation:
    """Make the draft a generation: its bytes and then its record go to the disk."""
    how = "copies" if made.cloned.refusal else "links"
    have = {name: one.version for name, one in installed(made.path).items()}
    generation = replace(facts, how=how, distributions=have, steps=tuple(between), held=None)
    uv_lock = made.path / ".lock"  # uv takes it to look, too: one that is there is not made by a dry run
    if not uv_lock.exists():
        uv_lock.touch()
    steps.forget(made.path, min((step.number for step in between), default=made.number))
    links.settle(made.path)
    try:
        links.write_settled(made.path / RECORD, generation.record())
    except OSError:  # the record may be there all the same: then nobody would take the folder away
        (made.path / RECORD).unlink(missing_ok=True)
        raise
    return generation


def whole(host: Host, generation: Generation) -> Generation:
    """The generation with its files, which are made in `host` if it is a step; raises OSError.

    The caller holds the host.
    """
    if generation.held is None:
        return generation
    number, path = generation.number, host.generations / str(generation.number)
    discard(host, number)
    try:
        made = begin(host, generation.held, number, generation.parent)
        steps.undone(made.path, generation.held, number)
        return keep(made, replace(generation, path=path))
    finally:
        discard(host, number)


def accept(host: Host) -> Generation:
    """Record the distributions of the generation in use as they are now."""
    now = current(host)
    have = {name: one.version for name, one in installed(now.path).items()}
    accepted = replace(now, distributions=have)
    links.write_settled(now.path / RECORD, accepted.record())
    return accepted


def switch(host: Host, generation: Generation) -> None:
    """Make `generation` the one in use by one rename: `env` leads to the old one or to the new one."""
    beside = host.root / f".env.{os.getpid()}"
    with suppress(FileNotFoundError):
        beside.unlink()
    beside.symlink_to(Path(host.generations.name) / str(generation.number), target_is_directory=True)
    try:
        beside.replace(host.env)
    except OSError:
        beside.unlink()
        raise
    links.settle_folder(host.root)


def rollback(host: Host, number: int | None = None) -> Generation:
    """Switch to generation `number`, or to the one that the one in use was made from; raises NotFound."""
    if number is None:
        number = _before(host)
    generation = whole(host, numbered(host, number))
    switch(host, generation)
    return generation


def _before(host: Host) -> int:
    have = [g.number for g in every(host)]
    try:
        now = current(host)
    except (NotFound, BadInput):
        if have:
            return have[-1]
        raise
    if now.parent in have and now.parent is not None:
        return now.parent
    earlier = [number for number in have if number < now.number]
    if not earlier:
        raise NotFound(f"generation {now.number} is the first: there is none to go back to")
    return earlier[-1]


def prune(host: Host, keep: int, older_than: float = 0.0, *, spare: Collection[int] = ()) -> list[int]:
    """Remove generations but the one in use and the `keep` newest others that are older than `older_than` s.

    Those in `spare` stay; what killed installers left goes too. Returns the numbers that were removed.
    """
    tidy(host)
    now = current(host).number
    others = [g for g in every(host) if g.number != now and g.number not in spare]
    doomed = others[: max(0, len(others) - keep)]
    if older_than > 0:  # else clocks do not matter
        doomed = [g for g in doomed if time.time() - g.made >= older_than]
    numbers = {g.number for g in doomed}
    for generation in _whole(host):
        if generation.number in numbers:
            numbers |= _files_gone(generation)
        elif numbers & {step.number for step in generation.steps}:
            _without_steps(generation, numbers)
    return sorted(numbers)


def _files_gone(generation: Generation) -> set[int]:
    """Remove a generation; returns its number and those of the steps that went with it."""
    (generation.path / RECORD).unlink()  # first: a kill from here on leaves an unfinished folder
    remove(generation.path)
    own = {step.number for step in generation.steps if not (step.path / RECORD).is_file()}
    return {generation.number, *own}


def _without_steps(generation: Generation, numbers: Collection[int]) -> None:
    kept = tuple(step for step in generation.steps if step.number not in numbers)
    links.write_settled(generation.path / RECORD, replace(generation, steps=kept).record())
    steps.forget(generation.path, min((step.number for step in kept), default=generation.number))


def remove(path: Path) -> None:
    """Remove a folder tree, read-only files and folders included."""
    if path.is_dir():
        shutil.rmtree(path, onerror=_make_writable)


def _make_writable(function: object, name: str, error: object) -> None:
    with suppress(OSError):
        Path(name).parent.chmod(0o755)
        Path(name).unlink()
