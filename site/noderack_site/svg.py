"""Small pieces of SVG text, everything escaped.

Colours come from the style sheet by class, never from a style attribute, which the content policy forbids.
"""

from __future__ import annotations

from html import escape

WIDE = frozenset("mwMWQOGCDHNUABKXVY@%&")
THIN = frozenset("iljtfrI.,:;'|!()[] ")


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def text_width(text: str, size: float) -> float:
    """About how wide a text is in the site's face; exact widths are only known in a browser."""
    units = sum(0.34 if c in THIN else 0.72 if c in WIDE else 0.56 for c in text)
    return units * size


def fitted(text: str, width: float, size: float) -> str:
    """The text cut with an ellipsis to about that width."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def label(x: float, y: float, text: str, css: str, anchor: str = "") -> str:
    """A text element."""
    end = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{number(x)}" y="{number(y)}" class="{css}"{end}>{escape(text)}</text>'


def box(x: float, y: float, width: float, height: float, css: str, radius: float = 0) -> str:
    """A rectangle."""
    corner = f' rx="{number(radius)}"' if radius else ""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        f'{corner} class="{css}"/>'
    )


def jack(x: float, y: float, css: str, radius: float = 5) -> str:
    """A socket."""
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" class="jack {css}"/>'


def cable(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A cable that leaves to the right and arrives from the left."""
    reach = max(abs(x2 - x1) / 2, min(abs(y2 - y1), 60) / 2, 14)
    points = (x1, y1, x1 + reach, y1, x2 - reach, y2, x2, y2)
    a, b, c, d, e, f, g, h = (number(value) for value in points)
    return f'<path d="M{a} {b}C{c} {d} {e} {f} {g} {h}" class="cable {css}"/>'


def picture(width: float, height: float, title: str, body: str, css: str) -> str:
    """An SVG element that a screen reader reads as one image with this title."""
    w, h = number(width), number(height)
    return (
        f'<svg class="{css}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )
