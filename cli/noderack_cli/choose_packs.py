"""Which pack for a node type. Pure: nothing is asked here.

The order of trust: what the user said, the pack that the workflow names, its repository, the only
pack that claims the type, a pack needed anyway, the registry's first choice if no toss-up, the one
pack that covers most of what is open. What is left is listed, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from noderack_registry.schema import TypeClaim

from noderack_cli.missing import MissingType
from noderack_cli.plan import Claims, PackChoice, Toss, Unknown

Picks = dict[str, tuple[TypeClaim, str]]


def choose_packs(
    wanted: Sequence[MissingType], claims: Claims, chosen: Mapping[str, str], installed: Mapping[str, str]
) -> tuple[tuple[PackChoice, ...], tuple[Toss, ...], tuple[Unknown, ...]]:
    """A pack for each type, or the reason why there is none. `chosen` is what the user said (--choose)."""
    picks: Picks = {}
    open_: list[MissingType] = []
    unknown: list[Unknown] = []
    for want in wanted:
        pick = (
            _said(want, claims, chosen) or _embedded(want, claims) or _only(claims.types.get(want.type, ()))
        )
        if pick is not None:
            picks[want.type] = pick
        elif claims.types.get(want.type):
            open_.append(want)
        else:
            unknown.append(_unknown_type(want, claims))
    tosses = _settle(open_, claims, picks)
    packs, unbuilt = _gather(wanted, picks, claims, installed)
    return packs, tosses, (*unknown, *unbuilt)


def normal(name: str) -> str:
    """A distribution name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bare(name: str) -> str:
    """A name without the "comfyui" that the field puts before or behind it: two spellings of one pack."""
    words = [word for word in normal(name).split("-") if word != "comfyui"]
    return "-".join(words) or normal(name)


def _said(want: MissingType, claims: Claims, chosen: Mapping[str, str]) -> tuple[TypeClaim, str] | None:
    said = chosen.get(want.type)
    if said is None:
        return None
    name, _, version = said.partition("@")
    for claim in claims.types.get(want.type, ()):
        if normal(claim.pack) == normal(name):
            return replace(claim, version=version or claim.version), "you chose it"
    known = version or claims.named.get(normal(name))
    return (_claim(want.type, normal(name), known), "you chose it")


def _embedded(want: MissingType, claims: Claims) -> tuple[TypeClaim, str] | None:
    candidates = claims.types.get(want.type, ())
    if want.pack_id and want.pack_id != "comfy-core":
        for claim in candidates:
            if normal(claim.pack) == normal(want.pack_id):
                return claim, "the workflow names this pack"
        for claim in candidates:
            if bare(claim.pack) == bare(want.pack_id):
                return claim, f"the workflow names it {want.pack_id}"
        newest = claims.named.get(normal(want.pack_id))
        if newest and not candidates:
            return _claim(want.type, normal(want.pack_id), newest), "the workflow names this pack"
    if want.aux_id:
        for claim in candidates:
            if claim.repository and _repository(claim.repository) == _repository(want.aux_id):
                return claim, f"the workflow names its repository, {want.aux_id}"
    return None


def _claim(type_: str, pack: str, version: str | None) -> TypeClaim:
    return TypeClaim(type_, pack, version, "declared", 1, "")


def _repository(address: str) -> str:
    return "/".join(address.lower().removesuffix(".git").rstrip("/").split("/")[-2:])


def _only(candidates: Sequence[TypeClaim]) -> tuple[TypeClaim, str] | None:
    packs = {claim.pack for claim in candidates}
    if len(packs) != 1:
        return None
    return candidates[0], candidates[0].reason or "the only pack that has it"


def _settle(open_: Sequence[MissingType], claims: Claims, picks: Picks) -> tuple[Toss, ...]:
    """Types with several claimants: a pack needed anyway, a clear first, the best cover, else a toss."""
    left = [want for want in open_ if not _needed_anyway(want, claims, picks)]
    left = [want for want in left if not _clear_first(want, claims, picks)]
    left = [want for want in left if not _needed_anyway(want, claims, picks)]
    left = _cover(left, claims, picks)
    return tuple(Toss("node type", want.type, _reasons(claims.types[want.type])) for want in left)


