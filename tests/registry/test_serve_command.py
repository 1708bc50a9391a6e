"""`nodes registry serve` as a process: it says where it is, writes its token once, and ends when told."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

NODES = [sys.executable, "-c", "from noderack_cli.main import main; main()", "registry"]


@pytest.fixture
def serving_process(tmp_path):
    command = [*NODES, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--token-file", str(tmp_path / "token")], stdout=subprocess.PIPE, text=True
    )
    yield process, json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.wait(10)
    process.stdout.close()


def test_it_says_where_it_is_and_answers(serving_process, tmp_path):
    _, ready = serving_process
    assert ready["event"] == "ready"
    assert httpx.get(ready["url"] + "/healthz").json()["status"] == "ok"
    token = tmp_path / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    answer = httpx.put(
        ready["url"] + "/api/v1/models",
        headers={"Authorization": f"Bearer {token.read_text().strip()}"},
        json={},
    )
    assert answer.json()["error"]["code"] == "bad-value"


def test_a_page_with_a_name_of_its_own_is_refused(serving_process):
    _, ready = serving_process
    answer = httpx.get(ready["url"] + "/healthz", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad-host")


def test_tokens_come_from_the_command_line(tmp_path):
    command = [*NODES, "token", "create", "--data", str(tmp_path), "--account", "ann", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["token"].startswith("ndr_")


def test_a_bad_scope_is_told(tmp_path):
    command = [*NODES, "token", "create", "--data", str(tmp_path), "--scope", "world", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "world" in json.loads(done.stdout.splitlines()[-1])["error"]["message"]
    assert done.returncode == 3
    assert not list(Path(tmp_path).glob("*.part"))
