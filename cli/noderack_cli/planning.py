"""Asks the registry what a plan needs to know, lets `choose_*` and `solving` decide. Changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from noderack_host.folder import Host
from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import ModelQuery, Resolution

from noderack_cli import generations
from noderack_cli.choose_models import choose_models
from noderack_cli.choose_packs import choose_packs
from noderack_cli.errors import BadInput
from noderack_cli.errors import NotFound as Missed
from noderack_cli.generations import Generation
from noderack_cli.keys import stored
from noderack_cli.missing import Have, Missing, MissingType, missing
from noderack_cli.model_facts import informed
from noderack_cli.model_files import Index, find_content
from noderack_cli.near import near
from noderack_cli.pack_facts import with_facts
from noderack_cli.pack_names import normal
from noderack_cli.plan import Claims, ModelChoice, Plan
from noderack_cli.saved import as_saved
from noderack_cli.show import some
from noderack_cli.solving import solved
from noderack_cli.sources import Access
from noderack_cli.trust import refreshed, refuse_killed

if TYPE_CHECKING:
    from noderack_host.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said: choices by type or model name, packs to leave out, `saved` or newest versions."""

    choose: Mapping[str, str]
    without: Collection[str] = ()
    solve: bool = True
    saved: bool = False


def what_is_missing(host: Host, generation: Generation, sources: list[str]) -> Missing:
    """What the workflows at `sources` (files or addresses) need and the host lacks; raises WorkflowError."""
    workflows = {source: _workflow(source) for source in sources}
    return missing(workflows, Have.of(host, generation))


def _workflow(source: str) -> Workflow:
    from noderack_host.workflow import WorkflowError, read_workflow

    if not source.startswith(("http://", "https://")):
        return read_workflow(Path(source))
    try:
        return read_workflow(_at(source))
    except WorkflowError as error:
        raise error.inside(source) from error


def file_address(url: str) -> str:
    """The address of the file that a page of GitHub or Hugging Face shows; else `url` itself."""
    url = re.sub(r"^(https?://github\.com/[^/]+/[^/]+)/blob/", r"\1/raw/", url)
    return re.sub(r"^(https?://huggingface\.co/(?:\w+/)?[^/]+/[^/]+)/blob/", r"\1/resolve/", url)


