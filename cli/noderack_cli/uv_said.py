"""What uv says when it cannot bring something, as one sentence."""

from __future__ import annotations

import re

PREFIXES = ("error: ", "cause: ", "Caused by: ")
NOISE = ("warning:", "Using Python", "Using CPython", "Resolved")
WHAT = re.compile(r"Failed to (?:download|fetch|read|prepare)[^`]*`([^`@]+?)(?: @ [^`]*)?`")
STATUS = re.compile(r"HTTP status \w+ error \((\d+[^)]*)\) for url \(([^)]*)\)")
HASHES = re.compile(r"Expected:\s+(sha256:\w+)\s+Computed:\s+(sha256:\w+)")
CUT = re.compile(r"end of file before message|reading a body|onnection (closed|reset)|timed out")
NO_WHEEL = re.compile(r"Failed to extract archive|Invalid zip|unexpected header|Bad (un)?compressed size")
FULL = re.compile(r"No space left|os error 28|Read-only file system|os error 30")
AGAIN = "Nothing was changed; try again later."
LIES = "Nothing of it was kept and the host is as it was; tell whoever runs that index."


def lines_of(err: str) -> list[str]:
    """What uv said, without how it begins its lines."""
    lines = [line.strip() for line in err.splitlines() if line.strip() and not line.strip().startswith(NOISE)]
    for prefix in PREFIXES:
        lines = [line.removeprefix(prefix) for line in lines]
    return lines


def sentence(err: str) -> tuple[str, str]:
    """What could not be brought and why, and what to do next."""
    said = " ".join(lines_of(err))
    what = (found[1] if (found := WHAT.search(said)) else "a file").replace("==", " ")
    if answered := STATUS.search(said):
        return f"{answered[2]} answered {answered[1]}", AGAIN
    if differ := HASHES.search(said):
        told = f"{what} is not what its index promises: it has {_short(differ[2])}, not {_short(differ[1])}"
        return told, LIES
    if NO_WHEEL.search(said):
        return f"what came as {what} is no whole wheel ({lines_of(err)[-1]})", LIES
    if CUT.search(said):
        return f"the connection broke off while {what} came", AGAIN
    return said[:1200], "The host is as it was."


def _short(digest: str) -> str:
    return f"{digest[:19]}…"
