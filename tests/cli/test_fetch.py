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
from noderack_cli.errors import FetchError, NoSpace
from noderack_cli.fetch import Fetched
from noderack_cli.fetch import fetch as fetch_as_is
from noderack_cli.part import missing, part_of
from noderack_cli.sources import Access, plain_address
from noderack_cli.streaming import Manner, Throttle
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


def fetch(manifest: ModelManifest, target: Path, access: Access, *more: Any, **manner: Any) -> Fetched:
    """As the command does, without the pauses between tries."""
    return fetch_as_is(manifest, target, access, *more, manner=Manner(**{"pauses": (0.0,), **manner}))


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


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no answer in 2 tries"):
        fetch(manifest("http://127.0.0.1:9/m"), tmp_path / "m", trusting("http://127.0.0.1:9"), retries=1)


def test_a_token_goes_to_its_host_and_not_past_a_redirect(shelf: Any, tmp_path: Path) -> None:
    other = shelf.url.replace("127.0.0.1", "localhost")
    shelf.redirect["/org/repo/resolve/main/m"] = other + "/cdn"
    shelf.files["/cdn"] = BODY
    access = replace(trusting(shelf.url, other), hf_endpoint=shelf.url, hf_token="secret")
    source = Source("hf", "", "org/repo", "main", "m")
    fetch(replace(manifest(), sources=(source,)), tmp_path / "m", access)
    tokens = [headers.get("Authorization") for _, headers in shelf.seen]
    assert tokens == ["Bearer secret", None]


REFUSALS = [
    (403, "GatedRepo", None, "you are not logged in", "accept its terms, and set HF_TOKEN"),
    (403, "GatedRepo", "t", "your account is not let in", "accept its terms"),
    (401, "RepoNotFound", None, "private or does not exist", "set HF_TOKEN"),
    (404, "RepoNotFound", "t", "to this HF_TOKEN: it is private", "HF_TOKEN"),
    (404, "EntryNotFound", None, "has no such file", "/tree/main"),
    (404, "RevisionNotFound", None, "has no such revision", ""),
    (401, "", "t", "HF_TOKEN is wrong or too weak", "settings/tokens"),
    (404, "", None, "there is no such file", ""),
    (429, "", None, "too many requests", ""),
    (451, "", None, "withheld by law", ""),
]


@pytest.mark.parametrize(("status", "code", "token", "said", "hint"), REFUSALS)
def test_hugging_faces_refusals_are_told_apart(
    shelf: Any, tmp_path: Path, status: int, code: str, token: str | None, said: str, hint: str
) -> None:
    shelf.status["/o/r/resolve/main/m"] = (status, {"X-Error-Code": code} if code else {})
    access = replace(trusting(shelf.url), hf_endpoint=shelf.url, hf_token=token)
    source = Source("hf", "", "o/r", "main", "m")
    with pytest.raises(FetchError, match=said) as caught:
        fetch(replace(manifest(), sources=(source,)), tmp_path / "m", access)
    assert hint in caught.value.hint and (token is None or "Bearer" not in str(caught.value))


@pytest.mark.parametrize(
    ("token", "gated", "said"),
    [
        (None, "none", "a login is needed"),
        ("t", "none", "CIVITAI_TOKEN is wrong"),
        ("t", "early-access", "early access"),
    ],
)
def test_civitais_refusals_are_told_apart(
    shelf: Any, tmp_path: Path, token: str | None, gated: Any, said: str
) -> None:
    shelf.status["/api/download/models/7"] = (401, {})
    access = replace(trusting(shelf.url), civitai_endpoint=shelf.url, civitai_token=token)
    with pytest.raises(FetchError, match=said):
        fetch(manifest(shelf.url + "/api/download/models/7", gated=gated), tmp_path / "m", access)


def test_another_hosts_refusal_names_the_command_for_its_token(shelf: Any, tmp_path: Path) -> None:
    shelf.status["/m"] = (403, {})
    with pytest.raises(FetchError, match="a login is needed") as caught:
        fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url))
    assert "nodes models login 127.0.0.1" in caught.value.hint


