"""Yank, deprecate, quarantine, transfer, members, tokens: who may, and what becomes of the index."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone

import pytest
from noderack_registry import revocations
from noderack_registry.client import Refused
from noderack_registry.server import accounts
from wheels import write_wheel

API = "/api/v1"


@pytest.fixture
def stocked(bench, tmp_path):
    """Ann's pack with versions 1.0 and 1.1."""
    token = bench.token()
    for version in ("1.0", "1.1"):
        bench.client(token).upload_wheel(write_wheel(tmp_path, version=version, readme=version))
    bench.ann = {"Authorization": f"Bearer {token}"}
    bench.bob = {"Authorization": f"Bearer {bench.token('bob')}"}
    bench.root = bench.admin()
    return bench


def files(bench):
    answer = bench.http.get("/simple/grain/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    return {item["filename"].split("-")[1]: item for item in answer.json().get("files", [])}


def test_a_yank_has_a_reason_and_can_be_taken_back(stocked):
    place = f"{API}/packs/grain/versions/1.1/yank"
    assert stocked.http.post(place, json={"reason": "breaks"}, headers=stocked.ann).json()["yanked"]
    assert files(stocked)["1.1"]["yanked"] == "breaks"
    assert stocked.client().pack("grain").latest == "1.0"
    assert stocked.http.get(files(stocked)["1.1"]["url"].replace("../..", "")).status_code == 200
    stocked.http.delete(place, headers=stocked.ann)
    assert files(stocked)["1.1"]["yanked"] is False


def test_a_quarantined_version_is_gone_and_comes_back(stocked):
    place = f"{API}/packs/grain/versions/1.1/status"
    url = files(stocked)["1.1"]["url"].replace("../..", "")
    assert stocked.http.put(place, json={"status": "quarantined"}, headers=stocked.ann).status_code == 403
    stocked.http.put(place, json={"status": "quarantined", "reason": "stealer"}, headers=stocked.root)
    assert set(files(stocked)) == {"1.0"}
    assert stocked.http.get(url).status_code == 404
    stocked.http.put(place, json={"status": "active"}, headers=stocked.root)
    assert set(files(stocked)) == {"1.0", "1.1"}


def test_a_quarantined_pack_offers_nothing(stocked, tmp_path):
    place = f"{API}/packs/grain/status"
    stocked.http.put(place, json={"status": "quarantined", "reason": "stealer"}, headers=stocked.root)
    assert files(stocked) == {}
    assert stocked.client().node_type("Grain") == ()
    assert stocked.client().search("grain").hits == ()
    with pytest.raises(Refused, match="quarantined"):
        stocked.client(stocked.ann["Authorization"][7:]).upload_wheel(write_wheel(tmp_path, version="2.0"))
    assert stocked.http.put(place, json={"status": "active"}, headers=stocked.ann).status_code == 403


def test_deprecation_names_a_successor(stocked):
    wish = {"status": "deprecated", "reason": "moved", "successor": "grain"}
    page = stocked.http.put(f"{API}/packs/grain/status", json=wish, headers=stocked.ann).json()
    assert (page["status"], page["successor"]) == ("deprecated", "grain")
    index = stocked.http.get("/simple/grain/").json()
    assert index["project-status"] == {"status": "deprecated", "reason": "moved"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/packs/grain/versions/1.0/yank", {}),
        ("PUT", "/packs/grain/status", {"status": "archived"}),
        ("POST", "/packs/grain/transfer", {"publisher": "ann"}),
        ("PUT", "/publishers/ann/members/bob", {"role": "owner"}),
        ("DELETE", "/publishers/ann/members/ann", None),
        ("PUT", "/publishers/ann/status", {"status": "banned"}),
        ("PUT", "/reserved/x", {}),
        ("POST", "/revocations", {"name": "grain", "version": "1.0"}),
        ("GET", "/audit", None),
    ],
)
def test_strangers_may_not(stocked, method, path, body):
    for headers, code in ((stocked.bob, {"not-yours", "out-of-scope"}), ({}, {"no-token"})):
        answer = stocked.http.request(method, API + path, json=body, headers=headers)
        assert answer.json()["error"]["code"] in code
        assert answer.status_code in (401, 403)


