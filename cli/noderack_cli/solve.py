"""Asks uv what would change in a generation, under the host's constraints, before anything does."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from noderack_host.folder import Host
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from noderack_cli.errors import IndexFault, InstallError, NoSpace, Unresolvable
from noderack_cli.generations import Generation
from noderack_cli.installed import (
    Constraint,
    Installed,
    constraints,
    installed,
    torch_args,
    torch_backend,
)
from noderack_cli.own_wheels import own_args, own_bounds
from noderack_cli.plan import Distribution, PackChoice
from noderack_cli.uv_said import FULL, sentence
from noderack_cli.uv_tool import Ran, cache_for, index_args, uv

# Distributions that put the same files in place: at most one of each group may be installed.
OVERLAPS: tuple[tuple[str, ...], ...] = (
    ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm"),
    ("pillow", "pillow-simd"),
    ("faiss-cpu", "faiss-gpu"),
)
DRY = ("--dry-run", "--output-format", "json")


@dataclass(frozen=True, slots=True)
class Solution:
    """What uv would change. `left_out` are overlapping distributions that another one stands in for.

    `args` are the options without which uv would not find all of them.
    """

    changes: tuple[Distribution, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


def solve(
    host: Host,
    registry: str | None,
    generation: Generation,
    packs: Sequence[PackChoice],
    guessed: Sequence[Distribution] = (),
) -> Solution:
    """The changes that installing `packs` (and keeping those that are there) makes; raises Unresolvable.

    What was `guessed` for the packs' names counts if it has the very versions that were chosen.
    """
    have = installed(generation.path)
    ask = partial(_dry_run, host, registry, generation, packs, have)
    first = tuple(guessed) if _holds(guessed, packs) else ask(left_out=(), args=())
    doubles = overlapping(have, first)
    args = torch_args(have, _of_another_build(have, first))
    if not doubles and not args:
        return Solution(first)
    again = ask(left_out=[d for d, _ in doubles], args=args)
    notes = tuple(f"{out} is left out: {stays} brings the same files" for out, stays in doubles)
    return Solution(again, tuple(out for out, _ in doubles), notes, tuple(args))


def _holds(guessed: Sequence[Distribution], packs: Sequence[PackChoice]) -> bool:
    took = {change.name: change.new for change in guessed}
    return all(pack.wheel is None and took.get(pack.pack) == pack.version for pack in packs)


def _of_another_build(have: Mapping[str, Installed], changes: Sequence[Distribution]) -> set[str]:
    """What comes from an index that does not label its builds as the torch which is there is labelled."""
    label = f"+{torch_backend(have)}"
    return {change.name for change in changes if change.new and not change.new.endswith(label)}


def bounds_of(have: Mapping[str, Installed], leaving: Sequence[str]) -> tuple[Constraint, ...]:
    """What uv must obey when distributions of these names come in or leave."""
    return (*constraints(have, leaving=leaving), *own_bounds(list(leaving)))


def solvable(
    host: Host,
    registry: str | None,
    generation: Generation,
    packs: Sequence[PackChoice],
    have: Mapping[str, Installed],
    *,
    gone: str = "",
    newer: bool = False,
) -> bool:
    """Whether `packs` can be installed; with the installed pack `gone` out, or with a `newer` core."""
    if gone:
        left = {name: pack for name, pack in generation.packs.items() if name != gone}
        generation = replace(generation, packs=left)
    leaving = [gone, *(pack.pack for pack in packs)]
    bounds = bounds_of(have, leaving)
    if newer:
        bounds = tuple(replace(b, specifier=re.sub(r"^==(?!.*\*)", ">=", b.specifier)) for b in bounds)
    ran = run_install(
        host,
        registry,
        generation.python,
        requirements=[*(pack.requirement for pack in packs), *kept_packs(generation, packs)],
        bounds=bounds,
        args=DRY,
    )
    return ran.code == 0


def overlapping(have: Mapping[str, Installed], changes: Sequence[Distribution]) -> list[tuple[str, str]]:
    """(what to leave out, what stands in for it) for each group of which more than one would be installed."""
    coming = {change.name for change in changes if change.new is not None}
    found = []
    for group in OVERLAPS:
        inside = [name for name in group if name in have]
        new = [name for name in group if name in coming and name not in have]
        stays = (inside or new)[:1]
        found += [(name, stays[0]) for name in new if name not in stays]
    return found


def _dry_run(
    host: Host,
    registry: str | None,
    generation: Generation,
    packs: Sequence[PackChoice],
    have: Mapping[str, Installed],
    *,
    left_out: Sequence[str],
    args: Sequence[str],
) -> tuple[Distribution, ...]:
    """What uv keeps of the registry may be older than a pack that it told of: then it is asked anew."""

    ask = partial(
        changes_of,
        host,
        registry,
        generation.python,
        packs,
        kept=kept_packs(generation, packs),
        bounds=bounds_of(have, [pack.pack for pack in packs]),
        left_out=left_out,
    )
    try:
        return ask(args=args)
    except Unresolvable:
        return ask(args=[*args, *_refresh(packs)])


def changes_of(
    host: Host,
    registry: str | None,
    python: Path,
    packs: Sequence[PackChoice],
    *,
    kept: Sequence[str] = (),
    bounds: Sequence[Constraint],
    left_out: Sequence[str],
    args: Sequence[str] = (),
) -> tuple[Distribution, ...]:
    """What installing `packs` beside the requirements `kept` would change; raises Unresolvable."""
    ran = run_install(
        host,
        registry,
        python,
        requirements=[*(pack.requirement for pack in packs), *kept],
        bounds=bounds,
        args=[*DRY, *args],
        left_out=left_out,
    )
    if ran.code != 0:
        refuse_broken_index(ran)
        hint = f"See what there is of {packs[0].pack}: nodes show {packs[0].pack}" if packs else ""
        raise Unresolvable(explain(ran.err, packs, bounds), hint)
    return changes_told(json.loads(ran.out))


def refuse_broken_index(ran: Ran) -> None:
    """Raise IndexFault where uv did not find that there is no solution, but could not ask."""
    if "No solution found" in ran.err:
        return
    told, _ = sentence(ran.err)
    if FULL.search(told):
        hint = "Nothing was changed. Free some space, or name a folder that can be written in UV_CACHE_DIR."
        raise NoSpace(f"uv cannot write what it looks up: {told}", hint)
    hint = "Try again later; nothing was changed. An index is named by python_index in host.toml."
    raise IndexFault(f"What is on the index cannot be read: {told}", hint)


def _refresh(packs: Sequence[PackChoice]) -> list[str]:
    return [word for pack in packs for word in ("--refresh-package", pack.pack)]


def kept_packs(generation: Generation, packs: Sequence[PackChoice]) -> list[str]:
    """The packs that are there stay as they are, so the solution must suit them too."""
    new = {pack.pack for pack in packs}
    return [
        f"{pack.name}=={pack.version}"
        for pack in generation.packs.values()
        if pack.origin == "registry" and pack.name not in new and not pack.disabled
    ]


def run_install(
    host: Host,
    registry: str | None,
    python: Path,
    *,
    requirements: Sequence[str],
    bounds: Sequence[Constraint],
    args: Sequence[str],
    left_out: Sequence[str] = (),
) -> Ran:
    """`uv pip install` of `requirements` into `python` under `bounds`. Wheels only: nothing is built."""
    with tempfile.TemporaryDirectory(prefix="noderack-") as folder:
        files = {
            "-r": Path(folder, "requirements.txt"),
            "-c": Path(folder, "constraints.txt"),
            "--excludes": Path(folder, "excludes.txt"),
        }
        files["-r"].write_text("\n".join(requirements) + "\n", "utf-8")
        files["-c"].write_text("\n".join(bound.line for bound in bounds) + "\n", "utf-8")
        files["--excludes"].write_text("\n".join(left_out) + "\n", "utf-8")
        if not left_out:
            del files["--excludes"]
        command: list[str | Path] = ["pip", "install", "--python", python, "--no-build", *args]
        command += [*index_args(registry, host.config.python_index), *own_args()]
        for option, file in files.items():
            command += [option, file]
        return uv(command, cache_at=cache_for(host.root))


def changes_told(said: Mapping[str, object]) -> tuple[Distribution, ...]:
    """The changes in uv's answer to DRY; raises InstallError."""
    versions: dict[str, dict[str, str]] = {}
    listed = said["changes"]
    if not isinstance(listed, list):
        raise InstallError("uv's answer has no list of changes")
    for change in listed:
        name = canonicalize_name(change["name"])
        versions.setdefault(name, {})[change["action"]] = change["version"]
    return tuple(
        Distribution(name, v.get("uninstalled"), v.get("installed")) for name, v in sorted(versions.items())
    )


