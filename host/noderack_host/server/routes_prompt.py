"""Prompts: accepted, listed, stopped, remembered."""

import math
import uuid
from typing import Any

from aiohttp import web

from noderack_host.check import Checked
from noderack_host.problems import PromptInvalid, node_errors
from noderack_host.server import pack_routes
from noderack_host.server.queue import PENDING, RUNNING, Entry, QueueFull, SamePrompt
from noderack_host.server.state import SERVER, json_body, object_body
from noderack_host.server.webhooks import refused_hook

LONGEST_NAME = 200  # characters of an id


async def accept_prompt(request: web.Request) -> web.Response:
    """Checks a prompt and queues it; 400 with every problem if no output of it can run."""
    server = request.app[SERVER]
    body = pack_routes.rewritten(await json_body(request))
    for handler in server.prompt_handlers:
        body = handler(body)
    prompt = body.get("prompt") if isinstance(body, dict) else None
    if not isinstance(prompt, dict):
        return _refused(
            "no_prompt", "No prompt provided", "the body needs a key 'prompt' with a workflow in API form"
        )
    if (odd := _odd(body)) is not None:
        return _refused(*odd)
    if (refused := refused_hook(body.get("extra_data"), server.settings.webhook_origins)) is not None:
        return _refused("webhook_not_allowed", refused, "")
    checked = await server.checker.check(prompt, body.get("partial_execution_targets"))
    if not checked.outputs:
        return web.json_response(PromptInvalid(checked.problems).as_response(), status=400)
    try:
        entry = server.queue.put(_entry(body, checked), bool(body.get("front")), body.get("number"))
    except QueueFull as full:
        return _refused("queue_full", str(full), "", status=429)
    except SamePrompt as same:
        return _refused("same_prompt_id", str(same), "")
    server.worker.call()
    answer = {"prompt_id": entry.id, "number": entry.number, "node_errors": node_errors(checked.problems)}
    return web.json_response(answer)


def _odd(body: dict[str, Any]) -> tuple[str, str, str] | None:
    """What of a posted prompt's frame cannot be taken: kind, sentence, details; None if all can."""
    number, prompt_id = body.get("number"), body.get("prompt_id")
    if prompt_id is not None and not _is_name(prompt_id):
        return "invalid_prompt_id", "prompt_id must be a printable text of at most 200 characters", ""
    if body.get("client_id") and not _is_name(body["client_id"]):
        return "invalid_client_id", "client_id must be a printable text of at most 200 characters", ""
    if number is not None and not (isinstance(number, int | float) and math.isfinite(number)):
        return "invalid_number", "number must be a finite number", ""
    if not isinstance(body.get("extra_data") or {}, dict):
        return "invalid_extra_data", "extra_data must be an object", ""
    targets = body.get("partial_execution_targets")
    if targets is not None and not (isinstance(targets, list) and all(isinstance(t, str) for t in targets)):
        return "invalid_targets", "partial_execution_targets must be a list of node ids", ""
    return None


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable() and len(text) <= LONGEST_NAME


def _entry(body: dict[str, Any], checked: Checked) -> Entry:
    client = str(body.get("client_id") or "")
    extra = dict(body.get("extra_data") or {})
    if client:
        extra["client_id"] = client
    prompt_id = str(body.get("prompt_id") or uuid.uuid4())
    return Entry(prompt_id, 0, checked.prompt, extra, checked.outputs, client, priority=_priority(body))


def _priority(body: dict[str, Any]) -> int:
    """From -100 to 100, higher goes first; 0 for what is none."""
    wanted = body.get("priority")
    return max(-100, min(100, wanted)) if isinstance(wanted, int) else 0


def _refused(kind: str, message: str, details: str, status: int = 400) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=status)


async def queue_length(request: web.Request) -> web.Response:
    """How many prompts remain."""
    return web.json_response({"exec_info": {"queue_remaining": request.app[SERVER].queue.remaining}})


async def show_queue(request: web.Request) -> web.Response:
    """What runs and what waits."""
    queue = request.app[SERVER].queue
    running = [entry.item() for entry in queue.listed(RUNNING)]
    pending = [entry.item() for entry in queue.listed(PENDING)]
    return web.json_response({"queue_running": running, "queue_pending": pending, "paused": queue.paused})


async def change_queue(request: web.Request) -> web.Response:
    """`clear`, `delete` ids, and ours: `pause` true or false, `move` {id: number}."""
    server, body = request.app[SERVER], await object_body(request)
    if body.get("clear"):
        server.queue.cancel()
    if body.get("delete"):
        server.queue.cancel(_ids(body["delete"]))
    if "pause" in body:
        server.queue.pause(bool(body["pause"]))
    for prompt_id, number in _moves(body.get("move") or {}):
        server.queue.move(prompt_id, number)
    server.worker.call()
    return web.Response()


async def interrupt(request: web.Request) -> web.Response:
    """Stops what runs; with a prompt_id only that prompt."""
    body = await object_body(request)
    request.app[SERVER].worker.interrupt(body.get("prompt_id"))
    return web.Response()


async def free(request: web.Request) -> web.Response:
    """Forgets results (`free_memory`) and models (`unload_models`)."""
    server, body = request.app[SERVER], await object_body(request)
    if body.get("unload_models") or body.get("free_memory"):
        server.engine.free()
    return web.Response()


async def history(request: web.Request) -> web.Response:
    """What is over, oldest first: `max_items` of it, from `offset` on."""
    queue = request.app[SERVER].queue
    entries = queue.history(_number(request, "max_items"), _number(request, "offset"))
    return web.json_response({entry.id: entry.history() for entry in entries})


async def history_of(request: web.Request) -> web.Response:
    """One prompt's entry, or nothing while it is not over."""
    entry = request.app[SERVER].queue.get(request.match_info["id"])
    over = entry is not None and entry.ended is not None
    return web.json_response({entry.id: entry.history()} if entry is not None and over else {})


async def change_history(request: web.Request) -> web.Response:
    """`clear`, or `delete` ids."""
    queue, body = request.app[SERVER].queue, await object_body(request)
    if body.get("clear"):
        queue.forget()
    if body.get("delete"):
        queue.forget(_ids(body["delete"]))
    return web.Response()


def _ids(given: Any) -> list[str]:
    """Ids as a client lists them; what cannot be one is nobody's."""
    if not isinstance(given, list):
        raise web.HTTPBadRequest(text="delete must be a list of ids")
    return [one for one in given if isinstance(one, str) and one.isprintable()]


def _moves(given: Any) -> list[tuple[str, float]]:
    try:
        found = [(str(prompt_id), float(number)) for prompt_id, number in given.items()]
    except (AttributeError, TypeError, ValueError) as cause:
        raise web.HTTPBadRequest(text="move must be {id: number}") from cause
    if not all(math.isfinite(number) and prompt_id.isprintable() for prompt_id, number in found):
        raise web.HTTPBadRequest(text="move must be {id: number}")
    return found


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.lstrip("-").isdigit() and int(text) >= 0 else None


ROUTES = (
    web.get("/prompt", queue_length),
    web.post("/prompt", accept_prompt),
    web.get("/queue", show_queue),
    web.post("/queue", change_queue),
    web.post("/interrupt", interrupt),
    web.post("/free", free),
    web.get("/history", history),
    web.get("/history/{id}", history_of),
    web.post("/history", change_history),
)
