"""A worker on a machine of the cluster: an actor that keeps and feeds one process of the right generation.

The actor runs in the interpreter that Ray was started with there, which needs noderack and ray; packs, torch
and models are in the process that it keeps (`child`), in the interpreter of the host's generation.
"""

import asyncio
import contextlib
import os
import platform
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any

from noderack_host.cluster.frames import Frame, packed, read_from
from noderack_host.cluster.home import Home, NoHome, Site, leave, settle

Batch = list[Frame]
PATIENCE = 300.0  # seconds for packs to be imported


class Actor:
    """What Ray runs. One prompt at a time; the other methods answer meanwhile."""

    def __init__(self) -> None:
        self._site: Site | None = None
        self._home: Home | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._heard: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def ready(self, site: Site) -> dict[str, Any]:
        """Brings the process up for this site, if it is not; tells who and where the worker is."""
        if self._process is None or self._process.returncode is not None or site != self._site:
            await self._end()
            self._home = await asyncio.to_thread(settle, site)
            self._site = site
            self._told = await self._begin(self._home)
        assert self._home is not None
        where = {"host": platform.node(), "shared": self._home.shared, "actor": os.getpid()}
        return {**self._told, **where}

    async def watch(self) -> str:
        """Returns when the process is over: how it ended."""
        await self._ended.wait()
        return self._how()

    async def run(
        self, job: dict[str, Any], brought: Sequence[tuple[dict[str, str], Any]]
    ) -> AsyncIterator[Batch]:
        """Has a prompt run; gives what it says, in batches, to the frame `end` or `lost`.

        `brought` are files that it reads, with their bytes or a reference to them.
        """
        if self._ended.is_set():
            yield [({"lost": self._how()}, b"")]
            return
        while not self._heard.empty():  # what was said between prompts is nobody's
            self._heard.get_nowait()
        for made, data in brought:
            await self._tell({"file": made}, await data if hasattr(data, "__await__") else data)
        await self._tell({"run": job})
        over = False
        while not over:
            batch = [await self._heard.get()]
            while not self._heard.empty():
                batch.append(self._heard.get_nowait())
            told = [frame for frame in batch if frame is not None]
            if len(told) < len(batch):
                told.append(({"lost": self._how()}, b""))
            over = any("end" in head or "lost" in head for head, _ in told)
            yield told

    async def interrupt(self, prompt_id: str) -> None:
        """Stops the prompt of that id."""
        await self._tell({"interrupt": prompt_id})

    async def free(self) -> None:
        """Forgets results and models."""
        await self._tell({"free": True})

    async def leave(self) -> None:
        """Ends the process."""
        await self._end()

    async def _begin(self, home: Home) -> dict[str, Any]:
        self._heard, self._ended = asyncio.Queue(), asyncio.Event()
        pipe = asyncio.subprocess.PIPE
        words = [home.python, "-m", "noderack_host.cluster.child"]
        self._process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
        self._tasks = [asyncio.create_task(self._listen(self._process))]
        await self._tell(asdict(home.setup))
        while True:
            frame = await asyncio.wait_for(self._heard.get(), PATIENCE)
            if frame is None:
                raise NoHome(f"the worker's process {self._how()} while it loaded packs; Ray's log has more")
            if "ready" in frame[0]:
                return dict(frame[0]["ready"])

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while (frame := await read_from(process.stdout)) is not None:
            self._heard.put_nowait(frame)
        await process.wait()
        self._heard.put_nowait(None)
        self._ended.set()

    async def _tell(self, head: dict[str, Any], data: bytes = b"") -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            process.stdin.write(packed(head, data))
            await process.stdin.drain()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._tasks)
        if self._home is not None:
            await asyncio.to_thread(leave, self._home)

    def _how(self) -> str:
        code = None if self._process is None else self._process.returncode
        if code is None or code >= 0:
            return f"ended by itself (code {code})"
        return f"was ended by {signal.Signals(-code).name}"
