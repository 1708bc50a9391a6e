"""Patterns of `.comfyignore` and `.gitignore`: which paths a list of patterns leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: what it matches, whether it brings back (`!`), whether folders only (`/` at the end)."""

    match: re.Pattern[str]
    keeps: bool
    folders_only: bool


def parse(text: str) -> tuple[Pattern, ...]:
    """The patterns of an ignore file, in its order: the last one that matches decides."""
    return tuple(pattern for line in text.splitlines() if (pattern := _pattern(line)))


def _pattern(line: str) -> Pattern | None:
    line = line.rstrip() if not line.endswith("\\ ") else line
    if not line or line.startswith("#"):
        return None
    keeps = line.startswith("!")
    line = line[keeps:].removeprefix("\\")
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    # A slash anywhere but at the end ties the pattern to the top; without one it matches at any depth.
    anchor = "" if "/" in line else "(?:.*/)?"
    return Pattern(re.compile(anchor + _regex(line.lstrip("/")) + r"\Z", re.DOTALL), keeps, folders_only)


def _regex(glob: str) -> str:
    out, place = [], 0
    while place < len(glob):
        for sign, meaning in _SIGNS:
            if glob.startswith(sign, place):
                out.append(meaning)
                place += len(sign)
                break
        else:
            text, place = _bracket(glob, place) if glob[place] == "[" else (re.escape(glob[place]), place + 1)
            out.append(text)
    return "".join(out)


_SIGNS = (("**/", "(?:.*/)?"), ("/**", "/.*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]"))


def _bracket(glob: str, place: int) -> tuple[str, int]:
    end = glob.find("]", place + 2)
    if end < 0:
        return r"\[", place + 1
    inside = glob[place + 1 : end].replace("\\", r"\\")
    return f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]", end + 1


def ignored(path: str, patterns: Iterable[Pattern]) -> bool:
    """Whether `path` (with `/`, a file) is left out, because of itself or of a folder above it."""
    patterns = tuple(patterns)
    parts = path.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return any(_decides(folder, patterns, folder=True) for folder in above) or _decides(
        path, patterns, folder=False
    )


def _decides(path: str, patterns: tuple[Pattern, ...], *, folder: bool) -> bool:
    verdict = False
    for pattern in patterns:
        if (folder or not pattern.folders_only) and pattern.match.match(path):
            verdict = not pattern.keeps
    return verdict
