"""Hostile input on every route: paths that lead out, bodies that are none, pictures that are bombs, TLS."""

import json
import ssl
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host.folder import Host
from noderack_host.packs import LoadedPack, Packs
from noderack_host.server.app import make_app
from noderack_host.server.settings import ServerSettings
from noderack_host.server.state import SERVER
from yarl import URL

Client = TestClient[web.Request, web.Application]
SECRET = "this is nobody's business"

# Ways out of a folder, as clients may write them; {out} stands for the path of a file outside.
WAYS_OUT = (
    *("../secret.txt", "..\\secret.txt", "a/../../secret.txt", "./../secret.txt", "....//secret.txt"),
    *(
        "/etc/passwd",
        "//etc/passwd",
        "\\\\host\\share",
        "C:\\secret.txt",
        "c:secret.txt",
        "file:///etc/passwd",
    ),
    *(
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "..%5csecret.txt",
        "%252e%252e%252fsecret.txt",
        "..%c0%afsecret.txt",
    ),
    *(
        "secret.txt\0.png",
        "..\0/secret.txt",
        "a\nb",
        "link/secret.txt",
        "link.txt",
        "..",
        ".",
        "",
        "/",
        "~/x",
    ),
    *("..;/secret.txt", "．．/secret.txt", "..／secret.txt", "\u202e../secret.txt", "{out}", "x" * 5000),
    *("con", "nul.png", "a.png::$DATA", "a" * 300 + ".png", "../" * 40 + "etc/passwd"),
)
# What takes a path, with the path put in raw: in the query, or as one or several segments.
ROUTES = (
    *("/view?filename={q}", "/view?filename={q}&preview=webp", "/view?filename={q}&channel=a"),
    *("/view?filename=a.png&subfolder={q}", "/view?filename=a.png&type={q}", "/view?filename={q} [input]"),
    *("/view_metadata/loras?filename={q}", "/view_metadata/{s}?filename=a.safetensors", "/userdata/{s}"),
    *("/userdata?dir={q}", "/v2/userdata?path={q}", "/extensions/talk/{s}", "/extensions/{s}/x.js"),
    *("/workflow_templates/talk/{s}", "/workflow_templates/{s}/a.json", "/templates/{s}", "/models/{s}"),
    *("/experiment/models/{s}", "/internal/files/{s}", "/settings/{s}", "/object_info/{s}", "/history/{s}"),
    *("/jobs/{s}", "/noderack/prompts/{s}/logs", "/{s}", "/assets/{s}", "/extensions/noderack/{s}"),
)
BODIES = (
    *(
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b'{"a":1e400}',
    ),
    *(
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"prompt":{"1":{"class_type":["x"],"inputs":[]}}}',
        b"\0",
        b"9" * 100_000,
    ),
    *(
        b'{"prompt":{"1":7}}',
        b'{"prompt":{"\\ud800":{"class_type":"\\ud800","inputs":{}}}}',
        b'{"prompt_id":{}}',
    ),
    *(
        b'{"clear":"x","delete":7}',
        b'{"delete":[{}]}',
        b'{"move":[1]}',
        b'{"move":{"a":"b"}}',
        b'{"pause":[]}',
    ),
    *(b'{"prompt_id":["x"]}', b'{"prompt_id":"\\ud800"}', b'{"clientId":{},"enabled":1}', b'{"packs":7}'),
    *(
        b'{"workflow":7}',
        b'{"workflow":{"nodes":[7,{"id":{},"type":[]}],"links":"x"}}',
        b'{"choose":7,"workflow":{}}',
    ),
    *(b'{"job_ids":7}', b'{"job_ids":["\\ud800"]}', b'{"generation":1e9}', b'{"kind":[],"params":{}}'),
)
# With the token the others would install or restart.
WITH_TOKEN = (
    "/noderack/generation",
    "/noderack/reload",
    "/noderack/manager/cancel",
    "/v2/manager/queue/task",
)
GOOD = {"1": {"class_type": "Say", "inputs": {"text": "x"}}}
ODD_PROMPTS = (
    *({"client_id": "\ud800"}, {"prompt_id": "\ud800"}, {"prompt_id": 7}, {"prompt_id": "x" * 9999}),
    *({"number": "x"}, {"number": 1e308}, {"number": [1]}, {"extra_data": []}, {"extra_data": "x"}),
    *({"partial_execution_targets": 7}, {"partial_execution_targets": [7]}, {"priority": "high"}),
    *({"extra_data": {"a": "\ud800"}}, {"client_id": ["x"]}, {"prompt_id": "../../x"}),
)


