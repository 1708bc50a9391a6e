"""A disk that is really full: a small one of its own, filled by uploads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from noderack_registry.client import NotFound, Refused, RegistryClient
from noderack_registry.schema import ModelManifest
from noderack_registry.server import Settings, inspection, open_registry, serving
from noderack_registry.server.accounts import create_token
from wheels import write_wheel


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes, half of it taken by a file that can be removed."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs the rights of root")
    (place / "filler").write_bytes(bytes(2 << 20))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def upload_until_refused(client: RegistryClient, folder: Path) -> tuple[list[str], Refused]:
    """Publish versions of 300 kB each until the registry says no; gives those that it took."""
    taken: list[str] = []
    for number in range(50):
        version = f"1.{number}"
        try:
            client.upload_wheel(write_wheel(folder, version=version, files={"grain/x.bin": noise(number)}))
        except Refused as refusal:
            return taken, refusal
        taken.append(version)
    raise AssertionError("the disk never got full")


def noise(number: int) -> bytes:
    import random

    return random.Random(number).randbytes(300_000)


def test_it_says_so_keeps_answering_and_goes_on_when_there_is_room(small_disk, tmp_path):
    settings = Settings(data=small_disk / "data")
    registry = open_registry(settings)
    token = registry.database.writing(create_token, "ann", settings.now()).text
    registry.database.close()
    with serving(settings) as url, RegistryClient(url, token) as client:
        taken, refusal = upload_until_refused(client, tmp_path)
        assert taken
        assert (refusal.status, refusal.code) == (507, "no-space")
        with pytest.raises(Refused) as caught:
            client.upload_wheel(write_wheel(tmp_path, version="3.0", files={"grain/x.bin": noise(99)}))
        assert caught.value.status == 507
        refused = ""
        for number in range(100):  # the database has to grow as well
            manifest = ModelManifest(f"{number}.bin", "loras", f"{number:064x}", 5, description="x" * 20_000)
            try:
                client.put_model(manifest)
            except Refused as full:
                assert (full.status, full.code) == (507, "no-space")
                refused = str(manifest.sha256)
                break
        with pytest.raises(NotFound):
            client.model(refused)
        assert list(client.pack("grain").versions) == sorted(taken, key=lambda v: int(v[2:]), reverse=True)
        assert not any((small_disk / "data/incoming").iterdir())
        (small_disk / "filler").unlink()
        client.upload_wheel(write_wheel(tmp_path, version="2.0"))
        assert client.pack("grain").latest == "2.0"
    registry = open_registry(settings)
    assert inspection.check(registry) == []
    registry.database.close()
