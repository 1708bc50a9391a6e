"""The last lines that were logged or printed: for the editor's panel, and of each prompt for itself."""

import io
import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TextIO

from noderack_host.running import current_or_none

Line = dict[str, str]
Listener = Callable[[list[Line]], None]
LINES_OF_A_PROMPT = 500
LONGEST = 4000  # characters of a line that are kept


class Logs(logging.Handler):
    """Keeps the newest lines; `listener` hears each one as it comes."""

    def __init__(self, lines: int = 1000) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[Line] = deque(maxlen=lines)
        self._prompts: dict[str, deque[Line]] = {}
        self.listener: Listener | None = None
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record."""
        self.take(self.format(record), record.created)

    def take(self, text: str, created: float | None = None) -> None:
        """Takes one line, for all and for the prompt that says it."""
        now = datetime.now(timezone.utc) if created is None else datetime.fromtimestamp(created, timezone.utc)
        line = {"t": now.isoformat(timespec="milliseconds"), "m": text[:LONGEST] + "\n"}
        self._lines.append(line)
        running = current_or_none()
        if running is not None and running.prompt_id:
            kept = self._prompts.setdefault(running.prompt_id, deque(maxlen=LINES_OF_A_PROMPT))
            kept.append({**line, "node": running.node_id})
        if self.listener is not None:
            self.listener([line])

    def take_from(self, prompt_id: str, lines: list[Line], node: str) -> None:
        """Takes lines that a prompt said elsewhere."""
        self._lines.extend(lines)
        kept = self._prompts.setdefault(prompt_id, deque(maxlen=LINES_OF_A_PROMPT))
        kept.extend({**line, "node": node} for line in lines)
        if self.listener is not None:
            self.listener(lines)

    def of(self, prompt_id: str) -> list[Line]:
        """What a prompt that runs has said so far."""
        return list(self._prompts.get(prompt_id, ()))

    def close_prompt(self, prompt_id: str) -> list[Line]:
        """What a prompt said in all; it is forgotten here."""
        return list(self._prompts.pop(prompt_id, ()))

    def entries(self) -> list[Line]:
        """The lines as the log panel reads them, oldest first."""
        return list(self._lines)

    def text(self) -> str:
        """The same as one text."""
        return "".join(f"{line['t']} - {line['m']}" for line in self._lines)

    def size(self) -> dict[str, int]:
        """A terminal's size, which the panel asks for."""
        return {"cols": 120, "rows": 40}


class Tee(io.TextIOBase):
    """Passes on what is printed, and gives each whole line to the logs."""

    def __init__(self, below: TextIO, logs: Logs) -> None:
        self._below, self._logs = below, logs
        self._parts = threading.local()

    def write(self, text: str) -> int:
        """Prints, and keeps the lines."""
        self._below.write(text)
        *whole, rest = (getattr(self._parts, "rest", "") + text).split("\n")
        self._parts.rest = rest.rpartition("\r")[2][-LONGEST:]
        for line in whole:
            if line.strip():
                self._logs.take(line.rpartition("\r")[2])
        return len(text)

    def flush(self) -> None:
        self._below.flush()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        """What else a stream has (`buffer`, say) is that of the stream below."""
        return getattr(self._below, name)

    def isatty(self) -> bool:
        return self._below.isatty()

    def fileno(self) -> int:
        return self._below.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self._below.encoding
