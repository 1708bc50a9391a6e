"""The server over real HTTP and sockets, with small nodes that are plain classes."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import ClientWebSocketResponse, FormData, WSCloseCode, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host import running
from noderack_host.folder import Host, HostConfig
from noderack_host.packs import LoadedPack, Packs, load_packs
from noderack_host.server import templates
from noderack_host.server.app import api_routes, make_app
from noderack_host.server.settings import ServerSettings
from PIL import Image, PngImagePlugin

OURS = "/extensions/noderack/noderack.js"
Client = TestClient[web.Request, web.Application]


class Say:
    """Gives a text to show, in steps, with previews."""

    RETURN_TYPES: ClassVar = ("STRING",)
    FUNCTION = "say"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"text": ("STRING", {"default": "hi"}), "steps": ("INT", {"default": 0, "min": 0})}
        }

    def say(self, text: str, steps: int) -> dict[str, Any]:
        for step in range(steps):
            running.current().progress(step + 1, steps, ("JPEG", Image.new("RGB", (8, 8)), None))
        if text == "fail":
            raise ValueError("it was told to")
        return {"ui": {"text": [text]}, "result": (text,)}


class Wait(Say):
    """Runs until it is interrupted."""

    def say(self, text: str, steps: int) -> dict[str, Any]:
        while True:
            running.current().progress(0, 1)


def prompt(text: str = "hi", steps: int = 0, kind: str = "Say") -> dict[str, Any]:
    return {"1": {"class_type": kind, "inputs": {"text": text, "steps": steps}}}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path, HostConfig())
    for folder in (host.input, host.output, host.temp, host.models / "loras"):
        folder.mkdir(parents=True)
    return host


@pytest.fixture
def packs(tmp_path: Path) -> Packs:
    web_folder = tmp_path / "web"
    web_folder.mkdir()
    (web_folder / "x y.js").write_text("export {}")
    nodes = {"Say": Say, "Wait": Wait}
    pack = LoadedPack("talk pack", "talk", "1.0", tuple(nodes), 0.0, web_folder, __name__)
    return Packs(nodes, {"Say": "Say it"}, (), (pack,))


@pytest.fixture
async def client(host: Host, packs: Packs) -> AsyncIterator[Client]:
    client = TestClient(TestServer(make_app(host, packs)))
    await client.start_server()
    yield client
    await client.close()


async def until_over(client: Client, prompt_id: str) -> dict[str, Any]:
    for _ in range(500):
        found = await (await client.get(f"/history/{prompt_id}")).json()
        if found:
            return dict(found[prompt_id])
        await asyncio.sleep(0.01)
    raise AssertionError("the prompt is not over after 5 s")


async def queue(client: Client, **body: Any) -> str:
    answer = await client.post("/prompt", json=body)
    assert answer.status == 200, await answer.text()
    return str((await answer.json())["prompt_id"])


async def heard(socket: ClientWebSocketResponse, last: str) -> list[Any]:
    """Everything a socket gets, up to the message `executing` with node null, or `last`."""
    messages: list[Any] = []
    while True:
        message = await asyncio.wait_for(socket.receive(), 5)
        messages.append(json.loads(message.data) if isinstance(message.data, str) else message.data)
        told = messages[-1]
        if isinstance(told, dict) and (told["type"] == last or told.get("data", {}).get("node", 0) is None):
            return messages


async def test_a_prompt_runs_and_its_client_hears_of_it(client: Client) -> None:
    socket = await client.ws_connect("/ws?clientId=me")
    stranger = await client.ws_connect("/ws?clientId=other")
    prompt_id = await queue(client, prompt=prompt(steps=2), client_id="me", prompt_id="mine")
    messages = await heard(socket, "never")
    names = [told["type"] for told in messages if isinstance(told, dict) and told["type"] != "progress_state"]
    assert prompt_id == "mine"
    order = ["execution_start", "execution_cached", "executing", "progress", "executed", "execution_success"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert names[-2:] == ["status", "executing"]
    pictures = [told for told in messages if isinstance(told, bytes)]
    assert pictures and pictures[0][:8] == b"\0\0\0\1\0\0\0\1"
    entry = await until_over(client, "mine")
    assert entry["outputs"] == {"1": {"text": ["hi"]}} and entry["status"]["status_str"] == "success"
    assert entry["status"]["messages"][0][0] == "execution_start"
    await stranger.close()
    others = [json.loads(told.data)["type"] async for told in stranger if isinstance(told.data, str)]
    assert set(others) <= {"status"}


async def test_a_client_that_says_so_gets_previews_with_their_node(client: Client) -> None:
    socket = await client.ws_connect("/ws?clientId=me")
    await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    await heard(socket, "feature_flags")
    await queue(client, prompt=prompt(steps=1), client_id="me")
    picture = next(told for told in await heard(socket, "never") if isinstance(told, bytes))
    length = int.from_bytes(picture[4:8], "big")
    assert picture[:4] == b"\0\0\0\4" and json.loads(picture[8 : 8 + length])["node_id"] == "1"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "no_prompt"),
        ({"prompt": []}, "no_prompt"),
        ({"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}, "missing_node_type"),
        ({"prompt": prompt(steps=-1)}, "prompt_outputs_failed_validation"),
    ],
)
async def test_bad_prompts_are_refused_with_their_problems(client: Client, body: Any, kind: str) -> None:
    answer = await client.post("/prompt", data=json.dumps(body), headers={"Content-Type": "text/plain"})
    told = await answer.json()
    assert answer.status == 400 and told["error"]["type"] == kind and "node_errors" in told


async def test_what_is_not_json_is_a_400(client: Client) -> None:
    assert (await client.post("/prompt", data="{")).status == 400


async def test_a_failed_node_is_in_history_with_its_error(client: Client) -> None:
    entry = await until_over(client, await queue(client, prompt=prompt("fail")))
    name, data = entry["status"]["messages"][-1]
    assert (name, data["node_id"], data["exception_type"]) == ("execution_error", "1", "ValueError")
    job = await (await client.get("/api/jobs?status=failed")).json()
    assert job["jobs"][0]["execution_error"]["exception_message"].startswith("it was told to")


async def test_interrupt_and_queue_operations(client: Client) -> None:
    running_id = await queue(client, prompt=prompt(kind="Wait"))
    waiting = [await queue(client, prompt=prompt(str(i)), number=i) for i in (5, 6)]
    front = await queue(client, prompt=prompt("front"), front=True)
    found = await (await client.get("/api/queue")).json()
    assert [item[1] for item in found["queue_pending"]] == [front, *waiting]
    assert (await (await client.get("/prompt")).json())["exec_info"]["queue_remaining"] == 4
    await client.post("/queue", json={"delete": [waiting[0]]})
    await client.post("/interrupt", json={"prompt_id": "somebody else's"})
    await client.post("/interrupt", data="")
    assert (await until_over(client, running_id))["status"]["completed"] is False
    await until_over(client, waiting[1])
    listed = (await (await client.get("/jobs?sort_order=asc")).json())["jobs"]
    assert {job["id"]: job["status"] for job in listed} == {
        running_id: "cancelled",
        front: "completed",
        waiting[1]: "completed",
    }
    assert (await client.get("/jobs?status=nonsense")).status == 400
    await client.post("/history", json={"clear": True})
    assert await (await client.get("/history")).json() == {}


async def test_the_catalogue(client: Client, host: Host) -> None:
    (host.models / "loras" / "a.safetensors").write_bytes(b"x")
    info = await (await client.get("/api/object_info")).json()
    assert info["Say"]["display_name"] == "Say it" and info["Say"]["input"]["required"]["steps"][0] == "INT"
    assert await (await client.get("/object_info/Nope")).json() == {}
    assert await (await client.get("/models/loras")).json() == ["a.safetensors"]
    assert (await client.get("/models/nope")).status == 404
    assert (await (await client.get("/experiment/models/loras")).json())[0]["size"] == 1
    assert await (await client.get("/extensions")).json() == [OURS, "/extensions/talk%20pack/x%20y.js"]
    assert await (await client.get("/extensions/talk%20pack/x%20y.js")).text() == "export {}"
    # Scripts ask under the name of their folder, as it was in the field.
    assert await (await client.get("/extensions/Talk_Pack/x%20y.js")).text() == "export {}"
    for path in ("/system_stats", "/features", "/users", "/i18n", "/embeddings", "/health", "/metrics"):
        assert (await client.get(path)).status == 200, path


def form(data: bytes, name: str, **fields: str) -> FormData:
    found = FormData()
    found.add_field("image", data, filename=name)
    for key, value in fields.items():
        found.add_field(key, value)
    return found


def png(colour: tuple[int, ...], **texts: str) -> bytes:
    buffer, info = BytesIO(), PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    Image.new("RGBA" if len(colour) == 4 else "RGB", (4, 4), colour).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


async def test_pictures_go_in_and_come_out(client: Client) -> None:
    red, blue = png((255, 0, 0), workflow="{}"), png((0, 0, 255))
    for data, name in [(red, "a.png"), (red, "a.png"), (blue, "a (1).png")]:
        told = await (await client.post("/upload/image", data=form(data, "a.png", subfolder="x"))).json()
        assert told == {"name": name, "subfolder": "x", "type": "input"}
    shown = await client.get("/view?filename=a.png&type=input&subfolder=x", headers={"Range": "bytes=0-3"})
    assert shown.status == 206 and await shown.read() == red[:4]
    small = await client.get("/view?filename=a.png [input]&subfolder=x&preview=webp;50")
    assert small.content_type == "image/webp"
    mask = form(
        png((0, 0, 0, 7)), "m.png", original_ref='{"filename": "a.png", "type": "input", "subfolder": "x"}'
    )
    assert (await client.post("/upload/mask", data=mask)).status == 200
    with Image.open(BytesIO(await (await client.get("/view?filename=m.png&type=input")).read())) as masked:
        assert masked.getpixel((0, 0)) == (255, 0, 0, 7) and masked.text["workflow"] == "{}"
    alpha = await client.get("/view?filename=m.png&type=input&channel=a")
    with Image.open(BytesIO(await alpha.read())) as only:
        assert only.getpixel((0, 0)) == (0, 0, 0, 7)


ESCAPES = [
    "../secret",
    "..%2Fsecret",
    "/etc/passwd",
    "a/../../secret",
    "..\\secret",
    "%2e%2e/secret",
    "link/secret",
]


@pytest.mark.parametrize("name", ESCAPES)
async def test_no_path_leads_out_of_its_folder(client: Client, host: Host, name: str) -> None:
    (host.root / "secret").write_text("hidden")
    (host.output / "link").symlink_to(host.root)
    for path in (f"/view?filename={name}", f"/view?filename=x&subfolder={name}", f"/userdata?dir={name}"):
        answer = await client.get(path)
        assert answer.status in (400, 403, 404) and "hidden" not in await answer.text()
    whole = name.replace("/", "%2F").replace("\\", "%5C").replace("%%", "%")
    for method in ("GET", "DELETE"):
        assert (await client.request(method, f"/userdata/{whole}")).status in (400, 403, 404)
    await client.post("/upload/image", data=form(b"x", name, subfolder=name))
    assert (host.root / "secret").read_text() == "hidden"


async def test_settings_and_files_of_the_user(client: Client) -> None:
    await client.post("/settings", json={"a": 1})
    await client.post("/settings/b.c", json="two")
    assert await (await client.get("/settings")).json() == {"a": 1, "b.c": "two"}
    assert await (await client.get("/settings/none")).json() is None
    assert (await client.get("/userdata?dir=elsewhere")).status == 404
    assert await (await client.get("/userdata?dir=workflows")).json() == []
    assert (
        await (await client.post("/api/userdata/workflows%2Fa.json", data=b"{}")).json() == "workflows/a.json"
    )
    assert (await client.post("/userdata/workflows%2Fa.json?overwrite=false", data=b"")).status == 409
    assert await (await client.get("/userdata?dir=workflows")).json() == ["a.json"]
    moved = await client.post("/userdata/workflows%2Fa.json/move/workflows%2Fb.json?full_info=true")
    assert (await moved.json())["path"] == "workflows/b.json"
    assert await (await client.get("/userdata/workflows%2Fb.json")).read() == b"{}"
    assert (await client.delete("/userdata/workflows%2Fb.json")).status == 204
    listed = await (await client.get("/v2/userdata")).json()
    assert [one["type"] for one in listed] == ["directory", "directory", "file"]
    assert (await client.get("/user.css")).content_type == "text/css"


async def test_templates_that_run_here_come_first_and_pictures_are_drawn(host: Host) -> None:
    pytest.importorskip("comfyui_workflow_templates_json", reason="noderack[ui] is not installed")
    client = Client(TestServer(make_app(host, load_packs(only=["core"]))))
    await client.start_server()
    first, *rest = await (await client.get("/templates/index.json")).json()
    name = "basic_mask_operations_and_compositing"
    assert name in [item["name"] for item in first["templates"]] and first["title"] == "Runs here"
    assert "Anima" not in str(first)  # its nodes are known, its model is not
    assert name not in [item["name"] for category in rest for item in category["templates"]]
    assert (await (await client.get(f"/templates/{name}.json")).json())["nodes"]
    picture = await client.get(f"/templates/{name}-1.webp")
    assert picture.content_type == "image/svg+xml" and "MaskComposite" in await picture.text()
    assert "sdxl" not in (await (await client.get("/templates/index_logo.json")).json())
    for missing in ("nothing.webp", "nothing-1.webp", "index_logo-1.webp", "nothing.json", "..%2Fa.json"):
        assert (await client.get(f"/templates/{missing}")).status == 404
    await client.close()


async def test_without_the_templates_package_their_list_is_empty(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "FILES_PACKAGE", "no_such_package")
    monkeypatch.setattr(templates, "CORE_PACKAGE", "no_such_package")
    assert await (await client.get("/templates/index.fr.json")).json() == []
    assert await (await client.get("/templates/index_logo.json")).json() == {}


async def test_the_small_page_is_served_without_an_editor(client: Client) -> None:
    assert "Noderack" in await (await client.get("/")).text()
    assert (await client.get("/page.js")).status == 200


async def test_it_ends_at_once_though_editors_are_open(host: Host, packs: Packs) -> None:
    client = Client(TestServer(make_app(host, packs)))
    await client.start_server()
    socket = await client.ws_connect("/ws?clientId=a")
    assert (await socket.receive_json())["type"] == "status"
    heard = asyncio.create_task(socket.receive())
    await asyncio.wait_for(client.server.runner.cleanup(), 10)
    assert (await heard).type is WSMsgType.CLOSE and socket.close_code == WSCloseCode.GOING_AWAY
    await client.close()


async def test_the_queue_survives_a_restart(host: Host, packs: Packs) -> None:
    async with TestClient(TestServer(make_app(host, packs))) as first:
        await queue(first, prompt=prompt(kind="Wait"), prompt_id="cut")
        await queue(first, prompt=prompt("later"), prompt_id="waits")
    async with TestClient(TestServer(make_app(host, packs, ServerSettings(lost="failed")))) as second:
        assert (await until_over(second, "cut"))["status"]["status_str"] == "error"
        assert (await until_over(second, "waits"))["outputs"] == {"1": {"text": ["later"]}}


async def test_every_route_refuses_a_foreign_page(client: Client) -> None:
    for route in api_routes():
        path = route.path.replace("{", "").replace("}", "")
        answer = await client.request(route.method, path, headers={"Origin": "http://evil.example"})
        assert answer.status == 403, path