def test_a_login_page_is_no_model(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"], shelf.kind = b"<html>log in</html>", "text/html; charset=utf-8"
    with pytest.raises(FetchError, match="is a web page"):
        fetch(manifest(shelf.url + "/m", size=None, sha256=None), tmp_path / "m", trusting(shelf.url))
    assert list(tmp_path.iterdir()) == []


def test_a_stored_token_goes_to_its_own_host_alone(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"] = BODY
    access = trusting(shelf.url, stored={"127.0.0.1": "mine", "other.org": "not this"}.get)
    fetch(manifest(shelf.url + "/m"), tmp_path / "m", access)
    assert shelf.seen[0][1]["Authorization"] == "Bearer mine"
    assert access.token_for("http://other.org/m") is None  # never in the clear
    assert access.token_for("https://other.org/m") == "not this"


BIG = BODY * 4


def big(shelf: Any, **facts: Any) -> ModelManifest:
    """A manifest of twelve megabytes on the shelf."""
    shelf.files["/big"] = BIG
    found = {"sha256": hashlib.sha256(BIG).hexdigest(), "size": len(BIG), **facts}
    return manifest(shelf.url + "/big", **found)


def test_a_slow_server_is_asked_by_several_connections(shelf: Any, tmp_path: Path) -> None:
    shelf.rate = 3e6
    began = time.monotonic()
    done = fetch(big(shelf), tmp_path / "m", trusting(shelf.url), connections=6)
    took = time.monotonic() - began
    assert (tmp_path / "m").read_bytes() == BIG and done.downloaded == len(BIG)
    assert 2 <= shelf.peak <= 6 and took < len(BIG) / shelf.rate / 2
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_that_wants_few_connections_has_its_way(shelf: Any, tmp_path: Path, most: int) -> None:
    shelf.rate, shelf.most = 8e6, most
    fetch(big(shelf), tmp_path / "m", trusting(shelf.url), pauses=(0.2,))  # it counts a closed one a while
    assert (tmp_path / "m").read_bytes() == BIG


def test_a_server_that_begins_anew_after_each_cut_is_not_asked_for_ever(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"], shelf.cut, shelf.ranges = BODY, 1_000_000, False
    one = manifest(f"{shelf.url}/m")
    with pytest.raises(FetchError, match="cut in 4 tries, always from the start again") as raised:
        fetch(one, tmp_path / "m.safetensors", trusting(shelf.url), retries=2)
    assert "another source may" in raised.value.hint and len(shelf.seen) == 4
    assert not list(tmp_path.iterdir()), "what cannot be gone on with is not kept"


def test_cuts_in_every_connection_are_taken_up(shelf: Any, tmp_path: Path) -> None:
    shelf.rate, shelf.cut = 4e6, 1_300_000
    done = fetch(big(shelf), tmp_path / "m", trusting(shelf.url), connections=4)
    assert (tmp_path / "m").read_bytes() == BIG and done.downloaded == len(BIG)


def test_a_signed_address_that_expired_is_asked_for_again(shelf: Any, tmp_path: Path) -> None:
    one = big(shelf)
    shelf.signed["/model"], shelf.rate, shelf.cut = "/big", 4e6, 1_300_000
    other = shelf.url.replace("127.0.0.1", "localhost")
    access = trusting(shelf.url, other)
    source = Source("url", shelf.url + "/model")
    fetch(replace(one, sources=(source,)), tmp_path / "m", access, connections=3)
    assert (tmp_path / "m").read_bytes() == BIG
    asked = [path for path, _ in shelf.seen]
    assert asked.count("/model") > 3 and len(set(asked)) == 1 + asked.count("/model")  # each used once


def test_bandwidth_is_limited_over_all_connections(shelf: Any, tmp_path: Path) -> None:
    shelf.files["/m"], began = BODY, time.monotonic()
    fetch(manifest(shelf.url + "/m"), tmp_path / "m", trusting(shelf.url), throttle=Throttle(3e6))
    assert 0.9 < (time.monotonic() - began) / (len(BODY) / 3e6) < 1.6


def test_a_file_that_changed_at_the_server_is_not_mixed(shelf: Any, tmp_path: Path) -> None:
    old = os.urandom(len(BODY))
    shelf.files["/m"], shelf.tag, shelf.cut = old, '"one"', 1_000_000
    access, target = trusting(shelf.url), tmp_path / "m"
    shelf.status = {}

    def change(done: int, total: int | None) -> None:
        if done >= 900_000:
            shelf.files["/m"], shelf.tag, shelf.cut = BODY, '"two"', None

    fetch(manifest(shelf.url + "/m"), target, access, change)
    assert target.read_bytes() == BODY
    assert shelf.seen[-1][1]["If-Range"] == '"one"'


def test_two_processes_download_it_once(shelf: Any, tmp_path: Path) -> None:
    one, target = big(shelf), tmp_path / "m"
    shelf.rate = 6e6
    args = [sys.executable, "-c", GET, shelf.url + "/big", str(target), str(one.sha256), str(one.size)]
    children = [subprocess.Popen(args) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert target.read_bytes() == BIG and [p.name for p in tmp_path.iterdir()] == ["m"]
    assert sum("Range" not in headers for _, headers in shelf.seen) == 1, "only one began it"


def test_a_killed_download_of_many_connections_keeps_what_came(shelf: Any, tmp_path: Path) -> None:
    one, target = big(shelf), tmp_path / "m"
    shelf.rate = 1.2e6
    args = [sys.executable, "-c", GET, shelf.url + "/big", str(target), str(one.sha256), str(one.size)]
    child = subprocess.Popen(args)
    while missing(part_of(target), one.size) > len(BIG) // 3 or not part_of(target).exists():
        time.sleep(0.02)
    child.kill()
    child.wait()
    left, shelf.rate = missing(part_of(target), one.size), None
    done = fetch(one, target, trusting(shelf.url))
    assert target.read_bytes() == BIG and done.downloaded <= left <= len(BIG) // 3


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