def _at(url: str) -> bytes:
    """The bytes at an address; raises NotFound."""
    try:
        answer = httpx.get(file_address(url), follow_redirects=True, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        raise Missed(f"The workflow at {url} cannot be had: {cause or type(cause).__name__}") from cause
    if answer.is_error:
        raise Missed(f"The workflow at {url} cannot be had: HTTP {answer.status_code} {answer.reason_phrase}")
    return answer.content


def make_plan(host: Host, client: RegistryClient, lacking: Missing, wishes: Wishes) -> Plan:
    """The whole plan; raises RegistryError, Unresolvable."""
    _check_names(lacking, wishes)
    generation = generations.current(host)
    claims = _ask(client, lacking, wishes)
    have = {pack.name: pack.version for pack in generation.packs.values()}
    packs, type_tosses, unknown_types = choose_packs(lacking.types, claims, wishes.choose, have)
    models, model_tosses, unknown_models = choose_models(lacking.models, claims, wishes.choose)
    plan = Plan(
        packs,
        models=models,
        tosses=(*type_tosses, *model_tosses),
        unknown=(*unknown_types, *unknown_models),
        generation=generation.number,
    )
    plan = without(plan, wishes.without)
    if wishes.saved:
        plan = replace(plan, packs=as_saved(client, plan.packs, lacking.types))
    plan = replace(plan, packs=with_facts(client, plan.packs), models=_present(host, models))
    with ThreadPoolExecutor(1, "noderack-models") as pool:  # models' hosts are asked while uv solves
        told = pool.submit(informed, plan.models, Access.of(os.environ, client.url, stored))
        plan = solved(host, client, plan) if wishes.solve else plan
        return _with_models(host, client, plan, told.result())


def _with_models(host: Host, client: RegistryClient, plan: Plan, models: tuple[ModelChoice, ...]) -> Plan:
    """The plan with what was found out of its models meanwhile, which may be revoked."""
    if models == plan.models:
        return plan
    plan = replace(plan, models=models)
    refuse_killed(plan, refreshed(host, client, keep=False))
    return plan


def _check_names(lacking: Missing, wishes: Wishes) -> None:
    """Raise BadInput for a choice that is for nothing that is missing: it would be lost without a word."""
    names = [*(t.type for t in lacking.types), *(m.name for m in lacking.models)]
    for name in wishes.choose:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"Did you mean {close[0]}?" if close else "See what is: nodes missing FILE"
            raise BadInput(f"--choose names {name}, which is not missing", hint)


def without(plan: Plan, names: Collection[str]) -> Plan:
    """The plan less the packs of these names; raises BadInput for one that is not in it."""
    left = {normal(name): name for name in names}
    known = {*(pack.pack for pack in plan.packs), *(u.pack for u in plan.unknown if u.pack)}
    for name in left.keys() - known:
        close = get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "See what is, without the option and with --dry-run."
        raise BadInput(f"--without names {left[name]}, which is not in the plan", hint)
    lost = {pack.pack: pack.node_types for pack in plan.packs if pack.pack in left}
    for one in plan.unknown:
        if one.pack in left:
            lost[one.pack] = (*lost.get(one.pack, ()), one.name)
    return replace(
        plan,
        packs=tuple(pack for pack in plan.packs if pack.pack not in left),
        unknown=tuple(one for one in plan.unknown if not one.pack or one.pack not in left),
        notes=(*plan.notes, *(_left_out(name, types) for name, types in lost.items())),
    )


def _left_out(pack: str, types: Sequence[str]) -> str:
    missing = f": {some(types)} will still be missing" if types else ""
    return f"{pack} is left out, as you said{missing}"


def _ask(client: RegistryClient, lacking: Missing, wishes: Wishes) -> Claims:
    """Everything that the choice needs to know, in one question and one for each pack only named."""
    queries = [ModelQuery(m.name, m.folder, m.sha256) for m in lacking.models]
    answer = client.resolve([t.type for t in lacking.types], queries)
    named, places = _named_packs(client, lacking, wishes, answer)
    unknown = [t.type for t in lacking.types if not answer.node_types.get(t.type)]
    close = {type_: tuple(near(client, type_, "node-type")) for type_ in unknown[:10]}
    return Claims(answer.node_types, answer.models, named, close, places)


def _named_packs(
    client: RegistryClient, lacking: Missing, wishes: Wishes, answer: Resolution
) -> tuple[dict[str, str], dict[str, str]]:
    """Newest versions and repositories of packs that are named and claim nothing themselves."""
    versions: dict[str, str] = {}
    places: dict[str, str] = {}
    for name in sorted({n for want in lacking.types if (n := _named_pack(want, wishes, answer))}):
        try:
            pack = client.pack(name)
        except NotFound:
            continue
        versions |= {name: pack.latest} if pack.latest else {}
        places |= {name: pack.repository} if pack.repository else {}
    return versions, places


def _named_pack(want: MissingType, wishes: Wishes, answer: Resolution) -> str | None:
    said = wishes.choose.get(want.type, "").partition("@")[0] or want.pack_id
    claimants = {normal(claim.pack) for claim in answer.node_types.get(want.type, ())}
    return normal(said) if said and said != "comfy-core" and normal(said) not in claimants else None


def _present(host: Host, models: tuple[ModelChoice, ...]) -> tuple[ModelChoice, ...]:
    """Models whose content the host has under another name or folder are linked, not downloaded."""
    index = Index.open(host)
    found = []
    for model in models:
        content = model.manifest.sha256
        path = find_content(host, index, content, model.manifest.size) if content else None
        found.append(replace(model, present=str(path)) if path else model)
    return tuple(found)
