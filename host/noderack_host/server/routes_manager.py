"""The manager in the editor: what the opened workflow lacks, what would bring it, and bringing it, live.

Off unless the server was started with --manager. Whatever asks the registry or changes the host wants the
token of this start, which the address that `nodes serve --manager` prints hands to the editor's own page.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from noderack_host.renewal import in_use
from noderack_host.server.guard import START_HEADER
from noderack_host.server.installer import Ended, Task
from noderack_host.server.lacking import lacking
from noderack_host.server.routes_renew import refuse_without_token, take
from noderack_host.server.state import SERVER, Server, json_body
from noderack_host.workflow import Workflow, WorkflowError, read_workflow

INSTALL = "noderack.install"
WORKFLOW_ROUTES = ("missing", "plan", "install")


def refuse_unless_manager(request: web.Request) -> None:
    """Raises HTTPForbidden unless this server installs, and the request carries the token of this start."""
    if not request.app[SERVER].settings.manager:
        raise web.HTTPForbidden(text="this server installs nothing: start it with `nodes serve --manager`")
    refuse_without_token(request)


async def state(request: web.Request) -> web.Response:
    """Whether packs can be installed here, whether this page may, and the tasks of this start."""
    server = request.app[SERVER]
    trusted = server.settings.is_start_token(request.headers.get(START_HEADER, ""))
    told: dict[str, Any] = {"enabled": server.settings.manager, "trusted": trusted}
    if trusted:
        told["tasks"] = [task.as_dict() for task in server.installer.tasks]
    return web.json_response(told)


async def missing(request: web.Request) -> web.Response:
    """`{"workflow"}` → node types and models that this host lacks. Asks nobody, changes nothing."""
    server = request.app[SERVER]
    _, workflow = _workflow(await json_body(request))
    return web.json_response(lacking(workflow, server.packs, server.folders))


async def plan(request: web.Request) -> web.Response:
    """`{"workflow", "choose"}` → the installer's plan, with candidates where only the user can choose."""
    refuse_unless_manager(request)
    server, body = request.app[SERVER], await json_body(request)
    words, file = _words(server, body)
    try:
        ended = await server.installer.run((*words, "--dry-run"))
    finally:
        file.unlink(missing_ok=True)
    return web.json_response({"plan": _plan(ended), "message": ended.message})


async def install(request: web.Request) -> web.Response:
    """The same, carried out: answers with the task; its events follow on the client's socket."""
    refuse_unless_manager(request)
    server, body = request.app[SERVER], await json_body(request)
    words, file = _words(server, body)
    more = ("--partial",) if body.get("partial") else ()
    client = str(body.get("client_id") or "")
    task = Task("install-missing", (*words, *more), "missing packs and models", client, file=file)
    return web.json_response(server.installer.put(task).as_dict())


async def cancel(request: web.Request) -> web.Response:
    """`{"task"}`: takes it out or ends it; the host is as it was, or as it was to be."""
    refuse_unless_manager(request)
    body = await json_body(request)
    task = str(body.get("task")) if isinstance(body, dict) else ""
    return web.json_response({"cancelled": request.app[SERVER].installer.cancel(task)})


def _workflow(body: Any) -> tuple[str, Workflow]:
    if not isinstance(body, dict) or not isinstance(body.get("workflow"), dict):
        raise web.HTTPBadRequest(text='the body needs {"workflow": {…}}')
    text = json.dumps(body["workflow"])
    try:
        return text, read_workflow(text)
    except WorkflowError as error:
        raise web.HTTPBadRequest(text=f"the workflow cannot be read: {error}") from error


def _words(server: Server, body: Any) -> tuple[tuple[str, ...], Any]:
    """The command line for a posted workflow, and the file that it is in."""
    text, _ = _workflow(body)
    server.host.temp.mkdir(parents=True, exist_ok=True)
    file = server.host.temp / f"workflow-{uuid.uuid4().hex}.json"
    choices = body.get("choose") or {}
    if not isinstance(choices, dict) or not all(isinstance(one, str) for one in choices.values()):
        raise web.HTTPBadRequest(text="choose must map names to choices")
    file.write_text(text, encoding="utf-8")
    chosen = (f"--choose={name}={choice}" for name, choice in choices.items())
    return ("install-missing", str(file), "--json", *chosen), file


def _plan(ended: Ended) -> Any:
    return next((event["plan"] for event in ended.events if event.get("event") == "plan"), None)


def tell(server: Server, task: Task, event: Mapping[str, Any]) -> None:
    """An event of a task, for the client that asked for it."""
    server.clients.send({"type": INSTALL, "data": {"task": task.id, **event}}, task.client or None)


async def take_in(server: Server) -> Mapping[str, Any] | None:
    """Takes in the generation that an installer left, if it left one."""
    number, _ = in_use(server.host)
    if number is None or number == server.shelf.generation:
        return None
    return (await take(server, number)).as_dict()


ROUTES = (
    web.get("/noderack/manager", state),
    web.post("/noderack/manager/missing", missing),
    web.post("/noderack/manager/plan", plan),
    web.post("/noderack/manager/install", install),
    web.post("/noderack/manager/cancel", cancel),
)
