"""Jobs: the newer view of queue and history that the editor's panels use."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from noderack_host.server.queue import STATES, Entry
from noderack_host.server.state import SERVER, json_body

_MEDIA = ("images", "gifs", "video", "videos", "audio", "3d")
_SORT = {"created_at": "created", "execution_duration": "duration"}


async def jobs(request: web.Request) -> web.Response:
    """All prompts, filtered, sorted and paged."""
    server, query = request.app[SERVER], request.query
    wanted = [one for one in query.get("status", "").split(",") if one] or list(STATES)
    if unknown := sorted(set(wanted) - set(STATES)):
        return _bad(f"status {', '.join(unknown)} is unknown; use {', '.join(STATES)}")
    try:
        limit, offset = int(query.get("limit") or 100), int(query.get("offset") or 0)
    except ValueError:
        return _bad("limit and offset must be numbers")
    found = [job(entry) for entry in server.queue.listed(*wanted)]
    if query.get("workflow_id"):
        found = [one for one in found if one.get("workflow_id") == query["workflow_id"]]
    found.sort(key=_key(query.get("sort_by", "")), reverse=query.get("sort_order", "desc") != "asc")
    page = found[offset : offset + limit] if limit > 0 else found[offset:]
    pagination = {
        "offset": offset,
        "limit": limit,
        "total": len(found),
        "has_more": offset + len(page) < len(found),
    }
    return web.json_response({"jobs": page, "pagination": pagination})


def _key(sort_by: str) -> Any:
    if _SORT.get(sort_by) == "duration":
        return lambda one: one.get("execution_end_time", 0) - one.get("execution_start_time", 0)
    return lambda one: one["create_time"]


async def one_job(request: web.Request) -> web.Response:
    """One job whole, its workflow included."""
    entry = request.app[SERVER].queue.get(request.match_info["id"])
    if entry is None:
        return web.json_response({"error": "Job not found"}, status=404)
    more = {
        "outputs": entry.outputs,
        "execution_status": entry.status,
        "workflow": {"prompt": entry.prompt, "extra_data": entry.extra},
    }
    return web.json_response({**job(entry), **more})


async def cancel_job(request: web.Request) -> web.Response:
    """Takes a job out of the queue, or interrupts it."""
    return web.json_response({"cancelled": _cancel(request, [request.match_info["id"]])})


async def cancel_jobs(request: web.Request) -> web.Response:
    """The same for several."""
    body = await json_body(request)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        return _bad("the body needs a list of ids under 'job_ids'")
    return web.json_response({"cancelled": _cancel(request, ids)})


def _cancel(request: web.Request, ids: list[str]) -> bool:
    server = request.app[SERVER]
    gone = server.queue.cancel(ids)
    stopped = [one for one in ids if server.worker.interrupt(one)]
    server.worker.call()
    return bool(gone or stopped)


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)


def job(entry: Entry) -> dict[str, Any]:
    """The job object; what is not known is left out."""
    shown = previewable(entry.outputs)
    told = {
        "id": entry.id,
        "status": entry.state,
        "priority": entry.number,
        "create_time": entry.created,
        "execution_start_time": entry.started,
        "execution_end_time": entry.ended,
        "execution_error": _error(entry.status),
        "outputs_count": sum(len(items) for output in entry.outputs.values() for items in _lists(output)),
        "previewable_outputs_count": len(shown),
        "preview_output": shown[-1] if shown else None,
        "workflow_id": _workflow_id(entry.extra),
    }
    return {key: value for key, value in told.items() if value is not None}


def previewable(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every output file that can be shown, with its node and kind."""
    return [
        {**item, "nodeId": node, "mediaType": kind}
        for node, output in outputs.items()
        if isinstance(output, dict)
        for kind in _MEDIA
        for item in output.get(kind) or ()
        if isinstance(item, dict) and "filename" in item
    ]


def _lists(output: Any) -> list[list[Any]]:
    return [value for value in output.values() if isinstance(value, list)] if isinstance(output, dict) else []


def _error(status: Mapping[str, Any] | None) -> Any:
    messages = (status or {}).get("messages") or ()
    return next((data for name, data in messages if name == "execution_error"), None)


def _workflow_id(extra: Mapping[str, Any]) -> str | None:
    pnginfo = extra.get("extra_pnginfo")
    workflow = pnginfo.get("workflow") if isinstance(pnginfo, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


ROUTES = (
    web.get("/jobs", jobs),
    web.get("/jobs/{id}", one_job),
    web.post("/jobs/{id}/cancel", cancel_job),
    web.post("/jobs/cancel", cancel_jobs),
)
