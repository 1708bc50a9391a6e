"""Clients of the field, as published, on a real server: a library that scripts use, and comfy-cli."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PICTURE = {"width": 64, "height": 48, "batch_size": 1, "color": 0x3366CC}
PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": PICTURE, "_meta": {"title": "Empty"}},
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "client"},
        "_meta": {"title": "Save Image"},
    },
}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server process with the built-in nodes."""
    (tmp_path / "host.toml").touch()
    (tmp_path / "env").symlink_to(Path(sys.executable).parents[1])
    words = [sys.executable, "-m", "noderack_host.server", str(tmp_path), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        yield str(json.loads(child.stdout.readline())["url"])
        child.terminate()


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(PROMPT))
    return file


def test_a_library_of_scripts_runs_a_workflow(url: str, workflow: Path) -> None:
    library = pytest.importorskip(
        "comfy_api_simplified", reason="the client library comfy-api-simplified is not installed"
    )
    api, flow = library.ComfyApiWrapper(f"{url}/"), library.ComfyWorkflowWrapper(str(workflow))
    flow.set_node_param("Empty", "width", 80)
    pictures = api.queue_and_wait_images(flow, "Save Image")
    assert list(pictures) == ["client_00001_.png"] and next(iter(pictures.values()))[:4] == b"\x89PNG"


def test_comfy_cli_runs_a_workflow(url: str, workflow: Path, tmp_path: Path) -> None:
    comfy = shutil.which("comfy", path=Path(sys.executable).parent)
    if comfy is None:
        pytest.skip("comfy-cli is not installed")
    port = url.rpartition(":")[2]
    words = [comfy, "--skip-prompt", "--no-enable-telemetry", "run", "--workflow", str(workflow)]
    words += ["--host", "127.0.0.1", "--port", port, "--wait"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "output").glob("*.png")] == ["client_00001_.png"]


def test_packs_that_print_as_they_load_do_not_hide_the_address(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "loud-1.0.dist-info").mkdir(parents=True)
    (site / "loud.py").write_text("print('loading ' * 9)\nNODE_CLASS_MAPPINGS = {}\n")
    (site / "loud-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (site / "loud-1.0.dist-info/entry_points.txt").write_text("[noderack.packs]\nloud = loud\n")
    (tmp_path / "host.toml").touch()
    words = [sys.executable, "-m", "noderack_host.server", str(tmp_path), "--port", "0"]
    env, pipe = {**os.environ, "PYTHONPATH": str(site)}, subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=env) as child:
        assert child.stdout is not None and child.stderr is not None
        assert json.loads(child.stdout.readline())["event"] == "ready"
        child.terminate()
        assert "loading loading" in child.stderr.read()
