"""Downloads: resumed after any cut, checked by hash, renamed when whole; tokens stay with their host."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from noderack_cli import fetch as fetching
from noderack_cli.errors import FetchError, NoSpace
from noderack_cli.fetch import fetch, part_of
from noderack_cli.sources import Access, plain_address
from noderack_registry.schema import ModelManifest, Source

BODY = os.urandom(3 << 20)
SHA = hashlib.sha256(BODY).hexdigest()


def manifest(*urls: str, **facts: Any) -> ModelManifest:
    sources = tuple(Source("url", url) for url in urls)
    return ModelManifest(
        "m.safetensors", "loras", **{"sha256": SHA, "size": len(BODY), "sources": sources, **facts}
    )


def trusting(*urls: str, **facts: Any) -> Access:
    return Access(trusted=frozenset(urlsplit(url).netloc for url in urls), **facts)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0.0,))


def test_a_file_comes_whole_with_progress(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"] = BODY
    seen: list[int] = []
    done = fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url), lambda n, t: seen.append(n))
    assert (tmp_path / "m").read_bytes() == BODY and done.sha256 == SHA and seen[-1] == len(BODY)
    assert [p.name for p in tmp_path.iterdir()] == ["m"], "no part is left"


@pytest.mark.parametrize("cut", [1, 70_000, 1 << 20, len(BODY) - 1])
def test_cuts_are_resumed_and_nothing_comes_twice(shelf: Any, tmp_path: Path, cut: int) -> None:
    shelf.files["/m"], shelf.cut = BODY, max(cut, 200_000)
    done = fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))
    assert (tmp_path / "m").read_bytes() == BODY
    assert done.downloaded == len(BODY)


def test_a_part_of_an_earlier_process_is_taken_up(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"] = BODY
    part_of(tmp_path / "m").write_bytes(BODY[:1_000_000])
    done = fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))
    assert done.downloaded == len(BODY) - 1_000_000
    assert shelf.seen[0][1]["Range"] == "bytes=1000000-"


def test_a_server_without_ranges_starts_over(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"], shelf.ranges = BODY, False
    part_of(tmp_path / "m").write_bytes(b"x" * 500)
    assert fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url)).sha256 == SHA


def test_a_part_of_other_content_is_thrown_away_once(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"] = BODY
    part_of(tmp_path / "m").write_bytes(b"x" * 500)
    assert fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url)).sha256 == SHA


@pytest.mark.parametrize(
    ("body", "said"), [(BODY[:-1] + b"\0", "its content is not"), (BODY[:-7], "bytes, expected")]
)
def test_wrong_bytes_never_get_the_name(shelf: Any, tmp_path: Path, body: bytes, said: str) -> None:
    shelf.files["/m"] = body
    with pytest.raises(FetchError, match=said):
        fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))
    assert list(tmp_path.iterdir()) == []


def test_the_next_source_is_tried(shelf: Any, tmp_path: Path) -> None:
    shelf.files |= {"/bad": BODY[:-1] + b"\0", "/good": BODY}
    found = fetch(manifest(shelf.url + "/bad", shelf.url + "/good"), tmp_path / "m", trusting(shelf.url))
    assert found.source.endswith("/good")


def test_every_source_is_told_when_none_works(shelf: Any, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no source worked: .*404.*; .*404"):
        fetch(manifest(shelf.url + "/a", shelf.url + "/b"), tmp_path / "m", trusting(shelf.url))


def test_nobody_there(tmp_path: Path, shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRIES", 1)
    with pytest.raises(FetchError, match="no answer in 2 tries"):
        fetch(manifest("http://127.0.0.1:9/m"), tmp_path / "m", trusting("http://127.0.0.1:9"))


def test_a_token_goes_to_its_host_and_not_past_a_redirect(shelf: Any, tmp_path: Path) -> None:
    other = shelf.url.replace("127.0.0.1", "localhost")
    shelf.redirect["/org/repo/resolve/main/m"] = other + "/cdn"
    shelf.files["/cdn"] = BODY
    access = replace(trusting(shelf.url, other), hf_endpoint=shelf.url, hf_token="secret")
    source = Source("hf", "", "org/repo", "main", "m")
    fetch(replace(manifest(), sources=(source,)), tmp_path / "m", access)
    tokens = [headers.get("Authorization") for _, headers in shelf.seen]
    assert tokens == ["Bearer secret", None]


@pytest.mark.parametrize(
    ("code", "headers", "said", "hint"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, "is gated", "accept its terms, and set HF_TOKEN"),
        (401, {}, "private, or the token is wrong", "check HF_TOKEN"),
        (404, {}, "not there any more", ""),
        (429, {}, "too many requests", ""),
        (451, {}, "withheld by law", ""),
    ],
)
def test_a_refusal_says_what_to_do(
    shelf: Any, tmp_path: Path, code: int, headers: dict[str, str], said: str, hint: str
) -> None:
    shelf.status["/m"] = (code, headers)
    with pytest.raises(FetchError, match=said) as caught:
        fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/m",
        "http://127.0.0.1:1/m",
        "http://[::1]/m",
        "http://[::ffff:127.0.0.1]/m",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/m",
        "http://2130706433/m",
    ],
)
def test_a_manifest_cannot_lead_into_the_network(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="refused"):
        fetch(manifest(url), tmp_path / "m", Access())


def test_nor_by_redirect(shelf: Any, tmp_path: Path) -> None:
    shelf.redirect["/m"] = "http://169.254.169.254/latest"
    with pytest.raises(FetchError, match="refused"):
        fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))


def test_the_disk_is_looked_at_first(shelf: Any, tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="bytes more"):
        fetch(manifest(shelf.url + "/m", size=1 << 60), tmp_path / "m", trusting(shelf.url))
    assert shelf.seen == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://huggingface.co/o/r/blob/main/a/b.safetensors", "/o/r/resolve/main/a/b.safetensors"),
        ("https://hf.co/o/r/resolve/abc/b.safetensors?download=true", "/o/r/resolve/abc/b.safetensors"),
        ("https://huggingface.co/datasets/o/r/blob/main/b.bin", "/datasets/o/r/resolve/main/b.bin"),
    ],
)
def test_hugging_face_pages_become_files(given: str, meant: str) -> None:
    assert plain_address(given, Access()) == "https://huggingface.co" + meant


GET = """
import sys, pathlib
from noderack_cli.fetch import fetch
from noderack_cli.sources import Access
from noderack_registry.schema import ModelManifest, Source
url, target, sha, size = sys.argv[1:]
manifest = ModelManifest('m', 'loras', sha, int(size), (Source('url', url),))
fetch(manifest, pathlib.Path(target), Access(trusted=frozenset([url.split('/')[2]])))
"""


def test_a_killed_download_goes_on_where_it_was(shelf: Any, tmp_path: Path) -> None:
    body = os.urandom(1 << 20) * 64
    sha = hashlib.sha256(body).hexdigest()
    shelf.files["/m"], target = body, tmp_path / "m"
    args = [sys.executable, "-c", GET, shelf.url + "/m", str(target), sha, str(len(body))]
    child = subprocess.Popen(args)
    while child.poll() is None and not (
        part_of(target).exists() and part_of(target).stat().st_size > 1 << 20
    ):
        time.sleep(0.001)
    child.kill()
    child.wait()
    if not target.exists():
        assert part_of(target).stat().st_size > 0
        subprocess.run(args, check=True)
        assert "Range" in shelf.seen[-1][1]
    assert hashlib.sha256(target.read_bytes()).hexdigest() == sha
