"""A registry for a test: in process for most, on a real socket where real clients come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))  # for wheels.py beside this file

from noderack_registry.client import RegistryClient
from noderack_registry.server import Settings, app, serving
from noderack_registry.server.accounts import create_token


class Bench:
    """A registry in process, with its innards at hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = app(settings)
        self.registry = self.app.state.registry
        self.http = TestClient(self.app, base_url="http://testserver", raise_server_exceptions=True)

    def token(self, account: str = "ann", *scopes: str, admin: bool = False, days: int | None = 30) -> str:
        minted = self.registry.database.writing(
            create_token,
            account,
            self.settings.now(),
            scopes=scopes or ("publish", "models"),
            days=days,
            admin=admin,
        )
        return minted.text

    def client(self, token: str | None = None) -> RegistryClient:
        return RegistryClient("http://testserver", token, self.http)

    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token('root', 'admin', admin=True)}"}

    def leftovers(self) -> list[str]:
        """Blobs and waiting uploads: what a refused upload must not leave."""
        incoming = self.settings.data / "incoming"
        waiting = [path.name for path in incoming.iterdir()] if incoming.exists() else []
        return [*self.registry.blobs.keys(), *waiting]

    def close(self) -> None:
        self.registry.database.close()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**changes: object) -> Bench:
        settings = replace(Settings(data=tmp_path / f"registry{len(made)}"), **changes)
        made.append(Bench(settings))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A registry on a real socket: its address and a token for everything."""
    settings = Settings(data=tmp_path / "live")
    maker = Bench(settings)
    token = maker.token("ann", "publish", "models", "admin", admin=True)
    maker.close()
    with serving(settings) as url:
        yield url, token


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client
