"""Addresses of repositories, brought into one form so that two spellings of one place are equal."""

from __future__ import annotations

import re

_GIT = re.compile(r"^(?:git\+)?(?:https?://|ssh://git@|git@)([^/:]+)[/:](.+)$", re.IGNORECASE)


def repository_key(url: str | None) -> str | None:
    """host/owner/name in lower case, without .git, branch or anchor; None when it is no such address."""
    match = _GIT.match((url or "").strip())
    if not match:
        return None
    host = match[1].lower().removeprefix("www.")
    parts = re.split(r"[?#@]", match[2])[0].strip("/").split("/")
    if len(parts) < 2:
        return None
    return "/".join([host, parts[0], parts[1].removesuffix(".git")]).lower()
