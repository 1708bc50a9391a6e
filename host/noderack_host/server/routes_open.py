"""The door for browsers: takes a token from the address's end, which is never sent, or asks for it."""

from pathlib import Path

from aiohttp import web

from noderack_host.server.guard import COOKIE, OPEN, cookie_for
from noderack_host.server.state import SERVER

PAGE = Path(__file__).parent / "page" / "open.html"


async def door(_: web.Request) -> web.FileResponse:
    """The page that keeps the tokens and goes on to the start page."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.FileResponse(PAGE, headers=headers)


async def enter(request: web.Request) -> web.Response:
    """Who sends the server's token gets a cookie, so that the pages' own requests are answered."""
    token = request.app[SERVER].settings.token
    response = web.json_response({"wanted": token is not None})
    if token is not None:
        response.set_cookie(
            COOKIE, cookie_for(token), httponly=True, samesite="Strict", secure=request.secure, path="/"
        )
    return response


ROUTES = (web.get(OPEN, door), web.post(OPEN, enter))
