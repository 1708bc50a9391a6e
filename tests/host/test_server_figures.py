"""Logs of each prompt, figures, priorities and limits, over real HTTP."""

import logging
import re
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host import running
from noderack_host.folder import Host
from noderack_host.measure import Timing
from noderack_host.packs import LoadedPack, Packs
from noderack_host.server.app import make_app
from noderack_host.server.figures import Figures, Step
from noderack_host.server.logs import Logs, Tee
from noderack_host.server.queue import Limits
from noderack_host.server.settings import ServerSettings

Client = TestClient[web.Request, web.Application]


class Talk:
    """Logs what it is given, and fails if told to."""

    RETURN_TYPES = ()
    FUNCTION = "talk"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {})}}

    def talk(self, text: str) -> dict[str, Any]:
        logging.getLogger("a.pack").warning("it says %s", text)
        running.current().progress(1, 2)
        if text == "fail":
            raise ValueError("told to")
        return {"ui": {"text": [text]}}


NODES: dict[str, Any] = {"Talk": Talk}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    (tmp_path / "host.toml").touch()
    packs = Packs(NODES, {}, (), (LoadedPack("talk", "talk", "1", ("Talk",), 0.0),))
    settings = ServerSettings(limits=Limits(4, 2, 3))
    client = TestClient(TestServer(make_app(Host.open(tmp_path), packs, settings)))
    await client.start_server()
    yield client
    await client.close()


async def put(client: Client, text: str, **body: Any) -> web.Response:
    sent = {"prompt": {"1": {"class_type": "Talk", "inputs": {"text": text}}}, "prompt_id": text, **body}
    answer: Any = await client.post("/prompt", json=sent)
    return answer


# the fixture above is small: 4 may wait, 2 of a client, 3 are kept
async def until_over(client: Client, prompt_id: str) -> Any:
    for _ in range(400):
        if found := await (await client.get(f"/history/{prompt_id}")).json():
            return found[prompt_id]
    raise AssertionError("not over")


async def test_each_prompt_has_its_own_log(client: Client) -> None:
    for text in ("one", "fail"):
        await put(client, text)
        await until_over(client, text)
    for text in ("one", "fail"):
        entries = (await (await client.get(f"/noderack/prompts/{text}/logs")).json())["entries"]
        assert [(line["m"], line["node"]) for line in entries] == [(f"WARNING a.pack: it says {text}\n", "1")]
    assert (await client.get("/noderack/prompts/none/logs")).status == 404
    assert "it says one" in await (await client.get("/internal/logs")).text()


async def test_priorities_go_first_and_limits_hold(client: Client) -> None:
    await client.post("/queue", json={"pause": True})
    for text, more in (("a", {}), ("b", {"priority": 5}), ("c", {"priority": 500, "client_id": "x"})):
        assert (await put(client, text, **more)).status == 200
    pending = (await (await client.get("/queue")).json())["queue_pending"]
    assert [item[1] for item in pending] == ["c", "b", "a"]
    assert (await put(client, "d", client_id="x")).status == 200
    full: Any = await put(client, "e", client_id="x")
    assert full.status == 429 and "wait" in (await full.json())["error"]["message"]
    now = await (await client.get("/noderack/now")).json()
    assert now["paused"] and now["waiting_in_all"] == 4 and now["waiting"][0]["priority"] == 100
    await client.post("/queue", json={"pause": False})
    for text in ("d",):
        await until_over(client, text)
    assert len(await (await client.get("/history")).json()) == 3, "history is bounded"


async def test_it_says_which_models_are_in_memory(client: Client) -> None:
    from noderack_diffusion.memory import Device
    from noderack_diffusion.rooms import Room, rooms

    rooms()["test", 0] = Room(Device(10**9), "test")
    try:
        told = await (await client.get("/noderack/memory")).json()
        assert {"device": "test", "capacity": 10**9}.items() <= told["rooms"][-1].items()
    finally:
        del rooms()["test", 0]


async def test_a_webhook_that_was_not_allowed_is_refused(client: Client) -> None:
    refused: Any = await put(client, "a", extra_data={"webhook": "http://169.254.169.254/"})
    assert refused.status == 400 and "--webhook-origin" in (await refused.json())["error"]["message"]


async def test_metrics_are_in_prometheus_form(client: Client) -> None:
    await put(client, "one")
    await until_over(client, "one")
    text = await (await client.get("/metrics")).text()
    line = re.compile(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)*\})? [-+0-9.e]+')
    assert all(line.fullmatch(found) for found in text.strip().split("\n"))
    assert 'noderack_prompts_total{state="completed"} 1' in text
    assert 'noderack_node_runs_total{node_type="Talk"} 1' in text
    assert 'noderack_prompt_seconds_bucket{le="+Inf"} 1' in text


def test_figures_add_up() -> None:
    figures = Figures()
    figures.over("completed", 1.0, 0.05, [Timing("1", "A", 0.0, 0.04)])
    figures.over("failed", 0.0, 99.0, [])
    lines = list(figures.metrics())
    assert 'noderack_prompt_seconds_bucket{le="0.1"} 1' in lines
    assert 'noderack_prompt_seconds_bucket{le="+Inf"} 2' in lines
    assert 'noderack_node_seconds_total{node_type="A"} 0.04' in lines


def test_a_rate_is_of_the_node_that_runs() -> None:
    step = Step()
    step.heard("1", 1, 10)
    step.since -= 2
    step.heard("1", 5, 10)
    assert step.rate == pytest.approx(2.0, rel=0.01)
    step.heard("2", 1, 10)
    assert step.node == "2" and step.first == 1


def test_what_is_printed_is_kept_line_by_line() -> None:
    below, logs = StringIO(), Logs()
    tee = Tee(below, logs)
    print("a\nb", file=tee)
    tee.write("10%\r20%\rdone\nrest")
    assert below.getvalue() == "a\nb\n10%\r20%\rdone\nrest"
    assert [line["m"] for line in logs.entries()] == ["a\n", "b\n", "done\n"]
    assert tee.encoding == below.encoding and tee.writable() and tee.getvalue() == below.getvalue()
