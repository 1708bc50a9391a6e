"""Who is answered: the table of requests that a hostile page can make, over every kind of route."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from noderack_host.server.guard import cookie_for, guard
from noderack_host.server.settings import ServerSettings, host_name

HERE = "127.0.0.1:8188"
FOREIGN = [
    {"Host": HERE, "Origin": "http://evil.example"},
    {"Host": HERE, "Origin": "null"},
    {"Host": HERE, "Origin": "http://127.0.0.1:9999"},
    {"Host": "evil.example:8188"},
    {"Host": "evil.example:8188", "Origin": "http://evil.example:8188"},
    {"Host": HERE, "Sec-Fetch-Site": "cross-site"},
    {"Host": HERE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
]
OURS = [
    {"Host": HERE},
    {"Host": HERE, "Origin": "http://127.0.0.1:8188"},
    {"Host": "localhost:8188", "Origin": "http://localhost:8188", "Sec-Fetch-Site": "same-origin"},
    {"Host": "[::1]:8188"},
]


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="done")


async def client_of(settings: ServerSettings) -> TestClient[web.Request, web.Application]:
    app = web.Application(middlewares=[guard(settings)])
    app.router.add_route("*", "/{path:.*}", answer)
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/prompt", "/api/queue", "/extensions/pack/x.js", "/ws"])
async def test_foreign_pages_are_refused_and_told_why(method: str, path: str) -> None:
    client = await client_of(ServerSettings())
    for headers in FOREIGN:
        async with client.request(method, path, headers=headers) as response:
            assert response.status == 403, headers
            assert "may not call" in (text := await response.text()) or "does not answer" in text
    for headers in OURS:
        async with client.request(method, path, headers=headers) as response:
            assert response.status == 200, headers
    await client.close()


async def test_a_link_to_the_start_page_may_be_followed() -> None:
    client = await client_of(ServerSettings())
    headers = {"Host": HERE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await client.get("/", headers=headers)).status == 200
    await client.close()


async def test_what_is_allowed_by_name_is_answered() -> None:
    settings = ServerSettings(origins=("https://app.example",), names=("box.lan",))
    client = await client_of(settings)
    assert (await client.get("/", headers={"Host": "box.lan", "Origin": "https://app.example"})).status == 200
    await client.close()


async def test_a_token_is_wanted_where_one_is_set() -> None:
    client = await client_of(ServerSettings(token="secret"))
    for headers, status in [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Cookie": "noderack_token=secret"}, 401),
        ({"Cookie": f"noderack_token={cookie_for('secret')}"}, 200),
    ]:
        assert (await client.get("/prompt", headers={"Host": HERE, **headers})).status == status
    assert (await client.get("/ws?token=secret", headers={"Host": HERE})).status == 200
    await client.close()


@pytest.mark.parametrize(
    ("host", "name"),
    [("Localhost:8188", "localhost"), ("[::1]:80", "::1"), ("box.lan", "box.lan"), ("::1", "::1")],
)
def test_host_names(host: str, name: str) -> None:
    assert host_name(host) == name


def test_a_server_for_others_answers_to_addresses_but_to_no_unknown_name() -> None:
    settings = ServerSettings(listen="0.0.0.0", token="t")
    assert settings.answers_to("192.168.1.5:8188") and not settings.answers_to("evil.example")
    assert not settings.is_loopback and ServerSettings().is_loopback