class Say:
    """Says."""

    RETURN_TYPES = ()
    FUNCTION = "say"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {})}}

    def say(self, text: str) -> dict[str, Any]:
        return {"ui": {"text": [text]}}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    root = tmp_path / "host"
    (root / "host.toml").parent.mkdir()
    (root / "host.toml").touch()
    (tmp_path / "secret.txt").write_text(SECRET)
    (root / "secret.txt").write_text(SECRET)
    web_folder = root / "web"
    for folder in (root / "input", root / "output", root / "temp", root / "user/default", web_folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link").symlink_to(tmp_path, target_is_directory=True)
        (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    packs = Packs({"Say": Say}, {}, (), (LoadedPack("talk", "talk", "1", ("Say",), 0.0, web_folder),))
    app = make_app(Host.open(root), packs, ServerSettings(manager=True))
    client = TestClient(TestServer(app))
    await client.start_server()
    yield client
    await client.close()


@pytest.mark.parametrize("route", ROUTES)
async def test_no_path_leads_out(client: Client, tmp_path: Path, route: str) -> None:
    for way in WAYS_OUT:
        way = way.format(out=tmp_path / "secret.txt") if "{out}" in way else way
        for segment in {quote(way, safe=""), quote(way, safe="/%")}:
            if route == "/{s}" and segment.startswith("/"):
                continue  # that would be an address of another server
            path = route.format(q=segment.replace("%", "%") or "", s=segment or "%20")
            answer = await client.get(URL(path, encoded=True))
            text = await answer.text(errors="replace")
            assert answer.status < 500 and SECRET not in text and "root:" not in text, (path, answer.status)


@pytest.mark.parametrize("way", WAYS_OUT)
async def test_nothing_is_written_outside(client: Client, tmp_path: Path, way: str) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.txt") if path.is_file()}
    segment = quote(way.format(out=tmp_path / "secret.txt") if "{out}" in way else way, safe="")
    for method in ("POST", "DELETE"):
        answer = await client.request(
            method, URL(f"/userdata/{segment or '%20'}", encoded=True), data=b"owned"
        )
        assert answer.status < 500, segment
    moved = URL(f"/userdata/link.txt/move/{segment or '%20'}", encoded=True)
    assert (await client.post(moved)).status < 500
    for fields in ({"subfolder": way}, {"type": way}, {}):
        form = FormData({key: value.replace("\0", "").replace("\n", "") for key, value in fields.items()})
        form.add_field(
            "image",
            b"owned",
            filename=way.replace("\0", "").replace("\n", "")[:200] or "x",
            content_type="image/png",
        )
        assert (await client.post("/upload/image", data=form)).status < 500
    after = {path: path.read_bytes() for path in before}
    assert after == before
    assert not [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.parent == tmp_path and path not in before
    ]


async def test_a_body_that_is_none_gets_a_sentence(client: Client) -> None:
    app = client.app
    assert app is not None
    token = {"X-Noderack-Token": app[SERVER].settings.start_token}
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method in ("POST", "PATCH") and route.resource is not None
    }
    for method, path in sorted(routes):
        for body in BODIES:
            answer = await client.request(
                method,
                path.replace("{", "").replace("}", ""),
                data=body,
                headers=token if path in WITH_TOKEN else {},
            )
            assert answer.status < 500, (method, path, body[:40], await answer.text())


@pytest.mark.parametrize("odd", ODD_PROMPTS, ids=lambda odd: next(iter(odd)))
async def test_an_odd_prompt_is_taken_or_refused(client: Client, odd: Any) -> None:
    answer = await client.post("/prompt", data=json.dumps({"prompt": GOOD, **odd}))
    assert answer.status in (200, 400), await answer.text()
    assert (await client.get("/queue")).status == (await client.get("/history")).status == 200


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says it is that large, with a few rows of data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    middle = b"".join(chunk(kind, body) for kind, body in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + middle
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


BOMBS = {
    "wide.png": png(100_000, 100_000),
    "large.png": png(13_000, 13_000),
    "text.png": png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 80_000_000))),
    "cut.png": png(64, 64)[:60],
    "gif.gif": b"GIF89a" + b"\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x08",
    "tiff.tif": b"II*\0\xff\xff\xff\xff",
    "empty.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_picture_that_is_a_bomb_is_refused_at_once(client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / "host/output" / name).write_bytes(BOMBS[name])
    for query in ("preview=webp", "channel=rgb", "channel=a"):
        answer = await client.get(f"/view?filename={name}&{query}")
        assert answer.status in (400, 413), (name, query, answer.status)
    form = FormData({"original_ref": json.dumps({"filename": name, "type": "output"})})
    form.add_field("image", BOMBS[name], filename="mask.png", content_type="image/png")
    assert (await client.post("/upload/mask", data=form)).status in (400, 413)


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    app = make_app(Host.open(tmp_path), Packs({}, {}, (), ()), ServerSettings(max_body=1 << 16))
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/prompt", data=b" " * (1 << 17))).status == 413
        form = FormData()
        form.add_field("image", b"x" * (1 << 17), filename="a.png", content_type="image/png")
        assert (await client.post("/upload/image", data=form)).status == 413
        assert (await client.post("/userdata/a.json", data=b"x" * (1 << 17))).status == 413
        assert not list((tmp_path / "user/default").glob("a.json"))


def test_other_machines_need_a_token_and_tls_is_spoken(tmp_path: Path) -> None:
    from noderack_host.server.__main__ import _secure, main

    (tmp_path / "host.toml").touch()
    for listen in ("0.0.0.0", "::", "192.0.2.1", "box.lan", ""):
        assert main([str(tmp_path), "--listen", listen, "--port", "0"]) == 2
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-days",
        "2",
    ]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    if subprocess.run([*words, *files], capture_output=True, check=False).returncode:
        pytest.skip("openssl is not installed")
    context = _secure(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert context is not None and context.minimum_version >= ssl.TLSVersion.TLSv1_2
