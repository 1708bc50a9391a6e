"""The client's side of the kill list: is it signed by the key that we trust, current, and not an old copy?

ed25519 needs the `cryptography` package of the registry extra; `verify` says so when it is not there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from noderack_registry.errors import RegistryError
from noderack_registry.schema import Revocation


class BadFeed(RegistryError):
    """The feed cannot be trusted. `code`: index-signature, index-expired or index-rollback."""

    code = "index-signature"


def verify(
    feed: Mapping[str, Any], key: str, now: datetime, seen: int = 0
) -> tuple[int, tuple[Revocation, ...]]:
    """The serial and revocations of a feed signed by `key` (base64). `seen`: the highest serial met before.

    Raises BadFeed when the signature is wrong, the feed has expired, or it is older than one seen before.
    """
    signed = str(feed.get("signed", ""))
    _check_signature(signed, str(feed.get("signature", "")), key)
    payload = json.loads(signed)
    if payload["expires"] < now.strftime("%Y-%m-%dT%H:%M:%S"):
        raise BadFeed(
            f"the revocation list expired at {payload['expires']}",
            "ask again; check the clock",
            "index-expired",
        )
    if payload["serial"] < seen:
        hint = "somebody serves an old copy: ask the registry itself"
        raise BadFeed(
            f"the revocation list is older (serial {payload['serial']}) than one seen", hint, "index-rollback"
        )
    return payload["serial"], tuple(Revocation.from_json(item) for item in payload["revocations"])


def _check_signature(signed: str, signature: str, key: str) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as cause:
        raise BadFeed(
            "checking signatures needs the 'cryptography' package", "pip install cryptography"
        ) from cause
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        public.verify(base64.b64decode(signature), signed.encode())
    except (InvalidSignature, ValueError) as cause:
        raise BadFeed(
            "the revocation list is not signed by this registry's key", "do not install from it"
        ) from cause
