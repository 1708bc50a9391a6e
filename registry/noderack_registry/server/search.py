"""One search box over packs, node types and models: prefixes, misspelt words, facets.

A document's id orders by popularity, so "the first 300 that match" are the most popular that match, found
without looking at the rest: time does not grow with the number of matches. Those few are then ranked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, text
from sqlmodel import Session, col, select

from noderack_registry.schema import SearchHit, SearchPage
from noderack_registry.server.database import insert_new
from noderack_registry.server.tables import SearchDoc, SearchGram

KINDS = ("pack", "node-type", "model")
CANDIDATES = 300
COUNTED = 500
MOST_WORDS = 8
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_CHUNKS = re.compile(r"\w+")
_BATCH = 2000
_COLUMNS = "d.id, d.kind, d.ref, d.title, d.description, d.pack, d.names"


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that can be found: `names` are what it is called, `texts` what is said of it."""

    kind: str
    ref: str
    title: str
    description: str = ""
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    pack: str | None = None
    popularity: int = 0

    @property
    def id(self) -> int:
        """Popular first, then by chance; the last two bits are the kind."""
        bucket = 31 - min(31, self.popularity.bit_length())
        digest = hashlib.blake2b(f"{self.kind}\0{self.ref}".encode(), digest_size=7).digest()
        return bucket << 58 | int.from_bytes(digest, "big") << 2 | KINDS.index(self.kind)


class Doc(NamedTuple):
    """What the ranking and the answer need of a line in the table."""

    id: int
    kind: int
    ref: str
    title: str
    description: str
    pack: str | None
    names: str


def words(value: str) -> list[str]:
    """The words of a name: 'ImageScaleBy' gives 'imagescaleby', 'image', 'scale', 'by'."""
    found = []
    for chunk in _CHUNKS.findall(value):
        parts = [part.lower() for part in _PARTS.findall(chunk)]
        found += [chunk.lower().replace("_", ""), *(parts if len(parts) > 1 else ())]
    return found


def put(session: Session, things: Iterable[Found]) -> None:
    """Make things findable, or what is said of them current."""
    batch = list({(thing.kind, thing.ref): thing for thing in things}.values())
    known: set[str] = set()
    for at in range(0, len(batch), _BATCH):
        rows = [row(thing) for thing in batch[at : at + _BATCH]]
        remove(session, [(thing.kind, thing.ref) for thing in batch[at : at + _BATCH]])
        session.execute(insert(SearchDoc), rows)
        known.update(word for line in rows for word in str(line["names"]).split())
    _learn(session, known)


def _learn(session: Session, known: Iterable[str]) -> None:
    """Let misspellings of these words lead to them."""
    rows = [{"gram": gram, "word": word} for word in known for gram in _grams(word)]
    rows.sort(
        key=lambda line: (line["gram"], line["word"])
    )  # in the order of the index: each page is met once
    if rows:
        session.execute(insert_new(session, SearchGram), rows)


def remove(session: Session, things: Sequence[tuple[str, str]]) -> None:
    """Let things (kind, ref) be found no more."""
    for kind in KINDS:
        refs = [ref for its_kind, ref in things if its_kind == kind]
        for at in range(0, len(refs), 500):
            part = refs[at : at + 500]
            session.execute(
                delete(SearchDoc).where(
                    col(SearchDoc.kind) == KINDS.index(kind), col(SearchDoc.ref).in_(part)
                )
            )


def row(thing: Found) -> dict[str, object]:
    """The line of a thing in the table."""
    return {
        "id": thing.id,
        "kind": KINDS.index(thing.kind),
        "ref": thing.ref,
        "title": thing.title,
        "description": thing.description[:500],
        "pack": thing.pack,
        "names": " ".join(_naming(thing)),
        "texts": " ".join(word for value in thing.texts for word in words(value))[:4000],
    }


def _naming(thing: Found) -> list[str]:
    return [word for name in (thing.ref, thing.title, *thing.names) for word in words(name)]


def _grams(word: str) -> set[str]:
    """What misspellings share with a word: three letters in a row, or all letters in another order."""
    if len(word) < 4:
        return set()
    padded = f"^{word[:24]}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)} | {"~" + "".join(sorted(word[:24]))}


