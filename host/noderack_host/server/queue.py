"""Prompts waiting, running and done, in one SQLite file: what was accepted survives a kill, exactly once.

A prompt changes its state in one transaction, so that after a crash it is in one state and no other. What is
written survives the process at once, and a loss of power once the system has written it out (WAL, synchronous
NORMAL): the last moments before such a loss may be missing, never half of anything.

Errors:
    QueueError           anything the queue refuses
    ├─ QueueFull         too many prompts wait, in all or from one client
    └─ SamePrompt        a prompt of that id is there already
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

PENDING, RUNNING, DONE, FAILED, CANCELLED = "pending", "in_progress", "completed", "failed", "cancelled"
STATES = (PENDING, RUNNING, DONE, FAILED, CANCELLED)
OVER = (DONE, FAILED, CANCELLED)
MAX_RUNS = 3
NUMBERS_AT_ONCE = 100
KEPT_FRESH = 64  # prompts that need not be read again when their turn comes
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
_IN_ORDER = "ORDER BY priority DESC, number, created LIMIT 1"
_NEXT = f"SELECT * FROM prompts WHERE state = ? {_IN_ORDER}"
_NEXT_OF = f"SELECT * FROM prompts WHERE state = ? AND client = ? {_IN_ORDER}"
_END = "UPDATE prompts SET state = ?, status = ?, outputs = ?, meta = ?, ended = ? WHERE id = ?"
_OLDEST = "SELECT rowid, state FROM prompts WHERE ended IS NOT NULL ORDER BY ended, rowid LIMIT ?"
_ORDERS = {"created": "created", "duration": "COALESCE(ended, 0) - COALESCE(started, 0)"}
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

    How many prompts are in which state is kept in memory: no one else writes to the file meanwhile.

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
        self._paused = self._fact("paused") == "1"
        self._counted = self._reserved = int(self._fact("counted") or 0)
        served = self._db.execute("SELECT client FROM prompts GROUP BY client ORDER BY MAX(started)")
        self._served = {row["client"]: turn for turn, row in enumerate(served)}
        self._turn = len(self._served)
        self._fresh: dict[str, Entry] = {}
        self._recount()
        self._settle(lost)

    def close(self) -> None:
        self._set_fact("counted", str(self._counted))
        self._db.close()

    def put(self, entry: Entry, front: bool = False, number: float | None = None) -> Entry:
        """Accepts a prompt and gives it its number; raises QueueFull, SamePrompt."""
        self._refuse_if_full(entry.client)
        counted = self._count_up()
        given = float(number) if number is not None else float(-counted if front else counted)
        taken = replace(entry, number=given, state=PENDING, created=_now())
        values = (
            *(taken.id, PENDING, given, taken.client, _text(taken.prompt), _text(taken.extra)),
            *(_text(list(taken.wanted)), taken.created, taken.priority),
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
        self._states[PENDING] += 1
        self._waiting[taken.client] += 1
        if len(self._fresh) < KEPT_FRESH:
            self._fresh[taken.id] = taken
        return taken

    def take(self, fair: bool = False) -> Entry | None:
        """Marks the next prompt as running and returns it; None if nothing waits or the queue is paused.

        Higher priorities go first. `fair`: then the client served longest ago, and only then the number.
        """
        if self._paused or not self._states[PENDING]:
            return None
        row = self._db.execute(*(self._next_of_turn() if fair else (_NEXT, (PENDING,)))).fetchone()
        now = _now()
        self._db.execute(
            "UPDATE prompts SET state = ?, started = ?, runs = runs + 1 WHERE id = ?",
            (RUNNING, now, row["id"]),
        )
        self._moved(PENDING, RUNNING, row["client"])
        self._turn += 1
        self._served[row["client"]] = self._turn
        known = self._fresh.pop(row["id"], None) or _entry(row)
        return replace(known, state=RUNNING, started=now, number=row["number"])

    def _next_of_turn(self) -> tuple[str, tuple[Any, ...]]:
        """The question for the next prompt of the client served longest ago, of the highest priority."""
        clients = self._db.execute(
            "SELECT client, MIN(number) AS first FROM prompts WHERE state = ? AND priority ="
            " (SELECT MAX(priority) FROM prompts WHERE state = ?) GROUP BY client",
            (PENDING, PENDING),
        )
        turns = ((self._served.get(row["client"], -1), row["first"], row["client"]) for row in clients)
        return _NEXT_OF, (PENDING, min(turns)[2])

    def finish(
        self,
        prompt_id: str,
        state: str,
        status: Mapping[str, Any],
        outputs: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        logs: Sequence[Mapping[str, Any]] = (),
        calls: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Moves a running prompt into history, and drops the oldest history beyond the limit.

        `logs` are kept as long as it is; `calls` (address, body) are to be made, now or after a restart.
        """
        values = (state, _text(status), _text(outputs or {}), _text(meta or {}), _now(), prompt_id)
        beyond = self.count(*OVER) + 1 - self.limits.history
        if not logs and not calls and beyond <= 0:  # one statement is a transaction by itself
            self._db.execute(_END, values)
            self._moved(RUNNING, state)
            return
        with self._transaction():
            self._db.execute(_END, values)
            if logs:
                self._db.execute("INSERT OR REPLACE INTO logs VALUES (?, ?)", (prompt_id, _text(list(logs))))
            self._db.executemany("INSERT INTO calls (url, body) VALUES (?, ?)", calls)
            self._moved(RUNNING, state)
            for row in self._db.execute(_OLDEST, (max(0, beyond),)).fetchall():
                self._db.execute("DELETE FROM prompts WHERE rowid = ?", (row["rowid"],))
                self._states[row["state"]] -= 1

    def cancel(self, ids: Iterable[str] | None = None) -> list[str]:
        """Takes waiting prompts out of the queue, all of them if `ids` is None; returns those that waited."""
        with self._transaction():
            found = self._db.execute("SELECT id FROM prompts WHERE state = ?", (PENDING,))
            waiting = {row["id"] for row in found}
            gone = [one for one in (waiting if ids is None else ids) if one in waiting]
            self._db.executemany("DELETE FROM prompts WHERE id = ?", [(one,) for one in gone])
        for one in gone:
            self._fresh.pop(one, None)
        self._recount()
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
        with self._transaction():
            if ids is None:
                self._db.execute("DELETE FROM prompts WHERE ended IS NOT NULL")
            else:
                self._db.executemany(
                    "DELETE FROM prompts WHERE id = ? AND ended IS NOT NULL", [(one,) for one in ids]
                )
        self._recount()

    def get(self, prompt_id: str) -> Entry | None:
        """The prompt of that id, whatever its state."""
        row = self._db.execute("SELECT * FROM prompts WHERE id = ?", (prompt_id,)).fetchone()
        return None if row is None else _entry(row)

    def listed(self, *states: str, limit: int = -1) -> list[Entry]:
        """The prompts in these states, in the order they run; the first `limit` of them."""
        marks = ", ".join("?" * len(states))
        order = "ORDER BY priority DESC, number, created LIMIT ?"
        rows = self._db.execute(f"SELECT * FROM prompts WHERE state IN ({marks}) {order}", (*states, limit))
        return [_entry(row) for row in rows]

    def page(
        self,
        states: Sequence[str],
        by: str = "created",
        newest: bool = True,
        limit: int = -1,
        offset: int = 0,
        workflow: str | None = None,
    ) -> tuple[list[Entry], int]:
        """Prompts in these states by "created" or "duration", and how many there are in all.

        limit: of them, from `offset` on. workflow: only those of the editor's workflow with that id.
        """
        which, values = f"state IN ({', '.join('?' * len(states))})", [*states]
        if workflow is not None:
            which += " AND json_extract(extra, '$.extra_pnginfo.workflow.id') = ?"
            values.append(workflow)
        total = self._db.execute(f"SELECT COUNT(*) FROM prompts WHERE {which}", values).fetchone()[0]
        order = f"{_ORDERS[by]} {'DESC' if newest else 'ASC'}, rowid {'DESC' if newest else 'ASC'}"
        rows = self._db.execute(
            f"SELECT * FROM prompts WHERE {which} ORDER BY {order} LIMIT ? OFFSET ?", (*values, limit, offset)
        )
        return [_entry(row) for row in rows], int(total)

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
        return sum(self._states[state] for state in states)

    @property
    def remaining(self) -> int:
        """What clients call queue_remaining: waiting and running."""
        return self.count(PENDING, RUNNING)

    @property
    def paused(self) -> bool:
        """Whether nothing new is started."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Stops or lets go on; survives a restart."""
        self._set_fact("paused", "1" if paused else "0")
        self._paused = paused

    def _refuse_if_full(self, client: str) -> None:
        if self.count(PENDING) >= self.limits.waiting:
            raise QueueFull(f"{self.limits.waiting} prompts wait already; wait, or clear the queue")
        waiting = self._waiting[client]
        if waiting >= self.limits.waiting_of_client:
            raise QueueFull(f"{waiting} prompts of this client wait already; wait, or cancel some of them")

    def _settle(self, lost: str) -> None:
        if lost == "again":
            again = "UPDATE prompts SET state = ? WHERE state = ? AND runs < ?"
            self._db.execute(again, (PENDING, RUNNING, MAX_RUNS))
            self._recount()
        status = {"status_str": "error", "completed": False, "messages": [["lost", {"message": LOST}]]}
        for entry in self.listed(RUNNING):
            self.finish(entry.id, FAILED, status)

    def _count_up(self) -> int:
        """The next number; written down for many at once: a crash leaves a gap, and no number comes twice."""
        self._counted += 1
        if self._counted > self._reserved:
            self._reserved = self._counted + NUMBERS_AT_ONCE
            self._set_fact("counted", str(self._reserved))
        return self._counted

    def _moved(self, old: str, new: str, client: str | None = None) -> None:
        """One prompt has another state; `client` is whose it is, if it waits no longer."""
        self._states[old] -= 1
        self._states[new] += 1
        if client is not None:
            self._waiting[client] -= 1

    def _recount(self) -> None:
        """Reads from the file what is kept in memory of it."""
        states = self._db.execute("SELECT state, COUNT(*) FROM prompts GROUP BY state")
        self._states: Counter[str] = Counter(dict(map(tuple, states)))
        waiting = "SELECT client, COUNT(*) FROM prompts WHERE state = ? GROUP BY client"
        self._waiting: Counter[str] = Counter(dict(map(tuple, self._db.execute(waiting, (PENDING,)))))

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
