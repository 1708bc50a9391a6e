"""The wire form of the existing registry; test_comfy_cli.py has its real client."""

from __future__ import annotations

import io
import zipfile

import pytest
from wheels import write_wheel

PYPROJECT = """[project]
name = "film-grain"
description = "Film grain"
version = "1.2.0"
license = { text = "MIT" }
dependencies = ["idna>=3"]
[project.urls]
Repository = "https://github.com/ann/film-grain"
[tool.comfy]
PublisherId = "ann"
DisplayName = "Film Grain"
Icon = ""
"""
CODE = "class Grain:\n    pass\nNODE_CLASS_MAPPINGS = {'FilmGrain': Grain}\n"


def node_zip(**more: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in {"__init__.py": CODE, "pyproject.toml": PYPROJECT, **more}.items():
            archive.writestr(name, text)
    return out.getvalue()


def announce(bench, token, version="1.2.0", name="film-grain", publisher="ann"):
    body = {"personal_access_token": token, "node": {"id": name}, "node_version": {"version": version}}
    return bench.http.post(f"/publishers/{publisher}/nodes/{name}/versions", json=body)


def test_publish_list_install(bench):
    told = announce(bench, bench.token()).json()
    assert told["node_version"]["version"] == "1.2.0"
    assert bench.http.put(told["signedUrl"], content=node_zip()).status_code == 200
    node = bench.http.get("/nodes/film-grain").json()
    assert (node["description"], node["latest_version"]["version"]) == ("Film grain", "1.2.0")
    version = bench.http.get("/nodes/film-grain/install").json()
    archive = zipfile.ZipFile(io.BytesIO(bench.http.get(version["downloadUrl"]).content))
    assert {"__init__.py", "requirements.txt"} <= set(archive.namelist())
    assert bench.client().node_type("FilmGrain")[0].pack == "film-grain"
    assert bench.http.get("/comfy-nodes/FilmGrain/node").json()["id"] == "film-grain"
    for asked, found in (("node_id=Film_Grain&node_id=other", ["film-grain"]), ("node_id=other", [])):
        assert [one["id"] for one in bench.http.get(f"/nodes?{asked}").json()["nodes"]] == found
    assert bench.http.put(told["signedUrl"], content=node_zip()).status_code == 404


@pytest.mark.parametrize("bad", [b"", b"PK nonsense", node_zip()[:100]])
def test_a_bad_archive_leaves_nothing(bench, bad):
    url = announce(bench, bench.token()).json()["signedUrl"]
    assert 400 <= bench.http.put(url, content=bad).status_code < 500
    assert bench.leftovers() == []


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a\\..\\evil"])
def test_an_archive_that_leaves_its_place_is_refused(bench, name):
    url = announce(bench, bench.token()).json()["signedUrl"]
    assert bench.http.put(url, content=node_zip(**{name: "x"})).json()["error"]["code"] == "path-escape"


def test_the_packs_own_build_backend_is_not_run(bench, tmp_path):
    trap = '[build-system]\nrequires = []\nbuild-backend = "trap"\nbackend-path = ["."]\n'
    code = f"open({str(tmp_path / 'sprung')!r}, 'w')\n"
    points = '[project.entry-points."noderack.packs"]\ngrain = "film_grain"\n'
    url = announce(bench, bench.token()).json()["signedUrl"]
    bench.http.put(url, content=node_zip(**{"pyproject.toml": PYPROJECT + points + trap, "trap.py": code}))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("token", "status"), [("nope", 401), ("", 401)])
def test_a_bad_token_is_refused(bench, token, status):
    assert announce(bench, token).status_code == status


def test_lists_and_bulk(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    page = bench.http.get("/nodes", params={"page": 1, "limit": 30}).json()
    assert (page["total"], page["totalPages"], page["nodes"][0]["id"]) == (1, 1, "grain")
    assert bench.http.get("/nodes/search", params={"search": "grain"}).json()["total"] == 1
    versions = bench.http.get("/nodes/grain/versions", params={"statuses": "NodeVersionStatusActive"}).json()
    assert versions[0]["version"] == "1.0"
    asked = [{"node_id": "grain", "version": "1.0"}, {"node_id": "grain", "version": "9"}]
    answers = bench.http.post("/bulk/nodes/versions", json={"node_versions": asked}).json()["node_versions"]
    assert [answer["status"] for answer in answers] == ["success", "not_found"]
    types = bench.http.get("/nodes/grain/versions/1.0/comfy-nodes").json()
    assert types["comfy_nodes"][0]["comfy_node_name"] == "Grain"
    assert bench.http.get("/publishers/ann").json()["id"] == "ann"
    assert bench.http.get("/publishers/validate", params={"username": "ann"}).json() == {"isAvailable": False}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("custom-node-list", "custom_nodes"),
        ("model-list", "models"),
        ("github-stats", None),
        ("extras", "favorites"),
    ],
)
def test_channel_files(bench, tmp_path, name, key):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    answer = bench.http.get(f"/channel/{name}.json")
    assert key is None or key in answer.json()
    again = bench.http.get(f"/channel/{name}.json", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_channels_map_names_types(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    (row,) = bench.http.get("/channel/extension-node-map.json").json().values()
    assert row[0] == ["Grain"]
