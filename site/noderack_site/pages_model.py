"""Model files: a page and a JSON each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from noderack_site.names import slug
from noderack_site.pages_workflow import workflow_titles
from noderack_site.render import Page, Renderer, fingerprint, json_bytes
from noderack_site.text import command

_GATES = {
    "login": "Downloading it needs an account with its source: set that source's token for your host.",
    "accept": "Its terms must be accepted on its page before it can be downloaded.",
    "early-access": "It is in early access: only some accounts can download it.",
}


_KEYS = "title description base kind size licence licence_url page sha256 trigger_words unsafe_format sources"


def model_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all models."""
    shelf = renderer.shelf
    for name, model in shelf.data.models.items():
        own = fingerprint(model)
        users = workflow_titles(shelf, shelf.model_users.get(name, ()))
        packs = [(p, str(shelf.data.packs[p].get("title") or p)) for p in shelf.model_packs.get(name, ())]
        path = f"models/{name}"
        yield Page(
            f"{path}.html", fingerprint(own, users, packs), partial(_html, renderer, name, users, packs)
        )
        yield Page(f"{path}.json", own, partial(json_bytes, model))


def _html(renderer: Renderer, name: str, users: list[tuple[str, str]], packs: list[tuple[str, str]]) -> bytes:
    model = renderer.shelf.data.models[name]
    return renderer.page(
        "model.html",
        f"models/{name}.html",
        title=str(model.get("title") or model["name"]),
        description=str(model.get("description") or f"The model file {model['name']}."),
        section="models",
        json=f"models/{name}.json",
        model={"aliases": (), "tags": (), **dict.fromkeys(_KEYS.split()), **model},
        family=slug(str(model.get("base") or "other")),
        get=command("nodes", "models", "get", model["name"]),
        gate=_GATES.get(str(model.get("gated") or "none"), ""),
        workflows=users,
        packs=packs,
    )
