"""Under load nothing is lost and nothing doubled; killed under load, queue and history are true each time."""

import asyncio
import contextlib
import json
import random
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for server_load.py beside this file

from server_load import Heard as Listener
from server_load import ask, load, percentile, post, serving


@pytest.mark.parametrize(("prompts", "clients"), [(60, 6), pytest.param(1000, 50, marks=pytest.mark.slow)])
def test_many_clients_each_hear_each_of_their_prompts_once(
    tmp_path: Path, prompts: int, clients: int
) -> None:
    with serving(tmp_path) as (_, url):
        found = asyncio.run(load(url, prompts, clients))
        history = ask(url, "/history")
    ends = [end for heard in found for end in heard.ends.values()]
    assert len(ends) == prompts and set(ends) == {1}, "each end is heard once, by its client"
    assert len(history) == prompts
    assert all(one["outputs"]["1"]["text"] == [name] for name, one in history.items()), (
        "no prompt got another's"
    )
    assert all(heard.previews >= prompts // clients for heard in found), "each prompt showed a preview"
    late = [one for heard in found for one in heard.late]
    assert percentile(late, 0.99) < 30


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_under_load_queue_and_history_are_true(tmp_path: Path, kills: int) -> None:
    accepted: list[str] = []
    rng = random.Random(7)
    for _ in range(kills):
        with serving(tmp_path) as (child, url):
            stop = threading.Event()
            poster = threading.Thread(target=pour, args=(url, accepted, stop))
            poster.start()
            time.sleep(rng.uniform(0.05, 0.4))
            child.kill()
            child.wait()
            stop.set()
            poster.join()
    with serving(tmp_path) as (_, url):
        until = time.monotonic() + 60
        while ask(url, "/prompt")["exec_info"]["queue_remaining"] and time.monotonic() < until:
            time.sleep(0.1)
        history = ask(url, "/history")
    assert len(accepted) > kills and len(set(accepted)) == len(accepted)
    assert set(accepted) <= set(history), "what was accepted is there"
    assert len(set(history) - set(accepted)) <= kills, "at most the answer was lost, once for each kill"
    given_up = [name for name, one in history.items() if one["status"]["status_str"] != "success"]
    assert all(history[name]["status"]["messages"][0][0] == "lost" for name in given_up)
    assert all(one["outputs"]["1"]["text"] == [name] for name, one in history.items() if name not in given_up)


def pour(url: str, accepted: list[str], stop: threading.Event) -> None:
    """Posts prompts one after the other until the server is gone; notes each that was accepted."""

    async def work() -> None:
        async with aiohttp.ClientSession(url) as http:
            while not stop.is_set():
                prompt_id = uuid.uuid4().hex
                await post(http, prompt_id, "", Listener())
                accepted.append(prompt_id)

    with contextlib.suppress(aiohttp.ClientError, ConnectionError, AssertionError):
        asyncio.run(work())


def test_the_answer_to_a_prompt_comes_after_it_is_written_down(tmp_path: Path) -> None:
    with serving(tmp_path) as (child, url):
        node = {"class_type": "Steps", "inputs": {"text": "a", "steps": 1}}
        body = json.dumps({"prompt": {"1": node}, "prompt_id": "a"}).encode()
        urllib.request.urlopen(urllib.request.Request(url + "/queue", b'{"pause": true}')).close()
        urllib.request.urlopen(urllib.request.Request(url + "/prompt", body)).close()
        child.kill()
    with serving(tmp_path) as (_, url):
        assert [item[1] for item in ask(url, "/queue")["queue_pending"]] == ["a"]
