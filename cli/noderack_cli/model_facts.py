"""What the hosts of models say before a plan is agreed to: size, hash, and whether they give the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from noderack_registry.schema import ModelManifest

from noderack_cli.errors import FetchError
from noderack_cli.plan import ModelChoice
from noderack_cli.remote import look_up
from noderack_cli.side_by_side import each
from noderack_cli.sources import Access, addresses

PATIENCE = 4.0  # seconds for all models together


def informed(models: Sequence[ModelChoice], access: Access) -> tuple[ModelChoice, ...]:
    """The choices with the sizes and hashes that their manifests lack, and with refusals told beforehand."""
    asked = [model for model in models if _lacks(model) and model.manifest.sources]
    told = dict(each(lambda model: _asked(model, access), asked, PATIENCE))
    return tuple(told.get(model, model) for model in models)


def _lacks(model: ModelChoice) -> bool:
    return model.present is None and None in (model.manifest.size, model.manifest.sha256)


def _asked(model: ModelChoice, access: Access) -> ModelChoice:
    """One question to the first source; what it cannot answer stays as it was."""
    mine, url = model.manifest, model.manifest.sources[0].url
    try:
        url = addresses(model.manifest, access)[0]
        found = look_up(url, access, name=model.name, folder=model.folder)
    except FetchError as error:
        said = error.message.replace(url, urlsplit(url).hostname or url)  # the plan has the address above
        return replace(model, refused=" ".join(part for part in (f"{said}.", error.hint) if part))
    size, sha256 = mine.size or found.size, mine.sha256 or found.sha256
    return replace(model, manifest=_with(mine, size, sha256, found))


def _with(mine: ModelManifest, size: int | None, sha256: str | None, found: ModelManifest) -> ModelManifest:
    gated = mine.gated if mine.gated != "none" else found.gated
    return replace(mine, size=size, sha256=sha256, gated=gated, page=mine.page or found.page)
