"""Which models are in the memory of which device, and why."""

import sys

from aiohttp import web


async def model_memory(request: web.Request) -> web.Response:
    """What the rooms of the diffusion core say; nothing where no model was used in this process yet."""
    rooms = sys.modules.get("noderack_diffusion.rooms")
    return web.json_response({"rooms": [] if rooms is None else rooms.reports()})


ROUTES = (web.get("/noderack/memory", model_memory),)
