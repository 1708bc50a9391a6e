"""Writes the site: every page whose data changed, nothing else, the same bytes for the same data.

`.noderack-site` in the output folder lists each file with the fingerprint of what it was made from. It is put
aside while files are written and written anew at the end: a build that was killed is followed by a full one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from noderack_site.data import SiteData, SiteError
from noderack_site.docs import DOCS, doc_entries, doc_pages, read_docs
from noderack_site.feeds import changes_feed, changes_rss, sitemaps
from noderack_site.lookup import lookup_pages
from noderack_site.media import media_files
from noderack_site.pages_home import home_pages
from noderack_site.pages_lists import list_pages
from noderack_site.pages_model import model_pages
from noderack_site.pages_pack import pack_pages
from noderack_site.pages_socket import socket_pages
from noderack_site.pages_type import type_pages
from noderack_site.pages_workflow import workflow_pages
from noderack_site.reference import Pages
from noderack_site.render import (
    HERE,
    POLICY,
    Bundle,
    Page,
    Renderer,
    file_page,
    fingerprint,
    generator_digest,
)
from noderack_site.search_index import search_bundle
from noderack_site.shelf import arrange

STATE, UNFINISHED = ".noderack-site", ".noderack-site-unfinished"
_HEADERS = f"""/*
  Content-Security-Policy: {POLICY}; frame-ancestors 'none'
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer
"""
Progress = Callable[[int], None]


class NotASite(SiteError):
    """The output folder holds something else."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did. `pages` counts files of the site."""

    pages: int
    written: int
    removed: int
    bytes_written: int
    seconds: float


def build(
    data: SiteData,
    out: Path,
    docs: Path = DOCS,
    reference: Pages | None = None,
    progress: Progress = lambda written: None,
) -> Report:
    """Write the site of `data` into `out`, with the Markdown pages of `docs` and the `reference` pages.

    Raises NotASite if `out` holds files that no build of ours wrote.
    """
    started = time.monotonic()
    before = _read_state(out)
    state_file, unfinished = out / STATE, out / UNFINISHED
    out.mkdir(parents=True, exist_ok=True)
    unfinished.write_text(_lines(before), encoding="utf-8")
    state_file.unlink(missing_ok=True)
    after, written, size = _write_all(_everything(data, docs, reference or {}), out, before, progress)
    removed = _remove(out, before.keys() - after.keys())
    state_file.write_text(_lines(after), encoding="utf-8")
    unfinished.unlink()
    return Report(len(after), written, removed, size, time.monotonic() - started)


def _everything(data: SiteData, docs: Path, reference: Pages) -> Iterator[Page | Bundle]:
    assets, files = _assets()
    renderer = Renderer(arrange(data), assets)
    shared = fingerprint(generator_digest().hex(), data.name, data.exported, assets)
    told = read_docs(docs, reference)
    pages = chain(
        home_pages(renderer),
        list_pages(renderer),
        doc_pages(renderer, told, docs),
        socket_pages(renderer),
        pack_pages(renderer),
        model_pages(renderer),
        workflow_pages(renderer),
        type_pages(renderer),
    )
    html: list[str] = []
    for path, depends, render in pages:
        if path.endswith(".html"):
            html.append(path)
            depends += shared
        yield Page(path, depends, render)
    yield from files
    yield from (Page(*row) for row in media_files(data))
    yield from lookup_pages(renderer)
    yield search_bundle(renderer, doc_entries(told))
    yield file_page("feed.atom", changes_feed(data))
    yield file_page("feed.rss", changes_rss(data))
    yield from (file_page(name, content) for name, content in sitemaps(html, data.url))
    yield file_page("robots.txt", f"User-agent: *\nAllow: /\nSitemap: {data.url}/sitemap.xml\n".encode())
    yield file_page("_headers", _HEADERS.encode())
    yield file_page(".nojekyll", b"")


def _assets() -> tuple[dict[str, str], list[Page]]:
    """Style and scripts under names that carry their content's hash; fonts and pictures under their own."""
    static = HERE / "static"
    content = {name: (static / name).read_bytes() for name in ("site.css", "site.js", "search.js", "drop.js")}
    modules = {name: _hashed(name, content[name]) for name in ("search.js", "drop.js")}
    for name, hashed in modules.items():
        content["site.js"] = content["site.js"].replace(
            f"./{name}".encode(), f"./{Path(hashed).name}".encode()
        )
    named = {name: modules.get(name) or _hashed(name, content[name]) for name in content}
    pages = [file_page(named[name], content[name]) for name in content]
    plain = sorted(path for path in static.rglob("*") if path.is_file() and path.name not in content)
    pages += [file_page(f"static/{path.relative_to(static).as_posix()}", path.read_bytes()) for path in plain]
    return {"css": named["site.css"], "js": named["site.js"]}, pages


def _hashed(name: str, content: bytes) -> str:
    stem, _, ending = name.rpartition(".")
    return f"static/{stem}.{hashlib.blake2b(content, digest_size=5).hexdigest()}.{ending}"


def _write_all(
    items: Iterator[Page | Bundle], out: Path, before: Mapping[str, str], progress: Progress
) -> tuple[dict[str, str], int, int]:
    after: dict[str, str] = {}
    written = size = 0
    folders: set[Path] = set()
    for path, digest, content in _changed(items, before):
        after[path] = digest
        if content is None:
            continue
        file = out / path
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
        file.write_bytes(content)
        written, size = written + 1, size + len(content)
        if written % 500 == 0:
            progress(written)
    return after, written, size


def _changed(
    items: Iterator[Page | Bundle], before: Mapping[str, str]
) -> Iterator[tuple[str, str, bytes | None]]:
    """(path, fingerprint, content), the content None where the file is there already."""
    for item in items:
        digest = item.depends.hex()
        if isinstance(item, Page):
            yield item.path, digest, None if before.get(item.path) == digest else item.render()
            continue
        known = [path for path in before if path.startswith(f"{item.folder}/")]
        if known and all(before[path] == digest for path in known):
            yield from ((path, digest, None) for path in known)
        else:
            yield from ((path, digest, content) for path, content in item.make())


def _lines(state: Mapping[str, str]) -> str:
    return "".join(f"{digest} {path}\n" for path, digest in state.items())


def _read_state(out: Path) -> dict[str, str]:
    """{path: fingerprint} of the build before; after a killed one the paths stand without fingerprints."""
    killed = out / UNFINISHED
    file = killed if killed.exists() else out / STATE
    if not file.exists():
        if out.is_dir() and any(not path.name.startswith(".noderack-") for path in out.iterdir()):
            hint = "give an empty folder, or one that `nodes registry site` wrote before"
            raise NotASite(f"{out} holds files that are no site of ours; {hint}")
        return {}
    rows = (line.partition(" ") for line in file.read_text(encoding="utf-8").splitlines())
    return {path: "" if file is killed else digest for digest, _, path in rows}


def _remove(out: Path, paths: set[str]) -> int:
    for path in paths:
        (out / path).unlink(missing_ok=True)
    return len(paths)
