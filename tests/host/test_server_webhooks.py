"""Webhooks over real HTTP: signed as the field verifies it, called again until they are heard."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from noderack_host.server.queue import DONE, Entry, Queue
from noderack_host.server.webhooks import Webhooks, calls_for, origin_of, refused_hook

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


class Ear:
    """A listener that answers what it is told to, in order, then 204."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[dict[str, str], str]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.text()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


async def serve(ear: Ear) -> TestServer:
    app = web.Application()
    app.router.add_post("/done", ear)
    server = TestServer(app)
    await server.start_server()
    return server


def over(url: str, queue: Queue) -> None:
    """One prompt that is over, told to `url`."""
    queue.put(Entry("p", 0, {"1": {}}))
    entry = queue.take()
    assert entry is not None
    queue.finish("p", DONE, {}, calls=calls_for(entry, [url]))


async def until(ear: Ear, queue: Queue, secret: str = SECRET) -> Webhooks:
    hooks = Webhooks(queue, secret, delays=(0.01, 0.01))
    work = asyncio.create_task(hooks.work())
    for _ in range(200):
        await asyncio.sleep(0.05)
        if not queue.calls():
            break
    work.cancel()
    return hooks


async def test_a_call_is_signed_and_made_again_until_it_is_heard(tmp_path: Path) -> None:
    ear = Ear(500, 302)
    server = await serve(ear)
    queue = Queue(tmp_path / "queue.db")
    over(str(server.make_url("/done")), queue)
    queue.close()
    queue = Queue(tmp_path / "queue.db")  # a call outlives the server that was to make it
    hooks = await until(ear, queue)
    assert (len(ear.heard), hooks.sent, hooks.failed) == (3, 1, 2)
    headers, body = ear.heard[-1]
    given = {name.lower(): value for name, value in headers.items()}
    message = f"{given['webhook-id']}.{given['webhook-timestamp']}.{body}".encode()
    mark = base64.b64encode(hmac.new(b"k" * 24, message, hashlib.sha256).digest()).decode()
    assert (
        given["webhook-signature"] == f"v1,{mark}" and abs(time.time() - int(given["webhook-timestamp"])) < 60
    )
    assert len({one[0]["webhook-id"] for one in ear.heard}) == 1, "listeners know a second try by its id"
    assert json.loads(body)["type"] == "prompt.in_progress" and json.loads(body)["data"]["id"] == "p"
    await server.close()


@pytest.mark.parametrize("answers", [(410,), (500, 500, 500)])
async def test_a_call_is_given_up_in_the_end(tmp_path: Path, answers: Any) -> None:
    ear = Ear(*answers)
    server = await serve(ear)
    queue = Queue(tmp_path / "queue.db")
    over(str(server.make_url("/done")), queue)
    hooks = await until(ear, queue)
    assert not queue.calls() and (hooks.sent, hooks.failed) == (0, len(answers))
    await server.close()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example/x", True),
        ("https://a.example:444/x", False),
        ("http://a.example/x", False),
        ("https://a.example@evil.example/", False),
        ("https://u:p@a.example/", False),
        ("file:///etc/passwd", False),
        ("//a.example", False),
        (7, False),
    ],
)
def test_a_prompt_may_only_name_what_was_allowed(url: Any, allowed: bool) -> None:
    assert (refused_hook({"webhook": url}, ["https://a.example"]) is None) == allowed
    assert refused_hook({}, []) is None and refused_hook(None, []) is None


def test_origins() -> None:
    assert origin_of("https://a:1/b") == "https://a:1" and origin_of("http://[::1") is None
