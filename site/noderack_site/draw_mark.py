"""A mark for a pack that brings no icon: two cables patched as its name says, in the colours of sockets."""

from __future__ import annotations

from noderack_site.names import checksum

_COLOURS = (
    "model",
    "clip",
    "vae",
    "conditioning",
    "latent",
    "image",
    "mask",
    "audio",
    "sampler",
    "int",
    "video",
    "control-net",
)
_ROWS = (10, 20, 30)
_WAYS = tuple((a, b) for a in _ROWS for b in _ROWS)


def draw_mark(name: str) -> str:
    """The SVG element, decoration only: 108 ways to patch two cables, each in 132 pairs of colours."""
    number = checksum(name)
    number, first = divmod(number, len(_WAYS))
    a, b = _WAYS[first]
    others = [way for way in _WAYS if way[0] != a and way[1] != b]
    number, second = divmod(number, len(others))
    c, d = others[second]
    number, one = divmod(number, len(_COLOURS))
    two = (one + 1 + number % (len(_COLOURS) - 1)) % len(_COLOURS)
    cables = _cable(a, b, _COLOURS[one]) + _cable(c, d, _COLOURS[two])
    jacks = f"M8 {a}h0M32 {b}h0M8 {c}h0M32 {d}h0"
    return (
        f'<svg class="pm" viewBox="0 0 40 40" aria-hidden="true">{cables}<path class="j" d="{jacks}"/></svg>'
    )


def _cable(start: int, end: int, colour: str) -> str:
    return f'<path class="t-{colour}" d="M8 {start}C22 {start} 18 {end} 32 {end}"/>'
