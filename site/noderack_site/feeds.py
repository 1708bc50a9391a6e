"""Feeds and the sitemap. Times come from the data: equal data gives equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape

from noderack_site.data import Raw, SiteData
from noderack_site.text import first_line

_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
_EPOCH = "1970-01-01T00:00:00Z"
_MAX_URLS = 45_000


def pack_feed(pack: Raw, url: str) -> bytes:
    """Atom: one entry a version."""
    name, page = str(pack["name"]), f"{url}/packs/{pack['name']}.html"
    entries = [
        (
            f"{name} {release['version']}",
            f"{page}#{release['version']}",
            instant(release.get("uploaded")),
            str(release.get("changelog") or release.get("summary") or ""),
        )
        for release in pack.get("releases") or ()
    ]
    return _atom(f"{pack.get('title') or name}: versions", page, instant(pack.get("updated")), entries)


def changes_feed(data: SiteData) -> bytes:
    """Atom: the newest changes of the whole registry."""
    return _atom(f"{data.name}: what changed", f"{data.url}/", instant(data.exported), _changes(data))


def changes_rss(data: SiteData) -> bytes:
    """The same as RSS 2.0."""
    items = "".join(
        f"<item><title>{escape(title)}</title><link>{escape(link)}</link>"
        f'<guid isPermaLink="false">{escape(link)}</guid></item>\n'
        for title, link, _time, _text in _changes(data)
    )
    about = f"<title>{escape(data.name)}: what changed</title><link>{escape(data.url)}/</link>"
    channel = f"{about}<description>Packs, versions and models as they appear</description>\n{items}"
    return f'{_HEAD}<rss version="2.0"><channel>{channel}</channel></rss>\n'.encode()


def sitemaps(paths: Sequence[str], url: str) -> list[tuple[str, Callable[[], bytes]]]:
    """What makes sitemap.xml, or an index and several when there are more addresses than one may hold."""
    parts = [paths[at : at + _MAX_URLS] for at in range(0, len(paths), _MAX_URLS)] or [[]]
    if len(parts) == 1:
        return [("sitemap.xml", partial(_addresses, url, paths))]
    named = [(f"sitemap-{n}.xml", part) for n, part in enumerate(parts, 1)]
    index = partial(_sitemap, "sitemapindex", "sitemap", [f"{url}/{name}" for name, _ in named])
    return [("sitemap.xml", index), *((name, partial(_addresses, url, part)) for name, part in named)]


def instant(text: object) -> str:
    """A time as Atom wants it; a bare day is its midnight."""
    value = str(text or "")
    if len(value) >= 19:
        return value.replace(" ", "T")[:19] + "Z"
    return f"{value}T00:00:00Z" if len(value) == 10 else _EPOCH


def _changes(data: SiteData) -> list[tuple[str, str, str, str]]:
    if not data.changes:
        newest = sorted(data.packs.values(), key=lambda p: (str(p.get("updated") or ""), str(p["name"])))[
            -50:
        ]
        return [
            (
                str(pack.get("title") or pack["name"]),
                f"{data.url}/packs/{pack['name']}.html",
                instant(pack.get("updated")),
                first_line(pack.get("description")),
            )
            for pack in reversed(newest)
        ]
    return [
        (
            f"{change['name']} {change.get('version') or ''}: {change['kind']}".replace(" :", ":"),
            f"{data.url}/packs/{change['name']}.html#{change.get('serial', '')}",
            instant(change.get("time")),
            "",
        )
        for change in list(data.changes)[:50]
    ]


def _atom(title: str, link: str, updated: str, entries: Iterable[tuple[str, str, str, str]]) -> bytes:
    body = "".join(
        f"<entry><title>{escape(name)}</title><link href={_quoted(where)}/><id>{escape(where)}</id>"
        f"<updated>{time}</updated><summary>{escape(text)}</summary></entry>\n"
        for name, where, time, text in entries
    )
    return (
        f'{_HEAD}<feed xmlns="http://www.w3.org/2005/Atom"><title>{escape(title)}</title>'
        f"<link href={_quoted(link)}/><id>{escape(link)}</id><updated>{updated}</updated>"
        f"<author><name>Noderack</name></author>\n{body}</feed>\n"
    ).encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return f'"{escape(text)}"'


def _addresses(url: str, paths: Sequence[str]) -> bytes:
    return _sitemap("urlset", "url", (f"{url}/{path}" for path in paths))


def _sitemap(root: str, item: str, addresses: Iterable[str]) -> bytes:
    body = "".join(f"<{item}><loc>{escape(address)}</loc></{item}>\n" for address in addresses)
    return f'{_HEAD}<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{body}</{root}>\n'.encode()
