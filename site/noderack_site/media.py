"""Pictures that packs show: copies under names made of their content, so that no page asks another site.

Which copies there are is told by `SiteData.assets`, {sha256: file}. A record without a copy stays a link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from noderack_site.data import Raw, SiteData

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
_SERVED = re.compile(r"/assets/([0-9a-f]{64})/")
_WIDEST = 8192


@dataclass(frozen=True, slots=True)
class Picture:
    """A copy in the site: its address below the root, and its size in pixels."""

    path: str
    width: int
    height: int


def shown_release(pack: Raw) -> Raw:
    """The version that a pack's page is about: its latest, else its newest, else nothing."""
    releases = pack.get("releases") or ()
    named = (release for release in releases if release.get("version") == pack.get("latest"))
    return next(named, releases[0] if releases else {})


def picture(data: SiteData, asset: Raw) -> Picture | None:
    """Where the copy of an asset lies; None for what is no picture, has no size, or has no copy."""
    ending = _ENDINGS.get(str(asset.get("media")))
    width, height = asset.get("width"), asset.get("height")
    if ending is None or str(asset.get("sha256")) not in data.assets:
        return None
    if not (isinstance(width, int) and isinstance(height, int) and min(width, height) > 0):
        return None
    if max(width, height) > _WIDEST:
        return None
    return Picture(f"media/{str(asset['sha256'])[:32]}.{ending}", width, height)


def pictures_of(data: SiteData, pack: Raw, kind: str) -> list[Picture]:
    """The pictures of one kind that the shown version of a pack has."""
    found = (
        picture(data, asset) for asset in shown_release(pack).get("assets") or () if asset.get("kind") == kind
    )
    return [one for one in found if one]


def icon_of(data: SiteData, pack: Raw) -> str | None:
    """The address of a pack's icon below the site's root, if there is a copy of it."""
    return next((one.path for one in pictures_of(data, pack, "icon")), None)


def thumbnail_of(data: SiteData, workflow: Raw) -> Picture | None:
    """The picture that a pack lays beside an example workflow, under the workflow's name."""
    stem = str(workflow.get("place") or "").rpartition(".")[0]
    assets: Iterable[Raw] = shown_release(data.packs.get(str(workflow.get("pack")), {})).get("assets") or ()
    beside = (a for a in assets if a.get("kind") == "thumbnail")
    named = (a for a in beside if stem and str(a.get("place")).rpartition(".")[0] == stem)
    return next((picture(data, asset) for asset in named), None)


def picture_at(data: SiteData, pack: Raw, address: str) -> Picture | None:
    """The copy of what a registry serves at this address, if the shown version has it."""
    served = _SERVED.search(address)
    assets: Iterable[Raw] = shown_release(pack).get("assets") or ()
    return next((picture(data, a) for a in assets if served and a.get("sha256") == served[1]), None)


def media_files(data: SiteData) -> Iterator[tuple[str, bytes, Callable[[], bytes]]]:
    """Each copy once: its address, its fingerprint, and what reads it."""
    done: set[str] = set()
    for pack in data.packs.values():
        for asset in shown_release(pack).get("assets") or ():
            copy = picture(data, asset)
            if copy and copy.path not in done:
                done.add(copy.path)
                file = data.assets[asset["sha256"]]
                yield copy.path, bytes.fromhex(asset["sha256"])[:12], file.read_bytes
