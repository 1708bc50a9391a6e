"""The main job, whole, as a user starts it: `nodes demo`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from noderack_cli import host_init
from noderack_cli.demo.places import find_places
from noderack_cli.errors import NotFound
from noderack_cli.exits import Exit
from noderack_cli.main import run

try:
    find_places()
    LACKING = ""
except NotFound as error:
    LACKING = error.message
NO_NETWORK = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}


@pytest.mark.skipif(bool(LACKING), reason=LACKING or "all is there")
@pytest.mark.skipif(host_init.environment_here() is None, reason="torch is not in a virtualenv here")
@pytest.mark.timeout(600)
def test_the_demo_draws_a_picture_that_holds_its_workflow(tmp_path: Path) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "noderack_cli", "demo", "--keep", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        env={**os.environ, **NO_NETWORK},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(1, 7):
        assert f"\n{number}. " in done.stdout
    pictures = list((tmp_path / "demo/host/output").rglob("*.png"))
    assert len(pictures) == 1
    assert run(["missing", str(pictures[0]), "--host", str(tmp_path / "demo/host")]) == 0
    assert run(["doctor", "--host", str(tmp_path / "demo/host")]) == 0
    print(f"nodes demo took {time.monotonic() - start:.1f} s")


def test_a_folder_in_use_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    if LACKING:
        pytest.skip(LACKING)
    assert run(["demo", "--keep", str(tmp_path)]) == Exit.BAD_INPUT
    assert "is not empty" in capsys.readouterr().err
