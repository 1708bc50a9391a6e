"""What happened in the registry, as people say it, with the page that it happened to."""

from __future__ import annotations

from typing import TypeAlias

from noderack_site.data import Raw, SiteData

Change: TypeAlias = tuple[str, str, str, str]
"""(time, name, address of its page or '', what happened)."""
_SAID = {
    "pack-created": "is new",
    "pack-active": "is active again",
    "pack-archived": "is archived: no new versions are expected",
    "pack-deprecated": "is deprecated",
    "pack-quarantined": "is in quarantine",
    "pack-transferred": "has a new publisher",
    "version-published": "was published",
    "version-yanked": "was yanked",
    "version-unyanked": "is back: no longer yanked",
    "version-active": "is active again",
    "version-quarantined": "is in quarantine",
    "revoked": "was revoked",
    "published": "was published",
    "yanked": "was yanked",
}


def changes_of(data: SiteData) -> list[Change]:
    """The changes that the data tells of, newest first; those of unknown things are left out.

    That a pack is new is not told beside its first version.
    """
    models = {str(model["sha256"]): page for page, model in data.models.items() if model.get("sha256")}
    published = {change.get("name") for change in data.changes if change.get("kind") == "version-published"}
    news = (c for c in data.changes if c.get("kind") != "pack-created" or c.get("name") not in published)
    told = (_change(data, change, models) for change in news)
    return [change for change in told if change]


def _change(data: SiteData, change: Raw, models: dict[str, str]) -> Change | None:
    name, kind, time = (str(change.get(key) or "") for key in ("name", "kind", "time"))
    if name in models:
        model = data.models[models[name]]
        return time, str(model.get("title") or model["name"]), f"models/{models[name]}.html", "was published"
    if name not in data.packs and not kind.startswith(("pack-", "version-", "revoked")):
        return None
    version = f"{change['version']} " if change.get("version") else ""
    shown = str(data.packs.get(name, {}).get("title") or name)
    address = f"packs/{name}.html" if name in data.packs else ""
    return time, shown, address, version + _SAID.get(kind, kind.replace("-", " "))
