"""Check, backup, restore, mirror, export, limits, metrics, logs, full disks, slow and cut clients."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from noderack_registry.client import Refused
from noderack_registry.schema import ModelManifest
from noderack_registry.server import RateLimits, Settings, backup, exporting, inspection, mirror, serving
from noderack_registry.server.blobs import FolderBlobs
from noderack_registry.server.refusals import Refusal
from wheels import wheel_bytes, write_wheel

SHA = "ab" * 32


@pytest.fixture
def stocked(bench, tmp_path):
    token = bench.token()
    for version in ("1.0", "1.1"):
        bench.client(token).upload_wheel(write_wheel(tmp_path, version=version, readme=version))
    bench.client(token).put_model(ModelManifest("a.safetensors", "loras", SHA, 5))
    return bench


def test_a_sound_registry_has_no_faults(stocked):
    assert inspection.check(stocked.registry) == []


def damage_missing(bench, path):
    path.unlink()


def damage_content(bench, path):
    path.write_bytes(b"other")


def damage_orphan(bench, path):
    folder = path.parents[1] / "00"
    folder.mkdir(exist_ok=True)
    (folder / ("00" * 32)).write_bytes(b"x")


def damage_left(bench, path):
    bench.registry.incoming.mkdir(exist_ok=True)
    (bench.registry.incoming / "x").write_bytes(b"x")
    (bench.registry.incoming / "under-way").write_bytes(b"x")
    os.utime(bench.registry.incoming / "x", (0, time.time() - 2 * inspection.UNDER_WAY))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (damage_missing, "missing-blob"),
        (damage_content, "wrong-content"),
        (damage_orphan, "orphan-blob"),
        (damage_left, "left-upload"),
    ],
)
def test_every_damage_is_seen_and_leftovers_are_cleared(stocked, damage, kind):
    sha256 = stocked.client().version("grain", "1.0").files[0].sha256
    damage(stocked, stocked.registry.blobs.path(sha256))
    faults = inspection.check(stocked.registry)
    assert [fault.kind for fault in faults] == [kind]
    inspection.repair(stocked.registry, [*faults, inspection.Fault("left-upload", "under-way", True)])
    assert kind != "left-upload" or [one.name for one in stocked.registry.incoming.iterdir()] == ["under-way"]
    assert bool(inspection.check(stocked.registry)) == (not faults[0].repairable)


def test_backup_and_restore(stocked, tmp_path, make_bench):
    assert backup.backup(stocked.registry, tmp_path / "copy") == 4
    backup.restore(tmp_path / "copy", tmp_path / "new")
    again = make_bench(data=tmp_path / "new")
    assert inspection.check(again.registry) == []
    assert again.client().pack("grain").versions == ("1.1", "1.0")
    for target, source in ((tmp_path / "new", tmp_path / "copy"), (tmp_path / "other", tmp_path)):
        with pytest.raises(Refusal):
            backup.restore(source, target)


def test_a_mirror_follows(stocked, make_bench, tmp_path):
    copy = make_bench()
    first = mirror.mirror(copy.registry, "http://testserver", stocked.http)
    assert (first.versions, first.models) == (2, 1)
    assert mirror.mirror(copy.registry, "http://testserver", stocked.http).versions == 0
    headers = {"Authorization": f"Bearer {stocked.token()}"}
    stocked.http.post("/api/v1/packs/grain/versions/1.1/yank", json={"reason": "old"}, headers=headers)
    mirror.mirror(copy.registry, "http://testserver", stocked.http)
    assert copy.client().pack("grain").yanked == ("1.1",)
    assert copy.client().model(SHA).name == "a.safetensors"
    assert inspection.check(copy.registry) == []


def test_a_mirror_takes_no_uploads(make_bench, tmp_path):
    bench = make_bench(read_only=True)
    with pytest.raises(Refused) as caught:
        bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    assert caught.value.code == "read-only"


def test_export(stocked, tmp_path):
    counts = exporting.export(stocked.registry, tmp_path / "out")
    assert counts == {"packs": 1, "versions": 2, "node-types": 1, "models": 1, "assets": 0, "workflows": 0}
    (line,) = (tmp_path / "out/packs.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == "grain"


def test_limits_are_told_and_kept(make_bench):
    bench = make_bench(rates=RateLimits(reads=3))
    answers = [bench.http.get("/healthz") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers[:3]] == ["2", "1", "0"]
    assert int(answers[3].headers["retry-after"]) > 0


def test_metrics_and_logs(stocked, caplog):
    with caplog.at_level(logging.INFO, "noderack.registry"):
        stocked.http.get("/api/v1/packs/grain?secret=1")
    line = json.loads(caplog.records[-1].message)
    assert (line["path"], line["status"]) == ("/api/v1/packs/grain", 200)
    text = stocked.http.get("/metrics").text
    assert 'noderack_requests_total{route="/api/v1/packs/{name}",method="GET",status="200"}' in text
    assert "noderack_versions 2" in text


def test_downloads_count_once_a_day_for_each_client(stocked):
    file = stocked.client().version("grain", "1.1").files[0]
    for _ in range(3):
        stocked.http.get(file.url.removeprefix("http://testserver"))
    assert stocked.registry.downloads.flush() == 1
    assert stocked.client().pack("grain").downloads == 1


class FullStore(FolderBlobs):
    """A store on a full disk."""

    def put(self, key: str, file: Path) -> None:
        from noderack_registry.server.blobs import disk_errors

        with disk_errors():
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_and_leaves_nothing(bench, tmp_path, monkeypatch):
    store = FullStore(tmp_path / "full")
    monkeypatch.setattr(bench.registry.publisher, "_blobs", store)
    with pytest.raises(Refused) as caught:
        bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    assert (caught.value.status, caught.value.code) == (507, "no-space")
    assert bench.leftovers() == []
    assert inspection.check(bench.registry) == []


def test_a_cut_upload_leaves_nothing(live, tmp_path):
    url, token = live
    host, port = url.removeprefix("http://").split(":")
    head = f"PUT /api/v1/blobs/{SHA} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall((head + "Content-Length: 1000000\r\n\r\n").encode() + b"x" * 5000)
    until = time.monotonic() + 5
    incoming = tmp_path / "live/incoming"
    while any(incoming.glob("*")) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(incoming.glob("*"))
    assert httpx.get(f"{url}/blobs/{SHA}/x").status_code == 404


def test_a_body_that_is_too_large_is_cut_off(make_bench):
    bench = make_bench(largest_blob=1000)
    headers = {"Authorization": f"Bearer {bench.token()}"}
    answer = bench.http.put(f"/api/v1/blobs/{SHA}", content=b"x" * 5000, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too-large")
    assert bench.leftovers() == []


def test_slow_clients_hold_nobody_up(live):
    url, _ = live
    host, port = url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for line in slow:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
    started = time.monotonic()
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert time.monotonic() - started < 5
    for line in slow:
        line.close()


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'{"a":"\\ud800"}',
        b'{"a":1,"a":2}',
        b"[" * 100_000,
        b'{"a":"\\u0000"}',
        b"{" + b'"a":' * 5,
        '{"a":1}'.encode("utf-16"),
        b"1" * 6000,
        b'"x"',
        b"[]",
        b"null",
    ],
)
@pytest.mark.parametrize("path", ["POST /api/v1/resolve", "PUT /api/v1/models", "POST /bulk/nodes/versions"])
def test_raw_bytes_never_break_it(bench, path, body):
    method, place = path.split()
    headers = {"Authorization": f"Bearer {bench.token()}", "Content-Type": "application/json"}
    answer = bench.http.request(method, place, content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["hint"]


def test_two_processes_can_serve_one_folder(tmp_path):
    settings = Settings(data=tmp_path / "shared")
    with serving(settings) as one, serving(settings) as two:
        threads = [threading.Thread(target=httpx.get, args=(f"{url}/healthz",)) for url in (one, two) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert httpx.get(f"{two}/simple/").json()["projects"] == []


def test_uploads_do_not_leak_what_they_are(bench):
    """A wheel that is refused is never in the index, not even for a moment after."""
    data = wheel_bytes()[:-10]
    form = {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel",
        "sha256_digest": SHA,
    }
    headers = {"Authorization": f"Bearer {bench.token()}"}
    files = {"content": ("grain-1.0-py3-none-any.whl", data)}
    assert (
        bench.http.post("/legacy/", data=form, files=files, headers=headers).json()["error"]["code"]
        == "wrong-hash"
    )
    assert bench.http.get("/simple/grain/").status_code == 404
