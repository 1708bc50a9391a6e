"""The routes below /v2 that the published editor's own manager dialogs call, served by our installer.

The dialogs find packs in the host's registry (`routes_registry`), which installing takes them from.
What they know and we do not do (updating the host from here, snapshots) is refused with a sentence.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from noderack_host.server.installer import DONE, FAILED, PENDING, RUNNING, Task
from noderack_host.server.routes_manager import refuse_unless_manager
from noderack_host.server.routes_renew import restart
from noderack_host.server.state import SERVER, Server, json_body

NEWEST = ("latest", "nightly", "unknown", "")
STARTED, COMPLETED = "cm-task-started", "cm-task-completed"


async def installed(request: web.Request) -> web.Response:
    """{name: {ver, cnr_id, aux_id, enabled}} of every pack, disabled ones included."""
    return web.json_response(await installed_packs(request.app[SERVER]))


async def installed_packs(server: Server) -> dict[str, Any]:
    """The packs of the host as its installer lists them; those that are loaded where it cannot."""
    ended = await server.installer.run(("list", "--json"))
    listed = next((event["packs"] for event in ended.events if "packs" in event), None)
    if listed is None:
        return {pack.distribution: _pack(pack.distribution, pack.version) for pack in server.packs.packs}
    return {one["name"]: _pack(one["name"], one["version"], not one["disabled"]) for one in listed}


def _pack(name: str, version: str, enabled: bool = True) -> dict[str, Any]:
    return {"ver": version, "cnr_id": name, "aux_id": "", "enabled": enabled}


async def mappings(request: web.Request) -> web.Response:
    """{pack: [node types, {title}]} of the packs that are loaded."""
    packs = request.app[SERVER].packs.packs
    return web.json_response(
        {pack.distribution: [list(pack.node_types), {"title": pack.name}] for pack in packs}
    )


async def import_failures(request: web.Request) -> web.Response:
    """{id: why that pack did not load, or null} for the ids asked for; all that failed if none are."""
    body = await json_body(request) if request.can_read_body else {}
    failures = {one.distribution: one for one in request.app[SERVER].packs.failures}
    asked = [*(body.get("cnr_ids") or ()), *(body.get("urls") or ())] if isinstance(body, dict) else []
    told = {}
    for name in asked or list(failures):
        failure = failures.get(name)
        told[name] = {"error": failure.cause, "traceback": failure.trace} if failure else None
    return web.json_response(told)


async def queue_task(request: web.Request) -> web.Response:
    """Queues one change: install, uninstall, update, enable, disable of a pack by its name."""
    refuse_unless_manager(request)
    server, body = request.app[SERVER], await json_body(request)
    if not isinstance(body, dict) or not isinstance(body.get("params"), dict):
        raise web.HTTPBadRequest(text="the body needs kind, params, ui_id and client_id")
    kind, params = str(body.get("kind")), body["params"]
    words = command(kind, params)
    if words is None:
        raise web.HTTPNotFound(text=f"this server cannot do {kind!r}, or the pack has no name")
    task = Task(kind, words, words[1], str(body.get("client_id") or ""), params=params)
    task.id = str(body.get("ui_id") or task.id)
    server.installer.put(task)
    return web.json_response({"ui_id": task.id})


def command(kind: str, params: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The command line of a dialog's task; None for what is not done here."""
    name = str(params.get("id") or params.get("node_name") or params.get("cnr_id") or "").strip()
    if not name or name.startswith("-"):
        return None
    version = str(params.get("selected_version") or params.get("version") or "")
    wanted = name if version in NEWEST else f"{name}=={version}"
    table = {
        "install": ("install", wanted, "--json"),
        "update": ("update", name, "--json"),
        "uninstall": ("uninstall", name, "--json"),
        "disable": ("disable", name),
        "enable": ("enable", name),
    }
    return table.get(kind)


async def start(request: web.Request) -> web.Response:
    """Tasks begin by themselves: nothing is left to start."""
    refuse_unless_manager(request)
    return web.json_response({})


async def reset(request: web.Request) -> web.Response:
    """Takes out what has not begun."""
    refuse_unless_manager(request)
    installer = request.app[SERVER].installer
    for task in [one for one in installer.tasks if one.state == PENDING]:
        installer.cancel(task.id)
    return web.json_response({})


