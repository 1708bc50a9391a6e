"""Who may what: every route times everybody who may ask. A route without a row here fails the test.

Routes that declare `kept=True` answer everybody alike and need no row.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from noderack_registry.server import Settings, app, routes
from noderack_registry.server.accounts import create_token
from starlette.testclient import TestClient
from wheels import wheel_bytes, write_wheel

# from the weakest to the strongest: who is refused asks before who is not
NOBODY = ("anonymous", "wrong", "expired", "revoked")
EVERYBODY = (*NOBODY, "other scope", "stranger", "pretender", "maintainer", "owner", "admin")
API = "/api/v1"
SHA = hashlib.sha256(b"model").hexdigest()

# what a route needs → who has it
MAY = {
    "nothing": EVERYBODY,
    "a token": EVERYBODY[4:],
    "publish": EVERYBODY[5:],
    "models": EVERYBODY[5:],
    "maintainer": EVERYBODY[7:],
    "owner": EVERYBODY[8:],
    "admin": EVERYBODY[9:],
}


@dataclass(frozen=True)
class Row:
    """What a route needs, with an address and a body that would succeed."""

    needs: str
    path: str
    json: Any = None
    content: bytes | None = None
    wheel: str = ""


WHEEL = f"/files/{SHA}/grain-1.0-py3-none-any.whl"
ROWS = {
    "GET /healthz": Row("nothing", "/healthz"),
    "GET /metrics": Row("nothing", "/metrics"),
    "GET /files/{sha256}/{filename}": Row("nothing", WHEEL),
    "HEAD /files/{sha256}/{filename}": Row("nothing", WHEEL),
    "GET /assets/{sha256}/{name}": Row("nothing", f"/assets/{SHA}/a.png"),
    "HEAD /assets/{sha256}/{name}": Row("nothing", f"/assets/{SHA}/a.png"),
    "GET /blobs/{sha256}/{name}": Row("nothing", f"/blobs/{SHA}/a"),
    "HEAD /blobs/{sha256}/{name}": Row("nothing", f"/blobs/{SHA}/a"),
    "GET /nodes/{name}/install": Row("nothing", "/nodes/grain/install"),
    "GET /nodes/{name}/versions/{version}/node.zip": Row("nothing", "/nodes/grain/versions/1.0/node.zip"),
    "POST /bulk/nodes/versions": Row("nothing", "/bulk/nodes/versions", {"node_versions": []}),
    "GET /api/v1/revocations": Row("nothing", f"{API}/revocations"),
    "POST /api/v1/resolve": Row("nothing", f"{API}/resolve", {"node_types": ["Grain"]}),
    "PUT /upload/{secret}": Row("nothing", "/upload/guessed", content=b"x"),
    "GET /api/v1/tokens": Row("a token", f"{API}/tokens"),
    "POST /api/v1/tokens": Row("a token", f"{API}/tokens", {"scopes": []}),
    "DELETE /api/v1/tokens/{public}": Row("a token", f"{API}/tokens/0123456789abcdef"),
    "PUT /api/v1/publishers": Row("publish", f"{API}/publishers", {"name": "{role}"}),
    "POST /publishers/{publisher}/nodes/{name}/versions": Row(
        "publish",
        "/publishers/ann/nodes/grain/versions",
        {"personal_access_token": "{token}", "node": {"id": "grain"}, "node_version": {"version": "3.0"}},
    ),
    "PUT /api/v1/models": Row(
        "models", f"{API}/models", {"name": "a.bin", "folder": "loras", "sha256": SHA, "size": 5}
    ),
    "PUT /api/v1/blobs/{sha256}": Row("models", f"{API}/blobs/{SHA}", content=b"model"),
    "POST /legacy": Row("maintainer", "/legacy", wheel="grain"),
    "POST /legacy/": Row("maintainer", "/legacy/", wheel="grain"),
    "POST /api/v1/packs/{name}/versions/{version}/findings": Row(
        "maintainer", f"{API}/packs/grain/versions/1.0/findings"
    ),
    "POST /api/v1/packs/{name}/versions/{version}/verification": Row(
        "maintainer", f"{API}/packs/grain/versions/1.0/verification"
    ),
    "POST /api/v1/packs/{name}/versions/{number}/yank": Row(
        "maintainer", f"{API}/packs/grain/versions/1.0/yank", {"reason": "old"}
    ),
    "DELETE /api/v1/packs/{name}/versions/{number}/yank": Row(
        "maintainer", f"{API}/packs/grain/versions/1.0/yank"
    ),
    "PUT /api/v1/packs/{name}/status": Row("owner", f"{API}/packs/grain/status", {"status": "archived"}),
    "POST /api/v1/packs/{name}/transfer": Row("owner", f"{API}/packs/grain/transfer", {"publisher": "ann"}),
    "PUT /api/v1/publishers/{name}/members/{account}": Row(
        "owner", f"{API}/publishers/ann/members/bob", {"role": "maintainer"}
    ),
    "DELETE /api/v1/publishers/{name}/members/{account}": Row("owner", f"{API}/publishers/ann/members/mia"),
    "PUT /api/v1/packs/{name}/versions/{number}/status": Row(
        "admin", f"{API}/packs/grain/versions/1.0/status", {"status": "quarantined"}
    ),
    "PUT /api/v1/publishers/{name}/status": Row(
        "admin", f"{API}/publishers/ann/status", {"status": "active"}
    ),
    "PUT /api/v1/reserved/{name}": Row("admin", f"{API}/reserved/big-studio", {"reason": "x"}),
    "DELETE /api/v1/reserved/{name}": Row("admin", f"{API}/reserved/big-studio"),
    "POST /api/v1/revocations": Row("admin", f"{API}/revocations", {"name": "grain", "version": "1.0"}),
    "PUT /api/v1/allowed/{name}": Row("admin", f"{API}/allowed/grains", {"account": "bob"}),
    "DELETE /api/v1/allowed/{name}": Row("admin", f"{API}/allowed/grains"),
    "GET /api/v1/accounts": Row("admin", f"{API}/accounts"),
    "PUT /api/v1/accounts/{name}": Row("admin", f"{API}/accounts/bob", {"admin": True}),
    "POST /api/v1/revocations/key": Row("admin", f"{API}/revocations/key"),
    "GET /api/v1/audit": Row("admin", f"{API}/audit"),
}


def all_routes() -> dict[str, bool]:
    """METHOD path → whether its answer may be kept, of every route of the service, hidden ones too."""
    return {
        f"{method} {route.path}": bool((route.openapi_extra or {}).get("x-kept"))
        for router in routes.ALL
        for route in router.routes
        for method in route.methods
    }


def test_every_route_has_a_row_and_every_row_a_route():
    assert {name for name, kept in all_routes().items() if not kept} == set(ROWS)
    assert all(name.startswith("GET ") for name, kept in all_routes().items() if kept)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    """A data folder to copy, and everybody's token."""
    from conftest import Bench

    folder = tmp_path_factory.mktemp("rights")
    bench = Bench(Settings(data=folder / "data"))
    bench.client(bench.token("ann")).upload_wheel(write_wheel(folder, "grain"))
    everyday = {"scopes": ("publish", "models"), "days": 30}
    wishes = {
        "expired": ("ann", {**everyday, "days": 1}),
        "revoked": ("ann", everyday),
        "other scope": ("ann", {"scopes": ("publish:other",), "days": 30}),
        "stranger": ("bob", everyday),
        "pretender": ("eve", {"scopes": ("admin",), "days": 30}),
        "maintainer": ("mia", everyday),
        "owner": ("ann", everyday),
        "admin": ("root", {"scopes": ("admin",), "days": 30, "admin": True}),
    }
    now, minted = bench.settings.now(), {}
    for role, (account, wish) in wishes.items():
        when = now - timedelta(days=2) if role == "expired" else now
        minted[role] = bench.registry.database.writing(create_token, account, when, **wish)
    owner = {"Authorization": f"Bearer {minted['owner'].text}"}
    bench.http.put(f"{API}/publishers/ann/members/mia", json={"role": "maintainer"}, headers=owner)
    assert bench.http.delete(f"{API}/tokens/{minted['revoked'].public}", headers=owner).status_code == 200
    bench.close()
    return bench.settings, {role: one.text for role, one in minted.items()} | {"wrong": "ndr_0_wrong"}


