"""What the server is and how it is: figures, flags, logs, health."""

import os
import platform
import sys
from typing import Any

from aiohttp import web

from noderack_host.server.state import SERVER, Server, object_body

# The version of the API that clients compare with; ours speaks what this one spoke.
SPOKEN = "0.33.0"


async def system_stats(request: web.Request) -> web.Response:
    """Machine, versions and devices."""
    return web.json_response({"system": _system(request.app[SERVER]), "devices": devices()})


def _system(server: Server) -> dict[str, Any]:
    total, free = memory()
    return {
        "os": sys.platform,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": SPOKEN,
        "python_version": sys.version,
        "pytorch_version": getattr(sys.modules.get("torch"), "__version__", None),
        "embedded_python": False,
        "argv": ["noderack", *(["--enable-manager"] if server.settings.manager else [])],
        "server": "noderack",
        "host": str(server.host.root),
    }


def memory() -> tuple[int, int]:
    if not hasattr(os, "sysconf"):
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")


def devices() -> list[dict[str, Any]]:
    """Each GPU that torch sees, or the processor; torch is asked only if a pack has loaded it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        total, free = memory()
        return [_device(platform.processor() or "cpu", "cpu", 0, total, free, total, free)]
    return [_gpu(torch, index) for index in range(torch.cuda.device_count())]


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    free, total = torch.cuda.mem_get_info(index)
    kept = torch.cuda.memory_reserved(index)
    unused = kept - torch.cuda.memory_allocated(index)
    name = f"cuda:{index} {torch.cuda.get_device_name(index)}"
    return _device(name, "cuda", index, total, free + unused, kept, unused)


def _device(
    name: str, kind: str, index: int, total: int, free: int, kept: int, unused: int
) -> dict[str, Any]:
    memory = {"vram_total": total, "vram_free": free, "torch_vram_total": kept, "torch_vram_free": unused}
    return {"name": name, "type": kind, "index": index, **memory}


async def features(request: web.Request) -> web.Response:
    """What this server understands."""
    return web.json_response(dict(request.app[SERVER].features))


async def log_text(request: web.Request) -> web.Response:
    """The newest log lines as one text."""
    return web.json_response(request.app[SERVER].logs.text())


async def log_lines(request: web.Request) -> web.Response:
    """The newest log lines one by one."""
    logs = request.app[SERVER].logs
    return web.json_response({"entries": logs.entries(), "size": logs.size()})


async def follow_logs(request: web.Request) -> web.Response:
    """A client wants to hear new log lines, or no more."""
    server, body = request.app[SERVER], await object_body(request)
    server.log_readers.discard(str(body.get("clientId")))
    if body.get("enabled"):
        server.log_readers.add(str(body.get("clientId")))
    return web.Response()


async def folder_paths(request: web.Request) -> web.Response:
    """Where each category's files are."""
    categories = request.app[SERVER].folders.categories
    return web.json_response({name: [str(p) for p in one.folders] for name, one in categories.items()})


async def health(request: web.Request) -> web.Response:
    """Whether the server works: 200 and what it is doing."""
    server = request.app[SERVER]
    return web.json_response(
        {"status": "ok", "queue_remaining": server.queue.remaining, "paused": server.queue.paused}
    )


ROUTES = (
    web.get("/system_stats", system_stats),
    web.get("/features", features),
    web.get("/health", health),
)
INTERNAL_ROUTES = (
    web.get("/internal/logs", log_text),
    web.get("/internal/logs/raw", log_lines),
    web.patch("/internal/logs/subscribe", follow_logs),
    web.get("/internal/folder_paths", folder_paths),
)
