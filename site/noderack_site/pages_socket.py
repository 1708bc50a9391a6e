"""What connects to a socket: for each socket type, the node types that give it and those that take it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from noderack_site.render import Page, Renderer, fingerprint, json_bytes
from noderack_site.shelf import Shelf

_SHOWN = 400


def socket_pages(renderer: Renderer) -> Iterator[Page]:
    """A page and a JSON for each socket type, and one list of them all."""
    shelf = renderer.shelf
    counts = [
        (kind, page, len(shelf.makers.get(kind, ())), len(shelf.takers.get(kind, ())))
        for kind, page in shelf.socket_pages.items()
    ]
    if not counts:
        return
    counts.sort(key=lambda row: (-row[2] - row[3], row[0]))
    rows = [(kind, page, made, taken) for kind, page, made, taken in counts]
    yield Page("sockets.html", fingerprint(rows), partial(_index, renderer, rows))
    listed = [{"type": kind, "made_by": made, "taken_by": taken} for kind, _, made, taken in rows]
    yield Page("sockets.json", fingerprint(rows), partial(json_bytes, listed))
    for kind, page in shelf.socket_pages.items():
        made, taken = list(shelf.makers.get(kind, ())), list(shelf.takers.get(kind, ()))
        path, key = f"sockets/{page}", fingerprint(kind, made, taken)
        yield Page(f"{path}.html", key, partial(_socket, renderer, kind, made, taken))
        yield Page(
            f"{path}.json", key, partial(json_bytes, {"type": kind, "made_by": made, "taken_by": taken})
        )


def _index(renderer: Renderer, rows: Sequence[tuple[str, str, int, int]]) -> bytes:
    return renderer.page(
        "sockets.html",
        "sockets.html",
        "Sockets",
        "What the sockets of the nodes here carry, and how many give and take it.",
        "nodes",
        json="sockets.json",
        rows=rows,
    )


def _socket(renderer: Renderer, kind: str, made: Sequence[str], taken: Sequence[str]) -> bytes:
    shelf, page = renderer.shelf, renderer.shelf.socket_pages[kind]
    return renderer.page(
        "socket.html",
        f"sockets/{page}.html",
        f"{kind} sockets",
        f"Which nodes give {kind} and which take it.",
        "nodes",
        json=f"sockets/{page}.json",
        kind=kind,
        sides=[("Given by", _rows(shelf, made), len(made)), ("Taken by", _rows(shelf, taken), len(taken))],
    )


def _rows(shelf: Shelf, names: Sequence[str]) -> list[tuple[str, str | None]]:
    return [(name, shelf.type_page(name)) for name in names[:_SHOWN]]
