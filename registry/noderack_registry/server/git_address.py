"""Where a repository may be fetched from: by allowed ways alone, and no redirect to where nobody pointed."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import httpx

from noderack_registry.server.refusals import Refusal

SCHEMES = ("https", "http", "ssh", "file")
MOST_REDIRECTS = 5
SECONDS = 30
_PROBE = "/info/refs?service=git-upload-pack"


def check(url: str, schemes: tuple[str, ...]) -> None:
    """Raise Refusal for an address by another way, or one that git would read as something else."""
    scheme = url.partition("://")[0] if "://" in url else ""
    odd = url.startswith("-") or not url.isprintable() or "::" in url.replace("://[::", "://[")
    if scheme not in schemes or odd:
        raise Refusal("bad-value", f"{url[:200]!r} is not an address by {', '.join(schemes)}")


def final(url: str, schemes: tuple[str, ...]) -> str:
    """Where http(s) redirects lead in the end, each step checked; other addresses as they are.

    Git follows none after this. A step may not leave https, nor lead from another host into this machine or
    its network: the one who gave the address did not name that place.
    """
    check(url, schemes)
    for _ in range(MOST_REDIRECTS):
        target = _redirect(url) if url.startswith(("http://", "https://")) else None
        if target is None:
            return url
        _check_step(url, target, schemes)
        url = target
    raise Refusal("bad-value", f"{url[:200]} is behind more than {MOST_REDIRECTS} redirects")


def _redirect(url: str) -> str | None:
    asked = url.rstrip("/") + _PROBE
    try:
        with httpx.stream("GET", asked, timeout=SECONDS, follow_redirects=False) as answer:
            place = answer.headers.get("location") if answer.is_redirect else None
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        raise Refusal("bad-value", f"{url[:200]} cannot be reached: {cause}") from cause
    return urljoin(asked, place).removesuffix(_PROBE) if place else None


def _check_step(url: str, target: str, schemes: tuple[str, ...]) -> None:
    check(target, schemes)
    before, after = urlsplit(url), urlsplit(target)
    if not target.startswith(("http://", "https://")) or (before.scheme, after.scheme) == ("https", "http"):
        raise Refusal("bad-value", f"{url[:200]} leads to {target[:200]}, which is less safe")
    if before.hostname != after.hostname and _is_inside(after.hostname or ""):
        raise Refusal("bad-value", f"{url[:200]} leads into this machine's own network: {target[:200]}")


def _is_inside(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return True  # a name that leads nowhere: better not
    return any(not ipaddress.ip_address(str(one).partition("%")[0]).is_global for one in found)
