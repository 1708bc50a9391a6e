"""`nodes init`: from an environment that is there, and with a new one from an index of wheels."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host
from pack_wheels import wheel
from shelf import Shelf

ROOT = Path(__file__).parents[2]


@pytest.fixture
def index(shelf: Shelf, tmp_path: Path) -> str:
    """An index with a Noderack that leads to this one, and a torch of one file."""
    shelf.kind = "text/html"
    rooms = [str(ROOT / room) for room in ("host", "registry", "cli", "plugins/nodes")]
    here = [path for path in sys.path if path.endswith("site-packages")]
    paths = "\n".join([*rooms, *here, ""]).encode()
    facts: dict[str, Any] = {"library": True, "requires": ["torch>=2"], "beside": {"borrowed.pth": paths}}
    for file in (
        wheel(tmp_path / "w", "noderack", "0.1.0", **facts),
        wheel(tmp_path / "w", "torch", "2.13.0", library=True),
    ):
        name = file.name.split("-")[0]
        shelf.files[f"/simple/{name}/"] = f'<!doctype html><a href="/{file.name}">{file.name}</a>'.encode()
        shelf.files[f"/{file.name}"] = file.read_bytes()
    return f"{shelf.url}/simple"


def init(python: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`nodes init` by another Python: a Noderack that came from an index, not from a folder."""
    command = [str(python), "-m", "noderack_cli", "init", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_new_environment_is_made_from_an_index(thin_env: Path, index: str, tmp_path: Path) -> None:
    place = tmp_path / "new"
    done = init(
        thin_env / "bin/python", str(place), "--new", "--torch", "index", "--python-index", index, "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"host": str(place), "generation": 1, "node_types": said["node_types"]}
    now = generations.current(Host.open(place))
    assert now.why == "init, new environment" and now.distributions["torch"] == "2.13.0"
    assert subprocess.run([now.python, "-c", "import torch, noderack_host"], check=False).returncode == 0
    again = init(thin_env / "bin/python", str(place), "--new")
    assert again.returncode == Exit.BAD_INPUT and "is a host already (generation 1 is in use)" in again.stderr


def test_an_index_without_torch_is_one_sentence_and_leaves_no_generation(
    thin_env: Path, index: str, shelf: Shelf, tmp_path: Path
) -> None:
    page = shelf.files.pop("/simple/torch/")
    args = [str(tmp_path / "new"), "--new", "--torch", "index", "--python-index", index]
    done = init(thin_env / "bin/python", *args)
    assert done.returncode == Exit.INSTALL_FAILED and "Traceback" not in done.stderr
    assert "torch was not found" in done.stderr, done.stderr
    assert not list((tmp_path / "new/generations").iterdir())
    shelf.files["/simple/torch/"] = page
    done = init(thin_env / "bin/python", *args)
    assert done.returncode == 0, "the next run takes it up again: " + done.stderr


@pytest.mark.parametrize("source", ["nothing", "folder"])
def test_what_is_no_virtualenv_is_refused(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    assert run(["init", str(tmp_path / "h"), "--from", str(tmp_path / source)]) == Exit.BAD_INPUT
    assert "is not a virtualenv: it has no pyvenv.cfg" in capsys.readouterr().err


def test_an_environment_that_is_there_becomes_the_first_generation(
    thin_env: Path, tmp_path: Path, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert run(["init", str(tmp_path / "h"), "--from", str(thin_env)]) == 0
    out = capsys.readouterr().out
    assert "files linked, none copied" in out and "is a host: generation 1" in out
