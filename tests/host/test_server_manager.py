"""The manager's routes: off unless asked for, for the start's token alone; and the door for browsers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host.folder import Host
from noderack_host.packs import load_packs
from noderack_host.server.app import make_app
from noderack_host.server.installer import FAILED, Installer, Task
from noderack_host.server.routes_manager_dialogs import command
from noderack_host.server.settings import ServerSettings

WORKFLOW = {"1": {"class_type": "Talk", "inputs": {"model": "a.safetensors"}}}


async def client_of(tmp_path: Path, **options: Any) -> tuple[TestClient[web.Request, web.Application], Any]:
    (tmp_path / "host.toml").touch()
    settings = ServerSettings(**options)
    client = TestClient(TestServer(make_app(Host.open(tmp_path), load_packs([]), settings)))
    await client.start_server()
    return client, {"X-Noderack-Token": settings.start_token}


@pytest.mark.parametrize(
    "path", ["/noderack/manager/plan", "/noderack/manager/install", "/noderack/manager/cancel"]
)
async def test_nothing_is_installed_unless_the_server_was_started_for_it(tmp_path: Path, path: str) -> None:
    for manager, with_token, status in ((False, True, 403), (True, False, 403), (True, True, 400)):
        client, token = await client_of(tmp_path, manager=manager)
        answer = await client.post(path, json=[], headers=token if with_token else {})
        assert answer.status == (200 if status == 400 and path.endswith("cancel") else status)
        await client.close()


async def test_what_a_workflow_lacks_is_told_to_everybody(tmp_path: Path) -> None:
    client, token = await client_of(tmp_path)
    found = await (await client.post("/noderack/manager/missing", json={"workflow": WORKFLOW})).json()
    assert [one["type"] for one in found["types"]] == ["Talk"]
    assert [one["name"] for one in found["models"]] == ["a.safetensors"]
    assert (await client.post("/noderack/manager/missing", json={})).status == 400
    assert await (await client.get("/noderack/manager")).json() == {"enabled": False, "trusted": False}
    told = await (await client.get("/noderack/manager", headers=token)).json()
    assert told == {"enabled": False, "trusted": True, "tasks": []}
    await client.close()


@pytest.mark.parametrize(
    ("path", "with_token", "registry", "status"),
    [
        ("nodes?node_id=a", False, None, 403),
        ("nodes?node_id=a", True, None, 404),
        ("nodes/search?search=a", True, "http://127.0.0.1:9", 502),
        ("comfy-nodes/A%2FB/node", True, "http://127.0.0.1:9", 502),
        ("api/v1/packs", True, "http://127.0.0.1:9", 404),
        ("nodes/../api/v1/packs", True, "http://127.0.0.1:9", 404),
    ],
)
async def test_the_hosts_registry_is_asked_for_those_who_may_install(
    path: str,
    with_token: bool,
    registry: str | None,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NODERACK_REGISTRY", raising=False)
    if registry is not None:
        monkeypatch.setenv("NODERACK_REGISTRY", registry)
    client, token = await client_of(tmp_path, manager=True)
    answer = await client.get(f"/noderack/registry/{path}", headers=token if with_token else {})
    assert answer.status == status, await answer.text()
    await client.close()


async def test_the_dialogs_of_the_editor_are_served(tmp_path: Path) -> None:
    client, token = await client_of(tmp_path, manager=True)
    flags = await (await client.get("/features")).json()
    assert flags["extension"]["manager"] == {"supports_v4": True, "supports_csrf_post": True}
    for path in ("installed", "getmappings", "import_fail_info"):
        assert await (await client.get(f"/api/v2/customnode/{path}")).json() == {}
    status = await (await client.get("/api/v2/manager/queue/status")).json()
    assert status["total_count"] == 0 and not status["is_processing"]
    for path in ("task", "start", "reset", "update_all"):
        assert (await client.post(f"/api/v2/manager/queue/{path}", json={})).status == 403
    assert (await client.post("/api/v2/manager/reboot")).status == 403
    assert (await client.post("/api/v2/manager/queue/task", json={}, headers=token)).status == 400
    refused = await client.post("/api/v2/manager/queue/update_comfyui")
    assert refused.status == 400 and "pip" in (await refused.json())["message"]
    await client.close()


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("install", {"id": "a", "selected_version": "latest"}, ("install", "a", "--json")),
        ("install", {"id": "a", "selected_version": "1.2"}, ("install", "a==1.2", "--json")),
        ("uninstall", {"node_name": "a"}, ("uninstall", "a", "--json")),
        ("enable", {"cnr_id": "a"}, ("enable", "a")),
        ("install", {"id": "--registry=http://evil"}, None),
        ("install", {}, None),
        ("reinstall-everything", {"id": "a"}, None),
    ],
)
def test_a_dialogs_task_is_a_command(kind: str, params: Any, words: Any) -> None:
    assert command(kind, params) == words


async def test_tasks_are_children_that_are_told_cancelled_and_awaited(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    async def after(task: Task) -> None:
        heard.append((task.label, "after"))

    installer = Installer(tmp_path, lambda task, event: heard.append((task.label, event["event"])), after)
    work = asyncio.create_task(installer.work())
    bad = installer.put(Task("x", ("list", "--json"), "bad"))  # no host is there
    gone = installer.put(Task("x", ("list",), "gone"))
    assert installer.cancel(gone.id) and not installer.cancel("nobody")
    await asyncio.wait_for(installer.quiet(), 30)
    assert (
        (bad.state, gone.state) == (FAILED, FAILED) and "host" in bad.message and gone.message == "cancelled"
    )
    assert heard == [
        ("gone", "ended"),
        ("bad", "started"),
        ("bad", "error"),
        ("bad", "after"),
        ("bad", "ended"),
    ]
    work.cancel()


async def test_a_browser_gives_the_token_once(tmp_path: Path) -> None:
    client, _ = await client_of(tmp_path, token="secret")
    page = {"Accept": "text/html"}
    sent = await client.get("/", headers=page, allow_redirects=False)
    assert sent.status == 303 and sent.headers["Location"] == "/noderack/open"
    door = await client.get("/noderack/open")
    assert door.status == 200 and "secret" not in await door.text()
    assert (await client.post("/noderack/open")).status == 401
    entered = await client.post("/noderack/open", headers={"Authorization": "Bearer secret"})
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "secret" not in cookie
    kept = {"Cookie": cookie.partition(";")[0]}
    client.session.cookie_jar.clear()
    assert (await client.get("/queue", headers=kept)).status == 200
    assert (await client.get("/queue", headers={"Cookie": "noderack_token=secret"})).status == 401
    await client.close()
