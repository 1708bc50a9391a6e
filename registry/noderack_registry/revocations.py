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

HANDOVER = b"noderack: this registry's next key is "  # what an old key signs, with the new one behind it


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
    _check_signature(signed.encode(), str(feed.get("signature", "")), current_key(feed, key))
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


def current_key(feed: Mapping[str, Any], key: str) -> str:
    """The key that signs now, for whoever trusts `key`: each change of keys is signed by the key before.

    Raises BadFeed for a change that is not.
    """
    changes = {str(one["from"]): one for one in feed.get("handovers") or ()}
    for _ in range(len(changes)):
        if key == feed.get("key") or key not in changes:
            break
        new = str(changes[key]["to"])
        _check_signature(HANDOVER + base64.b64decode(new), str(changes[key]["signature"]), key)
        key = new
    return key


def _check_signature(signed: bytes, signature: str, key: str) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as cause:
        raise BadFeed(
            "checking signatures needs the 'cryptography' package", "pip install cryptography"
        ) from cause
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        public.verify(base64.b64decode(signature), signed)
    except (InvalidSignature, ValueError) as cause:
        raise BadFeed(
            "the revocation list is not signed by this registry's key", "do not install from it"
        ) from cause
