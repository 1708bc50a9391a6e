"""twine, pip and uv as their users have them, against a registry on a real socket."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from noderack_registry.client import RegistryClient
from noderack_registry.schema import ModelManifest
from wheels import write_wheel

UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"


def call(*command: str, ok: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, text
    return text


def twine(url: str, token: str, wheel: Path, ok: bool = True) -> str:
    sign_in = ["-u", "__token__", "-p", token, "--repository-url", f"{url}/legacy/"]
    return call(
        sys.executable, "-m", "twine", "upload", "--verbose", "--non-interactive", *sign_in, str(wheel), ok=ok
    )


def pip(url: str, target: Path, *wanted: str, ok: bool = True) -> str:
    quiet = ["--disable-pip-version-check", "--no-cache-dir", "--no-deps", "-d", str(target)]
    index = ["--isolated", "--index-url", f"{url}/simple/"]
    return call(sys.executable, "-m", "pip", "download", *quiet, *index, *wanted, ok=ok)


def test_twine_publishes_and_pip_and_uv_install(live, tmp_path):
    url, token = live
    wheel = write_wheel(tmp_path, "film-grain", "1.2")
    twine(url, token, wheel)
    pip(url, tmp_path / "got", "Film_Grain>=1")
    assert (tmp_path / "got" / wheel.name).read_bytes() == wheel.read_bytes()
    target = ["--target", str(tmp_path / "site"), "--python", sys.executable]
    call(
        UV,
        "pip",
        "install",
        "--no-config",
        "--no-cache",
        "--index-url",
        f"{url}/simple/",
        *target,
        "film-grain",
    )
    assert (tmp_path / "site/film_grain/__init__.py").exists()


def test_twine_is_told_why_not(live, tmp_path):
    url, token = live
    wheel = write_wheel(tmp_path, "film-grain", "1.2")
    assert "401" in twine(url, token[:-1] + "x", wheel, ok=False)
    twine(url, token, wheel)
    write_wheel(tmp_path, "film-grain", "1.2", readme="changed")
    said = twine(url, token, wheel, ok=False)
    assert "409" in said
    assert "a version never changes" in said


def test_a_name_that_is_no_pack_is_not_answered_for(live, tmp_path):
    url, _ = live
    said = pip(url, tmp_path, "requests", ok=False)
    assert "No matching distribution" in said


def test_the_client_publishes_and_finds_models(live, tmp_path):
    url, token = live
    file = tmp_path / "tiny.safetensors"
    file.write_bytes(b"abc" * 1000)
    sha256 = "05b7dcb53bbbfec3cb8d46b16ce3b51a57ff42e6e5bca6ba6d8ffcc03e6ac9a5"
    import hashlib

    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with RegistryClient(url, token) as client:
        kept = client.put_model(ModelManifest(file.name, "checkpoints", sha256, 3000), file)
        assert kept.sources[0].url == f"{url}/blobs/{sha256}/tiny.safetensors"
        assert client.find_models("TINY.safetensors") == (kept,)
        assert client.model(sha256[:10]) == kept


@pytest.mark.parametrize("span", ["bytes=10-19", "bytes=2990-", "bytes=-10"])
def test_model_files_come_in_ranges(live, tmp_path, http, span):
    url, token = live
    file = tmp_path / "tiny.bin"
    file.write_bytes(bytes(range(250)) * 12)
    import hashlib

    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with RegistryClient(url, token) as client:
        client.put_blob(sha256, file)
    got = http.get(f"{url}/blobs/{sha256}/tiny.bin", headers={"Range": span})
    assert got.status_code == 206
    assert len(got.content) == 10
    assert got.content in file.read_bytes()


def uv_compile(url: str, *more: str, ok: bool = True) -> str:
    index = ["--no-config", "--no-cache", "--no-header", "--index-url", f"{url}/simple/"]
    command = [UV, "pip", "compile", "--quiet", "--python", sys.executable, *index, *more, "-"]
    done = subprocess.run(
        command, input="film-grain", capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def versions(live, tmp_path, http):
    """1.0 is plain, 1.1 needs a Python that is not there yet, 1.2 is yanked."""
    url, token = live
    with RegistryClient(url, token) as client:
        for version, extra in (("1.0", ""), ("1.1", "Requires-Python: >=4\n"), ("1.2", "")):
            client.upload_wheel(write_wheel(tmp_path, "film-grain", version, extra=extra))
    sign_in = {"Authorization": f"Bearer {token}"}
    yank = f"{url}/api/v1/packs/film-grain/versions/1.2/yank"
    assert http.post(yank, json={"reason": "breaks on load"}, headers=sign_in).status_code == 200
    return url


def test_pip_honours_yanks_and_pythons_and_reads_metadata_files(versions, tmp_path):
    said = pip(versions, tmp_path / "got", "film-grain", "-v")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["film_grain-1.0-py3-none-any.whl"]
    assert ".whl.metadata" in said
    assert "breaks on load" in pip(versions, tmp_path / "pinned", "film-grain==1.2")
    assert "Requires-Python" in pip(versions, tmp_path / "none", "film-grain==1.1", ok=False)


def test_uv_honours_yanks_pythons_and_upload_times(versions):
    assert "film-grain==1.0" in uv_compile(versions, "--generate-hashes")
    assert "--hash=sha256:" in uv_compile(versions, "--generate-hashes")
    uv_compile(versions, "--exclude-newer", "2020-01-01T00:00:00Z", ok=False)
    assert "film-grain==1.0" in uv_compile(versions, "--exclude-newer", "2999-01-01T00:00:00Z")
