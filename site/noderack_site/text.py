"""Text from strangers made safe, and numbers made readable."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import lru_cache
from html import unescape
from typing import TypeAlias
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markupsafe import Markup, escape

from noderack_site.data import Raw

UGC = "nofollow ugc noopener"
_TAGS = {
    *(
        "a",
        "blockquote",
        "br",
        "code",
        "dd",
        "del",
        "details",
        "dl",
        "dt",
        "em",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
    ),
    *(
        "kbd",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
    ),
    *("tr", "ul"),
}
_IMAGE = re.compile(r"<img\b[^>]*?>", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_SOURCE = re.compile(r"""\bsrc\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_UNBROKEN = 20
_PART = re.compile(r"[A-Z]*[^A-Z_\s/.-]*[_\s/.-]*", re.DOTALL)
_HEADING = re.compile(r"(</?)h1\b", re.IGNORECASE)


Local: TypeAlias = Callable[[str], "tuple[str, int, int] | None"]
"""Where in the site the picture of an address lies, with width and height; None for one that is not here."""


def no_picture(_address: str) -> None:
    """No picture is here."""


def safe_html(html: str, local: Local = no_picture) -> str:
    """HTML of a pack, cleaned: known tags, marked links, no scripts, and the pictures that are here.

    Any other picture becomes its description, for showing it would ask another site; the page's own heading
    stays the only first-level one.
    """
    shown: set[str] = set()

    def drawn(match: re.Match[str]) -> str:
        found = _SOURCE.search(match[0])
        place = local(unescape(found[1] or found[2] or "")) if found else None
        if place is None:
            return _described(match)
        shown.add(place[0])
        alt = _ALT.search(match[0])
        text = (alt[1] or alt[2] or "").replace('"', "&quot;") if alt else ""
        return f'<img src="{place[0]}" width="{place[1]}" height="{place[2]}" alt="{text}" loading="lazy">'

    def only_shown(tag: str, name: str, value: str) -> str | None:
        return value if (tag, name) != ("img", "src") or value in shown else None

    lowered = _HEADING.sub(r"\1h2", _IMAGE.sub(drawn, html))
    return nh3.clean(
        lowered,
        tags=_TAGS | {"img"} if shown else _TAGS,
        attributes={
            "a": {"href", "title"},
            "img": {"src", "alt", "width", "height", "loading"},
            "td": {"align"},
            "th": {"align"},
            "ol": {"start"},
        },
        attribute_filter=lambda tag, name, value: (
            value if (tag, name) != ("img", "src") or value in shown else None
        ),
        url_schemes={"http", "https", "mailto"},
        link_rel=UGC,
    )


def safe_markdown(text: str, local: Local = no_picture) -> str:
    """Markdown of a pack as clean HTML; HTML inside it is shown, not used."""
    return safe_html(_reader().render(text), local)


def own_markdown(text: str) -> str:
    """Markdown of our own pages."""
    return str(_reader().render(text))


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    reader.core.ruler.push("aligned", _aligned)
    return reader


def _aligned(state: StateCore) -> None:
    """Say by attribute how a table's cells are aligned: the pages' policy allows no style in place."""
    for token in state.tokens:
        if token.tag in ("td", "th") and (style := token.attrs.pop("style", None)):
            token.attrs["align"] = str(style).partition(":")[2]


def _described(match: re.Match[str]) -> str:
    alt = _ALT.search(match[0])
    text = (alt[1] or alt[2] or "") if alt else ""
    return f"<em>[{text}]</em>" if text else ""


def safe_url(url: object) -> str | None:
    """The address if a link to it is safe to make: http or https with a host; else None."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def command(*words: object) -> str:
    """A line for a shell; names of strangers are quoted, so that a copied line does what it says."""
    return shlex.join(" ".join(str(word).split()) for word in words)


def install_command(pack: Raw) -> str:
    """How a pack is installed: by its name, or from its repository where no version of it was published."""
    address = None if pack.get("latest") else safe_url(pack.get("repository"))
    return command("nodes", "install", address or pack["name"])


def size_text(size: object) -> str:
    """Bytes as people say them: 3.97 GB."""
    if not isinstance(size, int | float) or size < 0:
        return ""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.3g} {unit}"
        amount /= 1000
    return ""


def count_text(count: object) -> str:
    """12345 as 12,345."""
    return f"{count:,}" if isinstance(count, int) else str(count)


def soft(name: str) -> Markup:
    """A long name that may break where a word of it ends; escaped."""
    if len(name) <= _UNBROKEN:
        return escape(name)
    return Markup("<wbr>").join(escape(part) for part in _PART.findall(name) if part)


def first_line(text: object, limit: int = 180) -> str:
    """The beginning of a description, on one line."""
    line = " ".join(str(text or "")[: 4 * limit].split())
    if len(line) <= limit:
        return line
    head, _, tail = line[: limit - 1].rpartition(" ")
    return f"{head.rstrip('.,;: ')}…" if len(tail) < limit // 3 and head else f"{line[: limit - 1]}…"
