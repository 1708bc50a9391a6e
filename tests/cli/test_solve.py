"""What uv is asked: ahead of the registry, once where that does, and torch's siblings from torch's index."""

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, guess, solve
from noderack_cli.exits import Exit
from noderack_cli.installed import Installed, installed, torch_args
from noderack_cli.main import run
from noderack_cli.uv_tool import uv
from noderack_host.folder import Host
from pack_wheels import wheel


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirements of each question to uv, in one text."""
    told: list[str] = []
    really = solve.run_install

    def run_install(*args: Any, **more: Any) -> Any:
        told.append(" ".join(more["requirements"]))
        return really(*args, **more)

    monkeypatch.setattr(solve, "run_install", run_install)
    monkeypatch.setattr(guess, "run_install", run_install)
    return told


def test_what_uv_guessed_is_not_asked_again(shop: Any, rack: Host, asked: list[str]) -> None:
    shop.sell("lib", library=True)
    shop.sell("film", types=["Film"], requires=["lib"])
    assert run(["install", "film", "--yes"]) == 0
    assert asked == ["film"] and {"film", "lib"} <= installed(generations.current(rack).path).keys()


def test_where_the_registry_means_another_version_uv_is_asked_for_that(
    shop: Any, rack: Host, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", types=["Film"])
    shop.sell("film", "2.0", types=["Film"], requires=["nowhere"])
    assert run(["install", "film", "--yes"]) == Exit.UNRESOLVABLE, "uv alone would have taken 1.0"
    assert "film" not in generations.current(rack).packs
    assert asked[0] == "film" and asked[1].startswith("film==2.0")
    assert run(["install", "film==1.0", "--yes"]) == 0
    assert asked[-1] == "film==1.0"


def test_what_is_here_is_not_guessed(shop: Any, rack: Host, asked: list[str]) -> None:
    shop.sell("film", types=["Film"])
    assert run(["install", "film", "--yes"]) == 0
    shop.sell("film", "1.1", types=["Film"])
    assert run(["install", "film", "--yes"]) == 0
    assert generations.current(rack).packs["film"].version == "1.1"
    assert [text.partition(" ")[0] for text in asked] == ["film", "film==1.1"]


TAGS = ("any", "any.manylinux_2_17_x86_64.manylinux_2_28_x86_64.manylinux2014_x86_64")


@pytest.mark.parametrize("tag", TAGS, ids=("short", "long"))
def test_what_uv_has_is_not_downloaded_again(
    shop: Any, rack: Host, shelf: Any, tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cache, index = tmp_path / "cache", f"{shelf.url}/simple"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    body = wheel(tmp_path / "w", "lib", library=True).read_bytes()
    file, digest = f"lib-1.0-py3-none-{tag}.whl", hashlib.sha256(body).hexdigest()
    shelf.kind, shelf.headers = "text/html", {"Cache-Control": "max-age=600"}
    shelf.files["/simple/lib/"] = f'<a href="/{file}#sha256={digest}">{file}</a>'.encode()
    shelf.files[f"/{file}"] = body
    elsewhere = ["pip", "install", "--target", tmp_path / "t", "--python", sys.executable, "lib"]
    assert uv([*elsewhere, "--default-index", index], cache_at=cache).code == 0
    del shelf.files[f"/{file}"]
    rack.with_config(python_index=index)
    shop.sell("film", types=["Film"], requires=["lib"])
    assert run(["install", "film", "--yes", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[0])["plan"]
    assert [one["cached"] for one in plan["distributions"] if one["name"] == "lib"] == [True]


@pytest.fixture
def beyond(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hosts that anybody wants to reach by https; none is reached."""
    hosts: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            hosts.append(self.path.partition(":")[0])
            self.send_error(403)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    yield hosts
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("torch", "sibling", "code", "reached"),
    [
        ("2.13.0+cpu", "0.28.0", Exit.REGISTRY, {"download.pytorch.org"}),
        ("2.13.0+cpu", "0.28.0+cpu", Exit.OK, set()),
        ("2.13.0", "0.28.0", Exit.OK, set()),
        ("2.13.0", "0.27.0", Exit.UNRESOLVABLE, set()),
    ],
)
def test_siblings_of_torch_come_in_its_build(
    shop: Any, rack: Host, shelf: Any, tmp_path: Path, beyond: list[str],
    torch: str, sibling: str, code: Exit, reached: set[str],
) -> None:  # fmt: skip
    info = installed(generations.current(rack).path)["torch"].info
    (info / "METADATA").unlink()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n")
    info.rename(info.with_name(f"torch-{torch}.dist-info"))
    made = wheel(tmp_path / "index", "torchvision", sibling, requires=["torch"], library=True)
    shelf.kind = "text/html"
    shelf.files["/simple/torchvision/"] = f'<a href="/{made.name}">{made.name}</a>'.encode()
    shelf.files[f"/{made.name}"] = made.read_bytes()
    rack.with_config(python_index=f"{shelf.url}/simple")
    shop.sell("sees", types=["Sees"], requires=["torchvision"])
    assert run(["install", "sees", "--dry-run"]) == code
    assert set(beyond) == reached


@pytest.mark.parametrize(
    ("torch", "coming", "args"),
    [
        ("2.9.1+cu128", ["torchaudio", "numpy"], ["--torch-backend", "cu128"]),
        ("2.9.1+rocm6.4", ["torchvision"], ["--torch-backend", "rocm6.4"]),
        ("2.9.1+cu128", ["numpy", "torch"], []),
        ("2.9.1", ["torchvision"], []),
        ("2.9.1+mine", ["torchvision"], []),
    ],
)
def test_which_index_siblings_are_taken_from(torch: str, coming: list[str], args: list[str]) -> None:
    assert torch_args({"torch": Installed("torch", torch, Path("torch"))}, coming) == args
