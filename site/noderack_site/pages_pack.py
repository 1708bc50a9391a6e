"""A pack's files: its page, its JSON, its Atom feed and its badge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_graph import draw_graph
from noderack_site.draw_node import draw_node
from noderack_site.draw_plot import badge, draw_history
from noderack_site.feeds import pack_feed
from noderack_site.names import slug
from noderack_site.render import Page, Renderer, fingerprint, json_bytes
from noderack_site.text import install_command, safe_html, safe_markdown, safe_url

_DRAWN = 24
_PLATFORM = re.compile(r"-(any|linux|manylinux|musllinux|win|macosx)[^-]*\.whl$")
_PLATFORM_NAMES = {
    "any": "any",
    "linux": "Linux",
    "manylinux": "Linux",
    "musllinux": "Linux (musl)",
    "win": "Windows",
    "macosx": "macOS",
}


def pack_pages(renderer: Renderer) -> Iterator[Page]:
    """All files of all packs."""
    for name in renderer.shelf.packs:
        yield from _pages_of(renderer, name)


def _pages_of(renderer: Renderer, name: str) -> Iterator[Page]:
    shelf, pack = renderer.shelf, renderer.shelf.data.packs[name]
    types = pack.get("node_types") or []
    own = fingerprint(pack)
    schemas = [shelf.data.schemas.get(t) for t in types[:_DRAWN]]
    workflows = [w for w in shelf.data.workflows.values() if w.get("pack") == name]
    around = [
        pack.get("successor") in shelf.data.packs,
        [shelf.type_pages[t] for t in types],
        schemas,
        shelf.dependents.get(name, ()),
        workflows,
    ]
    base = f"packs/{name}"
    yield Page(f"{base}.html", fingerprint(own, around), lambda: _html(renderer, pack, workflows))
    yield Page(f"{base}.json", own, lambda: json_bytes(pack))
    yield Page(f"{base}.atom", fingerprint(own, shelf.data.url), lambda: pack_feed(pack, shelf.data.url))
    right = str(pack.get("latest") or f"{len(types)} node{'' if len(types) == 1 else 's'}")
    yield Page(f"{base}.svg", fingerprint(right), lambda: badge("noderack", right).encode())


def _html(renderer: Renderer, pack: Raw, workflows: list[Raw]) -> bytes:
    shelf, name = renderer.shelf, str(pack["name"])
    types, releases = pack.get("node_types") or [], pack.get("releases") or []
    drawn = [t for t in types if shelf.data.schemas.get(t)][:_DRAWN]
    files = releases[0].get("files", ()) if releases else ()
    return renderer.page(
        "pack.html",
        f"packs/{name}.html",
        title=str(pack.get("title") or name),
        description=str(pack.get("description") or ""),
        section="packs",
        json=f"packs/{name}.json",
        pack={**_EMPTY, **pack},
        publisher=slug(str(pack.get("publisher") or pack.get("author") or "unknown")),
        install=install_command(pack),
        successor_known=pack.get("successor") in shelf.data.packs,
        drawings=[(t, shelf.type_page(t), draw_node(t, shelf.data.schemas[t])) for t in drawn],
        nodes=[(t, shelf.type_page(t)) for t in types if t not in set(drawn)],
        workflows=[{**w, "drawing": draw_graph(w["graph"], str(w.get("title")))} for w in workflows],
        readme=_readme(pack),
        findings=_findings(releases[0]) if releases else (),
        releases=[_release(release) for release in releases],
        screenshots=[url for url in pack.get("screenshots") or () if safe_url(url)],
        dependents=[d for d in shelf.dependents.get(name, ()) if d in shelf.data.packs],
        tags=[slug(tag) for tag in pack.get("tags") or ()],
        links=_links(pack),
        platforms=_platforms(files),
        size=sum(int(file.get("size") or 0) for file in files),
        history=draw_history([(str(day), int(count)) for day, count in pack.get("history") or ()]),
    )


_KEYS = (
    "title description status status_reason successor latest publisher author licence updated downloads stars"
)
_MORE = "requires_python tags capabilities dependencies origin built_in node_types"
_MOST_FINDINGS = 100
_EMPTY: dict[str, Any] = dict.fromkeys(f"{_KEYS} {_MORE}".split())


def _findings(release: Raw) -> list[str]:
    """What the check found, worst first, and what the code was seen to do."""
    check = [f"{_where(one)}: {one['level']}: {one['message']}" for one in release.get("check") or ()]
    return [*check[:_MOST_FINDINGS], *(str(text) for text in release.get("findings") or ())]


def _where(one: Raw) -> str:
    return f"{one['file']}:{one['line']}" if one.get("line") else str(one["file"])


def _readme(pack: Raw) -> str:
    if pack.get("readme_html"):
        return safe_html(str(pack["readme_html"]))
    return safe_markdown(str(pack["readme"])) if pack.get("readme") else ""


def _release(release: Raw) -> dict[str, Any]:
    empty = dict.fromkeys(("yanked", "yanked_reason", "status", "uploaded", "files", "commit"))
    return {**empty, **release, "notes": safe_markdown(str(release.get("changelog") or ""))}


def _links(pack: Raw) -> list[tuple[str, str]]:
    known = [("Source", pack.get("repository")), *sorted((pack.get("urls") or {}).items())]
    links: dict[str, str] = {}
    for text, url in known:
        if safe := safe_url(url):
            links.setdefault(safe, str(text))
    return [(text, url) for url, text in links.items()]


def _platforms(files: Any) -> list[str]:
    found = (_PLATFORM.search(str(file.get("filename", ""))) for file in files)
    return sorted({_PLATFORM_NAMES[match[1]] for match in found if match})
