"""Our own pages: the task pages of `site/docs`, the reference, and what this site is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import unescape
from pathlib import Path

from noderack_site.names import slug
from noderack_site.reference import Pages
from noderack_site.render import Page, Renderer, file_page, fingerprint, json_bytes
from noderack_site.search_index import Entry
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
- Every page has its data beside it as JSON: the same address, `.json` in place of `.html`. `feed.atom` and
  `feed.rss` say what changed; so does each pack's.
"""
_WRONG = "# There is no such page\n\nIt may have moved: search for its name above.\n"
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", ("index", "tutorial")),
    ("Workflows", ("install-missing", "run", "workflows", "draw", "draw-in-python")),
    ("Your host", ("host", "models", "serve", "memory", "cluster")),
    ("Packs of your own", ("write-a-node", "make-a-pack", "publish")),
    ("A registry of your own", ("run-a-registry", "site")),
    ("Reference", ("commands", "errors", "error-codes", "exit-codes", "registry-settings", "http-api")),
)
"""Where the pages stand; a page that is not named here stands under `_REST`."""
_REST = "More"
_HEADING = re.compile(r"<h([1-3])>(.*?)</h\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Doc:
    """One page of the docs: its HTML with an id at each heading, and those headings as (level, id, text)."""

    stem: str
    title: str
    html: str
    headings: tuple[tuple[int, str, str], ...]
    pictures: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"docs/{self.stem}.html"

    @property
    def lead(self) -> str:
        """Its first paragraph as text."""
        first = _PARAGRAPH.search(self.html)
        return _plain(first[1]) if first else ""


def read_docs(folder: Path, reference: Pages) -> list[Doc]:
    """The Markdown pages of `folder` and the `reference`, index first; a file wins over a reference."""
    files = sorted(folder.glob("*.md")) if folder.is_dir() else []
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    html = {stem: own_markdown(text) for stem, text in texts.items()}
    html |= {stem: made for stem, (_, made) in reference.items() if stem not in texts}
    html.setdefault("index", "<h1>Documentation</h1>")
    place = {stem: number for number, stem in enumerate(stem for _, stems in SECTIONS for stem in stems)}
    ordered = sorted(html, key=lambda stem: (place.get(stem, len(place)), stem))
    return [_doc(stem, html[stem]) for stem in ordered]


def _doc(stem: str, html: str) -> Doc:
    found: list[tuple[int, str, str]] = []

    def marked(match: re.Match[str]) -> str:
        text = _plain(match[2])
        name = slug(text)
        if any(name == other for _, other, _ in found):
            name = f"{name}-{len(found)}"
        found.append((int(match[1]), name, text))
        return f'<h{match[1]} id="{name}">{match[2]}</h{match[1]}>'

    linked = re.sub(r'(href="[^":]*)\.md(?=["#])', r"\1.html", _HEADING.sub(marked, html))
    title = next((text for level, _, text in found if level == 1), stem.replace("-", " ").capitalize())
    pictures = tuple(dict.fromkeys(re.findall(r'<img [^>]*src="([\w.-]+)"', linked)))
    return Doc(stem, title, linked, tuple(found), pictures)


def doc_pages(renderer: Renderer, docs: Sequence[Doc], folder: Path) -> Iterator[Page]:
    """A page and a JSON for each; their pictures; about; the search page; the page of a wrong address."""
    contents = _contents(docs)
    for number, doc in enumerate(docs):
        around = tuple(docs[at] if 0 <= at < len(docs) else None for at in (number - 1, number + 1))
        beside = [(other.title, other.path) if other else None for other in around]
        key = fingerprint(doc.html, contents, beside)
        yield Page(doc.path, key, partial(_html, renderer, doc, contents, beside))
        told = {"title": doc.title, "about": doc.lead, "html": doc.html}
        headings = [{"level": level, "id": name, "text": text} for level, name, text in doc.headings]
        yield Page(f"docs/{doc.stem}.json", key, partial(json_bytes, {**told, "headings": headings}))
    for name in sorted({name for doc in docs for name in doc.pictures if (folder / name).is_file()}):
        yield file_page(f"docs/{name}", (folder / name).read_bytes())
    about = _doc("about", own_markdown(ABOUT))
    yield Page(
        "about.html", fingerprint(about.html), partial(_html, renderer, about, (), (None, None), "about.html")
    )
    yield Page(
        "about.json", fingerprint(about.html), partial(json_bytes, {"title": about.title, "html": about.html})
    )
    wrong = _doc("404", own_markdown(_WRONG))
    yield Page(
        "404.html", fingerprint(wrong.html), partial(_html, renderer, wrong, (), (None, None), "404.html")
    )
    yield Page("search.html", fingerprint("search"), partial(_search, renderer))


def doc_entries(docs: Sequence[Doc]) -> list[Entry]:
    """What search finds of the docs: each page, and in the reference each command."""
    found = []
    for doc in docs:
        text = " ".join(text for _, _, text in doc.headings)
        found.append(Entry("d", doc.title, doc.path, doc.lead[:90], f"{text} {doc.lead}"))
        if doc.stem == "commands":
            found += [
                Entry("d", text, f"{doc.path}#{name}", "command", text)
                for level, name, text in doc.headings
                if level == 3
            ]
    return found


def _contents(docs: Sequence[Doc]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections with (title, path) of their pages; a section without pages is left out."""
    here: Mapping[str, Doc] = {doc.stem: doc for doc in docs}
    named = {stem for _, stems in SECTIONS for stem in stems}
    sections = [*SECTIONS, (_REST, tuple(stem for stem in here if stem not in named))]
    rows = [(title, [(here[s].title, here[s].path) for s in stems if s in here]) for title, stems in sections]
    return [(title, pages) for title, pages in rows if pages]


def _html(
    renderer: Renderer,
    doc: Doc,
    contents: Sequence[tuple[str, list[tuple[str, str]]]] = (),
    beside: Sequence[tuple[str, str] | None] = (None, None),
    path: str = "",
) -> bytes:
    path = path or doc.path
    return renderer.page(
        "page.html",
        path,
        doc.title,
        doc.lead or f"{doc.title}: Noderack.",
        "docs" if contents else "",
        json=None if path == "404.html" else path.replace(".html", ".json"),
        html=doc.html,
        contents=contents,
        headings=[(name, text) for level, name, text in doc.headings if level == 2],
        before=beside[0],
        after=beside[1],
    )


def _search(renderer: Renderer) -> bytes:
    return renderer.page("search.html", "search.html", "Search", "Search packs, node types, models and docs.")


def _plain(html: str) -> str:
    return " ".join(unescape(_TAG.sub("", html)).split())
