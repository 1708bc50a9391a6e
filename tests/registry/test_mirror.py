"""A mirror follows what changes, not only what is new."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from noderack_registry.schema import ModelManifest
from noderack_registry.server import inspection, verdicts
from noderack_registry.server import mirror as mirrors
from wheels import write_wheel


@pytest.fixture
def stocked(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    return bench


def test_a_mirror_follows_statuses_revocations_and_model_files(stocked, make_bench, tmp_path):
    """What was taken back is taken back there, too; model files come along with their manifests."""
    file = tmp_path / "tiny.bin"
    file.write_bytes(b"tiny" * 100)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    stocked.client(stocked.token()).put_model(ModelManifest("tiny.bin", "loras", sha256, 400), file)
    other = make_bench()
    follow = lambda: mirrors.mirror(other.registry, "http://testserver", stocked.http)
    boss, here, there = stocked.admin(), stocked.client(), other.client()
    yank = "/api/v1/packs/grain/versions/1.0/yank"
    stocked.http.post(yank, json={"reason": "bad"}, headers=boss)
    stocked.http.put(
        "/api/v1/packs/grain/status", json={"status": "archived", "reason": "done"}, headers=boss
    )
    follow()
    assert there.version("grain", "1.0").yanked
    assert there.pack("grain").status == "archived"
    assert other.http.get(f"/blobs/{sha256}/tiny.bin").content == file.read_bytes()
    stocked.http.delete(yank, headers=boss)
    stocked.http.put("/api/v1/packs/grain/status", json={"status": "active"}, headers=boss)
    stocked.http.post("/api/v1/revocations", json={"name": "evil", "sha256": "cd" * 32}, headers=boss)
    follow()
    assert not there.version("grain", "1.0").yanked
    assert there.pack("grain").status == "active"
    assert [one.name for one in there.revocations()] == ["evil"]
    assert here.pack("grain").versions == there.pack("grain").versions
    assert not inspection.check(other.registry)


def test_a_mirror_takes_over_what_came_of_verifying(stocked, make_bench):
    outcome = verdicts.Outcome("verified", "1 node type appeared", 0.1, {"Grain": {"output": ["IMAGE"]}})
    keep = lambda outcome: stocked.registry.database.writing(
        verdicts.store, "grain", "1.0", outcome, stocked.settings.now()
    )
    other = make_bench()
    follow = lambda: mirrors.mirror(other.registry, "http://testserver", stocked.http)
    keep(outcome)
    follow()
    here, there = (bench.client().version("grain", "1.0") for bench in (stocked, other))
    assert (
        (there.origins, there.node_types)
        == (here.origins, here.node_types)
        == (
            {"Grain": "verified"},
            {"Grain": {"output": ["IMAGE"]}},
        )
    )
    assert replace(there.verification, time="") == replace(here.verification, time="")
    assert other.client().node_type("Grain")[0].origin == "verified"
    last = other.client().changes()[-1].serial
    follow()
    assert other.client().changes()[-1].serial == last  # the same verdict again is nothing new
    keep(replace(outcome, status="failed", reason="it crashed", types={}))
    follow()
    assert other.client().version("grain", "1.0").verification.status == "failed"
