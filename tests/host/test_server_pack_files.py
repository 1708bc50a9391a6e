"""Files that packs bring beside their code, as editors ask for them."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host.folder import Host
from noderack_host.packs import LoadedPack, Packs
from noderack_host.server.app import make_app

FILES = {
    "example_workflows/first.json": {"nodes": []},
    "example_workflows/first.jpg": {},
    "locales/de/main.json": {"g": {"yes": "ja"}, "nodeCategories": {"a": "A"}},
    "locales/de/nodeDefs.json": {"Talk": {"display_name": "Sprich"}},
    "locales/de/commands.json": {"Talk_now": {"label": "Jetzt"}},
    "locales/de/settings.json": {"Talk_loud": {"name": "Laut"}},
    "locales/fr/nodeDefs.json": {"Talk": {"display_name": "Parle"}},
    "subgraphs/two of them.json": {"definitions": {}},
}
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A server with two packs that bring files; one file of the second is broken."""
    packs = []
    for name in ("talk", "other"):
        module = ModuleType(f"pack_of_files_{name}")
        module.__file__ = str(tmp_path / name / "__init__.py")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        packs.append(LoadedPack(name, name, "1.0", (), 0.0, module=module.__name__))
    for path, content in FILES.items():
        (tmp_path / "talk" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "talk" / path).write_text(json.dumps(content))
    more = tmp_path / "other/locales/de"
    more.mkdir(parents=True)
    (more / "nodeDefs.json").write_text(json.dumps({"Other": {"display_name": "Anders"}}))
    (more / "main.json").write_text("{ broken")
    (tmp_path / "host.toml").touch()
    made = Client(TestServer(make_app(Host.open(tmp_path), Packs({}, {}, (), tuple(packs)))))
    await made.start_server()
    yield made
    await made.close()


async def test_example_workflows(client: Client) -> None:
    assert await (await client.get("/workflow_templates")).json() == {"talk": ["first"]}
    assert await (await client.get("/workflow_templates/talk/first.json")).json() == {"nodes": []}
    assert (await client.get("/workflow_templates/talk/first.jpg")).status == 200
    assert (await client.get("/workflow_templates/talk/none.json")).status == 404


async def test_translations_of_all_packs_together(client: Client) -> None:
    told = await (await client.get("/i18n")).json()
    assert told["de"]["g"] == {"yes": "ja"} and told["de"]["commands"]["Talk_now"] == {"label": "Jetzt"}
    assert {key: one["display_name"] for key, one in told["de"]["nodeDefs"].items()} == {
        **{"Talk": "Sprich", "Other": "Anders"},
    }
    assert told["de"]["settings"] == {"Talk_loud": {"name": "Laut"}} and list(told["fr"]) == ["nodeDefs"]


async def test_sub_graphs_to_insert(client: Client) -> None:
    listed = await (await client.get("/api/global_subgraphs")).json()
    [(key, told)] = listed.items()
    assert told["name"] == "two of them" and told["info"] == {"node_pack": "custom_nodes.talk"}
    one = await (await client.get(f"/global_subgraphs/{key}")).json()
    assert json.loads(one.pop("data")) == {"definitions": {}} and one == told
    assert await (await client.get("/global_subgraphs/none")).json() is None