def explain(said: str, packs: Sequence[PackChoice], bounds: Sequence[Constraint]) -> str:
    """The chain from a node type down to the two requirements that disagree, in words."""
    direct = [line for pack in packs for line in _direct(pack, bounds)]
    if direct:
        return "\n  ".join(["The packs cannot be installed together with what is here:", *direct])
    chain = [_chain_head(pack) for pack in packs if re.search(rf"\b{re.escape(pack.pack)}\b", said)]
    reasons = [b.because for b in bounds if re.search(rf"\b{re.escape(b.line)}(?![\w.])", said)]
    lines = [*chain, *dict.fromkeys(reasons), *_cause(said)]
    return "\n  ".join(["The packs cannot be installed together with what is here:", *lines])


def _chain_head(pack: PackChoice) -> str:
    places = pack.places or pack.node_types
    types = ", ".join(places[:3]) + (" …" if len(places) > 3 else "")
    return f"{types or 'you'} → {pack.pack} {pack.version}"


def _direct(pack: PackChoice, bounds: Sequence[Constraint]) -> list[str]:
    pins = {b.name: b for b in bounds if b.specifier.startswith("==") and not b.specifier.endswith("*")}
    lines = []
    for text in pack.dependencies:
        try:
            needs = Requirement(text)
        except InvalidRequirement:
            continue
        pin = pins.get(canonicalize_name(needs.name))
        if pin and (needs.marker is None or needs.marker.evaluate()):
            version = pin.specifier.removeprefix("==")
            if not needs.specifier.contains(version, prereleases=True):
                lines.append(f"{_chain_head(pack)} → needs {needs.name}{needs.specifier}; {pin.because}")
    return lines


def _cause(said: str) -> list[str]:
    lines = [line.strip().removeprefix("cause: ") for line in said.splitlines()]
    return [line for line in lines if line and not line.startswith(("Using Python", "error:", "Resolved"))]
