"""Models by name, hash and address; the index of hashes; import, link, dedupe, verify, rm."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_cli.model_files import Index, scan
from noderack_cli.remote import civitai_version, look_up
from noderack_cli.sources import Access
from noderack_host.folder import Host, HostConfig

BODY = b"weights " * 1000
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with folders alone: models need no environment."""
    made = Host(tmp_path / "host", HostConfig())
    made.save()
    monkeypatch.setenv("NODERACK_HOST", str(made.root))
    monkeypatch.delenv("NODERACK_REGISTRY", raising=False)
    return made


def put(host: Host, name: str, body: bytes = BODY) -> Path:
    path = host.models / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def said(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*args, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_second_scan_reads_nothing(home: Host, capsys: pytest.CaptureFixture[str]) -> None:
    put(home, "loras/a.safetensors")
    put(home, "vae/b.safetensors", b"other")
    assert said(capsys, "models", "scan")["read"] == 2
    assert said(capsys, "models", "scan")["read"] == 0
    put(home, "vae/b.safetensors", b"changed!")
    assert said(capsys, "models", "scan")["read"] == 1


def test_a_thousand_files_are_scanned_again_within_a_second(home: Host) -> None:
    import time

    for n in range(1000):
        put(home, f"loras/{n}.safetensors", str(n).encode())
    scan(home, Index.open(home))
    start = time.perf_counter()
    index = Index.open(home)
    assert len(scan(home, index)) == 1000 and index.read == 0
    assert time.perf_counter() - start < 1


def test_get_by_address_checks_and_then_links(
    home: Host, shelf: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", shelf.url)
    shelf.files["/o/r/resolve/main/m.safetensors"] = BODY
    url = "https://huggingface.co/o/r/blob/main/m.safetensors"
    assert run(["models", "get", url, "--folder", "loras"]) == 0
    assert (home.models / "loras/m.safetensors").read_bytes() == BODY
    assert "downloaded loras/m.safetensors" in capsys.readouterr().out


def test_hugging_face_tells_hash_and_size_before(shelf: Any) -> None:
    headers = {
        "X-Linked-Etag": f'"{SHA}"',
        "X-Linked-Size": str(len(BODY)),
        "Location": "https://cdn.example/x",
    }
    shelf.status["/o/r/resolve/main/m.safetensors"] = (302, headers)
    access = Access.of({"HF_ENDPOINT": shelf.url, "HOME": "/nowhere"})
    found = look_up("https://huggingface.co/o/r/resolve/main/m.safetensors", access)
    assert (found.sha256, found.size, found.name) == (SHA, len(BODY), "m.safetensors")


def test_civitai_tells_what_a_version_is(shelf: Any) -> None:
    body = {
        "id": 7,
        "modelId": 3,
        "name": "v2",
        "baseModel": "SD 1.5",
        "trainedWords": ["zap"],
        "model": {"name": "Zap", "type": "LORA"},
        "files": [{"name": "zap.safetensors", "primary": True, "hashes": {"SHA256": SHA.upper()}}],
    }
    shelf.files["/api/v1/model-versions/7"] = json.dumps(body).encode()
    access = Access.of({"CIVITAI_ENDPOINT": shelf.url, "CIVITAI_TOKEN": "t", "HOME": "/nowhere"})
    found = look_up(f"{shelf.url}/models/3?modelVersionId=7", access)
    assert (found.name, found.folder, found.sha256) == ("zap.safetensors", "loras", SHA)
    assert found.trigger_words == ("zap",) and found.sources[0].url.endswith("/api/download/models/7")
    assert shelf.seen[0][1]["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("url", "version"),
    [
        ("https://civitai.com/models/1/name?modelVersionId=22", 22),
        ("https://civitai.com/api/download/models/22?type=Model", 22),
        ("https://civitai.red/api/v1/model-versions/22", 22),
        ("https://civitai.com/models/1", None),
        ("https://example.org/api/download/models/22", None),
    ],
)
def test_civitai_addresses(url: str, version: int | None) -> None:
    assert civitai_version(url, Access()) == version


def test_what_is_here_under_another_name_is_linked(
    home: Host, shelf: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", shelf.url)
    headers = {"X-Linked-Etag": SHA, "X-Linked-Size": str(len(BODY)), "Location": "/cdn"}
    shelf.status["/o/r/resolve/main/m.safetensors"] = (302, headers)
    here = put(home, "checkpoints/old-name.safetensors")
    events = said(capsys, "models", "get", f"{shelf.url}/o/r/resolve/main/m.safetensors", "--folder", "loras")
    assert events["how"] == "linked"
    assert (home.models / "loras/m.safetensors").samefile(here)
    assert len(shelf.seen) == 1, "only the question, no download"


def test_import_link_dedupe_rm(home: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.safetensors").write_bytes(BODY)
    assert said(capsys, "models", "import", str(tmp_path / "x.safetensors"), "--folder", "loras")["models"]
    assert run(["models", "link", "loras/x.safetensors", "vae/y.safetensors"]) == 0
    assert (home.models / "vae/y.safetensors").samefile(tmp_path / "x.safetensors")
    twin = put(home, "loras/twin.safetensors")
    assert said(capsys, "models", "dedupe", "--yes")["bytes"] == len(BODY)
    assert twin.samefile(home.models / "loras/x.safetensors") and twin.samefile(
        home.models / "vae/y.safetensors"
    )
    assert run(["models", "rm", "loras/twin.safetensors", "--yes"]) == 0 and not twin.exists()


def test_info_tells_where_a_model_is_here(home: Host, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(home, "loras/a.safetensors")
    sha256 = hashlib.sha256(BODY).hexdigest()
    assert said(capsys, "models", "info", "a.safetensors") == {
        "name": "a.safetensors",
        "here": [str(path)],
        "sha256": sha256,
    }
    scan(home, Index.open(home))
    assert said(capsys, "models", "info", sha256[:12])["here"] == [str(path)]


def test_verify_finds_a_flipped_bit(home: Host, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(home, "loras/a.safetensors")
    scan(home, Index.open(home))
    assert run(["models", "verify"]) == 0
    path.write_bytes(BODY[:-1] + b"\0")
    assert run(["models", "verify"]) == Exit.INSTALL_FAILED
    assert "has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["models", "rm", "loras/none"], Exit.NOT_FOUND, "no model loras/none"),
        (["models", "import", "/nowhere", "--folder", "loras"], Exit.NOT_FOUND, "is not a file"),
        (["models", "get", "name"], Exit.BAD_INPUT, "No registry is named"),
        (["models", "get", "x", "--registry", "http://127.0.0.1:9"], Exit.REGISTRY, "no answer"),
        (["models", "get", "ftp://x/y"], Exit.INSTALL_FAILED, "only http and https"),
        (["models", "list", "../../.."], Exit.BAD_INPUT, "leads out"),
        (["models", "list", "."], Exit.BAD_INPUT, "leads out"),
        (["models", "rm", "../../..", "--yes"], Exit.NOT_FOUND, "has no model"),
        (["models", "link", "/dev/null", "x"], Exit.NOT_FOUND, "has no model"),
        (["models", "logout", "http://[bad"], Exit.BAD_INPUT, "is no address"),
        (["models", "get", "http://[bad"], Exit.INSTALL_FAILED, "is no address"),
        (["models", "get", "/tmp", "--folder", "loras"], Exit.BAD_INPUT, "is a folder"),
        (["models", "link", "0" * 64, "loras/x"], Exit.NOT_FOUND, "No model here has sha256"),
    ],
)
def test_mistakes_get_one_sentence(
    home: Host, capsys: pytest.CaptureFixture[str], args: list[str], code: int, text: str
) -> None:
    assert run(args) == code
    err = capsys.readouterr().err
    assert text in err and "Traceback" not in err


def test_a_manifest_alone_is_published_and_leads_to_the_file(
    shop: Any, rack: Host, shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"weights" * 1000
    shelf.files["/o/r/resolve/main/far.safetensors"] = body
    facts = {"name": "far.safetensors", "folder": "loras", "size": len(body)}
    facts |= {"sha256": hashlib.sha256(body).hexdigest()}
    place = "https://huggingface.co/o/r/resolve/main/far.safetensors"
    source = {"kind": "hf", "url": place, "repo": "o/r", "revision": "main", "path": "far.safetensors"}
    facts |= {"sources": [source]}
    (tmp_path / "far.json").write_text(json.dumps(facts))
    publish = ["models", "publish", str(tmp_path / "far.json"), "--registry", shop.url, "--token", shop.token]
    assert run(publish) == 0
    monkeypatch.setenv("HF_ENDPOINT", shelf.url)
    assert run(["models", "get", "far.safetensors"]) == 0
    assert (rack.models / "loras/far.safetensors").read_bytes() == body


def test_a_model_is_named_by_its_bare_name_or_the_hash_that_the_list_shows(
    home: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode() * 50)
        assert run(["models", "import", str(tmp_path / f"{name}.safetensors"), "--folder", "vae"]) == 0
    digits = hashlib.sha256(b"a" * 50).hexdigest()[:12]
    assert run(["models", "link", digits, "loras/sub/c.safetensors"]) == 0
    assert run(["models", "link", "loras/sub/c.safetensors", "checkpoints/a.safetensors"]) == 0
    assert run(["models", "link", "b.safetensors", "beside.safetensors"]) == 0
    assert (home.models / "vae/beside.safetensors").samefile(home.models / "vae/b.safetensors")
    assert run(["models", "rm", "c.safetensors", "--yes"]) == 0
    assert not (home.models / "loras/sub/c.safetensors").exists()
    assert run(["models", "rm", "a.safetensors", "--yes"]) == Exit.NOT_FOUND  # two have that name
    assert "checkpoints/a.safetensors, vae/a.safetensors" in capsys.readouterr().err
    assert run(["models", "link", "0123456789ab", "vae/d.safetensors"]) == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "words", [["list", "lora"], ["import", "{file}", "--folder", "lora"], ["get", "x", "--folder", "lora"]]
)
def test_a_folder_that_nothing_reads_is_a_slip(
    words: list[str], home: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"a")
    asked = [word.format(file=tmp_path / "a.safetensors") for word in words]
    assert run(["models", *asked]) == Exit.BAD_INPUT
    assert "lora is no model folder of this host" in (err := capsys.readouterr().err)
    assert f"Did you mean loras? If a pack reads it, make it first: mkdir {home.models / 'lora'}" in err
    (home.models / "lora").mkdir(parents=True)
    assert run(["models", "list", "lora"]) == 0


@pytest.mark.parametrize("form", ["{path}", "file://{path}"])
def test_get_takes_a_file(form: str, home: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(BODY)
    wanted = form.format(path=path)
    assert run(["models", "get", wanted]) == Exit.BAD_INPUT
    assert "which folder is it for?" in capsys.readouterr().err
    assert run(["models", "get", wanted, "--folder", "loras", "--name", "y.safetensors"]) == 0
    assert (home.models / "loras/y.safetensors").samefile(path)
    assert Index.open(home).known[str(home.models / "loras/y.safetensors")].sha256 == SHA
    again = ["models", "get", wanted, "--folder", "loras", "--name", "y.safetensors"]
    assert run(again) == 0
    path.unlink()
    path.write_bytes(b"other")
    assert run(again) == Exit.BAD_INPUT
    assert "is there already, with other content" in capsys.readouterr().err
    assert (home.models / "loras/y.safetensors").read_bytes() == BODY
    path.unlink()
    assert run(["models", "get", f"file://{path}", "--folder", "loras"]) == Exit.NOT_FOUND
