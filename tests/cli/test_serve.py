"""`nodes serve`, as a user starts it: a real child, a real port, a real stop."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from noderack_cli.commands.serve import code_of, command, ready, told
from noderack_cli.errors import ServerEnded
from noderack_host.folder import Host, HostConfig

NODES = str(Path(sys.executable).with_name("nodes"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose environment is the one that the tests run in."""
    host = Host(tmp_path, HostConfig())
    host.save()
    host.env.symlink_to(Path(sys.executable).parents[1])
    return host


def test_it_serves_until_it_is_told_to_stop(host: Host) -> None:
    words = [NODES, "serve", "--host", str(host.root), "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        with urllib.request.urlopen(f"{ready['url']}/queue") as answer:
            assert json.load(answer)["queue_pending"] == []
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(20) == 0


def words_of_children(pid: int) -> str:
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return " ".join(Path(f"/proc/{number}/cmdline").read_text() for number in numbers)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_ends_quietly_while_it_loads(host: Host, name: str) -> None:
    words = [NODES, "serve", "--host", str(host.root), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        while "noderack_host.server" not in words_of_children(child.pid):
            time.sleep(0.02)
        os.killpg(child.pid, getattr(signal, name))
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")


def test_a_server_that_was_killed_is_told() -> None:
    assert code_of(-15, asked=True) == 0 and code_of(3, asked=False) == 3
    with pytest.raises(ServerEnded, match="was ended by SIGSEGV"):
        code_of(-11, asked=False)


def test_without_a_token_it_serves_nobody_else(host: Host) -> None:
    words = [NODES, "serve", "--host", str(host.root), "--listen", "0.0.0.0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "set a token" in done.stderr


def test_options_reach_the_server_and_the_token_does_not_show(host: Host) -> None:
    options = {"listen": "::1", "port": 1, "origin": ("a", "b"), "fair": True, "certificate": None}
    assert command(host, options)[4:] == [
        "--listen",
        "::1",
        "--port",
        "1",
        "--origin",
        "a",
        "--origin",
        "b",
        "--fair",
    ]


def test_the_first_line_is_a_sentence() -> None:
    failed = [{"pack": "x", "cause": "ImportError: y"}]
    event = ready(
        json.dumps({"event": "ready", "url": "http://127.0.0.1:1", "node_types": 3, "failed": failed})
    )
    said = "Serving 3 node types at http://127.0.0.1:1 (Ctrl-C ends it)\n  x did not load: ImportError: y"
    assert event is not None and told(event) == said
    assert ready("a pack says hello\n") is None and ready('{"event": "other"}') is None