def test_members_publish_and_leave(stocked, tmp_path):
    place = f"{API}/publishers/ann/members/bob"
    shown = stocked.http.put(place, json={"role": "maintainer"}, headers=stocked.ann).json()
    assert {"account": "bob", "role": "maintainer"} in shown["members"]
    bob = stocked.client(stocked.bob["Authorization"][7:])
    assert bob.upload_wheel(write_wheel(tmp_path, version="2.0")).version == "2.0"
    assert stocked.http.put(
        f"{API}/packs/grain/status", json={"status": "archived"}, headers=stocked.bob
    ).is_error
    stocked.http.delete(place, headers=stocked.ann)
    with pytest.raises(Refused, match="belongs to another"):
        bob.upload_wheel(write_wheel(tmp_path, version="3.0"))
    last = stocked.http.delete(f"{API}/publishers/ann/members/ann", headers=stocked.ann)
    assert "without an owner" in last.json()["error"]["message"]


def test_a_transfer_takes_the_old_owner_off(stocked, tmp_path):
    stocked.http.put(f"{API}/publishers", json={"name": "studio"}, headers=stocked.bob)
    place = f"{API}/packs/grain/transfer"
    assert stocked.http.post(place, json={"publisher": "studio"}, headers=stocked.ann).status_code == 403
    assert (
        stocked.http.post(place, json={"publisher": "studio"}, headers=stocked.root).json()["publisher"]
        == "studio"
    )
    with pytest.raises(Refused, match="belongs to another"):
        stocked.client(stocked.ann["Authorization"][7:]).upload_wheel(write_wheel(tmp_path, version="3.0"))


def test_a_banned_publisher_loses_its_packs_and_its_voice(stocked):
    stocked.http.put(f"{API}/publishers/ann/status", json={"status": "banned"}, headers=stocked.root)
    assert files(stocked) == {}


def test_reserved_names(stocked, tmp_path):
    stocked.http.put(f"{API}/reserved/big-studio", json={"reason": "trademark"}, headers=stocked.root)
    with pytest.raises(Refused) as caught:
        stocked.client(stocked.ann["Authorization"][7:]).upload_wheel(write_wheel(tmp_path, "Big_Studio"))
    assert caught.value.code == "reserved-name"
    assert stocked.http.delete(f"{API}/reserved/big-studio", headers=stocked.root).json() == {"reserved": []}


def test_tokens_make_only_lesser_tokens(stocked):
    made = stocked.http.post(
        f"{API}/tokens", json={"scopes": ["publish:grain"], "days": 7}, headers=stocked.ann
    )
    assert made.status_code == 201
    assert made.json()["token"].startswith("ndr_")
    wider = stocked.http.post(f"{API}/tokens", json={"scopes": ["admin"]}, headers=stocked.ann)
    assert wider.json()["error"]["code"] == "out-of-scope"
    narrow = {"Authorization": f"Bearer {made.json()['token']}"}
    assert stocked.http.post(f"{API}/tokens", json={"scopes": ["publish"]}, headers=narrow).status_code == 403
    listed = stocked.http.get(f"{API}/tokens", headers=stocked.ann).json()["tokens"]
    assert made.json()["public"] in [token["public"] for token in listed]
    assert "digest" not in listed[0]


