"""The last lines that were logged, for the editor's panel and for a prompt that failed."""

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone

Listener = Callable[[list[dict[str, str]]], None]


class Logs(logging.Handler):
    """Keeps the newest lines; `listener` hears each one as it comes."""

    def __init__(self, lines: int = 1000) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[dict[str, str]] = deque(maxlen=lines)
        self.listener: Listener | None = None
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record."""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"t": moment, "m": self.format(record) + "\n"}
        self._lines.append(line)
        if self.listener is not None:
            self.listener([line])

    def entries(self) -> list[dict[str, str]]:
        """The lines as the log panel reads them, oldest first."""
        return list(self._lines)

    def text(self) -> str:
        """The same as one text."""
        return "".join(f"{line['t']} - {line['m']}" for line in self._lines)

    def size(self) -> dict[str, int]:
        """A terminal's size, which the panel asks for."""
        return {"cols": 120, "rows": 40}
