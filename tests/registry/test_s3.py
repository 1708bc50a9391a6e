"""Blobs in an S3-compatible store, with a real server of that protocol."""

from __future__ import annotations

import importlib.util

import pytest
from noderack_registry.server import inspection
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
