"""How numbers and tables look to people."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence


def size(count: float) -> str:
    """Bytes in words: 11.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def seconds(count: float) -> str:
    """A duration in words: 0.8 s, 2 min 5 s."""
    return f"{count:.1f} s" if count < 60 else f"{int(count // 60)} min {int(count % 60)} s"


def day(when: float) -> str:
    """A time of seconds since 1970 as local date and minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def count(number: int, word: str) -> str:
    """A number with its word: 1 pack, 2 packs."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def some(names: Sequence[str], most: int = 8) -> str:
    """Names in one line: the first, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def quoted(word: str) -> str:
    """A word as a shell takes it; in double quotes where those do, which all shells know."""
    if shlex.quote(word) == word:
        return word
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'


def table(rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Columns set flush left, two spaces apart."""
    lines = [list(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(row[i]) if i < len(row) else 0 for row in lines) for i in range(max(map(len, lines)))]
    return "\n".join(
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in lines
    )
