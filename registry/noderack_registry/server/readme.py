"""READMEs made safe: Markdown without raw HTML, then an allow-list of what may stand in a page."""

from __future__ import annotations

import html
from collections.abc import Mapping

_LARGEST = 64 << 10
_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol",
    "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "td": {"align"},
    "th": {"align"},
    "ol": {"start"},
}


def render(text: str, content_type: str | None, pictures: Mapping[str, str] | None = None) -> str:
    """The README as HTML that can stand in any page: no script, style, form, frame or inline handler.

    Only Markdown is rendered; other types are shown as they are. Longer ones than 64 KiB are cut, and say so.
    `pictures` says where a picture of the pack's own is served, by what the README calls it.
    """
    cut = len(text) > _LARGEST
    text = text[:_LARGEST] + ("\n\n…" if cut else "")
    if (content_type or "").split(";")[0].strip() != "text/markdown":
        return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""
    import nh3
    from markdown_it import MarkdownIt

    page = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table").enable("strikethrough")
    tokens = page.parse(text)
    for token in (child for one in tokens for child in one.children or ()):
        if token.type == "image" and pictures and str(token.attrs.get("src")) in pictures:
            token.attrs["src"] = pictures[str(token.attrs["src"])]
    made = page.renderer.render(tokens, page.options, {})
    return nh3.clean(made, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto"})
