"""How the server is doing, for people and for Prometheus; and what a prompt said while it ran."""

import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from noderack_host.server.figures import metric, resident_bytes, slowest
from noderack_host.server.queue import PENDING, STATES, Entry
from noderack_host.server.routes_system import devices, memory
from noderack_host.server.state import SERVER, Server
from noderack_host.server.worker import Under

TOLD_WAITING = 50


async def now(request: web.Request) -> web.Response:
    """What runs, what waits, how much memory there is, which node types take the time."""
    server = request.app[SERVER]
    waiting = server.queue.listed(PENDING, limit=TOLD_WAITING)
    total, free = memory()
    runs = [_running(one) for one in server.worker.under.values()]
    return web.json_response(
        {
            "up_seconds": round(time.time() - server.started, 1),
            "paused": server.queue.paused,
            "running": runs[0] if runs else None,
            "runs": runs,
            "workers": server.engine.workers(),
            "waiting": [_brief(entry) for entry in waiting],
            "waiting_in_all": server.queue.count(PENDING),
            "over": dict(server.worker.figures.prompts),
            "clients": len(server.clients),
            "memory": {"resident": resident_bytes(), "total": total, "free": free},
            "devices": devices(),
            "node_types": slowest(server.worker.figures),
            "generation": server.shelf.generation,
        }
    )


def _running(under: Under) -> dict[str, Any]:
    entry, step = under.entry, under.step
    node = entry.prompt.get(under.node or "", {})
    told = {"node": under.node, "node_type": node.get("class_type")}
    steps = {"value": step.value, "max": step.total, "per_second": round(step.rate, 3)}
    seconds = round(time.time() - (entry.started or 0) / 1000, 1)
    return {**_brief(entry), **told, **(steps if step.node else {}), "seconds": seconds}


def _brief(entry: Entry) -> dict[str, Any]:
    names = ("id", "client", "number", "priority", "created")
    return {**{name: getattr(entry, name) for name in names}, "nodes": len(entry.prompt)}


async def prompt_logs(request: web.Request) -> web.Response:
    """What was logged and printed while a prompt ran: [{t, m, node}]; 404 for an unknown prompt."""
    server, prompt_id = request.app[SERVER], request.match_info["id"]
    if server.queue.get(prompt_id) is None:
        raise web.HTTPNotFound(text=f"there is no prompt {prompt_id!r}")
    return web.json_response({"entries": server.logs.of(prompt_id) or server.queue.logs(prompt_id)})


async def metrics(request: web.Request) -> web.Response:
    """Figures in the text form of Prometheus."""
    lines = [*_gauges(request.app[SERVER]), *request.app[SERVER].worker.figures.metrics(), ""]
    return web.Response(text="\n".join(lines), content_type="text/plain", charset="utf-8")


def _gauges(server: Server) -> Iterator[str]:
    states = [({"state": state}, server.queue.count(state)) for state in STATES]
    yield from metric("noderack_prompts", "gauge", "Prompts in the queue and in history, by state.", states)
    hooks, calls = server.hooks, len(server.queue.calls())
    table = (
        ("noderack_clients", "gauge", "Open sockets.", len(server.clients)),
        ("noderack_node_types", "gauge", "Node types loaded.", len(server.packs.nodes)),
        ("noderack_pack_failures", "gauge", "Packs that did not load.", len(server.packs.failures)),
        ("noderack_queue_paused", "gauge", "1 while nothing new is started.", int(server.queue.paused)),
        ("noderack_started_seconds", "gauge", "When the server started.", server.started),
        ("noderack_generation", "gauge", "The generation in use.", server.shelf.generation or 0),
        ("noderack_webhooks_waiting", "gauge", "Webhooks to be called.", calls),
        ("noderack_webhooks_sent_total", "counter", "Webhooks that were heard.", hooks.sent),
        ("noderack_webhooks_failed_total", "counter", "Tries that were not heard.", hooks.failed),
        ("process_resident_memory_bytes", "gauge", "Memory of the process.", resident_bytes() or 0),
    )
    for name, kind, text, value in table:
        yield from metric(name, kind, text, [({}, value)])


ROUTES = (
    web.get("/metrics", metrics),
    web.get("/noderack/now", now),
    web.get("/noderack/prompts/{id}/logs", prompt_logs),
)
