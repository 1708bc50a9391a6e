"""Writes the site: every page whose data changed, nothing else, the same bytes for the same data.

`.noderack-site` in the output folder remembers what each file was made from (`state.py`). It is put aside
while files are written and written anew at the end: a build that was killed is followed by a full one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from noderack_site.data import SiteData
from noderack_site.docs import DOCS, doc_entries, doc_pages, read_docs
from noderack_site.feeds import changes_feed, changes_rss, sitemaps
from noderack_site.lookup import lookup_pages
from noderack_site.media import media_files
from noderack_site.pages_home import home_pages
from noderack_site.pages_lists import list_blocks
from noderack_site.pages_model import model_pages
from noderack_site.pages_pack import pack_blocks
from noderack_site.pages_socket import socket_pages
from noderack_site.pages_type import type_blocks
from noderack_site.pages_workflow import workflow_pages
from noderack_site.reference import Pages
from noderack_site.render import (
    HERE,
    POLICY,
    Block,
    Bundle,
    Page,
    Renderer,
    file_page,
    fingerprint,
    generator_digest,
)
from noderack_site.search_index import search_bundle
from noderack_site.shelf import arrange
from noderack_site.state import State, files_in, finish, lines_of, put_aside, read_state

_HEADERS = f"""/*
  Content-Security-Policy: {POLICY}; frame-ancestors 'none'
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer
"""
Progress = Callable[[int], None]


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
    before, after = read_state(out), State()
    out.mkdir(parents=True, exist_ok=True)
    put_aside(out)
    written, size = _write_all(_everything(data, docs, reference or {}), out, before, after, progress)
    removed = _remove(out, before.gone(after))
    finish(out, after)
    return Report(after.count(), written, removed, size, time.monotonic() - started)


def _everything(data: SiteData, docs: Path, reference: Pages) -> Iterator[Page | Bundle | Block]:
    assets, files = _assets()
    renderer = Renderer(arrange(data), assets)
    shared = fingerprint(generator_digest().hex(), data.name, assets)
    told = read_docs(docs, reference)
    pages = chain(
        home_pages(renderer),
        doc_pages(renderer, told, docs),
        socket_pages(renderer),
        model_pages(renderer),
        workflow_pages(renderer),
    )
    html: list[str] = []
    for page in pages:
        if page.path.endswith(".html"):
            html.append(page.path)
            page = Page(page.path, page.depends + shared, page.render)
        yield page
    for block in chain(list_blocks(renderer), pack_blocks(renderer), type_blocks(renderer)):
        html += block.html
        yield _sharing(block, shared)
    yield from files
    yield from (Page(*row) for row in media_files(data))
    yield from lookup_pages(renderer)
    yield search_bundle(renderer, doc_entries(told))
    yield file_page("feed.atom", changes_feed(data))
    yield file_page("feed.rss", changes_rss(data))
    listed = fingerprint(html, data.url)
    yield from (Page(name, listed, make) for name, make in sitemaps(html, data.url))
    yield file_page("robots.txt", f"User-agent: *\nAllow: /\nSitemap: {data.url}/sitemap.xml\n".encode())
    yield file_page("_headers", _HEADERS.encode())
    yield file_page(".nojekyll", b"")


def _sharing(block: Block, shared: bytes) -> Block:
    """The block with what all HTML pages share in the fingerprints."""

    def pages() -> Iterator[Page]:
        for path, depends, render in block.pages():
            yield Page(path, depends + shared if path.endswith(".html") else depends, render)

    return block._replace(depends=block.depends + shared, pages=pages)


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
    items: Iterator[Page | Bundle | Block], out: Path, before: State, after: State, progress: Progress
) -> tuple[int, int]:
    """Write what changed and note all of it in `after`; how many files and bytes were written."""
    written = size = 0
    folders: set[Path] = set()
    for path, content in _changed(items, before, after):
        file = out / path
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
        file.write_bytes(content)
        written, size = written + 1, size + len(content)
        if written % 500 == 0:
            progress(written)
    return written, size


def _changed(
    items: Iterator[Page | Bundle | Block], before: State, after: State
) -> Iterator[tuple[str, bytes]]:
    """(path, content) of each file that is not there already."""
    for item in items:
        if isinstance(item, Page):
            yield from _of_page(item, before.files, after.files)
        elif isinstance(item, Block):
            yield from _of_block(item, before, after)
        else:
            yield from _of_bundle(item, before.files, after.files)


def _of_page(page: Page, before: Mapping[str, str], after: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    digest = after[page.path] = page.depends.hex()
    if before.get(page.path) != digest:
        yield page.path, page.render()


def _of_block(block: Block, before: State, after: State) -> Iterator[tuple[str, bytes]]:
    digest = block.depends.hex()
    was, lines = before.blocks.get(block.name, ("", ""))
    if was != digest:
        known, found = files_in(lines), dict[str, str]()
        for page in block.pages():
            yield from _of_page(page, known, found)
        lines = lines_of(found)
    after.blocks[block.name] = digest, lines


def _of_bundle(
    bundle: Bundle, before: Mapping[str, str], after: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    digest = bundle.depends.hex()
    known = [path for path in before if path.startswith(f"{bundle.folder}/")]
    if known and all(before[path] == digest for path in known):
        after.update((path, digest) for path in known)
        return
    for path, content in bundle.make():
        after[path] = digest
        yield path, content


def _remove(out: Path, paths: set[str]) -> int:
    for path in paths:
        (out / path).unlink(missing_ok=True)
    return len(paths)
