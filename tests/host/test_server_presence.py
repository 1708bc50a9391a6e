"""A host has one server: a second one is told where the first is, and a killed one leaves no lock behind."""

import subprocess
import sys
from pathlib import Path

import pytest
from noderack_host.folder import Host, HostConfig
from noderack_host.server import presence

HOLD = """
import sys, time
from noderack_host.folder import Host
from noderack_host.server import presence
with presence.alone(Host.open(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_server_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    host = Host(tmp_path, HostConfig())
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        presence.tell(host, "http://127.0.0.1:8188", "token", None, [])
        with pytest.raises(presence.AnotherServes, match="8188"), presence.alone(host, patience=0.05):
            pass
        first.kill()
    with presence.alone(host, patience=0.05):
        pass