def search(session: Session, query: str, kind: str | None, page: int, limit: int) -> SearchPage:
    """One page of what matches `query`, best first; misspelt words are tried as the nearest known ones."""
    asked = _CHUNKS.findall(query)[:MOST_WORDS]
    if not asked:
        return SearchPage(query, 0)
    docs = _candidates(session, asked, kind)
    if not docs:
        asked = [_nearest(session, word) or word for word in asked]
        docs = _candidates(session, asked, kind)
    facets = _facets(session, asked) if docs else {}
    score = _scorer(query, asked)
    ranked = sorted(((score(doc), doc) for doc in docs), key=lambda pair: (-pair[0], pair[1].id))
    start = (page - 1) * limit
    hits = tuple(_hit(doc, points) for points, doc in ranked[start : start + limit])
    total = facets.get(kind, 0) if kind else sum(facets.values())
    return SearchPage(query, max(total, len(docs)), hits, facets)


def _candidates(session: Session, asked: Sequence[str], kind: str | None) -> list[Doc]:
    """The most popular things called so, then those of which it is said, at most CANDIDATES."""
    kinds = [KINDS.index(kind)] if kind else list(range(len(KINDS)))
    wanted = kinds[0] if kind else None
    found = _matches(session, asked, names_only=True, kind=wanted, most=CANDIDATES)
    if len(found) < CANDIDATES:
        found += _matches(session, asked, names_only=False, kind=wanted, most=CANDIDATES - len(found))
    found += _exact(session, " ".join(asked), kinds)
    return list({doc.id: doc for doc in found}.values())


def _exact(session: Session, ref: str, kinds: Sequence[int]) -> list[Doc]:
    """What is called just so, however unpopular it is."""
    wanted = ", ".join(map(str, kinds))
    statement = text(f"SELECT {_COLUMNS} FROM search_doc d WHERE d.kind IN ({wanted}) AND d.ref = :ref")
    return [Doc(*row) for row in session.connection().execute(statement, {"ref": ref})]


def _matches(
    session: Session, asked: Sequence[str], *, names_only: bool, kind: int | None, most: int
) -> list[Doc]:
    statement, bound = _statement(session, asked, names_only, kind)
    rows = session.connection().execute(text(f"SELECT {_COLUMNS} {statement}"), {**bound, "most": most})
    return [Doc(*row) for row in rows.all()]


def _statement(
    session: Session, asked: Sequence[str], names_only: bool, kind: int | None
) -> tuple[str, dict[str, object]]:
    """What stands behind SELECT …: the things that match in the order of popularity, at most :most."""
    if session.get_bind().dialect.name == "sqlite":
        where = "FROM search_index JOIN search_doc d ON d.id = search_index.rowid WHERE search_index MATCH :q"
        return f"{where} ORDER BY search_index.rowid LIMIT :most", {"q": _fts5(asked, names_only, kind)}
    column = "names_vector" if names_only else "all_vector"
    which = "" if kind is None else f" AND d.kind = {kind}"
    where = f"FROM search_doc d WHERE d.{column} @@ to_tsquery('simple', :q){which}"
    return f"{where} ORDER BY d.id LIMIT :most", {"q": _tsquery(asked)}


def _fts5(asked: Sequence[str], names_only: bool, kind: int | None) -> str:
    """The question in FTS5's language. A kind is a word too: few of a kind need no scan."""
    terms = []
    for chunk in asked:
        whole, *parts = words(chunk) or [""]
        ways = [f'"{whole}" *'] + ([f'"{" ".join(parts)}" *'] if parts else [])
        terms.append(f"({' OR '.join(ways)})")
    question = f"{{{'names' if names_only else 'names texts'}}} : ({' AND '.join(terms)})"
    return question if kind is None else f'{question} AND {{kind}} : "{kind}"'


def _tsquery(asked: Sequence[str]) -> str:
    """The question in PostgreSQL's language."""
    terms = []
    for chunk in asked:
        whole, *parts = words(chunk) or [""]
        ways = [f"'{whole}':*"]
        if parts:
            ways.append(" <-> ".join(f"'{part}'" for part in parts) + ":*")
        terms.append(f"({' | '.join(ways)})")
    return " & ".join(terms)


def _facets(session: Session, asked: Sequence[str]) -> dict[str, int]:
    """How many of each kind match; counting stops at COUNTED of a kind."""
    found = {kind: _count(session, asked, number) for number, kind in enumerate(KINDS)}
    return {kind: count for kind, count in found.items() if count}


def _count(session: Session, asked: Sequence[str], kind: int) -> int:
    statement, bound = _statement(session, asked, names_only=False, kind=kind)
    if session.get_bind().dialect.name == "sqlite":  # the index alone knows
        statement = statement.replace(" JOIN search_doc d ON d.id = search_index.rowid", "")
    rows = text(f"SELECT count(*) FROM (SELECT 1 {statement}) AS found")
    return int(session.connection().execute(rows, {**bound, "most": COUNTED}).scalar_one())


