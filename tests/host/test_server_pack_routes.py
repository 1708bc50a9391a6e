"""Packs' own routes and messages, as packs of the field register them."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host.folder import Host
from noderack_host.packs import LoadedPack, Packs, load_packs
from noderack_host.server import pack_routes
from noderack_host.server.app import make_app
from noderack_host.server.state import SERVER


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The object that packs talk to, of the form that plugins/compat gives it."""
    module: Any = ModuleType("server")
    found = SimpleNamespace(routes=web.RouteTableDef(), app=web.Application(), sender=None)
    found.trigger_on_prompt = lambda body: {**body, "seen": True}
    module.PromptServer = SimpleNamespace(instance=found)
    monkeypatch.setitem(sys.modules, "server", module)
    return found


async def test_routes_static_files_and_messages_of_packs(instance: Any, tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("static")

    @instance.routes.get("/mine/{name}")
    async def mine(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["name"])

    instance.app.router.add_static("/given", tmp_path / "files")
    client = TestClient(TestServer(make_app(Host.open(tmp_path), load_packs([]))))
    async with client:
        for path, text in (("/mine/x", "x"), ("/api/mine/y", "y"), ("/given/a.txt", "static")):
            assert await (await client.get(path)).text() == text
        async with client.ws_connect("/ws?clientId=me") as socket:
            await socket.receive_json()
            instance.sender("my.event", {"n": 1}, "me")
            assert await socket.receive_json() == {"type": "my.event", "data": {"n": 1}}
            instance.sender(3, b"abc", None)
            assert (await socket.receive()).data == b"\x00\x00\x00\x03abc"


async def test_of_a_reloaded_pack_the_newer_route_answers(instance: Any, tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()

    def register(text: str) -> None:
        @instance.routes.get("/mine")
        async def mine(request: web.Request) -> web.Response:
            return web.Response(text=text)

    register("old")
    app = make_app(Host.open(tmp_path), load_packs([]))
    async with TestClient(TestServer(app)) as client:
        assert await (await client.get("/mine")).text() == "old"
        register("new")
        app[SERVER].pack_routes.adopt()
        assert await (await client.get("/mine")).text() == "new"


class Shows:
    """What took the place of a node type that is gone."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    INPUT_TYPES = classmethod(lambda cls: {"required": {"text": ("STRING",)}})

    def run(self, text: str) -> Any:
        return {"ui": {"text": [text]}}


async def test_node_types_that_took_another_s_place(instance: Any, tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    rule = {
        "old_node_id": "Gone",
        "new_node_id": "Shows",
        "input_mapping": [{"new_id": "text", "old_id": "t"}],
    }
    instance.node_replacements = [rule]
    pack = LoadedPack("p", "p", "1", ("Shows",), 0.0, None)
    packs = Packs({"Shows": Shows}, {}, (), (pack,))
    async with TestClient(TestServer(make_app(Host.open(tmp_path), packs))) as client:
        assert await (await client.get("/node_replacements")).json() == {"Gone": [rule]}
        prompt = {"1": {"class_type": "Gone", "inputs": {"t": "hi"}}}
        answer = await client.post("/prompt", json={"prompt": prompt})
        assert answer.status == 200, await answer.text()
        prompt_id = (await answer.json())["prompt_id"]
        while not (found := await (await client.get(f"/history/{prompt_id}")).json()):
            await asyncio.sleep(0.02)
        assert found[prompt_id]["outputs"] == {"1": {"text": ["hi"]}}


def test_prompts_are_shown_to_packs(instance: Any) -> None:
    assert pack_routes.rewritten({"prompt": {}}) == {"prompt": {}, "seen": True}


def test_without_such_packs_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "server", raising=False)
    assert pack_routes.found() is None and pack_routes.rewritten({"a": 1}) == {"a": 1}
