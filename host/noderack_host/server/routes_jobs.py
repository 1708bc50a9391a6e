"""Jobs: the newer view of queue and history that the editor's panels use."""

from aiohttp import web

from noderack_host.server.jobs import job
from noderack_host.server.queue import STATES
from noderack_host.server.state import SERVER, json_body

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
    by, newest = _SORT.get(query.get("sort_by", ""), "created"), query.get("sort_order", "desc") != "asc"
    rows = limit if limit > 0 else -1
    found, total = server.queue.page(
        wanted, by, newest, rows, max(0, offset), query.get("workflow_id") or None
    )
    more = max(0, offset) + len(found) < total
    pagination = {"offset": offset, "limit": limit, "total": total, "has_more": more}
    return web.json_response({"jobs": [job(entry) for entry in found], "pagination": pagination})


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


ROUTES = (
    web.get("/jobs", jobs),
    web.get("/jobs/{id}", one_job),
    web.post("/jobs/{id}/cancel", cancel_job),
    web.post("/jobs/cancel", cancel_jobs),
)
