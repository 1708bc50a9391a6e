"""New packs in a running server: an installer tells of a generation, `nodes pack dev` of a changed pack."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from noderack_host.reload import CHANGED, changes
from noderack_host.renewal import in_use
from noderack_host.server import presence
from noderack_host.server.guard import START_HEADER
from noderack_host.server.shelf import RESTART, NoGeneration, Taken
from noderack_host.server.state import RESTART as RESTART_CODE
from noderack_host.server.state import SERVER, Server, json_body

log = logging.getLogger(__name__)
PACKS = "noderack.packs"
RESTARTS = "noderack.restart"
LOOK_EVERY = 0.5  # seconds
GRACE = 4  # looks: an installer that can speak tells by itself in that time


def refuse_without_token(request: web.Request) -> None:
    """Raises HTTPForbidden unless the request carries the token of this start."""
    if not request.app[SERVER].settings.is_start_token(request.headers.get(START_HEADER, "")):
        text = f"this needs the header {START_HEADER} with the token that is in user/{presence.NAME}"
        raise web.HTTPForbidden(text=text)


async def new_generation(request: web.Request) -> web.Response:
    """`{"generation": N}` → how it was taken: `live`, or `restart`, which follows when what runs is over."""
    refuse_without_token(request)
    body = await json_body(request)
    number = body.get("generation") if isinstance(body, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise web.HTTPBadRequest(text='the body needs {"generation": N}')
    try:
        taken = await take(request.app[SERVER], number)
    except NoGeneration as none:
        raise web.HTTPNotFound(text=str(none)) from none
    return web.json_response(taken.as_dict())


async def reload_named(request: web.Request) -> web.Response:
    """`{"packs": [NAME]}`: loads these packs again."""
    refuse_without_token(request)
    body = await json_body(request)
    names = body.get("packs") if isinstance(body, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise web.HTTPBadRequest(text='the body needs {"packs": [NAME, …]}')
    return web.json_response(await reload(request.app[SERVER], names))


async def take(server: Server, number: int) -> Taken:
    """Takes in a generation: live, or by asking for a restart; raises NoGeneration."""
    taken = await server.shelf.take(number)
    if taken.taken == RESTART:
        log.info("generation %s needs a restart: %s", number, taken.reason)
        server.tasks.append(asyncio.create_task(restart(server, taken.reason)))
        return taken
    log.info("generation %s is in use; new packs: %s", number, ", ".join(taken.packs) or "none")
    _renewed(server, {"packs": list(taken.packs), "node_types": list(taken.node_types)}, taken.failures)
    return taken


async def reload(server: Server, names: list[str]) -> dict[str, Any]:
    """Loads packs again and tells the clients which, and what failed."""
    done = await server.shelf.reload(names)
    log.info("loaded again in %.2f s: %s", done.seconds, ", ".join(done.reloaded) or "nothing")
    told = {"packs": list(done.reloaded), "node_types": sorted(done.node_types)}
    return _renewed(server, told, done.failures)


def _renewed(server: Server, told: dict[str, Any], failures: tuple[Any, ...]) -> dict[str, Any]:
    for failure in failures:
        log.error("%s did not load: %s\n%s", failure.pack, failure.cause, failure.trace)
    server.pack_routes.adopt()
    server.announce()
    told = {**told, "failures": [{"pack": one.pack, "cause": one.cause} for one in failures]}
    server.clients.send({"type": PACKS, "data": told})
    return told


async def restart(server: Server, why: str) -> None:
    """Starts nothing more, lets what runs or installs come to its end, then asks to be started again."""
    await server.installer.quiet()
    server.clients.send({"type": RESTARTS, "data": {"reason": why}})
    await server.worker.hold()
    server.ending.ask(RESTART_CODE)


async def watch(server: Server) -> None:
    """Sees what nobody told: a generation that was switched to, and packs that `nodes pack dev` changed."""
    file = server.host.user / CHANGED
    position, foreign, refused = changes(file, 0)[1], 0, None
    while True:
        await asyncio.sleep(LOOK_EVERY)
        names, position = changes(file, position)
        if names:
            await reload(server, list(names))
        number, _ = in_use(server.host)
        foreign = foreign + 1 if number not in (None, server.shelf.generation, refused) else 0
        if foreign >= GRACE and number is not None:
            refused = number if (await take(server, number)).taken == RESTART else None


ROUTES = (web.post("/noderack/generation", new_generation), web.post("/noderack/reload", reload_named))
