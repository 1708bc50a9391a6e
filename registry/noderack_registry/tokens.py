"""Upload tokens: `ndr_<public>_<secret>`. Kept are the public part and a hash of the secret.

The prefix lets secret scanners find a token that was published by mistake. 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

PREFIX = "ndr"
_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token: `text` is shown once, `public` and `digest` are kept."""

    text: str
    public: str
    digest: str


def mint() -> Minted:
    """A token that nobody has seen."""
    public, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return Minted(f"{PREFIX}_{public}_{secret}", public, digest(secret))


def parse(text: str) -> tuple[str, str] | None:
    """Public and secret part of a token's text; None if it is no token."""
    match = _TOKEN.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest(secret: str) -> str:
    """What is kept of the secret part: sha256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fits(secret: str, kept: str) -> bool:
    """True if `secret` is the one whose digest was kept; takes the same time whatever the answer."""
    return hmac.compare_digest(digest(secret), kept)
