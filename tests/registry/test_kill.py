"""kill -9 while publishing: database and blobs agree afterwards, and what was acknowledged is there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from noderack_registry.client import RegistryClient
from noderack_registry.errors import RegistryError
from noderack_registry.server import Settings, inspection, open_registry
from wheels import write_wheel

SERVE = [
    sys.executable,
    "-c",
    "from noderack_cli.main import main; main()",
    "registry",
    "serve",
    "--port",
    "0",
    "--json",
]


class Uploading(threading.Thread):
    """Publishes one version after the other, and remembers which were acknowledged."""

    def __init__(self, url: str, token: str, folder: Path, first: int) -> None:
        super().__init__(daemon=True)
        self.url, self.token, self.folder, self.number = url, token, folder, first
        self.acknowledged: list[str] = []

    def run(self) -> None:
        with RegistryClient(self.url, self.token, httpx.Client(timeout=10)) as client:
            while True:
                version = f"1.{self.number}"
                wheel = write_wheel(self.folder, "grain", version, files={"grain/data.bin": bytes(200_000)})
                self.number += 1
                try:
                    client.upload_wheel(wheel)
                except RegistryError:
                    return
                self.acknowledged.append(version)


def kill_many(tmp_path: Path, rounds: int, seed: int) -> int:
    """Serve, publish, kill at a random moment, look; gives how many versions were acknowledged in all."""
    chance, data, token_file, number = random.Random(seed), tmp_path / "data", tmp_path / "token", 0
    acknowledged: list[str] = []
    for _ in range(rounds):
        command = [*SERVE, "--data", str(data), "--token-file", str(token_file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        uploads = Uploading(url, token_file.read_text().strip(), tmp_path, number)
        uploads.start()
        time.sleep(chance.uniform(0.02, 0.6))
        process.kill()
        process.wait()
        process.stdout.close()
        uploads.join(20)
        number, acknowledged = uploads.number, acknowledged + uploads.acknowledged
        look(data, acknowledged)
    return len(acknowledged)


def look(data: Path, acknowledged: list[str]) -> None:
    registry = open_registry(Settings(data=data))
    try:
        faults = [fault for fault in inspection.check(registry) if not fault.repairable]
        assert faults == []
        from noderack_registry.server import packs

        if acknowledged:
            shown = registry.database.reading(
                lambda session: packs.page(session, packs.find(session, "grain"))
            )
            assert set(acknowledged) <= set(shown.versions)
    finally:
        registry.database.close()


def test_killed_a_few_times(tmp_path):
    kill_many(tmp_path, 3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_a_hundred_times(tmp_path):
    assert kill_many(tmp_path, 100, seed=2) > 10
