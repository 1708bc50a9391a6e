"""The Krita plugin's own connection code on our server: see CONTRIBUTING.md for what it needs to run here."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from noderack_registry.packing import build_wheel

PLUGINS = Path(__file__).parents[2] / "plugins"
DRIVER = Path(__file__).with_name("krita_driver.py")
KRITA, TOOLING = os.environ.get("KRITA"), os.environ.get("TOOLING")

pytestmark = pytest.mark.skipif(
    not (KRITA and TOOLING), reason="KRITA and TOOLING name no checkouts of the plugin and of its pack"
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server with the pack that the plugin talks to, and the tiny checkpoint."""
    assert TOOLING is not None
    name = "noderack-shapes.safetensors"
    (tmp_path / "models/checkpoints").mkdir(parents=True)
    (tmp_path / "models/checkpoints" / name).symlink_to(PLUGINS / "tiny/models" / name)
    (tmp_path / "host.toml").touch()
    (tmp_path / "env").symlink_to(Path(sys.executable).parents[1])
    for source in (Path(TOOLING), PLUGINS / "compat"):
        with zipfile.ZipFile(build_wheel(source, tmp_path / "wheels").path) as wheel:
            wheel.extractall(tmp_path / "site")
    words = [sys.executable, "-m", "noderack_host.server", str(tmp_path), "--port", "0"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        yield str(json.loads(child.stdout.readline())["url"])
        child.terminate()


def test_the_krita_plugin_connects_lists_models_generates_and_interrupts(url: str) -> None:
    python = os.environ.get("KRITA_PYTHON", sys.executable)
    words = [python, str(DRIVER), str(KRITA), url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("progress") >= 8
    assert told == {
        **{"device": "cpu", "inspected": ["checkpoints", "diffusion_models"], "interrupted": True},
        **{"checkpoints": ["noderack-shapes.safetensors"], "picture": [512, 512]},
    }
