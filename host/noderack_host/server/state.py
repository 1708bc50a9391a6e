"""What the routes share: one frozen value under one key of the application."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from noderack_host.execute import Executor
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.packs import Packs
from noderack_host.server.clients import Clients
from noderack_host.server.logs import Logs
from noderack_host.server.queue import Queue
from noderack_host.server.settings import ServerSettings
from noderack_host.server.templates import Templates
from noderack_host.server.worker import Worker


@dataclass(frozen=True, slots=True)
class Server:
    """A running server's parts."""

    host: Host
    folders: ModelFolders
    settings: ServerSettings
    packs: Packs
    queue: Queue
    executor: Executor
    clients: Clients
    worker: Worker
    logs: Logs
    log_readers: set[str] = field(default_factory=set)
    prompt_handlers: list[Callable[[Any], Any]] = field(default_factory=list)
    templates: Templates = field(default_factory=Templates)
    started: float = field(default_factory=time.time)

    @property
    def features(self) -> Mapping[str, Any]:
        """What this server tells clients that it understands."""
        return self.clients.features


SERVER = web.AppKey("server", Server)


async def json_body(request: web.Request) -> Any:
    """The body as JSON whatever its content type says (scripts send forms' types); raises HTTPBadRequest."""
    text = await request.text()
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except ValueError as cause:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {cause}") from cause
