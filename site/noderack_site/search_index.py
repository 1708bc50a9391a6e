"""The search index that a browser reads: one list of words, then only the parts that a question needs.

    search/words.json     every word, sorted, and how many words each part holds
    search/w-N.json       part N: for each word, in order, its entries as gaps; an entry is number * 2 + 1 if
                          the word stands in the name, * 2 if only in other text
    search/d-N.json       entries N * 256 and on: [kind, name, page, line below]

Entries are numbered from the best known to the least: the number is the rank, and what is found first lies
in the first parts, which soon are in the browser's cache.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from noderack_site.render import Bundle, Renderer, fingerprint, json_bytes
from noderack_site.shelf import Shelf
from noderack_site.text import first_line

ENTRIES_A_PART = 256
POSTINGS_A_PART = 6000
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_LONGEST, _SHORT = 32, 3
_COMMON = frozenset(
    ["a", "an", "and", "the", "of", "for", "in", "is", "to", "with", "this", "that", "by", "on"]
)
_COMMON_TEXT = _COMMON | {"comfyui", "custom", "node", "nodes"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be found. `kind`: p pack, n node type, m model, w workflow."""

    kind: str
    name: str
    page: str
    line: str
    text: str


def search_bundle(renderer: Renderer) -> Bundle:
    """All files of the index, made anew only when an entry changed."""
    entries = list(_entries(renderer.shelf))
    key = fingerprint([[e.kind, e.name, e.page, e.line, e.text] for e in entries])
    return Bundle("search", key, lambda: search_files(entries))


def search_files(entries: list[Entry]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of each file of the index."""
    postings = dict(sorted(_postings(entries).items()))
    parts = list(_split(postings))
    counts = {"c": [len(part) for part in parts], "n": len(entries), "e": ENTRIES_A_PART}
    yield "search/words.json", json_bytes({"w": "\n".join(postings), **counts})
    for number, part in enumerate(parts):
        yield f"search/w-{number}.json", json_bytes([_gaps(postings[word]) for word in part])
    for number, at in enumerate(range(0, len(entries), ENTRIES_A_PART)):
        rows = [[e.kind, e.name, e.page, e.line] for e in entries[at : at + ENTRIES_A_PART]]
        yield f"search/d-{number}.json", json_bytes(rows)


def _entries(shelf: Shelf) -> Iterator[Entry]:
    """Packs, models, workflows and node types, mixed by how well known they are."""
    place = {name: number for number, name in enumerate(shelf.packs)}
    rows: list[tuple[float, str, Entry]] = []
    for name, number in place.items():
        pack = shelf.data.packs[name]
        title = str(pack.get("title") or name)
        below = first_line(pack.get("description"), 90)
        text = f"{name} {pack.get('author') or ''} {' '.join(pack.get('tags') or ())} {below}"
        rows.append((number, title, Entry("p", title, f"packs/{name}.html", below, text)))
    for node_type in shelf.types:
        claims, entry = shelf.data.claims.get(node_type, ()), shelf.data.schemas.get(node_type, {})
        pack_name = str(claims[0]["pack"]) if claims else ""
        shown = str(entry.get("display_name") or "")
        page = f"nodes/{shelf.type_pages[node_type]}.html"
        rank = place.get(pack_name, len(place)) + 0.3
        rows.append(
            (rank, node_type, Entry("n", node_type, page, pack_name, shown if shown != node_type else ""))
        )
    for name, model in shelf.data.models.items():
        below = f"{model.get('base') or ''} {model.get('kind') or model.get('folder') or ''}".strip()
        text = f"{model.get('name')} {below} {' '.join(model.get('trigger_words') or ())}"
        title = str(model.get("title") or model["name"])
        rows.append((40.0, title, Entry("m", title, f"models/{name}.html", below, text)))
    for name, workflow in shelf.data.workflows.items():
        title = str(workflow.get("title") or name)
        text = first_line(workflow.get("description"))
        rows.append((20.0, title, Entry("w", title, f"workflows/{name}.html", "workflow", text)))
    return (row[2] for row in sorted(rows, key=lambda row: (row[0], row[1])))


@lru_cache(maxsize=100_000)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a name: camel case and digits come apart; lower case; no word twice.

    A short piece also stands together with the next one: KSampler is k, sampler and ksampler.
    """
    words: list[str] = _WORD.findall(text)
    if any(len(word) <= _SHORT for word in words):
        words += _joined(text)
    return tuple(dict.fromkeys(word.lower()[:_LONGEST] for word in words))


def _joined(text: str) -> list[str]:
    pairs = pairwise(_WORD.finditer(text))
    return [a[0] + b[0] for a, b in pairs if len(a[0]) <= _SHORT and a.end() == b.start()]


def _split(postings: Mapping[str, array[int]]) -> Iterator[list[str]]:
    """Words in parts of about as many entries each."""
    part: list[str] = []
    size = 0
    for word, numbers in postings.items():
        if part and size + len(numbers) > POSTINGS_A_PART:
            yield part
            part, size = [], 0
        part.append(word)
        size += len(numbers)
    yield part


def _postings(entries: Iterable[Entry]) -> dict[str, array[int]]:
    found: dict[str, array[int]] = {}
    for number, entry in enumerate(entries):
        named = words_of(entry.name)
        for word in named:
            if word not in _COMMON:
                found.setdefault(word, array("I")).append(number * 2 + 1)
        for word in set(words_of(entry.text)).difference(named, _COMMON_TEXT):
            found.setdefault(word, array("I")).append(number * 2)
    return found


def _gaps(numbers: array[int]) -> list[int]:
    last, gaps = 0, []
    for number in numbers:
        gaps.append(number - last)
        last = number
    return gaps
