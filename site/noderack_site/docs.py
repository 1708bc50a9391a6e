"""Our own pages: the task pages of `site/docs`, the reference, and what this site is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from noderack_site.reference import Pages
from noderack_site.render import Page, Renderer, fingerprint
from noderack_site.text import own_markdown

DOCS = Path(__file__).parents[1] / "docs"
ABOUT = """# About this site

This is the catalogue of a Noderack registry, written as plain files: what packs of nodes there are, which
node types they bring, which models workflows ask for, and where each of these facts comes from.

- **Claims.** A node type may be claimed by several packs. Each claim says where it comes from: *verified*
  (the pack was imported and showed the type), *declared* (its author says so), *syntax* (read from its
  source), *catalogue* (a public list says so). The best claim stands first, with its reason.
- **Dropped workflows** are read by your browser. Nothing is uploaded.
- **Text of packs** is theirs; it is cleaned before it is shown, and links in it are marked as such.
- **No other site is asked for anything**: no fonts, no pictures, no counters from elsewhere.
- Every page has its data beside it as JSON. `feed.atom` and `feed.rss` say what changed; so does each pack's.
"""


def doc_pages(renderer: Renderer, folder: Path, reference: Pages) -> Iterator[Page]:
    """A page for each Markdown file, index first; about; the search page; the page of a wrong address."""
    files = (
        sorted(folder.glob("*.md"), key=lambda path: (path.stem != "index", path.stem))
        if folder.is_dir()
        else []
    )
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    contents = [(_title(text, stem), f"docs/{stem}.html") for stem, text in texts.items()]
    contents += [(title, f"docs/{stem}.html") for stem, (title, _) in reference.items() if stem not in texts]
    for stem, (title, html) in reference.items():
        if stem not in texts:
            yield _made(renderer, f"docs/{stem}.html", title, html, contents)
    if "index" not in texts:
        yield _page(renderer, "docs/index.html", "# Documentation\n", contents)
    for stem, text in texts.items():
        yield _page(renderer, f"docs/{stem}.html", text, contents)
    yield _page(renderer, "about.html", ABOUT, [])
    wrong = "# There is no such page\n\nIt may have moved: search for its name above.\n"
    yield _page(renderer, "404.html", wrong, [])
    yield Page(
        "search.html",
        fingerprint("search"),
        lambda: renderer.page("search.html", "search.html", "Search", "Search packs, node types and models."),
    )


def _title(text: str, stem: str) -> str:
    first = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return first[2:].strip() or stem.replace("-", " ").capitalize()


def _page(renderer: Renderer, path: str, text: str, contents: list[tuple[str, str]]) -> Page:
    html = own_markdown(text).replace('.md">', '.html">').replace(".md#", ".html#")
    return _made(renderer, path, _title(text, path), html, contents)


def _made(renderer: Renderer, path: str, title: str, html: str, contents: list[tuple[str, str]]) -> Page:
    def render() -> bytes:
        return renderer.page(
            "page.html", path, title, f"{title}: Noderack.", "docs", html=html, contents=contents
        )

    return Page(path, fingerprint(html, contents), render)
