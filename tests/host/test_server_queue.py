"""The queue: what was accepted is run once, in order, whatever happens to the process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from noderack_host.server.queue import (
    CANCELLED,
    DONE,
    FAILED,
    PENDING,
    RUNNING,
    Entry,
    Limits,
    Queue,
    QueueFull,
    SamePrompt,
)

STATUS = {"status_str": "success", "completed": True, "messages": []}


def entry(name: str, client: str = "") -> Entry:
    return Entry(name, 0, {"1": {"class_type": "X", "inputs": {}}}, client=client)


def take_all(queue: Queue, fair: bool = False) -> list[str]:
    taken = []
    while (found := queue.take(fair)) is not None:
        taken.append(found.id)
        queue.finish(found.id, DONE, STATUS)
    return taken


def test_prompts_run_in_the_order_they_came_but_front_goes_first(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db")
    for name in ("a", "b"):
        queue.put(entry(name))
    queue.put(entry("first"), front=True)
    queue.put(entry("between"), number=1.5)
    assert take_all(queue) == ["first", "a", "between", "b"]


def test_fair_serves_the_client_that_waited_longest(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db")
    for name in ("a1", "a2", "a3", "b1"):
        queue.put(entry(name, client=name[0]))
    taken = [queue.take(fair=True)]
    time.sleep(0.002)
    taken.append(queue.take(fair=True))
    assert [found.id for found in taken if found] == ["a1", "b1"]


def test_what_is_over_is_history_bounded_and_oldest_first(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db", Limits(history=3))
    for name in "abcde":
        queue.put(entry(name))
    take_all(queue)
    assert [one.id for one in queue.history()] == ["c", "d", "e"]
    assert [one.id for one in queue.history(limit=2)] == ["d", "e"]
    assert [one.id for one in queue.history(limit=1, offset=0)] == ["c"]


def test_waiting_prompts_can_be_cancelled_moved_and_paused(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db")
    for name in "abc":
        queue.put(entry(name))
    assert queue.cancel(["b", "nobody"]) == ["b"]
    assert queue.move("c", 0.5)
    queue.pause(True)
    assert Queue(tmp_path / "queue.db").take() is None
    queue.pause(False)
    assert take_all(queue) == ["c", "a"]


def test_limits_and_ids_are_told(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue.db", Limits(waiting=2, waiting_of_client=1))
    queue.put(entry("a", "one"))
    with pytest.raises(QueueFull, match="this client"):
        queue.put(entry("b", "one"))
    with pytest.raises(SamePrompt, match="another id"):
        queue.put(entry("a", "two"))
    queue.put(entry("c", "two"))
    with pytest.raises(QueueFull, match="2 prompts wait"):
        queue.put(entry("d", "three"))


@pytest.mark.parametrize(("lost", "state"), [("again", PENDING), ("failed", FAILED)])
def test_a_prompt_that_ran_when_the_server_died(tmp_path: Path, lost: str, state: str) -> None:
    queue = Queue(tmp_path / "queue.db")
    queue.put(entry("a"))
    assert queue.take() is not None
    found = Queue(tmp_path / "queue.db", lost=lost).get("a")
    assert found is not None and found.state == state


def test_a_prompt_that_keeps_killing_the_server_is_given_up(tmp_path: Path) -> None:
    Queue(tmp_path / "queue.db").put(entry("a"))
    for _ in range(3):
        assert Queue(tmp_path / "queue.db").take() is not None
    found = Queue(tmp_path / "queue.db").get("a")
    assert found is not None and found.state == FAILED


WORKER = """
import sys
from noderack_host.server.queue import DONE, Entry, Queue
queue = Queue(sys.argv[1])
for number in range(100000):
    name = f"{sys.argv[2]}-{number}"
    queue.put(Entry(name, 0, {}))
    print(name, flush=True)
    taken = queue.take()
    queue.finish(taken.id, DONE, {"completed": True})
"""


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_nothing_accepted_is_lost_or_doubled(tmp_path: Path, rounds: int) -> None:
    accepted: set[str] = set()
    for number in range(rounds):
        child = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "queue.db"), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(0.02 + 0.003 * (number % 10))
        os.kill(child.pid, signal.SIGKILL)
        accepted |= {line for line in (first + child.stdout.read()).split("\n")[:-1] if line}
    queue = Queue(tmp_path / "queue.db", Limits(history=10**9))
    there = [one.id for one in queue.listed(PENDING, RUNNING, DONE, FAILED, CANCELLED)]
    assert accepted <= set(there) and len(there) == len(set(there))
    assert queue.count(RUNNING) == 0
    assert json.dumps(queue.history()[0].history())
