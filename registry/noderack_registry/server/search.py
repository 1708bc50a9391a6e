"""One search box over packs, node types and models: prefixes, misspelt words, facets.

A document's id orders by popularity, so "the first 300 that match" are the most popular that match, found
without looking at the rest: time does not grow with the number of matches. Those few are then ranked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from noderack_registry.schema import SearchHit, SearchPage
from noderack_registry.server.tables import SearchDoc, SearchGram

KINDS = ("pack", "node-type", "model")
CANDIDATES = 300
COUNTED = 1000
MOST_WORDS = 8
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_CHUNKS = re.compile(r"\w+")
_BATCH = 2000


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
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    if rows:
        session.execute(dialect.insert(SearchGram).on_conflict_do_nothing(), rows)


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
    ranked = sorted(docs, key=lambda doc: (-_score(doc, query, asked), doc.id))
    start = (page - 1) * limit
    hits = tuple(_hit(doc, _score(doc, query, asked)) for doc in ranked[start : start + limit])
    total = facets.get(kind, 0) if kind else sum(facets.values())
    return SearchPage(query, max(total, len(docs)), hits, facets)


def _candidates(session: Session, asked: Sequence[str], kind: str | None) -> list[SearchDoc]:
    """The most popular things called so, then those of which it is said, at most CANDIDATES."""
    number = KINDS.index(kind) if kind else None
    ids = _matches(session, asked, names_only=True, kind=number, most=CANDIDATES)
    if len(ids) < CANDIDATES:
        ids += _matches(session, asked, names_only=False, kind=number, most=CANDIDATES - len(ids))
    exact = select(SearchDoc.id).where(SearchDoc.ref == " ".join(asked))
    if number is not None:
        exact = exact.where(SearchDoc.kind == number)
    wanted = {*ids, *session.exec(exact).all()}
    return list(session.exec(select(SearchDoc).where(col(SearchDoc.id).in_(wanted))).all())


def _matches(
    session: Session, asked: Sequence[str], *, names_only: bool, kind: int | None, most: int
) -> list[int]:
    sqlite = session.get_bind().dialect.name == "sqlite"
    statement, question = (_fts5 if sqlite else _tsquery)(asked, names_only)
    if kind is not None:
        statement += f" AND ({'rowid' if sqlite else 'id'} & 3) = {kind}"
    order = "rowid" if sqlite else "id"
    rows = session.connection().execute(
        text(f"{statement} ORDER BY {order} LIMIT :most"), {"question": question, "most": most}
    )
    return [row[0] for row in rows]


def _fts5(asked: Sequence[str], names_only: bool) -> tuple[str, str]:
    terms = []
    for chunk in asked:
        whole, *parts = words(chunk) or [""]
        ways = [f'"{whole}" *'] + ([f'"{" ".join(parts)}" *'] if parts else [])
        terms.append(f"({' OR '.join(ways)})")
    question = " AND ".join(terms)
    if names_only:
        question = f"{{names}} : ({question})"
    return "SELECT rowid FROM search_index WHERE search_index MATCH :question", question


def _tsquery(asked: Sequence[str], names_only: bool) -> tuple[str, str]:
    terms = []
    for chunk in asked:
        whole, *parts = words(chunk) or [""]
        ways = [f"'{whole}':*"]
        if parts:
            ways.append(" <-> ".join(f"'{part}'" for part in parts) + ":*")
        terms.append(f"({' | '.join(ways)})")
    column = "names_vector" if names_only else "all_vector"
    where = f"{column} @@ to_tsquery('simple', :question)"
    return f"SELECT id FROM search_doc WHERE {where}", " & ".join(terms)


def _facets(session: Session, asked: Sequence[str]) -> dict[str, int]:
    """How many of each kind match; counting stops at COUNTED of a kind."""
    found = {
        kind: len(_matches(session, asked, names_only=False, kind=number, most=COUNTED))
        for number, kind in enumerate(KINDS)
    }
    return {kind: count for kind, count in found.items() if count}


def _score(doc: SearchDoc, query: str, asked: Sequence[str]) -> float:
    """How well a document fits: its very name, a beginning of its name, words of its name, words about it."""
    plain, ref, title = _plain(query), _plain(doc.ref), _plain(doc.title)
    named = doc.names.split()
    score = 100.0 * (plain in (ref, title)) + 30.0 * (ref.startswith(plain) or title.startswith(plain))
    for word in (_plain(chunk) for chunk in asked):
        score += 10.0 * (word in named) + 4.0 * any(name.startswith(word) for name in named)
    popularity = 31 - (doc.id >> 58)
    return round(score + 1.5 * popularity + (3.0 if doc.kind == 0 else 0.0) - 0.02 * len(doc.names), 3)


def _plain(value: str) -> str:
    return re.sub(r"[\W_]+", "", value).lower()


def _hit(doc: SearchDoc, score: float) -> SearchHit:
    sha256 = doc.pack if doc.kind == 2 else None
    return SearchHit(
        kind=KINDS[doc.kind],  # type: ignore[arg-type]
        name=doc.ref.partition("\n")[0],
        title=doc.title,
        description=doc.description,
        pack=doc.pack if doc.kind == 1 else None,
        sha256=sha256,
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


SQLITE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5(names, texts, content='search_doc', "
    "content_rowid='id', tokenize='unicode61 remove_diacritics 2', prefix='2 3')",
    "CREATE TRIGGER IF NOT EXISTS search_doc_added AFTER INSERT ON search_doc BEGIN INSERT INTO "
    "search_index(rowid, names, texts) VALUES (new.id, new.names, new.texts); END",
    "CREATE TRIGGER IF NOT EXISTS search_doc_gone AFTER DELETE ON search_doc BEGIN INSERT INTO "
    "search_index(search_index, rowid, names, texts) VALUES ('delete', old.id, old.names, old.texts); END",
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
