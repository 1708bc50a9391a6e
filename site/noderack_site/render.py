"""Templates to bytes: one jinja environment, its filters, and the policy that every page carries."""

from __future__ import annotations

import hashlib
import json
import marshal
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from noderack_site.data import Raw
from noderack_site.draw_mark import draw_mark
from noderack_site.draw_plot import short_count
from noderack_site.media import icon_of
from noderack_site.names import checksum
from noderack_site.shelf import Shelf
from noderack_site.sockets import colour_class
from noderack_site.text import count_text, first_line, safe_url, size_text, soft

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'"
)
NAVIGATION = (
    ("packs", "Packs", "packs.html"),
    ("nodes", "Nodes", "nodes.html"),
    ("models", "Models", "models.html"),
    ("workflows", "Workflows", "workflows.html"),
    ("docs", "Docs", "docs/index.html"),
)


class Page(NamedTuple):
    """One file of the site. `depends` changes exactly when `render` would give other bytes.

    A named tuple, for a build makes a hundred thousand of them whether or not anything changed.
    """

    path: str
    depends: bytes
    render: Callable[[], bytes]


class Block(NamedTuple):
    """Pages that are only looked at one by one when `depends` changed: it changes when any of theirs does.

    `html` names those of them that are HTML, for the sitemap. No other block, and no page outside of blocks,
    has a path of this one.
    """

    name: str
    depends: bytes
    html: Sequence[str]
    pages: Callable[[], Iterable[Page]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files below one folder that are made together, and only when `depends` changed."""

    folder: str
    depends: bytes
    make: Callable[[], Iterable[tuple[str, bytes]]]


def fingerprint(*parts: Any) -> bytes:
    """A digest of JSON-like values; fast enough to ask for every page at every build."""
    return hashlib.blake2b(marshal.dumps(parts, 2), digest_size=12).digest()


def in_blocks(names: Iterable[str], blocks: int) -> list[tuple[int, list[str]]]:
    """(number, names) of each block, by the names' checksums: a name that comes or goes moves no other."""
    found: dict[int, list[str]] = defaultdict(list)
    for name in names:
        found[checksum(name) % blocks].append(name)
    return [(number, sorted(found[number])) for number in sorted(found)]


def file_page(path: str, content: bytes) -> Page:
    """A page whose bytes are there already."""
    return Page(path, hashlib.blake2b(content, digest_size=12).digest(), lambda: content)


def json_bytes(value: Any) -> bytes:
    """JSON as it lies beside a page: stable, one line."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return (text + "\n").encode("utf-8", "replace")


class Renderer:
    """Renders templates with what all pages of one build share."""

    def __init__(self, shelf: Shelf, assets: Mapping[str, str]) -> None:
        self.shelf, self.assets = shelf, assets
        self.environment = _environment()
        self.environment.globals.update(
            site=shelf.data.name,
            assets={key: Markup(path) for key, path in assets.items()},
            navigation=[tuple(Markup(part) for part in row) for row in NAVIGATION],
            policy=Markup(POLICY),
        )

    def page(
        self, template: str, path: str, title: str, description: str, section: str = "", **more: Any
    ) -> bytes:
        """One HTML page; `root` is the way from it to the site's root, so the site can lie in any folder."""
        root = Markup("../" * path.count("/"))  # ours, and on every line: not to be escaped each time
        context = {"json": None, "exported": None, "path": path, **more}
        html = self.environment.get_template(template).render(
            root=root, title=title, description=first_line(description, 160), section=section, **context
        )
        return html.encode("utf-8", "replace")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        colour=colour_class,
        count=count_text,
        first_line=first_line,
        mark=lambda name: Markup(draw_mark(name)),
        safe_url=safe_url,
        short=short_count,
        size=size_text,
        soft=soft,
    )
    return environment


def generator_digest() -> bytes:
    """Changes with any line of this package: then every page is rendered again."""
    files = sorted(
        path for path in HERE.rglob("*") if path.suffix in {".py", ".html", ".css", ".js", ".json"}
    )
    return hashlib.blake2b(b"".join(path.read_bytes() for path in files), digest_size=12).digest()


def summaries(shelf: Shelf, names: Iterable[str]) -> list[Raw]:
    """What rows of a list show of packs."""
    keys = ("title", "description", "author", "downloads", "stars", "updated", "status")
    return [
        {
            "name": name,
            "node_types": range(len(shelf.data.packs[name].get("node_types", ()))),
            "icon_file": icon_of(shelf.data, shelf.data.packs[name]),
            **{key: shelf.data.packs[name].get(key) or None for key in keys},
        }
        for name in names
    ]


def summary_key(shelf: Shelf, names: Iterable[str]) -> list[Any]:
    """The same as something to take a fingerprint of."""
    rows = summaries(shelf, names)
    return [[len(value) if isinstance(value, range) else value for value in row.values()] for row in rows]
