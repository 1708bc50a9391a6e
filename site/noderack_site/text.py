"""Text from strangers made safe, and numbers made readable."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt

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
_HEADING = re.compile(r"(</?)h1\b", re.IGNORECASE)


def safe_html(html: str) -> str:
    """HTML of a pack, cleaned: known tags, links marked as strangers', no images, no scripts.

    A picture becomes its description, for showing it would ask another site; the page's own heading stays the
    only first-level one.
    """
    lowered = _HEADING.sub(r"\1h2", _IMAGE.sub(_described, html))
    return nh3.clean(
        lowered,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "td": {"align"}, "th": {"align"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel=UGC,
    )


def safe_markdown(text: str) -> str:
    """Markdown of a pack as clean HTML; HTML inside it is shown, not used."""
    return safe_html(_reader().render(text))


def own_markdown(text: str) -> str:
    """Markdown of our own pages."""
    return str(_reader().render(text))


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


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


def first_line(text: object, limit: int = 180) -> str:
    """The beginning of a description, on one line."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"