def test_wrong_expired_and_revoked_tokens_are_told_apart(stocked, make_bench):
    place = f"{API}/tokens"
    text = stocked.ann["Authorization"][7:]
    for wrong in (text[:-1] + ("x" if text[-1] != "x" else "y"), "ndr_x", "", "a" * 500):
        answer = stocked.http.get(place, headers={"Authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad-token")
    public = text.split("_")[1]
    assert stocked.http.delete(f"{place}/{public}", headers=stocked.bob).status_code == 404
    assert stocked.http.delete(f"{place}/{public}", headers=stocked.ann).json()["revoked"]
    assert stocked.http.get(place, headers=stocked.ann).json()["error"]["code"] == "revoked-token"
    late = stocked.settings.now() + timedelta(days=31)
    with pytest.raises(Exception, match="expired"):
        stocked.registry.database.reading(accounts.authenticate, stocked.bob["Authorization"][7:], late)


def test_the_audit_log_says_who(stocked):
    stocked.http.post(f"{API}/packs/grain/versions/1.0/yank", json={"reason": "old"}, headers=stocked.ann)
    events = stocked.http.get(f"{API}/audit", headers=stocked.root).json()["events"]
    (yanked,) = [event for event in events if event["kind"] == "version-yanked"]
    assert (yanked["actor"], yanked["version"], yanked["detail"]) == ("ann", "1.0", "old")
    kinds = [change.kind for change in stocked.client().changes()]
    assert "token-created" not in kinds
    assert kinds.count("version-published") == 2


def test_revocations_are_signed_and_not_rolled_back(stocked, tmp_path):
    sha256 = stocked.client().version("grain", "1.1").files[0].sha256
    wish = {"name": "grain", "version": "1.1", "reason": "stealer"}
    feed = stocked.http.post(f"{API}/revocations", json=wish, headers=stocked.root).json()
    now = stocked.settings.now()
    serial, killed = revocations.verify(feed, feed["key"], now)
    assert [item.sha256 for item in killed] == [sha256]
    assert set(files(stocked)) == {"1.0"}
    other = base64.b64encode(bytes(32)).decode()
    tampered = {**feed, "signed": feed["signed"].replace("grain", "grape")}
    for wrong, key, when, seen, code in [
        (tampered, feed["key"], now, 0, "index-signature"),
        (feed, other, now, 0, "index-signature"),
        (feed, feed["key"], now + timedelta(days=8), 0, "index-expired"),
        (feed, feed["key"], now, serial + 1, "index-rollback"),
    ]:
        with pytest.raises(revocations.BadFeed) as caught:
            revocations.verify(wrong, key, when, seen)
        assert caught.value.code == code


def test_the_list_is_signed_once_and_again_when_it_changes_or_ages(make_bench):
    days = [0]
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    bench = make_bench(now=lambda: start + timedelta(days=days[0]))
    boss, get = bench.admin(), lambda: bench.http.get(f"{API}/revocations").json()
    first = get()
    days[0] = 3
    assert get() == first
    days[0] = 4
    second = get()
    assert second["payload"]["expires"] > first["payload"]["expires"]
    bench.http.post(f"{API}/revocations", json={"name": "evil", "sha256": "cd" * 32}, headers=boss)
    third = get()
    assert [one["name"] for one in third["payload"]["revocations"]] == ["evil"]
    assert third == get() != bench.http.post(f"{API}/revocations/key", headers=boss).json()


def test_capabilities_that_are_new_are_shown(stocked, tmp_path):
    client = stocked.client(stocked.ann["Authorization"][7:])
    shown = client.upload_wheel(write_wheel(tmp_path, version="2.0", code="import requests\n"))
    assert (shown.capabilities, shown.new_capabilities) == (("network",), ("network",))


def test_what_a_pack_declares_is_told_apart_from_what_its_code_does(bench, tmp_path):
    facts = {"capabilities": ["network"]}
    client = bench.client(bench.token())
    client.upload_wheel(write_wheel(tmp_path, facts=facts))
    code = "import subprocess\nNODE_CLASS_MAPPINGS = {}\n"
    shown = client.upload_wheel(write_wheel(tmp_path, version="1.1", facts=facts, code=code))
    assert shown.declared_capabilities == ("network",)
    assert shown.capabilities == ("network", "subprocess")
    assert shown.new_capabilities == ("subprocess",)
    assert shown.findings == ("subprocess: grain/__init__.py:1: import subprocess",)


def test_a_new_key_is_trusted_by_whoever_trusts_the_one_before(stocked):
    now = stocked.settings.now()
    first = stocked.http.get(f"{API}/revocations").json()["key"]
    for _ in range(2):
        feed = stocked.http.post(f"{API}/revocations/key", headers=stocked.root).json()
    assert feed["key"] != first
    assert revocations.current_key(feed, first) == feed["key"]
    assert revocations.verify(feed, first, now) == (0, ())
    stranger = {**feed["handovers"][0], "to": base64.b64encode(bytes(32)).decode()}
    forged = {**feed, "key": stranger["to"], "handovers": [stranger]}
    for wrong in (forged, {**feed, "handovers": []}):
        with pytest.raises(revocations.BadFeed):
            revocations.verify(wrong, first, now)
    assert revocations.verify({**feed, "handovers": []}, feed["key"], now) == (0, ())
