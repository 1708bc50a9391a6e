"""The app on a socket: for the command line, and embedded in another program's thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from noderack_registry.server.application import app
from noderack_registry.server.patience import protocol
from noderack_registry.server.settings import Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
START_SECONDS = 30


class _Announcing(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until interrupted. `on_ready` gets the address once it answers; port 0 takes a free one.

    Raises OSError when the address cannot be had.
    """
    listening, url = listen(host, port)
    with listening:
        server = _server(settings, host, lambda: on_ready(url))
        server.run([listening])


@contextmanager
def serving(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread while the block runs; gives the address, which answers by then."""
    listening, url = listen(host, port)
    ready = threading.Event()
    server = _server(settings, host, ready.set)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, args=([listening],), name="registry", daemon=True)
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise TimeoutError(f"the registry did not start within {START_SECONDS} s")
        yield url
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listening.close()


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A bound socket and the address that leads to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay (40 ms an answer) off only for sockets that say that they are TCP
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listening, f"http://{shown}:{listening.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """True if nobody but this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _server(settings: Settings, host: str, on_ready: Callable[[], None]) -> _Announcing:
    if is_loopback(host) and not settings.hosts and not settings.public_url:
        settings = replace(settings, hosts=LOOPBACK_NAMES)
    config = uvicorn.Config(
        app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=protocol(settings.silence),
        timeout_graceful_shutdown=3,
        limit_concurrency=1000,
        backlog=512,
    )
    return _Announcing(config, on_ready)
