"""Which file for a model's name. Pure: nothing is asked here.

The order of trust: what the user said, the hash in the workflow, its address, the only entry of that
name (and folder). Several different contents under one name are listed, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noderack_registry.schema import ModelManifest, Source

from noderack_cli.missing import MissingModel
from noderack_cli.plan import Claims, ModelChoice, Toss, Unknown


def choose_models(
    wanted: Sequence[MissingModel], claims: Claims, chosen: Mapping[str, str]
) -> tuple[tuple[ModelChoice, ...], tuple[Toss, ...], tuple[Unknown, ...]]:
    """A manifest for each model, or the reason why there is none."""
    models: list[ModelChoice] = []
    tosses: list[Toss] = []
    unknown: list[Unknown] = []
    for want in wanted:
        found, reason = _candidates(want, claims, chosen)
        if len(found) == 1:
            folder = want.folder or found[0].folder
            models.append(ModelChoice(want.name, folder, found[0], reason))
        elif found:
            tosses.append(Toss("model", want.name, tuple(_told(m) for m in found)))
        else:
            unknown.append(_unknown_model(want, claims, chosen.get(want.name)))
    return tuple(models), tuple(tosses), tuple(unknown)


def _candidates(
    want: MissingModel, claims: Claims, chosen: Mapping[str, str]
) -> tuple[list[ModelManifest], str]:
    """The manifests that fit, narrowed by hash, address, folder; one of each content."""
    said = chosen.get(want.name)
    if said is not None:
        found = [*claims.models.get(want.name, ()), *(m for one in _apart(want) for m in _from_url(one))]
        return [m for m in found if said in _keys(m)][:1], "you chose it"
    each = [_fitting(one, claims) for one in _apart(want)]
    alike = {m.sha256 or m.sources: m for found, _ in reversed(each) for m in reversed(found)}
    return list(reversed(alike.values())), each[0][1]


def _apart(want: MissingModel) -> list[MissingModel]:
    """What each workflow means by the name, where they give several hashes or addresses."""
    return [want, *(replace(want, url=url, sha256=sha256) for url, sha256 in want.others)]


def _fitting(want: MissingModel, claims: Claims) -> tuple[list[ModelManifest], str]:
    found = list(claims.models.get(want.name, ()))
    if want.sha256:
        same = [m for m in found if m.sha256 == want.sha256]
        if same:
            return same[:1], "the workflow gives its hash"
        return _from_url(want), "the workflow gives its hash and address"
    if want.url:
        same = [m for m in found if any(_same_url(s.url, want.url) for s in m.sources)]
        more = ", which is another than the registry's of that name" if found and not same else ""
        return same[:1] or _from_url(want), f"the workflow gives its address{more}"
    in_folder = [m for m in found if want.folder in (None, m.folder, m.folder.split("/")[0])]
    distinct = {m.sha256 or m.sources: m for m in reversed(in_folder or found)}
    return list(reversed(distinct.values())), "the registry knows the name"


def _from_url(want: MissingModel) -> list[ModelManifest]:
    if not want.url:
        return []
    source = Source("url", want.url)
    return [ModelManifest(want.name, want.folder or "checkpoints", want.sha256, None, (source,))]


def _same_url(one: str, other: str) -> bool:
    def plain(url: str) -> str:
        return url.partition("?")[0].replace("/blob/", "/resolve/").rstrip("/")

    return plain(one) == plain(other)


def _told(model: ModelManifest) -> tuple[str, str]:
    where = model.sources[0].url if model.sources else "no source"
    return _keys(model)[0], f"{model.title or model.name} in {model.folder}, from {where}"


def _keys(model: ModelManifest) -> list[str]:
    """What a user may say to choose it: the beginning of its hash, the hash, an address."""
    hashes = [model.sha256[:12], model.sha256] if model.sha256 else []
    return [*hashes, *(source.url for source in model.sources)] or [model.folder]


def _unknown_model(want: MissingModel, claims: Claims, said: str | None) -> Unknown:
    why = "not in the host, not in the registry, and the workflow gives no address"
    name = f"{want.folder or 'models'}/{want.name}"
    if want.sha256 and claims.models.get(want.name):
        why = f"the workflow wants the content {want.sha256[:12]}, and the registry has another of that name"
    if said is not None:
        keys = [_keys(model)[0] for model in claims.models.get(want.name, ())]
        why = f"you chose {said}, which is none of what the registry has: {', '.join(keys) or 'nothing'}"
    return Unknown("model", name, why, f"nodes models get URL --folder {want.folder or 'FOLDER'}")
