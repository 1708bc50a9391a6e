"""Starts the host's own Python to run a workflow file, and reads what it says line by line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import IO, Any

from noderack_host.folder import Host

from noderack_cli.errors import NodesError
from noderack_cli.exits import Exit

_TAIL = 2000
_PATIENCE = 20.0


class ChildFailed(NodesError):
    """The run ended with an error: what the child said, or what its end says."""

    def __init__(self, code: str, message: str, hint: str, exit: Exit) -> None:
        super().__init__(message, hint)
        self.code = code
        self.exit = exit


class Child:
    """A run under way: iterate for its lines; after the last one, `exit` and `error` say how it ended."""

    def __init__(
        self,
        host: Host,
        words: Sequence[str],
        *,
        verbose: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.error: dict[str, Any] | None = None
        self.exit = 0
        self._noise: IO[bytes] | None = None if verbose else tempfile.TemporaryFile()  # noqa: SIM115
        command = [str(host.python), "-m", "noderack_host", *words]
        own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=self._noise,
                env={**own, **environment},
                encoding="utf-8",
            )
        except OSError as cause:
            hint = f"make it a host again with: nodes init {host.root}"
            raise ChildFailed(
                "host", f"{host.python} cannot be started: {cause}", hint, Exit.NOT_FOUND
            ) from cause

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        try:
            for text in self._process.stdout:
                with suppress(ValueError):
                    line = json.loads(text)
                    self.error = line.get("error", self.error)
                    yield line
            self.exit = self._process.wait()
        except BaseException:  # whatever ends us ends the child
            self._stop()
            raise

    def _stop(self) -> None:
        """The child hears Ctrl-C as well; whatever ends us ends it, gently first."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def failure(self) -> ChildFailed | None:
        """The error to tell, if there was one."""
        if self.error is not None:
            code = self.error["exit"] if self.error["exit"] in set(Exit) else Exit.UNEXPECTED
            return ChildFailed(self.error["code"], self.error["message"], self.error["hint"], Exit(code))
        if self.exit == 0:
            return None
        how = (
            f"was ended by {signal.Signals(-self.exit).name}"
            if self.exit < 0
            else f"ended with code {self.exit}"
        )
        ends = {-9: "it may have run out of memory", -7: "a file in use, such as a model, was cut short"}
        hint = ends.get(self.exit) or self._last_words()
        return ChildFailed("run-died", f"The process that ran the workflow {how}", hint, Exit.RUN_FAILED)

    def _last_words(self) -> str:
        if self._noise is None:
            return ""
        size = self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, size - _TAIL))
        return self._noise.read().decode("utf-8", "replace").strip()
