"""Which generation, and which pack of it, broke something: halving, on hosts made for the trial only.

A trial host is a folder under temp/ with links to the host's models and inputs and an environment of its own,
so the host itself is not touched, whatever is killed when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from noderack_host.folder import Host

from noderack_cli import generations
from noderack_cli.errors import InstallError
from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.reasons import Needs, versions
from noderack_cli.uv_tool import uv

Verdict = Literal["good", "bad", "skip"]
SHARED = ("models", "input", "user")


@dataclass(frozen=True, slots=True)
class Found:
    """`last_good` worked, `first_bad` does not; `between` could not be judged."""

    last_good: int
    first_bad: int
    between: tuple[int, ...] = ()


def halve(count: int, verdict: Callable[[int], Verdict]) -> Found | None:
    """Between which of 0 … count-1 it broke; None if none of them is good. The last is known to be bad.

    Those that cannot be judged are passed over; each is asked about once at most.
    """
    known: dict[int, Verdict] = {count - 1: "bad"}

    def asked(at: int) -> Verdict:
        if at not in known:
            known[at] = verdict(at)
        return known[at]

    good = next((at for at in range(count - 1) if asked(at) != "skip"), None)
    if good is None or known[good] == "bad":
        return None
    bad = count - 1
    while open_ := [at for at in range(good + 1, bad) if known.get(at) != "skip"]:
        middle = open_[len(open_) // 2]
        answer = asked(middle)
        good = middle if answer == "good" else good
        bad = middle if answer == "bad" else bad
    return Found(good, bad, tuple(range(good + 1, bad)))


@contextmanager
def trial_folder(host: Host) -> Iterator[Path]:
    """An empty folder for trial hosts, on the host's own disk, so that environments can be linked."""
    (host.root / "temp").mkdir(exist_ok=True)
    folder = host.root / "temp" / "bisect"
    generations.remove(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        generations.remove(folder)


def trial_host(host: Host, folder: Path, name: str) -> Host:
    """A host of the same settings without an environment yet; what it writes stays in its own folders."""
    made = Host(folder / name, host.config)
    if made.root.exists():
        generations.remove(made.root)
    made.save()
    for shared in SHARED:
        (made.root / shared).symlink_to(host.root / shared, target_is_directory=True)
    for own in ("output", "temp", "generations"):
        (made.root / own).mkdir()
    return made


def of_generation(host: Host, folder: Path, generation: Generation) -> Host:
    """A trial host that uses a generation of `host` as it is."""
    made = trial_host(host, folder, f"generation-{generation.number}")
    place = made.generations / str(generation.number)
    place.symlink_to(with_files(host, folder, generation).path, target_is_directory=True)
    made.env.symlink_to(Path("generations") / place.name, target_is_directory=True)
    return made


def with_files(host: Host, folder: Path, generation: Generation) -> Generation:
    """The generation itself, or where it is only a step of another, its files made in a trial host."""
    if generation.held is None:
        return generation
    return generations.whole(trial_host(host, folder, f"files-{generation.number}"), generation)


def without(host: Host, folder: Path, generation: Generation, names: Sequence[str]) -> Host:
    """A trial host with `generation` less `names` and what only they needed; raises InstallError."""
    made = trial_host(host, folder, "packs")
    with generations.draft(made, generation.path, None) as draft:
        gone = _with_orphans(host, generation, names)
        if gone:
            ran = uv(["pip", "uninstall", "--quiet", "--python", draft.python, *gone])
            if ran.code != 0:
                raise InstallError(f"{', '.join(names)} could not be taken out: {ran.err.strip()[:500]}")
        packs = {name: pack for name, pack in generation.packs.items() if name not in names}
        generations.commit(made, draft, "bisect", packs)
    return made


def _with_orphans(host: Host, generation: Generation, names: Sequence[str]) -> list[str]:
    needs = Needs.of(generation.path)
    base = frozenset(versions(generations.every(host)[0])) | frozenset(generation.packs)
    orphans = {orphan for name in names for orphan in needs.orphans_without(name, base)}
    return sorted({*names, *orphans} & set(needs.have))


def removable(generation: Generation, needed_types: Sequence[str]) -> list[InstalledPack]:
    """Packs that a workflow of these types can do without: no type of theirs, and nobody needs them."""
    wanted = set(needed_types)
    kept = {pack.name for pack in generation.packs.values() if wanted & set(pack.node_types)}
    needs = Needs.of(generation.path)
    grew = True
    while grew:
        more = {n for n in generation.packs if any(who in kept for who, _ in needs.needed_by(n))} - kept
        kept, grew = kept | more, bool(more)
    others = [p for p in generation.packs.values() if p.origin != "host" and not p.disabled]
    return [pack for pack in others if pack.name not in kept]


def before(host: Host, last: Generation) -> list[Generation]:
    """The generations up to `last`, oldest first."""
    return [g for g in generations.every(host) if g.number <= last.number]
