"""A pack's files: its page, its JSON, its Atom feed and its badge."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from noderack_site.data import Raw
from noderack_site.draw_graph import draw_graph
from noderack_site.draw_node import draw_node
from noderack_site.draw_plot import badge, draw_history
from noderack_site.feeds import pack_feed
from noderack_site.media import icon_of, picture_at, pictures_of, shown_release
from noderack_site.names import slug
from noderack_site.pages_workflow import display_names, widget_names
from noderack_site.render import Block, Page, Renderer, fingerprint, in_blocks, json_bytes
from noderack_site.shelf import Shelf, required_name
from noderack_site.text import install_command, safe_html, safe_markdown, safe_url

_DRAWN, _NAMED, _GRAPHS, _FOUND, _DEPENDENTS = 24, 60, 6, 40, 40
_BLOCKS = 128
_PLATFORM = re.compile(r"-(any|linux|manylinux|musllinux|win|macosx)[^-]*\.whl$")
_PLATFORM_NAMES = {
    "any": "any",
    "linux": "Linux",
    "manylinux": "Linux",
    "musllinux": "Linux (musl)",
    "win": "Windows",
    "macosx": "macOS",
}
_LEVELS = ("error", "warning", "note")
_COMMIT_HOSTS = ("https://github.com/", "https://gitlab.com/", "https://codeberg.org/")


def pack_blocks(renderer: Renderer) -> Iterator[Block]:
    """All files of all packs."""
    shelf = renderer.shelf
    for number, names in in_blocks(shelf.packs, _BLOCKS):
        around = [_around(shelf, shelf.data.packs[name]) for name in names]
        key = fingerprint([shelf.data.packs[name] for name in names], around, shelf.data.url)
        html = [f"packs/{name}.html" for name in names]
        yield Block(f"packs-{number}", key, html, partial(_pages, renderer, names))


def _pages(renderer: Renderer, names: list[str]) -> Iterator[Page]:
    for name in names:
        yield from _pages_of(renderer, name)


def _around(shelf: Shelf, pack: Raw) -> list[Any]:
    """What a pack's page shows beside the pack."""
    name, types = pack["name"], pack.get("node_types") or []
    return [
        pack.get("successor") in shelf.data.packs,
        [shelf.type_pages[t] for t in types],
        [shelf.data.schemas.get(t) for t in types[:_DRAWN]],
        shelf.dependents.get(name, ()),
        [n for n, page in _needs(shelf, pack) if page],
        [_example_key(shelf, w) for w in shelf.examples.get(name, ())[:_GRAPHS]],
        len(shelf.examples.get(name, ())),
        [asset.get("sha256") in shelf.data.assets for asset in shown_release(pack).get("assets") or ()],
    ]


def _pages_of(renderer: Renderer, name: str) -> Iterator[Page]:
    shelf, pack = renderer.shelf, renderer.shelf.data.packs[name]
    types = pack.get("node_types") or []
    own, around = fingerprint(pack), _around(shelf, pack)
    base = f"packs/{name}"
    yield Page(f"{base}.html", fingerprint(own, around), partial(_html, renderer, pack))
    yield Page(f"{base}.json", own, partial(json_bytes, pack))
    yield Page(f"{base}.atom", fingerprint(own, shelf.data.url), partial(pack_feed, pack, shelf.data.url))
    right = str(pack.get("latest") or f"{len(types)} node{'' if len(types) == 1 else 's'}")
    yield Page(f"{base}.svg", fingerprint(right), partial(_badge, right))


def _badge(right: str) -> bytes:
    return badge("noderack", right).encode()


def _drawn(node_type: str, entry: Raw) -> str:
    return draw_node(str(entry.get("display_name") or node_type), entry)


def _example_key(shelf: Shelf, name: str) -> list[Any]:
    workflow = shelf.data.workflows[name]
    return [workflow, _drawn_names(shelf, name), widget_names(shelf, workflow["graph"])]


def _drawn_names(shelf: Shelf, workflow: str) -> dict[str, str]:
    return display_names(shelf, shelf.data.workflows[workflow]["graph"])


