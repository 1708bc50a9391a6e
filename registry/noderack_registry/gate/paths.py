"""Entry names that are safe on every system: relative, printable, distinct, short."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from noderack_registry.gate.verdict import BadWheel

LONGEST = 200
_WINDOWS = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{n}" for port in ("com", "lpt") for n in [*map(str, range(10)), "¹", "²", "³"]}
)
_FORBIDDEN = frozenset('\\:*?"<>|')


def check_names(names: Iterable[str]) -> None:
    """Raise BadWheel for the first name that some system would take for another path, or not at all."""
    seen: dict[str, str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        _check_name(name)
        _check_collision(name, seen)
        (folders if name.endswith("/") else files).add(_fold(name.rstrip("/")))
        folders.update(_fold(str(parent)) for parent in PurePosixPath(name).parents)
    for both in sorted(files & folders):
        raise BadWheel("path-under-file", "is a file and a folder", both)


def _check_name(name: str) -> None:
    shown = name[:100].encode("ascii", "backslashreplace").decode()
    if name.startswith("/"):
        raise BadWheel("path-absolute", "is an absolute path", shown)
    if not name or _FORBIDDEN & set(name) or not name.isprintable():
        raise BadWheel("path-characters", "has characters that file systems read differently", shown or "''")
    if len(name.encode()) > LONGEST:
        raise BadWheel("path-too-long", f"is {len(name.encode())} bytes long", shown)
    for part in name.removesuffix("/").split("/"):
        if part in ("", ".", ".."):
            raise BadWheel("path-escape", "leaves its place", shown)
        if part.split(".")[0].rstrip().lower() in _WINDOWS or part[-1] in ". ":
            raise BadWheel("path-reserved", f"{part!r} cannot exist on Windows", shown)


def _check_collision(name: str, seen: dict[str, str]) -> None:
    folded = _fold(name.rstrip("/"))
    if folded in seen:
        raise BadWheel("path-collision", f"cannot be told from {seen[folded]!r}", name)
    seen[folded] = name


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
