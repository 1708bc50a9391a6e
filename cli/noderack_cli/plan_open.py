"""What a plan leaves open, as people read it: choices, packs to build, what nothing leads to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from noderack_cli.plan import Plan, Toss, Unknown
from noderack_cli.show import table


def open_lines(plan: Plan) -> Iterator[str]:
    """The open choices, then what was not found, alike things together."""
    for toss, others in grouped(plan.tosses):
        yield f"Choose for {toss.what} {toss.name}: {why_open(toss)}."
        yield table([(name, reason) for name, reason in toss.candidates], indent="      ")
        if others:
            yield f"      the same for: {', '.join(others)}"
        yield f"      for example: {toss.hint}"
    yield from _to_build([u for u in plan.unknown if u.pack])
    yield from _not_found([u for u in plan.unknown if not u.pack and u.what != "model"])
    yield from _models([u for u in plan.unknown if u.what == "model"])


def why_open(toss: Toss) -> str:
    """Why only the user can choose."""
    if toss.why:
        return toss.why
    if toss.what == "model":
        return "several contents have this name"
    if len(toss.candidates) == 1:
        return "only the public catalogue says so, and hardly anyone uses that pack"
    return "several have it, and none is clearly meant"


def grouped(tosses: Sequence[Toss]) -> list[tuple[Toss, list[str]]]:
    """Each open choice once, with the names of the others that one answer fits."""
    groups: dict[tuple[object, ...], list[Toss]] = {}
    for toss in tosses:
        same = (toss.why, *(name for name, _ in toss.candidates))
        key = same if toss.what == "node type" else (toss.name,)
        groups.setdefault((toss.what, key), []).append(toss)
    return [(first, [other.name for other in rest]) for first, *rest in groups.values()]


def _to_build(unknown: Sequence[Unknown]) -> Iterator[str]:
    """Packs that are known and not in the registry: each once, with its types and the command to build it."""
    for pack in dict.fromkeys(u.pack for u in unknown):
        mine = [u for u in unknown if u.pack == pack]
        yield f"Known, but not in this registry: {pack} ({mine[0].why})"
        yield f"      for {', '.join(u.name for u in mine)}"
        yield f"      {mine[0].hint}"


def _not_found(unknown: Sequence[Unknown]) -> Iterator[str]:
    """What has no pack: those of which the same is to be said together."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in unknown:
        groups.setdefault((one.what, one.why, one.hint), []).append(one.name)
    for (what, why, hint), names in groups.items():
        if len(names) == 1:
            yield f"Not found: {what} {names[0]}: {why}."
        else:
            yield f"Not found: {len(names)} {what}s, of each: {why}."
            yield f"      {', '.join(names)}"
        yield from ([f"      {hint}"] if hint else [])


def _models(unknown: Sequence[Unknown]) -> Iterator[str]:
    if not unknown:
        return
    yield f"Models that nothing leads to ({len(unknown)}): {unknown[0].why}"
    yield table([(u.name, "" if u.why == unknown[0].why else u.why) for u in unknown], indent="      ")
    folders = {u.name.partition("/")[0] for u in unknown}
    folder = folders.pop() if len(folders) == 1 and "models" not in folders else "FOLDER"
    yield f"      If you know an address: nodes models get URL --folder {folder}"
    yield f"      If you have the file: nodes models import FILE --folder {folder}"
    yield "      For everyone at your registry, its manifest: nodes models publish NAME.json"


def summary(unknown: Sequence[Unknown]) -> str:
    """How much was not found, in words: 3 node types and 1 model."""
    types = sum(u.what == "node type" for u in unknown)
    kinds = [(types, "node type"), (sum(u.what == "model" for u in unknown), "model")]
    kinds.append((len(unknown) - types - kinds[1][0], "pack"))
    named = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in kinds if n]
    few = f" ({', '.join(u.name for u in unknown)})" if len(unknown) <= 3 else ""
    return " and ".join(named) + few
