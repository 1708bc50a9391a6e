"""Publishing and clearing away take turns, over processes and databases."""

from __future__ import annotations

import threading

import pytest
from noderack_registry.server import inspection, open_registry, turns
from noderack_registry.server.database import Database
from test_databases import database_url, postgres  # noqa: F401  fixtures
from wheels import write_wheel


def entered(waiting: list[threading.Thread], database: Database, turn, seconds: float = 0.5) -> bool:
    """Whether this turn is given at once, to somebody else (who goes on waiting if not)."""
    inside = threading.Event()

    def try_it() -> None:
        with turn(database):
            inside.set()

    waiting.append(threading.Thread(target=try_it, daemon=True))
    waiting[-1].start()
    return inside.wait(seconds)


@pytest.mark.parametrize(
    ("held", "wanted", "together"),
    [
        (turns.publishing, turns.publishing, True),
        (turns.publishing, turns.clearing, False),
        (turns.clearing, turns.publishing, False),
        (turns.clearing, turns.clearing, False),
    ],
)
def test_who_may_be_there_together(make_bench, database_url, held, wanted, together):  # noqa: F811
    bench = make_bench(database=database_url)
    other = open_registry(bench.settings)
    waiting: list[threading.Thread] = []
    with held(bench.registry.database):
        assert entered(waiting, other.database, wanted) is together
    assert entered(waiting, other.database, turns.clearing, 5)
    for thread in waiting:
        thread.join(5)
    other.database.close()


def test_what_was_published_after_the_look_is_not_cleared_away(bench, tmp_path):
    wheel = write_wheel(tmp_path)
    bench.client(bench.token()).upload_wheel(wheel)
    (sha256,) = {file.sha256 for file in bench.client().version("grain", "1.0").files}
    inspection.repair(bench.registry, [inspection.Fault("orphan-blob", sha256, repairable=True)])
    assert inspection.check(bench.registry) == []
