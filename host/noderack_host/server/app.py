"""Puts a server together: host, packs, executor, queue, sockets, routes; everything is passed in."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from noderack_host.cluster.bucket import Bucket
from noderack_host.cluster.engine import RayEngine, Wishes
from noderack_host.execute import Executor
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.isolate import for_host
from noderack_host.packs import Packs
from noderack_host.persist import cache_for
from noderack_host.running import Running
from noderack_host.server import (
    routes_catalog,
    routes_files,
    routes_jobs,
    routes_manager,
    routes_manager_dialogs,
    routes_memory,
    routes_now,
    routes_open,
    routes_prompt,
    routes_registry,
    routes_renew,
    routes_system,
    routes_user,
)
from noderack_host.server.checking import Checker
from noderack_host.server.clients import Clients
from noderack_host.server.engine import Engine, Local
from noderack_host.server.frontend import add_pages
from noderack_host.server.guard import guard
from noderack_host.server.installer import Installer, Task
from noderack_host.server.logs import Logs
from noderack_host.server.pack_routes import PackRoutes
from noderack_host.server.queue import Queue
from noderack_host.server.routes_manager import take_in
from noderack_host.server.routes_user import USER
from noderack_host.server.settings import ServerSettings
from noderack_host.server.shelf import Shelf
from noderack_host.server.state import SERVER, Server
from noderack_host.server.webhooks import Webhooks
from noderack_host.server.worker import Worker

QUEUE_FILE = "queue.db"
USER_FOLDERS = ("workflows", "subgraphs")


async def socket(request: web.Request) -> web.WebSocketResponse:
    """A client's socket, until it closes."""
    server = request.app[SERVER]
    return await server.clients.serve(request, server.worker.greeting())


def api_routes() -> list[web.RouteDef]:
    """The routes that exist twice: as they are, and below /api."""
    modules = (routes_prompt, routes_jobs, routes_catalog, routes_files, routes_user, routes_system)
    return [web.get("/ws", socket), *(route for module in modules for route in module.ROUTES)]


def make_app(
    host: Host,
    packs: Packs,
    settings: ServerSettings | None = None,
    editor: Path | None = None,
    engine: Engine | None = None,
) -> web.Application:
    """The application of a host. Its parts start and stop with it."""
    settings = settings or ServerSettings()
    for folder in USER_FOLDERS:
        (host.user / USER / folder).mkdir(parents=True, exist_ok=True)
    clients = Clients(features(settings))
    queue = Queue(host.user / QUEUE_FILE, settings.limits, settings.lost)
    folders = ModelFolders.of(host)
    routes = PackRoutes(clients)
    engine = engine or engine_for(settings, host, packs, routes)
    logs, hooks = Logs(), Webhooks(queue, settings.webhook_secret)
    worker = Worker(queue, engine, clients, settings.fair, logs, settings.webhooks)
    shelf = Shelf(host, packs, engine, for_host(host))
    installer = Installer(host.root, lambda *told: _heard(server, *told), lambda _: take_in(server))
    running = Running(host=host, folders=folders)
    server = Server(
        *(host, folders, settings, shelf, queue, Checker(shelf, running), running, engine, clients),
        *(worker, logs, routes, installer, hooks, Bucket(settings.outputs) if settings.outputs else None),
    )
    app = web.Application(middlewares=[guard(settings)], client_max_size=settings.max_body)
    app[SERVER] = server
    own = (
        *routes_renew.ROUTES,
        *routes_manager.ROUTES,
        *routes_registry.ROUTES,
        *routes_open.ROUTES,
        *routes_memory.ROUTES,
        *routes_now.ROUTES,
    )
    dialogs = routes_manager_dialogs.ROUTES if settings.manager else ()
    once = (*routes_system.INTERNAL_ROUTES, *routes_files.INTERNAL_ROUTES, *own)
    add_routes(app, [*api_routes(), *dialogs], once)
    routes.adopt()
    add_pages(app, editor, routes)
    app.cleanup_ctx.append(_life)
    app.on_shutdown.append(_end_sockets)
    return app


def engine_for(settings: ServerSettings, host: Host, packs: Packs, routes: PackRoutes) -> Engine:
    """What runs prompts, as the settings say; raises ValueError for an engine that is none."""
    kind, _, address = settings.engine.partition("=")
    if kind == "ray":
        places = (settings.workers, settings.worker_root, settings.outputs)
        return RayEngine(host, Wishes(address or None, *places, settings.cache, settings.keep), routes.send)
    if settings.engine != "local":
        raise ValueError(f"the engine is {settings.engine!r}; say local, ray or ray=ADDRESS")
    if settings.workers or settings.worker_root or settings.outputs:
        raise ValueError("workers, their folders and a bucket for outputs belong to --engine ray")
    cache = cache_for(settings.cache, settings.keep, host)
    return Local(Executor(packs.nodes, cache, host, packs.versions()))


def features(settings: ServerSettings) -> dict[str, Any]:
    """What the server tells clients that it understands."""
    manager = {"supports_v4": True, "supports_csrf_post": True} if settings.manager else {}
    return {
        "supports_preview_metadata": True,
        "max_upload_size": settings.max_body,
        **({"extension": {"manager": manager}} if manager else {}),
    }


def _heard(server: Server, task: Task, event: Mapping[str, Any]) -> None:
    routes_manager.tell(server, task, event)
    routes_manager_dialogs.tell(server, task, event)


def add_routes(app: web.Application, twice: Iterable[web.RouteDef], once: Iterable[web.RouteDef]) -> None:
    """Adds `twice` as they are and below /api, and `once` as they are."""
    for route in [*twice]:
        app.router.add_route(route.method, route.path, route.handler)
        app.router.add_route(route.method, "/api" + route.path, route.handler)
    for route in once:
        app.router.add_route(route.method, route.path, route.handler)


async def _end_sockets(app: web.Application) -> None:
    await app[SERVER].clients.close()


async def _life(app: web.Application) -> AsyncIterator[None]:
    server = app[SERVER]
    loop = asyncio.get_running_loop()
    server.logs.listener = lambda lines: _tell_logs(server, loop, lines)
    logging.getLogger().addHandler(server.logs)
    await server.worker.start()
    for work in (routes_renew.watch(server), server.installer.work(), server.hooks.work()):
        server.tasks.append(asyncio.create_task(work))
    yield
    for task in server.tasks:
        task.cancel()
    await asyncio.gather(*server.tasks, return_exceptions=True)
    await server.worker.stop()
    logging.getLogger().removeHandler(server.logs)
    await server.engine.close()
    server.queue.close()


def _tell_logs(server: Server, loop: asyncio.AbstractEventLoop, lines: list[dict[str, str]]) -> None:
    message = {"type": "logs", "data": {"entries": lines, "size": server.logs.size()}}
    for client_id in tuple(server.log_readers):
        loop.call_soon_threadsafe(server.clients.send, message, client_id)