def _needed_anyway(want: MissingType, claims: Claims, picks: Picks) -> bool:
    others = {claim.pack: type_ for type_, (claim, _) in picks.items()}
    shared = [claim for claim in claims.types[want.type] if claim.pack in others]
    if len({claim.pack for claim in shared}) == 1:
        picks[want.type] = shared[0], f"needed anyway, for {others[shared[0].pack]}"
    return want.type in picks


def _clear_first(want: MissingType, claims: Claims, picks: Picks) -> bool:
    first = claims.types[want.type][0]
    if not first.ambiguous:
        picks[want.type] = first, first.reason or "the registry's first choice"
    return want.type in picks


def _cover(open_: list[MissingType], claims: Claims, picks: Picks) -> list[MissingType]:
    """While one pack alone covers more of the open types than any other, and at least two, take it."""
    while open_:
        counts = Counter(pack for want in open_ for pack in {c.pack for c in claims.types[want.type]})
        (best, most), *rest = counts.most_common(2)
        if most < 2 or (rest and rest[0][1] == most):
            break
        for want in open_:
            for claim in claims.types[want.type]:
                if claim.pack == best:
                    picks.setdefault(want.type, (claim, f"covers {most} of the missing types"))
        open_ = [want for want in open_ if want.type not in picks]
    return open_


def _reasons(candidates: Iterable[TypeClaim]) -> tuple[tuple[str, str], ...]:
    seen: dict[str, str] = {}
    for claim in candidates:
        seen.setdefault(claim.pack, claim.reason)
    return tuple(seen.items())


def _gather(
    wanted: Sequence[MissingType],
    picks: Mapping[str, tuple[TypeClaim, str]],
    claims: Claims,
    installed: Mapping[str, str],
) -> tuple[tuple[PackChoice, ...], tuple[Unknown, ...]]:
    """One choice for each pack with all the types it is for; packs that nobody published are told apart."""
    packs: dict[str, PackChoice] = {}
    unbuilt: list[Unknown] = []
    for want in wanted:
        if want.type not in picks:
            continue
        claim, reason = picks[want.type]
        if claim.version is None:
            unbuilt.append(_not_published(want, claim))
            continue
        old = packs.get(claim.pack)
        others = tuple(p for p, _ in _reasons(claims.types.get(want.type, ())) if p != claim.pack)
        packs[claim.pack] = PackChoice(
            claim.pack,
            claim.version if old is None else old.version,
            (*(old.node_types if old else ()), want.type),
            old.reason if old else reason,
            tuple(dict.fromkeys((*(old.alternatives if old else ()), *others))),
            installed.get(claim.pack),
        )
    return tuple(packs.values()), tuple(unbuilt)


def _not_published(want: MissingType, claim: TypeClaim) -> Unknown:
    why = f"{claim.pack} has it ({claim.reason}), but no version of it is in this registry"
    hint = f"nodes install {claim.repository}" if claim.repository else f"ask the author of {claim.pack}"
    return Unknown("node type", want.type, why, hint)


def _unknown_type(want: MissingType, claims: Claims) -> Unknown:
    if want.pack_id == "comfy-core":
        why = "a core node of a newer or other host than this one"
        return Unknown("node type", want.type, why, "Update Noderack, or leave the node out.")
    said = [f"pack {want.pack_id}" if want.pack_id else "", f"version {want.version}" if want.version else ""]
    said += [f"repository {want.aux_id}" if want.aux_id else ""]
    told = ", ".join(s for s in said if s)
    why = f"no pack of this registry has it; the workflow says: {told}" if told else "no pack has it"
    near = claims.near.get(want.type, ())
    if want.aux_id:
        return Unknown("node type", want.type, why, f"nodes install https://github.com/{want.aux_id}")
    hint = f"Near names: {', '.join(near)}." if near else "If you know its repository: nodes install URL"
    return Unknown("node type", want.type, why, hint)
