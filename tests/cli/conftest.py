"""Hosts to try things on: small real virtualenvs, made once and cloned by the code under test."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this file

from pack_wheels import wheel
from shelf import Shelf, serving_shelf

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


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A shelf that is being served."""
    with serving_shelf() as made:
        yield made


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
