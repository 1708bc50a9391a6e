"""Blobs in an S3-compatible store, with a real server of that protocol."""

from __future__ import annotations

import importlib.util

import httpx
import pytest
from noderack_registry.client import RegistryClient
from noderack_registry.server import Settings, backup, inspection, open_registry, serving
from noderack_registry.server.accounts import create_token
from noderack_registry.server.refusals import Refusal
from postgres import programs, running
from wheels import write_wheel

NEEDED = ("moto", "flask", "flask_cors", "obstore", "boto3")
LACKING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")


@pytest.fixture(scope="module")
def store():
    """The URL of a bucket on a moto server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="packs")
    yield f"s3://packs/registry?endpoint={endpoint}"
    server.stop()


@pytest.fixture
def bench(make_bench, store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return make_bench(blobs=store)


def test_wheels_live_there(bench, tmp_path):
    shown = bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    place = shown.files[0].url.removeprefix("http://testserver")
    whole = bench.http.get(place)
    assert whole.content == next(tmp_path.glob("*.whl")).read_bytes()
    part = bench.http.get(place, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert bench.http.get(place, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert bench.http.get(place + ".metadata").text.startswith("Metadata-Version")
    assert inspection.check(bench.registry) == []


def test_a_refused_wheel_leaves_nothing(bench, tmp_path):
    kept = set(bench.registry.blobs.keys())
    with pytest.raises(Exception, match="reserved"):
        bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, "root"))
    assert set(bench.registry.blobs.keys()) == kept


@pytest.fixture
def postgres_url():
    if programs() is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL (initdb, postgres) or its driver psycopg is not installed")
    with running() as url:
        yield url


def test_served_from_postgresql_and_s3(store, postgres_url, tmp_path, monkeypatch):
    """Those who have outgrown one file: two processes' worth of servers over one database and one bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    settings = [
        Settings(data=tmp_path / name, database=postgres_url, blobs=store.replace("/registry", "/big"))
        for name in ("one", "two")
    ]
    registry = open_registry(settings[0])
    token = registry.database.writing(create_token, "ann", settings[0].now()).text
    with serving(settings[0]) as one, serving(settings[1]) as two:
        wheel = write_wheel(tmp_path)
        assert httpx.get(f"{two}/simple/grain/").status_code == 404
        with RegistryClient(one, token) as client:
            client.upload_wheel(wheel)
        page = httpx.get(f"{two}/simple/grain/", headers={"Accept": "application/json"})
        url = page.json()["files"][0]["url"].replace("../..", two)
        assert httpx.get(url).content == wheel.read_bytes()
        etag = page.headers["etag"]
        known = {"Accept": "application/json", "If-None-Match": etag}
        assert httpx.get(f"{two}/simple/grain/", headers=known).status_code == 304
        with RegistryClient(two, token) as client:
            client.upload_wheel(write_wheel(tmp_path, version="1.1"))
            assert client.search("grain").hits[0].name == "grain"
        assert httpx.get(f"{one}/api/v1/packs/grain").json()["latest"] == "1.1"
    assert inspection.check(registry) == []
    with pytest.raises(Refusal, match="pg_dump"):
        backup.backup(registry, tmp_path / "copy")
    registry.database.close()
