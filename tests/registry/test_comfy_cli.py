"""The existing registry's own command-line client, unmodified, publishes to ours and installs from it.

ENVIRONMENT=dev points it at port 8080 of localhost; nothing else is changed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from noderack_registry.server import Settings, serving
from test_comfy import CODE
from test_comfy import PYPROJECT as WITH_NEEDS

CLIENT = shutil.which("comfy", path=str(Path(sys.executable).parent)) or shutil.which("comfy")
PORT = 8080
PYPROJECT = WITH_NEEDS.replace('"idna>=3"', "")  # the client would install it into this environment
pytestmark = pytest.mark.skipif(CLIENT is None, reason="comfy-cli is not installed")

Comfy = Callable[..., str]


@pytest.fixture
def registry(bench) -> Iterator[str]:
    """A registry where the client looks for one; gives a token."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"port {PORT}, the only one that comfy-cli looks at, is taken")
    token = bench.token()
    settings = replace(Settings(data=bench.settings.data), public_url=f"http://localhost:{PORT}")
    with serving(settings, port=PORT):
        yield token


@pytest.fixture
def pack(tmp_path) -> Path:
    """A pack's repository, as its author has it."""
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").write_text(CODE)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


@pytest.fixture
def comfy(tmp_path, pack) -> Comfy:
    """Run the client; fails the test unless it ends as it should."""
    environment = {**os.environ, "ENVIRONMENT": "dev", "HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    environment.pop("COMFY_REGISTRY_TOKEN", None)

    def run(*command: str, ok: bool = True) -> str:
        call = [str(CLIENT), "--skip-prompt", *command]
        done = subprocess.run(call, cwd=pack, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_it_publishes_lists_and_installs(registry, bench, comfy, tmp_path):
    comfy("node", "publish", "--token", registry)
    page = bench.client().pack("film-grain")
    assert (page.latest, page.publisher, page.node_types) == ("1.2.0", "ann", ("FilmGrain",))
    assert "film-grain" in comfy("node", "registry-list")
    workspace = tmp_path / "ComfyUI"
    (workspace / "custom_nodes").mkdir(parents=True)
    comfy("--workspace", str(workspace), "node", "registry-install", "film-grain", "--force-download")
    assert (workspace / "custom_nodes/film-grain/__init__.py").read_text() == CODE


def test_it_installs_the_version_that_is_asked_for(registry, pack, comfy, tmp_path):
    comfy("node", "publish", "--token", registry)
    (pack / "pyproject.toml").write_text(PYPROJECT.replace("1.2.0", "1.10.0"))
    commit(pack)
    comfy("node", "publish", "--token", registry)
    for wanted, found in (([], "1.10.0"), (["--version", "1.2.0"], "1.2.0")):
        workspace = tmp_path / found
        (workspace / "custom_nodes").mkdir(parents=True)
        comfy(
            "--workspace",
            str(workspace),
            "node",
            "registry-install",
            "film-grain",
            *wanted,
            "--force-download",
        )
        text = (workspace / "custom_nodes/film-grain/pyproject.toml").read_text()
        assert f'version = "{found}"' in text


@pytest.mark.parametrize("token", ["nope", "ndr_0123456789abcdef_wrong"])
def test_a_wrong_token_publishes_nothing(registry, bench, comfy, token):
    said = comfy("node", "publish", "--token", token, ok=False)
    assert "401" in said or "token" in said.lower()
    assert bench.http.get("/nodes").json()["total"] == 0


def test_a_version_that_is_there_is_refused(registry, pack, comfy, bench):
    comfy("node", "publish", "--token", registry)
    (pack / "__init__.py").write_text(CODE + "# changed\n")
    commit(pack)
    comfy("node", "publish", "--token", registry, ok=False)
    assert bench.client().pack("film-grain").versions == ("1.2.0",)
