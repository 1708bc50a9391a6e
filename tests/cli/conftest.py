"""Hosts to try things on: small real virtualenvs, made once and cloned by the code under test."""

import hashlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, links
from noderack_cli.generations import InstalledPack
from noderack_cli.host_init import FOLDERS
from noderack_host.folder import Host, HostConfig
from noderack_registry.client import RegistryClient
from noderack_registry.schema import ModelManifest
from noderack_registry.server import Settings, open_registry, serving
from noderack_registry.server.accounts import create_token

sys.path.insert(0, str(Path(__file__).parent))  # for pack_wheels.py beside this file

from pack_wheels import wheel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def bare_env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv without pip, with one script and one .pth that hold its path."""
    root = tmp_path_factory.mktemp("env") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    script = root / "bin" / "hello"
    script.write_text(f"#!{root}/bin/python\nimport sys; print(sys.prefix)\n")
    script.chmod(0o755)
    packages = next(root.glob("lib/python3*/site-packages"))
    (packages / "here.pth").write_text(f"{root}/src\n")
    (packages / "module.py").write_text("VALUE = 1\n")
    return root


@pytest.fixture
def host(tmp_path: Path, bare_env: Path) -> Host:
    """A host with generation 1, cloned from `bare_env`."""
    made = Host(tmp_path / "host", HostConfig(python_index="none"))
    made.save()
    with generations.draft(made, bare_env, None) as draft:
        generations.commit(made, draft, "init", {"core": InstalledPack("core", "1", ("KSampler",), "host")})
    return made


class Shelf:
    """A file server on loopback that misbehaves on request. `files` maps a path to bytes.

    `cut` ends each answer after that many bytes; `ranges` False ignores Range; `status` maps a path to (code,
    headers); `redirect` maps a path to an address; `seen` is every request as (path, headers).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, tuple[int, dict[str, str]]] = {}
        self.redirect: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.cut: int | None = None
        self.ranges = True
        self.url = ""


class ShelfHandler(BaseHTTPRequestHandler):
    """Answers from the server's shelf."""

    shelf: Shelf
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """One file, or what the shelf says instead."""
        shelf, path = self.shelf, self.path.partition("?")[0]
        shelf.seen.append((self.path, dict(self.headers)))
        if path in shelf.redirect:
            return self._head(302, {"Location": shelf.redirect[path]}, 0)
        if path in shelf.status or path not in shelf.files:
            code, headers = shelf.status.get(path, (404, {}))
            return self._head(code, headers, 0)
        body, start = shelf.files[path], 0
        wanted = self.headers.get("Range")
        if wanted and shelf.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(body)
            if start >= len(body):
                return self._head(416, {}, 0)
            part = body[start:end]
            self._head(
                206, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(body)}"}, len(part)
            )
        else:
            part = body
            self._head(200, {"Accept-Ranges": "bytes"} if shelf.ranges else {}, len(part))
        if self.command == "HEAD":
            return None
        if shelf.cut is not None and len(part) > shelf.cut:
            self.wfile.write(part[: shelf.cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        self.wfile.write(part)
        return None

    def _head(self, code: int, headers: dict[str, str], length: int) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A shelf that is being served."""
    made = Shelf()
    handler = type("Handler", (ShelfHandler,), {"shelf": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def thin_env(tmp_path_factory: pytest.TempPathFactory, bare_env: Path) -> Path:
    """A virtualenv of a few files that can import all that this one can, Noderack included."""
    root = tmp_path_factory.mktemp("thin") / "venv"
    shutil.copytree(bare_env, root, symlinks=True)
    links.relocate(root, bare_env)
    packages = links.site_packages(root)[0]
    here = [p for p in sys.path if p.endswith("site-packages")]
    rooms = [str(ROOT / room) for room in ("host", "registry", "cli", "plugins/nodes")]
    (packages / "borrowed.pth").write_text("\n".join([*rooms, *here]) + "\n")
    for name, version in (("noderack", "0.1.0"), ("torch", "2.13.0")):
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("")
    return root


@dataclass(frozen=True)
class Shop:
    """A registry on a real socket and a token for everything in it."""

    url: str
    token: str
    folder: Path

    @property
    def client(self) -> RegistryClient:
        return RegistryClient(self.url, self.token)

    def sell(self, name: str, version: str = "1.0", **facts: Any) -> None:
        """Publish a pack made by `wheels.wheel`."""
        with self.client as client:
            client.upload_wheel(wheel(self.folder, name, version, **facts))

    def sell_model(self, name: str, body: bytes, folder: str = "checkpoints", **facts: Any) -> ModelManifest:
        """Publish a model with its bytes."""
        file = self.folder / name
        file.write_bytes(body)
        sha = hashlib.sha256(body).hexdigest()
        with self.client as client:
            return client.put_model(ModelManifest(name, folder, sha, len(body), **facts), file)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """An empty registry on a real socket."""
    folder = tmp_path / "shop"
    folder.mkdir()
    settings = Settings(data=folder / "data")
    registry = open_registry(settings)
    scopes = ("publish", "models", "admin")
    minted = registry.database.writing(
        create_token, "ann", settings.now(), scopes=scopes, days=30, admin=True
    )
    registry.database.close()
    with serving(settings) as url:
        yield Shop(url, minted.text, folder)


@pytest.fixture
def rack(tmp_path: Path, thin_env: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that can import packs, uses `shop` and nothing else, and knows core node types by its record."""
    made = Host(tmp_path / "rack", HostConfig(registry=shop.url, python_index="none"))
    for name in FOLDERS:
        (made.root / name).mkdir(parents=True)
    made.save()
    with generations.draft(made, thin_env, None) as draft:
        core = InstalledPack("noderack", "0.1.0", ("KSampler", "SaveImage", "CheckpointLoaderSimple"), "host")
        generations.commit(made, draft, "init", {"noderack": core})
    monkeypatch.setenv("NODERACK_HOST", str(made.root))
    monkeypatch.delenv("NODERACK_REGISTRY", raising=False)
    return made