def _html(renderer: Renderer, pack: Raw) -> bytes:
    shelf, name = renderer.shelf, str(pack["name"])
    data, types, release = shelf.data, pack.get("node_types") or [], shown_release(pack)
    drawn = [t for t in types if data.schemas.get(t)][:_DRAWN]
    rest = [(t, shelf.type_page(t)) for t in types if t not in set(drawn)]
    examples = shelf.examples.get(name, ())
    dependents = [d for d in shelf.dependents.get(name, ()) if d in data.packs]
    shots = pictures_of(data, pack, "screenshot")
    return renderer.page(
        "pack.html",
        f"packs/{name}.html",
        title=str(pack.get("title") or name),
        description=str(pack.get("description") or ""),
        section="packs",
        json=f"packs/{name}.json",
        pack={**_EMPTY, **pack, "icon_file": icon_of(data, pack)},
        publisher=slug(str(pack.get("publisher") or pack.get("author") or "unknown")),
        install=install_command(pack),
        successor_known=pack.get("successor") in data.packs,
        drawings=[(t, shelf.type_page(t), _drawn(t, data.schemas[t])) for t in drawn],
        nodes=rest[:_NAMED],
        more_nodes=rest[_NAMED:],
        workflows=[_example(shelf, w) for w in examples[:_GRAPHS]],
        more_workflows=[(w, str(data.workflows[w].get("title") or w)) for w in examples[_GRAPHS:]],
        readme=_readme(shelf, pack),
        release={**_RELEASE, **release},
        findings=_findings(release),
        releases=[_release(release) for release in pack.get("releases") or ()],
        screenshots=shots,
        links_to_screenshots=[] if shots else [u for u in pack.get("screenshots") or () if safe_url(u)],
        banner=next(iter(pictures_of(data, pack, "banner")), None),
        dependents=dependents[:_DEPENDENTS],
        more_dependents=len(dependents[_DEPENDENTS:]),
        needs=_needs(shelf, pack),
        tags=[slug(tag) for tag in pack.get("tags") or ()],
        links=_links(pack),
        commit=_commit(pack, release),
        known_by=sorted(Counter((release.get("origins") or {}).values()).items()),
        platforms=_platforms(release.get("files") or ()),
        size=sum(int(file.get("size") or 0) for file in release.get("files") or ()),
        history=draw_history([(str(day), int(count)) for day, count in pack.get("history") or ()]),
        badge_url=f"{data.url}/packs/{name}" if data.url else "",
    )


_KEYS = (
    "title description status status_reason successor latest publisher author licence updated downloads stars"
)
_MORE = "requires_python tags capabilities origin built_in node_types library created"
_EMPTY: dict[str, Any] = dict.fromkeys(f"{_KEYS} {_MORE}".split())
_RELEASE: dict[str, Any] = dict.fromkeys(
    (
        "yanked",
        "yanked_reason",
        "status",
        "uploaded",
        "files",
        "commit",
        "verification",
        "checked_by",
        "version",
    )
)


def _example(shelf: Shelf, name: str) -> dict[str, Any]:
    workflow = shelf.data.workflows[name]
    graph, title = workflow["graph"], str(workflow.get("title") or name)
    drawing = draw_graph(graph, title, _drawn_names(shelf, name), widget_names(shelf, graph))
    return {"name": name, "title": title, "drawing": drawing}


def _readme(shelf: Shelf, pack: Raw) -> str:
    def local(address: str) -> tuple[str, int, int] | None:
        found = picture_at(shelf.data, pack, address)
        return (f"../{found.path}", found.width, found.height) if found else None

    if pack.get("readme_html"):
        return safe_html(str(pack["readme_html"]), local)
    return safe_markdown(str(pack["readme"]), local) if pack.get("readme") else ""


def _release(release: Raw) -> dict[str, Any]:
    new = [str(capability) for capability in release.get("new_capabilities") or ()]
    told = {"notes": safe_markdown(str(release.get("changelog") or "")), "new_capabilities": new}
    return {**_RELEASE, **release, **told, "found": _findings(release)}


def _findings(release: Raw) -> dict[str, Any]:
    """What the check found, worst first: {"rows": […], "more": how many are not shown, "counts": […]}."""
    rows = [
        {"rule": "", "level": "note", "file": "", "line": 0, "message": "", "mend": "", **row}
        for row in _rows(release)
    ]
    rows.sort(key=lambda row: (_LEVELS.index(row["level"]) if row["level"] in _LEVELS else 9, row["rule"]))
    counts = [(level, sum(row["level"] == level for row in rows)) for level in _LEVELS]
    return {"rows": rows[:_FOUND], "more": len(rows[_FOUND:]), "counts": [pair for pair in counts if pair[1]]}


def _rows(release: Raw) -> Iterable[Raw]:
    """The check's findings, and what the code was seen to do."""
    yield from (row for row in release.get("check") or () if isinstance(row, dict))
    yield from ({"level": "seen", "message": str(found)} for found in release.get("findings") or ())


def _links(pack: Raw) -> list[tuple[str, str]]:
    known = [("Source", pack.get("repository")), *sorted((pack.get("urls") or {}).items())]
    links: dict[str, str] = {}
    for text, url in known:
        if safe := safe_url(url):
            links.setdefault(safe, str(text))
    return [(text, url) for url, text in links.items()]


def _commit(pack: Raw, release: Raw) -> tuple[str, str | None] | None:
    """The commit that a version was built from, and where it can be read, on hosts that we know."""
    commit, repository = str(release.get("commit") or ""), safe_url(pack.get("repository")) or ""
    if not commit:
        return None
    readable = repository.startswith(_COMMIT_HOSTS) and re.fullmatch(r"[0-9a-f]{7,64}", commit)
    return (
        commit,
        f"{repository.removesuffix('/').removesuffix('.git')}/commit/{commit}" if readable else None,
    )


def _needs(shelf: Shelf, pack: Raw) -> list[tuple[str, str | None]]:
    """Requirements, with the page of those that are packs."""
    rows = [(str(one), required_name(str(one))) for one in pack.get("dependencies") or ()]
    return [(text, f"packs/{name}.html" if name in shelf.data.packs else None) for text, name in rows]


def _platforms(files: Iterable[Raw]) -> list[str]:
    found = (_PLATFORM.search(str(file.get("filename", ""))) for file in files)
    return sorted({_PLATFORM_NAMES[match[1]] for match in found if match})
