"""Two installers at once: the second waits, or says who holds the host; a kill releases it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from noderack_cli.errors import HostHeld
from noderack_cli.held import hold

HOLD = """
import sys, time, pathlib
from noderack_cli.held import hold
with hold(pathlib.Path(sys.argv[1]), 'nodes install film-look'):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_says_who_holds_it(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    with (
        pytest.raises(HostHeld, match=rf"process {other.pid} \(nodes install film-look\)"),
        hold(tmp_path, "x", wait=0),
    ):
        pass


def test_the_second_gets_it_within_a_second_of_a_kill(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    other.send_signal(signal.SIGKILL)
    start = time.monotonic()
    said: list[str] = []
    with hold(tmp_path, "x", tell=said.append):
        assert time.monotonic() - start < 1