def _scorer(query: str, asked: Sequence[str]) -> Callable[[Doc], float]:
    """How well a document fits: its very name, a beginning of its name, words of its name, words about it."""
    plain, looked_for = _plain(query), [_plain(chunk) for chunk in asked]

    def score(doc: Doc) -> float:
        ref, title, named = _plain(doc.ref), _plain(doc.title), f" {doc.names} "
        points = 100.0 * (plain in (ref, title)) + 30.0 * (ref.startswith(plain) or title.startswith(plain))
        for word in looked_for:
            points += 10.0 * (f" {word} " in named) + 4.0 * (f" {word}" in named)
        popularity = 31 - (doc.id >> 58)
        return round(points + 1.5 * popularity + 3.0 * (doc.kind == 0) - 0.02 * len(doc.names), 3)

    return score


def _plain(value: str) -> str:
    return value.lower().replace("-", "").replace("_", "").replace(" ", "").replace(".", "")


def _hit(doc: Doc, score: float) -> SearchHit:
    return SearchHit(
        kind=KINDS[doc.kind],  # type: ignore[arg-type]
        name=doc.ref.partition("\n")[0],
        title=doc.title,
        description=doc.description,
        pack=doc.pack if doc.kind == 1 else None,
        sha256=doc.pack if doc.kind == 2 else None,
        score=score,
    )


def _nearest(session: Session, word: str) -> str | None:
    """The known word that is spelt most like this one, None if none is near."""
    wanted = word.lower()
    grams = _grams(wanted)
    if not grams:
        return None
    shared = func.count().label("shared")
    query = (
        select(SearchGram.word)
        .where(col(SearchGram.gram).in_(grams))
        .group_by(SearchGram.word)
        .order_by(shared.desc(), func.length(SearchGram.word))
        .limit(40)
    )
    near = [(distance(wanted, known), known) for known in session.exec(query).all()]
    allowed = 1 if len(wanted) < 6 else 2
    best = min(near, default=(99, ""))
    return best[1] if best[0] <= allowed else None


def distance(one: str, other: str) -> int:
    """Edits (insert, drop, change, swap of neighbours) from one word to the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, mark in enumerate(one, 1):
        older, before, row = before, row, [at]
        for to, target in enumerate(other, 1):
            cost = min(before[to] + 1, row[to - 1] + 1, before[to - 1] + (mark != target))
            if at > 1 and to > 1 and mark == other[to - 2] and one[at - 2] == target:
                cost = min(cost, older[to - 2] + 1)
            row.append(cost)
    return row[-1]


# A beginning of up to ten letters has a list of its own in the index, which is read only as far as needed; a
# longer one, or one without such a list, would be gathered whole before the first match is known.
SQLITE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5(names, texts, kind, content='search_doc', "
    "content_rowid='id', tokenize='unicode61 remove_diacritics 2', prefix='1 2 3 4 5 6 7 8 9 10')",
    "CREATE TRIGGER IF NOT EXISTS search_doc_added AFTER INSERT ON search_doc BEGIN INSERT INTO "
    "search_index(rowid, names, texts, kind) VALUES (new.id, new.names, new.texts, new.kind); END",
    "CREATE TRIGGER IF NOT EXISTS search_doc_gone AFTER DELETE ON search_doc BEGIN INSERT INTO "
    "search_index(search_index, rowid, names, texts, kind) "
    "VALUES ('delete', old.id, old.names, old.texts, old.kind); END",
)
POSTGRES = (
    "ALTER TABLE search_doc ADD COLUMN IF NOT EXISTS names_vector tsvector "
    "GENERATED ALWAYS AS (to_tsvector('simple', names)) STORED",
    "ALTER TABLE search_doc ADD COLUMN IF NOT EXISTS all_vector tsvector "
    "GENERATED ALWAYS AS (to_tsvector('simple', names || ' ' || texts)) STORED",
    "CREATE INDEX IF NOT EXISTS search_by_names ON search_doc USING gin(names_vector)",
    "CREATE INDEX IF NOT EXISTS search_by_all ON search_doc USING gin(all_vector)",
)


def create_index(connection: Connection) -> None:
    """Make what finds documents by words: FTS5 in SQLite, tsvector columns in PostgreSQL."""
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRES:
        connection.execute(text(statement))


def remake_index(connection: Connection) -> None:
    """Make the index anew from the documents, as this code wants it."""
    if connection.dialect.name == "sqlite":
        for name in ("TRIGGER search_doc_added", "TRIGGER search_doc_gone", "TABLE search_index"):
            connection.execute(text(f"DROP {name}"))
    create_index(connection)
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO search_index(search_index) VALUES ('rebuild')"))
