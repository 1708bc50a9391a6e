"""A plan as people read it: what comes, why, from where, how much; what is open and how to settle it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from noderack_cli.plan import Distribution, ModelChoice, PackChoice, Plan
from noderack_cli.plan_open import open_lines
from noderack_cli.show import count, size, some, table

_PLACE = re.compile(r"\S+:\d+: ")  # file and line of a finding


def lines(plan: Plan) -> Iterator[str]:
    """The plan, line by line."""
    if plan.packs:
        yield f"Packs ({len(plan.packs)})"
        for pack in plan.packs:
            yield from _pack(pack)
    others = _beside_packs(plan)
    if others:
        yield f"Python distributions ({len(others)})"
        yield table([_distribution(change) for change in others])
    if plan.models:
        yield f"Models ({len(plan.models)})"
        for model in plan.models:
            yield from _model(model)
    yield from (f"Note: {note}" for note in plan.notes)
    yield from open_lines(plan)
    if plan:
        yield f"To download: {_sizes(plan)}{_parts(plan)}."
        # Before uv has solved, what the packs need in turn is not known: a sum would be too small.
        known = plan.solved or not plan.packs
        yield from ([f"On disk: about {size(plan.disk)} more."] if plan.disk and known else [])


def _pack(pack: PackChoice) -> Iterator[str]:
    version = f"{pack.replaces} → {pack.version}" if pack.replaces else pack.version
    facts = ", ".join(fact for fact in (size(pack.size) if pack.size else "", pack.licence or "") if fact)
    yield f"  {pack.pack} {version}" + (f"  ({facts})" if facts else "")
    if pack.node_types:
        yield f"      for {some(pack.node_types)}"
    yield f"      because: {pack.reason}"
    if pack.alternatives:
        yield f"      also claimed by: {', '.join(pack.alternatives[:5])}"
    if pack.capabilities:
        yield f"      its code can: {', '.join(pack.capabilities)}"
    yield from (f"      careful: {risk}" for risk in _summed(pack.risks))


def _summed(risks: Sequence[str]) -> Iterator[str]:
    """Each risk; those that say the same of many places once, with the first place."""
    groups: dict[str, list[str]] = {}
    for risk in risks:
        kind, colon, place = risk.partition(": ")
        groups.setdefault(kind if colon and _PLACE.match(place) else risk, []).append(place)
    for kind, places in groups.items():
        more = f" (and in {len(places) - 1} more places)" if len(places) > 1 else ""
        yield f"{kind}: {places[0]}{more}" if kind + ": " + places[0] in risks else kind


def _beside_packs(plan: Plan) -> list[Distribution]:
    names = {pack.pack for pack in plan.packs}
    return [change for change in plan.distributions if change.name not in names]


def _distribution(change: Distribution) -> tuple[str, ...]:
    much = size(change.wheel.size) if change.wheel and change.wheel.size else ""
    much = "in the cache" if change.facts and change.facts.cached else much
    if change.old is None:
        return "+", change.name, change.new or "", much, change.licence
    if change.new is None:
        return "-", change.name, change.old
    return "~", change.name, f"{change.old} → {change.new}", much, change.licence


def _model(model: ModelChoice) -> Iterator[str]:
    manifest = model.manifest
    facts = [size(manifest.size) if manifest.size is not None else "size unknown", manifest.licence or ""]
    yield f"  {model.folder}/{model.name}  ({', '.join(fact for fact in facts if fact)})"
    if model.present:
        yield f"      linked: the same content is here as {model.present}"
        return
    hosts = [source.url if source.kind == "url" else _source(source.kind) for source in manifest.sources]
    yield f"      from {' or '.join(dict.fromkeys(hosts)) or 'nowhere'}; because: {model.reason}"
    if manifest.sha256 is None:
        yield "      careful: its hash is not known, so what comes cannot be checked"
    if manifest.gated != "none":
        yield f"      gated ({manifest.gated}): {manifest.page or 'see its page'}"
    if model.refused:
        yield f"      asked beforehand: {model.refused}"
    if manifest.unsafe_format:
        yield "      careful: this file format can hold code"


def _source(kind: str) -> str:
    return {"registry": "the registry", "hf": "Hugging Face", "civitai": "Civitai"}.get(kind, kind)


def _size_known(change: Distribution) -> bool:
    cached = change.facts is not None and change.facts.cached
    return cached or (change.wheel is not None and change.wheel.size > 0)


def _sizes(plan: Plan) -> str:
    blank = sum(1 for model in plan.models if model.manifest.size is None and not model.present)
    blank += sum(1 for change in _beside_packs(plan) if change.new and not _size_known(change))
    known = [size(plan.download)] if plan.download or not blank else []
    return " and ".join(known + ([f"{count(blank, 'file')} of unknown size"] if blank else []))


def _parts(plan: Plan) -> str:
    if not plan.model_bytes or plan.model_bytes == plan.download:
        return ""
    return f" (models {size(plan.model_bytes)}, packs and Python {size(plan.download - plan.model_bytes)})"
