"""Prompts waiting, running and done, in one SQLite file: what was accepted survives a kill, exactly once.

A prompt changes its state in one transaction, so that after a crash it is in one state and no other.

Errors:
    QueueError           anything the queue refuses
    ├─ QueueFull         too many prompts wait, in all or from one client
    └─ SamePrompt        a prompt of that id is there already
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PENDING, RUNNING, DONE, FAILED, CANCELLED = "pending", "in_progress", "completed", "failed", "cancelled"
STATES = (PENDING, RUNNING, DONE, FAILED, CANCELLED)
OVER = (DONE, FAILED, CANCELLED)
MAX_RUNS = 3
LOST = "the server stopped while this prompt was running"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS prompts (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, number REAL NOT NULL, client TEXT NOT NULL,
    prompt TEXT NOT NULL, extra TEXT NOT NULL, wanted TEXT NOT NULL,
    created INTEGER NOT NULL, started INTEGER, ended INTEGER,
    outputs TEXT NOT NULL DEFAULT '{}', meta TEXT NOT NULL DEFAULT '{}',
    status TEXT NOT NULL DEFAULT 'null', runs INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS prompts_by_state ON prompts (state, number);
CREATE INDEX IF NOT EXISTS prompts_by_end ON prompts (ended);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS logs (id TEXT PRIMARY KEY, entries TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, url TEXT NOT NULL, body TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0);
CREATE TRIGGER IF NOT EXISTS logs_go_with_prompts AFTER DELETE ON prompts
    BEGIN DELETE FROM logs WHERE id = OLD.id; END;
"""
_ADDED = "ALTER TABLE prompts ADD COLUMN priority INTEGER NOT NULL DEFAULT 0"  # to queues of before


class QueueError(Exception):
    """The queue refused something; the message says what and what to do."""


class QueueFull(QueueError):
    """Too many prompts wait."""


