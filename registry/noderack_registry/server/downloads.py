"""Counting downloads without writing on every one: seen in memory, written every few seconds.

A version counts once a day for each client. What is not written when the process is killed is lost; nothing
else depends on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import Counter
from datetime import datetime

from sqlalchemy import update
from sqlmodel import Session, col

from noderack_registry.server.database import Database, insert_new
from noderack_registry.server.tables import Download, Pack

LOG = logging.getLogger("noderack.registry")
SECONDS = 5.0


class Downloads:
    """The downloads seen since the last write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: set[tuple[int, str, str, str]] = set()
        self._lock = threading.Lock()

    def saw(self, pack_id: int, version: str, client: str, now: datetime) -> None:
        """A client got a version. Addresses are kept as a hash that changes every day."""
        day = now.strftime("%Y-%m-%d")
        who = hashlib.sha256(f"{day}\0{client}".encode()).hexdigest()[:16]
        with self._lock:
            self._seen.add((pack_id, version, day, who))

    def flush(self) -> int:
        """Write what was seen; gives how many downloads were new."""
        with self._lock:
            seen, self._seen = self._seen, set()
        return self._database.writing(count, sorted(seen)) if seen else 0

    async def keep_flushing(self) -> None:
        """Write every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await asyncio.to_thread(self.flush)
            except Exception:  # a full disk must not end the counting for good
                LOG.exception("downloads could not be counted")


def count(session: Session, seen: list[tuple[int, str, str, str]]) -> int:
    """Add downloads that are not counted yet; gives how many those were."""
    new: Counter[int] = Counter()
    statement = insert_new(session, Download).returning(col(Download.pack_id))
    for at in range(0, len(seen), 200):
        rows = [
            dict(zip(("pack_id", "version", "day", "client"), row, strict=True))
            for row in seen[at : at + 200]
        ]
        new.update(row[0] for row in session.execute(statement.values(rows)))
    for pack_id, more in new.items():
        session.execute(update(Pack).where(col(Pack.id) == pack_id).values(downloads=Pack.downloads + more))
    return sum(new.values())
