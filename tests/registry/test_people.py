"""What an operator can see and change about people, by the API and by the command line alike."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from noderack_cli.registry_people import admin
from wheels import write_wheel


@pytest.fixture
def stocked(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    bench.token("bob")
    return bench


def test_accounts_and_their_powers(stocked):
    boss, ann = stocked.admin(), {"Authorization": f"Bearer {stocked.token()}"}
    assert stocked.http.get("/api/v1/accounts", headers=ann).status_code == 403
    found = {
        one["name"]: one for one in stocked.http.get("/api/v1/accounts", headers=boss).json()["accounts"]
    }
    assert (found["ann"]["roles"], found["ann"]["admin"]) == ({"ann": "owner"}, False)
    assert stocked.http.put("/api/v1/accounts/bob", json={"admin": True}, headers=ann).status_code == 403
    assert stocked.http.put("/api/v1/accounts/bob", json={"admin": True}, headers=boss).status_code == 200
    assert stocked.http.put("/api/v1/accounts/root", json={"admin": False}, headers=boss).status_code == 422
    events = stocked.http.get("/api/v1/audit", headers=boss).json()["events"]
    assert [(one["name"], one["actor"]) for one in events if one["kind"] == "admin-made"] == [("bob", "root")]


def test_an_admin_sees_and_revokes_the_tokens_of_others(stocked):
    boss, bob = stocked.admin(), {"Authorization": f"Bearer {stocked.token('bob')}"}
    assert stocked.http.get("/api/v1/tokens?account=ann", headers=bob).status_code == 403
    (token,) = stocked.http.get("/api/v1/tokens?account=ann", headers=boss).json()["tokens"]
    assert stocked.http.delete(f"/api/v1/tokens/{token['public']}", headers=bob).status_code == 404
    assert stocked.http.delete(f"/api/v1/tokens/{token['public']}", headers=boss).status_code == 200
    assert stocked.http.get("/api/v1/tokens?account=nobody", headers=boss).status_code == 404


def test_publishers_are_listed(stocked):
    (found,) = stocked.http.get("/api/v1/publishers").json()["publishers"]
    assert (found["name"], found["packs"], found["status"]) == ("ann", 1, "active")


def command(stocked, *words: str) -> list[str]:
    done = CliRunner().invoke(admin, [*words, "--data", str(stocked.settings.data)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_the_command_line_does_the_same(stocked):
    assert command(stocked, "account", "bob", "--admin") == ["bob: an admin"]
    accounts = {row["name"]: row["admin"] for row in map(json.loads, command(stocked, "accounts"))}
    assert accounts["bob"]
    command(stocked, "describe", "ann", "--title", "Ann's")
    (publisher,) = map(json.loads, command(stocked, "publishers"))
    assert (publisher["title"], publisher["packs"]) == ("Ann's", 1)
    command(stocked, "reserve", "secret-thing", "--reason", "ours")
    command(stocked, "allow", "secret-thing", "--account", "bob")
    assert [json.loads(line) for line in command(stocked, "reserved")] == [
        {"name": "secret-thing", "reason": "ours"},
        {"name": "secret-thing", "account": "bob"},
    ]
    command(stocked, "revoke", "elsewhere", "--sha256", "ab" * 32)
    (line,) = command(stocked, "revocations")
    assert [one["name"] for one in json.loads(line)["payload"]["revocations"]] == ["elsewhere"]
