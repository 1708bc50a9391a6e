"""What the routes share: one frozen value under one key of the application."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from noderack_host.cluster.bucket import Bucket
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.packs import Packs
from noderack_host.running import Running
from noderack_host.server import presence
from noderack_host.server.checking import Checker
from noderack_host.server.clients import Clients
from noderack_host.server.engine import Engine
from noderack_host.server.installer import Installer
from noderack_host.server.logs import Logs
from noderack_host.server.pack_routes import PackRoutes
from noderack_host.server.queue import Queue
from noderack_host.server.settings import ServerSettings
from noderack_host.server.shelf import Shelf
from noderack_host.server.templates import Templates
from noderack_host.server.webhooks import Webhooks
from noderack_host.server.worker import Worker

RESTART = 75  # the exit code that asks for the server to be started again


class Ending:
    """When the server is to end, and with which exit code."""

    def __init__(self) -> None:
        self.code = 0
        self.asked = asyncio.Event()

    def ask(self, code: int = 0) -> None:
        """The server ends as soon as it can."""
        self.code = code
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server's parts."""

    host: Host
    folders: ModelFolders
    settings: ServerSettings
    shelf: Shelf
    queue: Queue
    checker: Checker
    running: Running
    engine: Engine
    clients: Clients
    worker: Worker
    logs: Logs
    pack_routes: PackRoutes
    installer: Installer
    hooks: Webhooks
    bucket: Bucket | None = None
    log_readers: set[str] = field(default_factory=set)
    prompt_handlers: list[Callable[[Any], Any]] = field(default_factory=list)
    templates: Templates = field(default_factory=Templates)
    started: float = field(default_factory=time.time)

    ending: Ending = field(default_factory=Ending)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    address: list[str] = field(default_factory=list)

    @property
    def packs(self) -> Packs:
        """The packs of now; others may be there at the next look."""
        return self.shelf.packs

    def announce(self) -> None:
        """Writes user/server.json, as soon as it is known where the server listens."""
        if self.address:
            shelf = self.shelf
            presence.tell(
                self.host, self.address[0], self.settings.start_token, shelf.generation, shelf.generations
            )

    @property
    def features(self) -> Mapping[str, Any]:
        """What this server tells clients that it understands."""
        return self.clients.features


SERVER = web.AppKey("server", Server)


async def json_body(request: web.Request) -> Any:
    """The body as JSON whatever its content type says (scripts send forms' types); raises HTTPBadRequest."""
    try:
        text = await request.text()
    except (UnicodeDecodeError, LookupError) as cause:
        raise web.HTTPBadRequest(text=f"the body is not text: {cause}") from cause
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {cause}") from cause


async def object_body(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; raises HTTPBadRequest."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body