async def update_all(request: web.Request) -> web.Response:
    """Updates every pack."""
    refuse_unless_manager(request)
    query = request.query
    task = Task("update", ("update", "--json"), "all packs", query.get("client_id", ""))
    task.id = query.get("ui_id") or task.id
    request.app[SERVER].installer.put(task)
    return web.json_response({"ui_id": task.id})


async def update_host(_: web.Request) -> web.Response:
    """The host itself is no pack."""
    return web.json_response({"message": "Update Noderack itself with pip, then start again."}, status=400)


async def queue_status(request: web.Request) -> web.Response:
    """How many tasks there are, of one client if it says so."""
    tasks = _tasks(request.app[SERVER], request.query.get("client_id"))
    by_state = {
        state: sum(task.state == state for task in tasks) for state in (PENDING, RUNNING, DONE, FAILED)
    }
    return web.json_response(
        {
            "total_count": len(tasks),
            "done_count": by_state[DONE] + by_state[FAILED],
            "in_progress_count": by_state[RUNNING],
            "pending_count": by_state[PENDING],
            "is_processing": bool(by_state[RUNNING] or by_state[PENDING]),
            "client_id": request.query.get("client_id"),
        }
    )


async def history(request: web.Request) -> web.Response:
    """What is over, by its id."""
    tasks = _tasks(request.app[SERVER], request.query.get("client_id"))
    return web.json_response({"history": _history(tasks)})


async def reboot(request: web.Request) -> web.Response:
    """Starts the server again when what runs is over."""
    refuse_unless_manager(request)
    server = request.app[SERVER]
    server.tasks.append(asyncio.create_task(restart(server, "the editor asked for it")))
    return web.json_response({})


async def current_interface(_: web.Request) -> web.Response:
    """The newer of the editor's two interfaces."""
    return web.json_response({"is_legacy_manager_ui": False})


def tell(server: Server, task: Task, event: Mapping[str, Any]) -> None:
    """Tells a dialog's client when its task begins and when it has ended."""
    if event["event"] in ("started", "ended") and task.kind != "install-missing":
        server.tasks.append(asyncio.create_task(_tell(server, task, str(event["event"]))))


async def _tell(server: Server, task: Task, event: str) -> None:
    tasks = _tasks(server, None)
    state = {
        "history": _history(tasks),
        "running_queue": [_item(one) for one in tasks if one.state == RUNNING],
        "pending_queue": [_item(one) for one in tasks if one.state == PENDING],
        "installed_packs": await installed_packs(server),
    }
    told = {"ui_id": task.id, "kind": task.kind, "timestamp": _moment(time.time()), "state": state}
    if event == "ended":
        told |= {"result": task.message or "success", "status": _status(task)}
    message = {"type": COMPLETED if event == "ended" else STARTED, "data": told}
    server.clients.send(message, task.client or None)


def _tasks(server: Server, client: str | None) -> list[Task]:
    return [task for task in server.installer.tasks if client in (None, task.client)]


def _history(tasks: list[Task]) -> dict[str, Any]:
    return {
        task.id: {
            **{"ui_id": task.id, "client_id": task.client, "kind": task.kind, "params": task.params},
            **{
                "result": task.message or "success",
                "status": _status(task),
                "timestamp": _moment(task.ended),
            },
        }
        for task in tasks
        if task.ended is not None
    }


def _item(task: Task) -> dict[str, Any]:
    return {"ui_id": task.id, "client_id": task.client, "kind": task.kind, "params": task.params}


def _status(task: Task) -> dict[str, Any]:
    text = "success" if task.state == DONE else "error"
    return {"status_str": text, "completed": task.state == DONE, "messages": [task.message or "done"]}


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds or 0))


ROUTES = (
    web.get("/v2/customnode/installed", installed),
    web.get("/v2/customnode/getmappings", mappings),
    web.get("/v2/customnode/import_fail_info", import_failures),
    web.post("/v2/customnode/import_fail_info_bulk", import_failures),
    web.get("/v2/manager/is_legacy_manager_ui", current_interface),
    web.get("/v2/manager/queue/status", queue_status),
    web.get("/v2/manager/queue/history", history),
    web.post("/v2/manager/queue/task", queue_task),
    web.post("/v2/manager/queue/start", start),
    web.post("/v2/manager/queue/reset", reset),
    web.post("/v2/manager/queue/update_all", update_all),
    web.post("/v2/manager/queue/update_comfyui", update_host),
    web.post("/v2/manager/reboot", reboot),
)
