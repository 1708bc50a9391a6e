"""Downloads one model: sources in order, resumed by range, hashed while it is written, renamed when whole.

The bytes go to `NAME.part` beside the target; only a file with the right hash ever gets the final name.
Tokens go to the host that they are for, and never past a redirect elsewhere.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from noderack_registry.schema import ModelManifest

from noderack_cli.errors import FetchError, NoSpace
from noderack_cli.links import settle_folder
from noderack_cli.sources import Access, addresses, check_address, refusal

CHUNK = 1 << 20
TIMEOUT = 30.0
REDIRECTS = 8
RETRIES = 5
PAUSES = (0.2, 1.0, 3.0, 8.0, 20.0)
AGENT = "noderack/0.1"

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model in its place: its hash, its bytes, and how many of those were downloaded this time."""

    path: Path
    sha256: str
    size: int
    downloaded: int
    source: str


class Cut(Exception):
    """The connection ended before the file did; worth another try from where it stopped."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand, so that each hop is checked and loses the token."""

    def redirect_request(self, *args: Any, **kw: Any) -> None:
        """Follow nothing."""
        return None


def fetch(
    manifest: ModelManifest, target: Path, access: Access, progress: Progress = lambda n, t: None
) -> Fetched:
    """Bring the model to `target`; raises FetchError with every source's reason, NoSpace."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = addresses(manifest, access)
    if not found:
        raise FetchError(f"{manifest.name}: its manifest names no source", "Add one: nodes models get URL")
    _room(manifest, target)
    failures: list[FetchError] = []
    for url in found:
        try:
            return _from(url, manifest, target, access, progress)
        except FetchError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    told = "; ".join(error.message for error in failures)
    raise FetchError(f"{manifest.name}: no source worked: {told}", failures[0].hint)


def part_of(target: Path) -> Path:
    """Where the bytes of `target` gather."""
    return target.with_name(target.name + ".part")


def _room(manifest: ModelManifest, target: Path) -> None:
    part = part_of(target)
    missing = (manifest.size or 0) - _size(part)
    free = shutil.disk_usage(target.parent).free
    if missing > free:
        hint = "Free some, or put models elsewhere with model_paths in host.toml."
        raise NoSpace(f"{manifest.name} needs {missing:,} bytes more and {target.parent} has {free:,}", hint)


def _from(url: str, manifest: ModelManifest, target: Path, access: Access, progress: Progress) -> Fetched:
    part, fresh, stalls, downloaded = part_of(target), False, 0, 0
    while True:
        start = _size(part)
        try:
            digest, size = _stream(url, manifest, part, access, progress)
        except Cut as cut:
            grown = max(0, _size(part) - start)
            downloaded, stalls = downloaded + grown, 0 if grown else stalls + 1
            if stalls > RETRIES:
                hint = "What came is kept: the next try goes on from there."
                raise FetchError(f"{url}: no answer in {stalls} tries ({cut})", hint) from cut
            time.sleep(0 if grown else PAUSES[min(stalls, len(PAUSES)) - 1])
            continue
        downloaded += max(0, size - start)
        problem = _mismatch(manifest, digest, size)
        if problem is None:
            _keep(part, target)
            return Fetched(target, digest, size, downloaded, url)
        part.unlink()
        if start == 0 or fresh:
            raise FetchError(f"{url}: {problem}", "Nothing of it was kept; another source may have it right.")
        fresh = True  # the part may have been of another version: once more from the start


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mismatch(manifest: ModelManifest, digest: str, size: int) -> str | None:
    if manifest.size is not None and size != manifest.size:
        return f"it has {size:,} bytes, expected {manifest.size:,}"
    if manifest.sha256 is not None and digest != manifest.sha256:
        return f"its content is not {manifest.name}: sha256 {digest[:12]}…, expected {manifest.sha256[:12]}…"
    return None


def _keep(part: Path, target: Path) -> None:
    part.replace(target)
    settle_folder(target.parent)


def _stream(
    url: str, manifest: ModelManifest, part: Path, access: Access, progress: Progress
) -> tuple[str, int]:
    """Append what is missing to `part`; returns sha256 and size of the whole. Raises Cut, FetchError."""
    have = _size(part)
    if manifest.size is not None and have > manifest.size:
        part.unlink()
        have = 0
    if have and have == manifest.size:
        return _hash(part).hexdigest(), have
    with _open(url, manifest, access, have) as answer:
        resumed = answer.status == 206 and _starts_at(answer.headers, have)
        total = _total(answer.headers, have if resumed else 0)
        digest = _hash(part) if resumed else hashlib.sha256()
        with part.open("ab" if resumed else "wb") as file:
            size = _pour(answer, file, digest, have if resumed else 0, total, progress)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and size < total:
        raise Cut(f"after {size:,} of {total:,} bytes")
    return digest.hexdigest(), size


def _pour(
    answer: http.client.HTTPResponse,
    file: IO[bytes],
    digest: Any,
    size: int,
    total: int | None,
    progress: Progress,
) -> int:
    buffer = memoryview(bytearray(CHUNK))
    while True:
        try:
            count = answer.readinto(buffer)
        except (OSError, http.client.HTTPException) as cause:
            raise Cut(f"{cause or type(cause).__name__}") from cause
        if not count:
            return size
        file.write(buffer[:count])
        digest.update(buffer[:count])
        size += count
        progress(size, total)


def _hash(path: Path) -> Any:
    digest = hashlib.sha256()
    if path.exists():
        with path.open("rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
    return digest


def _starts_at(headers: Message, offset: int) -> bool:
    return (headers.get("Content-Range") or "").startswith(f"bytes {offset}-")


def _total(headers: Message, offset: int) -> int | None:
    length = headers.get("Content-Length")
    return int(length) + offset if length and length.isdigit() else None


@contextmanager
def _open(
    url: str, manifest: ModelManifest, access: Access, offset: int
) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET from `offset` on, redirects followed; raises FetchError, Cut."""
    answer = _ask(url, manifest, access, offset)
    try:
        yield answer
    finally:
        answer.close()


def _ask(url: str, manifest: ModelManifest, access: Access, offset: int) -> http.client.HTTPResponse:
    first = url
    token = access.token_for(url)
    for _ in range(REDIRECTS):
        check_address(url, access)
        answer = request(url, token, offset)
        if answer.status in (301, 302, 303, 307, 308):
            target = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            if urlsplit(target).netloc != urlsplit(url).netloc:
                token = None
            url = target
        elif answer.status == 416:
            answer.close()
            offset = 0
        elif answer.status in (200, 206):
            return answer
        elif answer.status >= 500:
            answer.close()
            raise Cut(f"HTTP {answer.status}")
        else:
            answer.close()
            raise refusal(first, answer.status, answer.headers.get("X-Error-Code", ""), manifest)
    raise FetchError(f"{first} leads through more than {REDIRECTS} redirects")


def request(url: str, token: str | None, offset: int, method: str = "GET") -> http.client.HTTPResponse:
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if offset:
        headers["Range"] = f"bytes={offset}-"
    opener = urllib.request.build_opener(NoRedirect)
    try:
        answer: Any = opener.open(
            urllib.request.Request(url, headers=headers, method=method), timeout=TIMEOUT
        )
        return answer  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        answer = error.fp
        answer.status, answer.headers = error.code, error.headers
        return answer  # type: ignore[no-any-return]
    except (OSError, http.client.HTTPException) as cause:
        raise Cut(f"{getattr(cause, 'reason', cause)}") from cause
