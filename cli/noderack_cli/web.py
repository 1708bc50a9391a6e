"""HTTP as downloads need it: redirects followed by hand, each hop checked, tokens kept to their host."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from email.message import Message
from typing import Any
from urllib.parse import urljoin, urlsplit

from noderack_registry.schema import ModelManifest

from noderack_cli.errors import FetchError
from noderack_cli.refusals import not_a_file, refusal
from noderack_cli.sources import Access, check_address

TIMEOUT = 30.0
REDIRECTS = 8
AGENT = "noderack/0.1"
MOVED = (301, 302, 303, 307, 308)
EXPIRED = (401, 403, 410)


class Cut(Exception):
    """The connection ended before the file did; worth another try from where it stopped."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand, so that each hop is checked and loses the token."""

    def redirect_request(self, *args: Any, **kw: Any) -> None:
        """Follow nothing."""
        return None


def ask(
    url: str, manifest: ModelManifest, access: Access, start: int = 0, end: int | None = None, tag: str = ""
) -> http.client.HTTPResponse:
    """The answer to a GET of bytes `start` to `end`, redirects followed; raises FetchError, Cut.

    `tag` is the entity tag that a part has: a server whose file is another by now sends all of it.
    """
    first, token = url, access.token_for(url)
    for _ in range(REDIRECTS):
        check_address(url, access)
        answer = request(url, token, span(start, end, tag))
        if answer.status in MOVED:
            target = urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            token = token if urlsplit(target).netloc == urlsplit(url).netloc else None
            url = target
        elif answer.status == 416 and (start or end):
            answer.close()
            start, end = 0, None
        elif answer.status in (200, 206):
            return _a_file(answer, first, manifest)
        else:
            answer.close()
            raise _refused(answer, first, url, manifest, access)
    raise FetchError(f"{first} leads through more than {REDIRECTS} redirects")


def span(start: int, end: int | None, tag: str = "") -> dict[str, str]:
    """The headers that ask for a part; none for the whole."""
    if not start and end is None:
        return {}
    last = "" if end is None else str(end - 1)
    conditional = {"If-Range": tag} if tag and not tag.startswith("W/") else {}
    return {"Range": f"bytes={start}-{last}", **conditional}


def _a_file(answer: http.client.HTTPResponse, url: str, manifest: ModelManifest) -> http.client.HTTPResponse:
    kind = (answer.headers.get("Content-Type") or "").lower()
    if kind.startswith("text/html") and not manifest.name.lower().endswith((".html", ".htm")):
        answer.close()
        raise not_a_file(url, manifest)
    return answer


def _refused(
    answer: http.client.HTTPResponse, first: str, url: str, manifest: ModelManifest, access: Access
) -> Exception:
    if answer.status >= 500:
        return Cut(f"HTTP {answer.status}")
    if answer.status == 429:
        return Cut("HTTP 429: too many requests, try later")
    if urlsplit(url).netloc != urlsplit(first).netloc and answer.status in EXPIRED:
        return Cut(f"the address that {urlsplit(first).netloc} gave has expired: HTTP {answer.status}")
    return refusal(first, answer.status, answer.headers.get("X-Error-Code", ""), manifest, access)


def request(
    url: str, token: str | None, headers: dict[str, str] | None = None, method: str = "GET"
) -> http.client.HTTPResponse:
    """One request; the answer whatever its status. Raises Cut when there is none."""
    said = {"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
    if token:
        said["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(NoRedirect)
    try:
        answer: Any = opener.open(urllib.request.Request(url, headers=said, method=method), timeout=TIMEOUT)
        return answer  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        answer = error.fp
        answer.status, answer.headers = error.code, error.headers
        return answer  # type: ignore[no-any-return]
    except (OSError, http.client.HTTPException, ValueError) as cause:
        raise Cut(f"{getattr(cause, 'reason', cause)}") from cause


def total_of(headers: Message, start: int) -> int | None:
    """The size of the whole file, as the answer to a request from `start` on tells it."""
    said = re.search(r"/(\d+)$", headers.get("Content-Range") or "")
    if said:
        return int(said[1])
    length = headers.get("Content-Length")
    return int(length) + start if length and length.isdigit() else None


def starts_at(answer: http.client.HTTPResponse, start: int) -> bool:
    """Whether the answer is the part that begins at `start`."""
    if answer.status != 206:
        return False
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
