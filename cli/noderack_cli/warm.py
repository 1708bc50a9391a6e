"""Verification from one warm process: it imports the host once and forks for each draft.

As strict as a process of its own: each fork has its own limits, session and private folder, and is gone
with all that it started. What a fork inherits is the generation in use; a draft that changes a distribution
which is loaded already, or that starts code with every Python (.pth), is checked in a fresh process instead.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from noderack_host.folder import Host

from noderack_cli import verify
from noderack_cli.errors import InstallError
from noderack_cli.generations import Draft, Generation
from noderack_cli.verify import CHILD, GRACE, Inspection, Limits, Place

FORKS = sys.platform == "linux"  # elsewhere a fork of a process with threads or frameworks is not safe


class Gone(Exception):
    """The warm process is there no more, or does not answer."""


class Verifier:
    """Inspects drafts cloned from `base`. Starts its process at once; what that cannot do is done afresh."""

    def __init__(self, host: Host, base: Generation, *, begin: bool = True) -> None:
        self.base = base
        self._host, self._limits = host, Limits.of(host)
        self._loaded: frozenset[str] | None = None
        self._rest = b""
        self._process = self._start() if FORKS and begin else None

    def _start(self) -> subprocess.Popen[bytes] | None:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        try:
            return subprocess.Popen(
                [str(self.base.python), "-I", "-W", "ignore", str(CHILD), "--warm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=kept,
                start_new_session=True,
                bufsize=0,
            )
        except OSError:  # no such Python: the fresh process will tell it
            return None

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def preload(self, modules: Sequence[str]) -> None:
        """Import these in the warm process, once for all forks; returns at once."""
        with suppress(Gone):
            self._ask({"preload": list(modules)})

    def inspect(self, draft: Draft, packs: Sequence[str], changed: Collection[str] = ()) -> Inspection:
        """Import `packs` from the draft; `changed` are top-level names that differ from `base`.

        Raises InstallError.
        """
        return self._inspect(draft, packs, changed, self._limits)

    def inspect_quickly(self, draft: Draft, packs: Sequence[str], changed: Collection[str]) -> Inspection:
        """The same, in half the time that one pack may take: for a try that can be done without."""
        half = replace(self._limits, seconds=max(1, self._limits.seconds // 2))
        return self._inspect(draft, packs, changed, half)

    def _inspect(
        self, draft: Draft, packs: Sequence[str], changed: Collection[str], limits: Limits
    ) -> Inspection:
        try:
            if not self.fits(changed):
                return verify.inspect(draft.python, self._host, packs, limits)
            with Place(self._host.root) as place:
                code = self._fork(draft, place, packs, limits)
                return place.found(code, packs, limits)
        except (Gone, TimeoutError):
            self._end()
            return verify.inspect(draft.python, self._host, packs, limits)

    def fits(self, changed: Collection[str]) -> bool:
        """Whether a fork would be what a fresh process is: nothing that changed is loaded already."""
        if self._loaded is None:
            self._ask({"loaded": True})
            self._loaded = frozenset(self._hear(self._limits.seconds)["loaded"])
        names = {name.partition(".")[0] for name in changed if not name.endswith("-info")}
        return not names & self._loaded and not any(name.endswith(".pth") for name in changed)

    def _fork(self, draft: Draft, place: Place, packs: Sequence[str], limits: Limits) -> int:
        run = {
            "out": str(place.out),
            "err": str(place.err),
            "environment": place.environment(),
            "from": str(self.base.path),
            "to": str(draft.path),
            "seconds": limits.seconds,
            "memory": limits.memory,
            "allowed": place.allowed,
            "arguments": [*place.arguments, "--packs", *packs],
        }
        self._ask({"run": run})
        pid = int(self._hear(GRACE)["pid"])
        try:
            return int(self._hear(limits.seconds + GRACE)["code"])
        except TimeoutError:
            verify.end_group(pid)
            self._hear(GRACE)
            return -signal.SIGALRM
        except Gone as cause:
            self._end()
            self._process, self._loaded, self._rest = self._start(), None, b""
            told = f"Importing {', '.join(packs)} ended the process that checks packs"
            raise InstallError(told, "The host is as it was.") from cause
        finally:
            verify.end_group(pid)

    def _ask(self, request: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            raise Gone
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as cause:
            raise Gone from cause

    def _hear(self, seconds: float) -> dict[str, Any]:
        """The next answer; raises TimeoutError after `seconds`, Gone when there is nobody."""
        if self._process is None or self._process.stdout is None:
            raise Gone
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            more = os.read(self._process.stdout.fileno(), 65536)
            if not more:
                raise Gone
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            verify.end_group(process.pid)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