@pytest.mark.parametrize("name", ROWS)
def test_those_who_may_and_no_others(stocked, tmp_path, name):
    settings, tokens = stocked
    shutil.copytree(settings.data, tmp_path / "data")
    service = app(replace(settings, data=tmp_path / "data"))
    http = TestClient(service, base_url="http://testserver")
    row = ROWS[name]
    for role in EVERYBODY:
        answer = ask(http, name.split()[0], row, role, tokens.get(role, ""))
        said = f"{role}: {answer.status_code} {answer.text[:200]}"
        if role in MAY[row.needs]:
            assert answer.status_code not in (401, 403), said
            assert answer.status_code < 500, said
        else:
            assert answer.status_code == (401 if role in NOBODY else 403), said
    service.state.registry.database.close()


def ask(http: TestClient, method: str, row: Row, role: str, token: str) -> httpx.Response:
    """One role's question of one route."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if row.wheel:
        data = wheel_bytes(row.wheel, "2.0")
        form = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel"}
        form["sha256_digest"] = hashlib.sha256(data).hexdigest()
        files = {"content": (f"{row.wheel}-2.0-py3-none-any.whl", data)}
        return http.request(method, row.path, data=form, files=files, headers=headers)
    if row.content is not None:
        return http.request(method, row.path, content=row.content, headers=headers)
    return http.request(method, row.path, json=filled(row.json, role, token), headers=headers)


def filled(body: Any, role: str, token: str) -> Any:
    """The body with this role's own values in it."""
    if isinstance(body, str):
        return body.replace("{token}", token).replace("{role}", f"by-{role}")
    return (
        {key: filled(value, role, token) for key, value in body.items()} if isinstance(body, dict) else body
    )


def test_what_is_kept_is_the_same_for_everybody(stocked, tmp_path):
    settings, tokens = stocked
    shutil.copytree(settings.data, tmp_path / "data")
    service = app(replace(settings, data=tmp_path / "data"))
    http = TestClient(service, base_url="http://testserver")
    places = {"name": "grain", "version": "1.0", "type_:path": "Grain"}
    for name in (name for name, kept in all_routes().items() if kept):
        path = name.split()[1]
        for field, value in places.items():
            path = path.replace(f"{{{field}}}", value)
        query = {"q": "grain", "sha256": SHA, "search": "grain", "username": "ann"}
        bodies = {
            ask(
                http, "GET", Row("", f"{path}?{httpx.QueryParams(query)}"), role, tokens.get(role, "")
            ).content
            for role in EVERYBODY
        }
        assert len(bodies) == 1, path
    service.state.registry.database.close()
