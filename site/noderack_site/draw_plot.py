"""Two small drawings: downloads over time, and the badge for a README."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from noderack_site.svg import label, number, picture, text_width

_W, _H, _LEFT, _BOTTOM, _TOP = 340, 130, 38, 22, 8


def draw_history(history: Sequence[tuple[str, int]]) -> str:
    """An area over days, its highest value and its first and last day marked; empty without two days."""
    if len(history) < 2:
        return ""
    peak = max(1, *(count for _, count in history))
    width, height = _W - _LEFT - 12, _H - _TOP - _BOTTOM
    points = [
        (_LEFT + width * i / (len(history) - 1), _TOP + height * (1 - count / peak))
        for i, (_, count) in enumerate(history)
    ]
    line = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    floor = _TOP + height
    body = [
        f'<path d="M{_LEFT} {floor}H{_W - 12}" class="p-axis"/>',
        f'<path d="M{_LEFT} {floor}L{line}L{number(points[-1][0])} {floor}Z" class="p-area"/>',
        f'<path d="M{line}" class="p-line"/>',
        label(_LEFT - 8, _TOP + 8, short_count(peak), "p-text", "end"),
        label(_LEFT - 8, floor, "0", "p-text", "end"),
        label(_LEFT, _H - 6, history[0][0], "p-text"),
        label(_W - 12, _H - 6, history[-1][0], "p-text", "end"),
    ]
    total = sum(count for _, count in history)
    title = f"{total} downloads from {history[0][0]} to {history[-1][0]}, at most {peak} a day"
    return picture(_W, _H, title, "".join(body), "plot")


def short_count(count: int) -> str:
    """1234 as 1.2k."""
    for limit, sign in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit:
            return f"{count / limit:.1f}".removesuffix(".0") + sign
    return str(count)


def badge(left: str, right: str) -> str:
    """A badge as a file of its own: it carries its colours, for it is shown on other sites."""
    a, b = text_width(left, 11) + 16, text_width(right, 11) + 16
    title = escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b:.0f}" height="20" role="img"'
        f' aria-label="{title}"><title>{title}</title>'
        f'<path d="M4 0H{a:.0f}V20H4a4 4 0 0 1-4-4V4a4 4 0 0 1 4-4Z" fill="#24272e"/>'
        f'<path d="M{a:.0f} 0H{a + b - 4:.0f}a4 4 0 0 1 4 4V16a4 4 0 0 1-4 4H{a:.0f}Z" fill="#0e7a63"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{a / 2:.0f}" y="14">{escape(left)}</text>'
        f'<text x="{a + b / 2:.0f}" y="14">{escape(right)}</text></g></svg>\n'
    )
