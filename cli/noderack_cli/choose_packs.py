"""Which pack for a node type. Pure: nothing is asked here.

The order of trust: what the user said, the pack that the workflow names, its repository, the only
pack that claims the type, a pack needed anyway, the registry's first choice if no toss-up, the one
pack that covers most of what is open. What is left is listed, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from noderack_registry.schema import TypeClaim

from noderack_cli.missing import MissingType
from noderack_cli.pack_names import normal, one_family, same_pack
from noderack_cli.plan import Claims, PackChoice, Toss, Unknown

Picks = dict[str, tuple[TypeClaim, str]]
CHOSEN = "you chose it"
CHOSEN_VERSION = "you chose this version"
CORE = "comfy-core"  # the host's own nodes, under the name that workflows give them


def choose_packs(
    wanted: Sequence[MissingType], claims: Claims, chosen: Mapping[str, str], installed: Mapping[str, str]
) -> tuple[tuple[PackChoice, ...], tuple[Toss, ...], tuple[Unknown, ...]]:
    """A pack for each type, or the reason why there is none. `chosen` is what the user said (--choose)."""
    picks: Picks = {}
    open_: list[MissingType] = []
    unknown: list[Unknown] = []
    rivals: list[Toss] = []
    chosen = {**_for_siblings(wanted, claims, chosen), **chosen}
    for want in wanted:
        candidates = claims.types.get(want.type, ())
        pick = _said(want, claims, chosen)
        if pick is None and (toss := _rivals(want, claims)):
            rivals.append(toss)
            continue
        pick = pick or _embedded(want, claims)
        if pick is None and not _named(want):
            pick = _only(candidates)
        if pick is not None:
            picks[want.type] = pick
        elif candidates:
            open_.append(want)
        else:
            unknown.append(_unknown_type(want, claims))
    tosses = _settle([want for want in open_ if not _named(want)], claims, picks)
    tosses += tuple(rivals)
    tosses += tuple(_contradicted(want, claims) for want in open_ if _named(want))
    tosses += _doubts(wanted, claims, picks, unknown)
    packs, unbuilt = _gather(wanted, picks, claims, installed)
    return packs, tosses, (*unknown, *unbuilt)


def _rivals(want: MissingType, claims: Claims) -> Toss | None:
    """An open choice where the workflows, or the nodes of one, name several packs for the type."""
    found: dict[str, str] = {}
    for one in _meanings(want) if want.others else ():
        pick = _embedded_in(one, claims)
        if pick is not None:
            found.setdefault(pick[0].pack, pick[1])
    if len(found) < 2:
        return None
    return Toss("node type", want.type, tuple(found.items()), "the workflows name several packs for it")


def _meanings(want: MissingType) -> list[MissingType]:
    """The type with each pack that is named for it."""
    return [want, *(replace(want, pack_id=pack, aux_id=place, version=None) for pack, place in want.others)]


def _for_siblings(wanted: Sequence[MissingType], claims: Claims, chosen: Mapping[str, str]) -> dict[str, str]:
    """What was chosen for one type counts for all that the workflow says are of the same pack."""
    meant = {_name(want): chosen[want.type] for want in wanted if want.type in chosen and _named(want)}
    found = {}
    for want in wanted:
        pack = normal(meant.get(_name(want), "").partition("@")[0])
        if pack and any(normal(claim.pack) == pack for claim in claims.types.get(want.type, ())):
            found[want.type] = meant[_name(want)]
    return found


def _said(want: MissingType, claims: Claims, chosen: Mapping[str, str]) -> tuple[TypeClaim, str] | None:
    said = chosen.get(want.type)
    if said is None:
        return None
    name, _, version = said.partition("@")
    for claim in claims.types.get(want.type, ()):
        if normal(claim.pack) == normal(name):
            return replace(claim, version=version or claim.version), CHOSEN_VERSION if version else CHOSEN
    known = claims.named.get(normal(name))
    reason = CHOSEN_VERSION if known and version else CHOSEN
    return _claim(want.type, normal(name), known and (version or known)), reason


def _embedded(want: MissingType, claims: Claims) -> tuple[TypeClaim, str] | None:
    """The pack that the workflow itself names, and its version if that is another than the one here."""
    for one in _meanings(want):
        pick = _embedded_in(one, claims)
        if pick is not None:
            claim, reason = pick
            saved = one.version if one.version and one.version != claim.version else ""
            return claim, f"{reason}, saved with {saved}" if saved else reason
    return None


def _embedded_in(want: MissingType, claims: Claims) -> tuple[TypeClaim, str] | None:
    """The pack that is named; the exact name goes before other spellings and forks."""
    candidates = claims.types.get(want.type, ())
    pack_id = want.pack_id if want.pack_id != CORE else None
    newest = claims.named.get(normal(pack_id)) if pack_id else None
    if pack_id and newest and not any(normal(c.pack) == normal(pack_id) for c in candidates):
        return _claim(want.type, normal(pack_id), newest), "the workflow names this pack"
    for ids in ((pack_id, None), (None, want.aux_id)):
        reasons = [(claim, same_pack(claim, *ids)) for claim in candidates]
        found = [(claim, reason) for claim, reason in reasons if reason]
        if found:
            return next((f for f in found if normal(f[0].pack) == normal(pack_id or "")), found[0])
    return None


def _named(want: MissingType) -> bool:
    """Whether the workflow says where the type comes from."""
    return bool(want.aux_id or (want.pack_id and want.pack_id != CORE))


def _name(want: MissingType) -> str:
    return want.pack_id or want.aux_id or ""


def _contradicted(want: MissingType, claims: Claims) -> Toss:
    """The workflow names a pack that is not among the claimants: theirs may be another node."""
    return Toss(
        "node type",
        want.type,
        _reasons(claims.types[want.type]),
        f"the workflow names {_name(want)}, which this registry does not have",
    )


def _doubts(
    wanted: Sequence[MissingType], claims: Claims, picks: Picks, unknown: Sequence[Unknown]
) -> tuple[Toss, ...]:
    """Takes back picks that rest on a catalogue's word for one type, when its family is in no pack at all.

    The pack that the author used has the whole family, so a pack with one of them may be a copy.
    """
    uses = Counter(claim.pack for claim, _ in picks.values())
    said = {want.type for want in wanted if _named(want)}
    found = []
    for type_, (claim, reason) in list(picks.items()):
        weak = claim.origin == "catalogue" and uses[claim.pack] == 1 and type_ not in said
        lost = [u.name for u in unknown if weak and one_family(u.name, type_)]
        if lost and reason not in (CHOSEN, CHOSEN_VERSION):
            del picks[type_]
            why = f"{lost[0]} seems to be of the same pack, and no pack has that"
            found.append(Toss("node type", type_, _reasons(claims.types[type_]), why))
    return tuple(found)


def _claim(type_: str, pack: str, version: str | None) -> TypeClaim:
    return TypeClaim(type_, pack, version, "declared", 1, "")


def _only(candidates: Sequence[TypeClaim]) -> tuple[TypeClaim, str] | None:
    packs = {claim.pack for claim in candidates}
    if len(packs) != 1 or candidates[0].ambiguous:
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
            lost = reason == CHOSEN and claim.repository is None
            unbuilt.append(_no_such(want, claims) if lost else _not_published(want, claim))
            continue
        old = packs.get(claim.pack)
        others = tuple(p for p, _ in _reasons(claims.types.get(want.type, ())) if p != claim.pack)
        first = old is None or (reason == CHOSEN_VERSION and old.reason != CHOSEN_VERSION)
        packs[claim.pack] = PackChoice(
            claim.pack,
            claim.version if first or old is None else old.version,
            (*(old.node_types if old else ()), want.type),
            reason if first or old is None else old.reason,
            tuple(dict.fromkeys((*(old.alternatives if old else ()), *others))),
            installed.get(claim.pack),
            places=(*(old.places if old else ()), _place(want)),
        )
    return tuple(packs.values()), tuple(unbuilt)


def _place(want: MissingType) -> str:
    """Where a type is wanted, in words: its node, and the first workflow that has it."""
    node = f"node {want.nodes[0]}" if want.nodes else ""
    file = f"of {want.workflows[0].replace(chr(92), '/').rpartition('/')[2]}" if want.workflows else ""
    where = " ".join(part for part in (node, file) if part)
    return f"{want.type} ({where})" if where else want.type


def _not_published(want: MissingType, claim: TypeClaim) -> Unknown:
    if claim.pack == CORE:
        return _newer_core(want)
    hint = f"If you know the repository of {claim.pack}: nodes install URL"
    if claim.repository:
        hint = f"nodes install {claim.repository}"
    return Unknown("node type", want.type, claim.reason, hint, claim.pack)


def _no_such(want: MissingType, claims: Claims) -> Unknown:
    """The user chose a pack that cannot be had here."""
    packs = [pack for pack, _ in _reasons(claims.types.get(want.type, ()))]
    hint = (
        f"These have it: {', '.join(packs[:5])}."
        if packs
        else "If you know its repository: nodes install URL"
    )
    return Unknown("node type", want.type, "you chose a pack that this registry does not have", hint)


def _newer_core(want: MissingType) -> Unknown:
    why = "a core node of a newer or other host than this one"
    return Unknown("node type", want.type, why, "Update Noderack, or leave the node out.")


def _unknown_type(want: MissingType, claims: Claims) -> Unknown:
    if want.pack_id == CORE:
        return _newer_core(want)
    said = [f"pack {want.pack_id}" if want.pack_id else "", f"version {want.version}" if want.version else ""]
    said += [f"repository {want.aux_id}" if want.aux_id else ""]
    told = ", ".join(s for s in said if s)
    why = f"no pack of this registry has it; the workflow says: {told}" if told else "no pack has it"
    place = want.aux_id and f"https://github.com/{want.aux_id}"
    place = place or claims.places.get(normal(want.pack_id or ""))
    if place:
        return Unknown("node type", want.type, why, f"nodes install {place}")
    near = claims.near.get(want.type, ())
    hint = f"Near names: {', '.join(near)}." if near else "If you know its repository: nodes install URL"
    return Unknown("node type", want.type, why, hint)