class SamePrompt(QueueError):
    """A prompt of that id was accepted before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the queue takes: prompts waiting in all, prompts waiting from one client, entries of history."""

    waiting: int = 10_000
    waiting_of_client: int = 10_000
    history: int = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt and what became of it. Times are in milliseconds since 1970.

    Higher priorities run first, and among equal ones smaller numbers.
    """

    id: str
    number: float
    prompt: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    wanted: Sequence[str] = ()
    client: str = ""
    state: str = PENDING
    created: int = 0
    started: int | None = None
    ended: int | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] | None = None
    priority: int = 0

    def item(self) -> list[Any]:
        """The array that clients know from the queue and from history."""
        return [self.number, self.id, self.prompt, self.extra, list(self.wanted)]

    def history(self) -> dict[str, Any]:
        """The entry of /history."""
        return {"prompt": self.item(), "outputs": self.outputs, "status": self.status, "meta": self.meta}


@dataclass(frozen=True, slots=True)
class Call:
    """A webhook that is to be called: address, body, how often it was tried, when it is due (seconds)."""

    id: int
    url: str
    body: str
    tries: int
    due: float


class Queue:
    """The queue of one host. Used from one thread; every call is one transaction and takes well under a ms.

    `lost` says what becomes of a prompt that ran when the server died: "again" runs it again (up to
    MAX_RUNS times: it may be what kills the server), "failed" marks it.
    """

    def __init__(self, path: Path | str, limits: Limits | None = None, lost: str = "again") -> None:
        self.limits = limits or Limits()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        if "priority" not in {row["name"] for row in self._db.execute("PRAGMA table_info(prompts)")}:
            self._db.execute(_ADDED)
        self._settle(lost)

    def close(self) -> None:
        self._db.close()

    def put(self, entry: Entry, front: bool = False, number: float | None = None) -> Entry:
        """Accepts a prompt and gives it its number; raises QueueFull, SamePrompt."""
        with self._transaction():
            self._refuse_if_full(entry.client)
            counted = self._count_up()
            given = float(number) if number is not None else float(-counted if front else counted)
            values = (
                *(entry.id, PENDING, given, entry.client, _text(entry.prompt), _text(entry.extra)),
                *(_text(list(entry.wanted)), _now(), entry.priority),
            )
            try:
                self._db.execute(
                    "INSERT INTO prompts (id, state, number, client, prompt, extra, wanted, created,"
                    " priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
            except sqlite3.IntegrityError as cause:
                raise SamePrompt(
                    f"a prompt with the id {entry.id} was accepted before; send another id"
                ) from cause
        found = self.get(entry.id)
        assert found is not None
        return found

    def take(self, fair: bool = False) -> Entry | None:
        """Marks the next prompt as running and returns it; None if nothing waits or the queue is paused.

        Higher priorities go first. `fair`: then the client served longest ago, and only then the number.
        """
        if self.paused:
            return None
        last = "(SELECT MAX(started) FROM prompts q WHERE q.client = p.client)"
        order = f"p.priority DESC, COALESCE({last}, 0), p.number" if fair else "p.priority DESC, p.number"
        with self._transaction():
            row = self._db.execute(
                f"SELECT id FROM prompts p WHERE state = ? ORDER BY {order}, created LIMIT 1", (PENDING,)
            ).fetchone()
            if row is None:
                return None
            self._db.execute(
                "UPDATE prompts SET state = ?, started = ?, runs = runs + 1 WHERE id = ?",
                (RUNNING, _now(), row["id"]),
            )
        return self.get(row["id"])

    def finish(
        self,
        prompt_id: str,
        state: str,
        status: Mapping[str, Any],
        outputs: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        logs: Sequence[Mapping[str, Any]] = (),
        calls: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Moves a running prompt into history, and drops the oldest history beyond the limit.

        `logs` are kept as long as it is; `calls` (address, body) are to be made, now or after a restart.
        """
        with self._transaction():
            self._db.execute(
                "UPDATE prompts SET state = ?, status = ?, outputs = ?, meta = ?, ended = ? WHERE id = ?",
                (state, _text(status), _text(outputs or {}), _text(meta or {}), _now(), prompt_id),
            )
            if logs:
                self._db.execute("INSERT OR REPLACE INTO logs VALUES (?, ?)", (prompt_id, _text(list(logs))))
            self._db.executemany("INSERT INTO calls (url, body) VALUES (?, ?)", calls)
            if self.count(*OVER) > self.limits.history:
                self._db.execute(
                    "DELETE FROM prompts WHERE ended IS NOT NULL AND id NOT IN (SELECT id FROM prompts"
                    " WHERE ended IS NOT NULL ORDER BY ended DESC, rowid DESC LIMIT ?)",
                    (self.limits.history,),
                )

    def cancel(self, ids: Iterable[str] | None = None) -> list[str]:
        """Takes waiting prompts out of the queue, all of them if `ids` is None; returns those that waited."""
        with self._transaction():
            waiting = {entry.id for entry in self.listed(PENDING)}
            gone = [one for one in (waiting if ids is None else ids) if one in waiting]
            self._db.executemany("DELETE FROM prompts WHERE id = ?", [(one,) for one in gone])
        return gone

    def logs(self, prompt_id: str) -> list[dict[str, Any]]:
        """What was logged while a prompt ran that is over."""
        row = self._db.execute("SELECT entries FROM logs WHERE id = ?", (prompt_id,)).fetchone()
        return [] if row is None else list(json.loads(row["entries"]))

    def calls(self) -> list[Call]:
        """The calls that are still to be made, the one that is due first at the front."""
        rows = self._db.execute("SELECT id, url, body, tries, due FROM calls ORDER BY due, id")
        return [Call(*row) for row in rows]

    def called(self, call: Call, again: float | None) -> None:
        """A call was tried: it is made again at `again` (seconds since 1970), or never if that is None."""
        if again is None:
            self._db.execute("DELETE FROM calls WHERE id = ?", (call.id,))
        else:
            self._db.execute("UPDATE calls SET tries = tries + 1, due = ? WHERE id = ?", (again, call.id))

    def move(self, prompt_id: str, number: float) -> bool:
        """Gives a waiting prompt another place; smaller numbers run first."""
        done = self._db.execute(
            "UPDATE prompts SET number = ? WHERE id = ? AND state = ?", (number, prompt_id, PENDING)
        )
        return done.rowcount > 0

    def forget(self, ids: Iterable[str] | None = None) -> None:
        """Removes entries of history, all of them if `ids` is None."""
        if ids is None:
            self._db.execute("DELETE FROM prompts WHERE ended IS NOT NULL")
            return
        self._db.executemany(
            "DELETE FROM prompts WHERE id = ? AND ended IS NOT NULL", [(one,) for one in ids]
        )

    def get(self, prompt_id: str) -> Entry | None:
        """The prompt of that id, whatever its state."""
        row = self._db.execute("SELECT * FROM prompts WHERE id = ?", (prompt_id,)).fetchone()
        return None if row is None else _entry(row)

    def listed(self, *states: str) -> list[Entry]:
        """The prompts in these states, in the order they run."""
        marks = ", ".join("?" * len(states))
        rows = self._db.execute(
            f"SELECT * FROM prompts WHERE state IN ({marks}) ORDER BY priority DESC, number, created", states
        )
        return [_entry(row) for row in rows]

    def history(self, limit: int | None = None, offset: int | None = None) -> list[Entry]:
        """What is over, oldest first: `limit` from `offset` on, or the last `limit` without an offset."""
        if limit is not None and offset is None:
            offset = max(0, self.count(*OVER) - limit)
        rows = self._db.execute(
            "SELECT * FROM prompts WHERE ended IS NOT NULL ORDER BY ended, rowid LIMIT ? OFFSET ?",
            (-1 if limit is None else limit, offset or 0),
        )
        return [_entry(row) for row in rows]

    def count(self, *states: str) -> int:
        """How many prompts are in these states."""
        marks = ", ".join("?" * len(states))
        row = self._db.execute(f"SELECT COUNT(*) FROM prompts WHERE state IN ({marks})", states).fetchone()
        return int(row[0])

    @property
    def remaining(self) -> int:
        """What clients call queue_remaining: waiting and running."""
        return self.count(PENDING, RUNNING)

    @property
    def paused(self) -> bool:
        """Whether nothing new is started."""
        return self._fact("paused") == "1"

    def pause(self, paused: bool) -> None:
        """Stops or lets go on; survives a restart."""
        self._set_fact("paused", "1" if paused else "0")

    def _refuse_if_full(self, client: str) -> None:
        if self.count(PENDING) >= self.limits.waiting:
            raise QueueFull(f"{self.limits.waiting} prompts wait already; wait, or clear the queue")
        row = self._db.execute(
            "SELECT COUNT(*) FROM prompts WHERE state = ? AND client = ?", (PENDING, client)
        ).fetchone()
        if row[0] >= self.limits.waiting_of_client:
            raise QueueFull(f"{row[0]} prompts of this client wait already; wait, or cancel some of them")

    def _settle(self, lost: str) -> None:
        if lost == "again":
            again = "UPDATE prompts SET state = ? WHERE state = ? AND runs < ?"
            self._db.execute(again, (PENDING, RUNNING, MAX_RUNS))
        status = {"status_str": "error", "completed": False, "messages": [["lost", {"message": LOST}]]}
        for entry in self.listed(RUNNING):
            self.finish(entry.id, FAILED, status)

    def _count_up(self) -> int:
        number = int(self._fact("counted") or 0) + 1
        self._set_fact("counted", str(number))
        return number

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def _set_fact(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK if the block raises."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _entry(row: sqlite3.Row) -> Entry:
    values = {key: row[key] for key in row.keys() if key != "runs"}  # noqa: SIM118
    for key in ("prompt", "extra", "wanted", "outputs", "meta", "status"):
        values[key] = json.loads(values[key])
    return Entry(**values)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _now() -> int:
    return int(time.time() * 1000)
