"""The search index that a browser reads: one list of words, then only the parts that a question needs.

    search/words.json     every word, sorted, and how many words each part holds
    search/w-N.json       part N: for each word, in order, its entries as gaps; an entry is number * 16 + the
                          words that its name has (at most 15), + 0 if the word stands in other text only
    search/d-N.json       entries N * 256 and on: [kind, name, page, line below]

Entries are numbered from the best known to the least: the number is the rank, and what is found first lies
in the first parts, which soon are in the browser's cache. How many words a name has tells a whole match from
a part of one, so that only the entries that are shown need to be read.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from noderack_site.data import Raw
from noderack_site.render import Bundle, Renderer, fingerprint, json_bytes
from noderack_site.shelf import Shelf
from noderack_site.text import first_line

ENTRIES_A_PART = 256
POSTINGS_A_PART = 6000
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_LONGEST, _SHORT = 32, 3
_COUNTED = 15
_COMMON = frozenset(
    ["a", "an", "and", "the", "of", "for", "in", "is", "to", "with", "this", "that", "by", "on"]
)
_COMMON_TEXT = _COMMON | {"comfyui", "custom", "node", "nodes"}


class Entry(NamedTuple):
    """One thing that can be found. `kind`: p pack, n node type, m model, w workflow, d page of the docs."""

    kind: str
    name: str
    page: str
    line: str
    text: str


def search_bundle(renderer: Renderer, docs: Sequence[Entry] = ()) -> Bundle:
    """All files of the index, made anew only when an entry changed."""
    entries = _entries(renderer.shelf, docs)
    return Bundle("search", fingerprint([tuple(entry) for entry in entries]), lambda: search_files(entries))


def search_files(entries: Sequence[Entry]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of each file of the index."""
    postings = dict(sorted(_postings(entries).items()))
    parts = list(_split(postings))
    counts = {"c": [len(part) for part in parts], "n": len(entries), "e": ENTRIES_A_PART}
    yield "search/words.json", json_bytes({"w": "\n".join(postings), **counts})
    for number, part in enumerate(parts):
        yield f"search/w-{number}.json", json_bytes([_gaps(postings[word]) for word in part])
    for number, at in enumerate(range(0, len(entries), ENTRIES_A_PART)):
        rows = [entry[:4] for entry in entries[at : at + ENTRIES_A_PART]]
        yield f"search/d-{number}.json", json_bytes(rows)


def _entries(shelf: Shelf, docs: Sequence[Entry]) -> list[Entry]:
    """Packs, pages of the docs, workflows, models and node types, mixed by how well known they are."""
    place = {name: number for number, name in enumerate(shelf.packs)}
    rows = [(float(place[name]), _pack(shelf.data.packs[name])) for name in shelf.packs]
    rows += ((10.0, entry) for entry in docs)
    rows += ((20.0, _workflow(workflow)) for workflow in shelf.data.workflows.values())
    rows += ((40.0, _model(page, model)) for page, model in shelf.data.models.items())
    last = len(place)
    titles = {name: first_line(pack.get("title") or name, 40) for name, pack in shelf.data.packs.items()}
    for node_type, page in shelf.type_pages.items():
        claims, schema = shelf.data.claims.get(node_type), shelf.data.schemas.get(node_type)
        pack = str(claims[0]["pack"]) if claims else ""
        below = titles.get(pack, pack)
        shown = str(schema.get("display_name") or "") if schema else ""
        entry = Entry("n", node_type, f"nodes/{page}.html", below, shown if shown != node_type else "")
        rows.append((place.get(pack, last) + 0.3, entry))
    rows.sort(key=lambda row: (row[0], row[1].name))
    return [entry for _, entry in rows]


def _pack(pack: Raw) -> Entry:
    title, below = str(pack.get("title") or pack["name"]), first_line(pack.get("description"), 90)
    text = f"{pack['name']} {pack.get('author') or ''} {' '.join(pack.get('tags') or ())} {below}"
    return Entry("p", title, f"packs/{pack['name']}.html", below, text)


def _model(page: str, model: Raw) -> Entry:
    below = f"{model.get('base') or ''} {model.get('kind') or model.get('folder') or ''}".strip()
    text = f"{model.get('name')} {below} {' '.join(model.get('trigger_words') or ())}"
    return Entry("m", str(model.get("title") or model["name"]), f"models/{page}.html", below, text)


def _workflow(workflow: Raw) -> Entry:
    title, below = str(workflow.get("title") or workflow["name"]), first_line(workflow.get("description"), 90)
    return Entry("w", title, f"workflows/{workflow['name']}.html", below, below)


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
        value = number * (_COUNTED + 1) + min(_COUNTED, len(_WORD.findall(entry.name)))
        for word in named:
            if word not in _COMMON:
                found.setdefault(word, array("I")).append(value)
        for word in set(words_of(entry.text)).difference(named, _COMMON_TEXT):
            found.setdefault(word, array("I")).append(number * (_COUNTED + 1))
    return found


def _gaps(numbers: array[int]) -> list[int]:
    last, gaps = 0, []
    for number in numbers:
        gaps.append(number - last)
        last = number
    return gaps
