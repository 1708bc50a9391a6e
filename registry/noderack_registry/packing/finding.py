"""One thing that would break or alarm: where it is, how bad, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
ORDER: dict[str, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Edit:
    """A mechanical change of one file: line `line` (from 1) becomes `text`; 0 puts `text` at the end.

    `text` None takes the line out; `before` puts the text above the line and keeps it.
    """

    file: str
    line: int
    text: str | None
    before: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` says what to do; `edit` does it, where that is mechanical. `line` is 0 for a whole file."""

    rule: str
    level: Level
    file: str
    line: int
    message: str
    mend: str
    edit: Edit | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.level}: {self.message} [{self.rule}]"

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        shown = ("rule", "level", "file", "line", "message", "mend")
        return {**{name: getattr(self, name) for name in shown}, "fixable": self.edit is not None}


def order(finding: Finding) -> tuple[int, str, int]:
    """Worst first, then by place."""
    return ORDER[finding.level], finding.file, finding.line
