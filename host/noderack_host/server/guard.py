"""Who may ask: one middleware in front of every route, packs' routes and static files included.

A page of another origin must not reach a host through the browser of its visitor: not by a form, an
image, a socket, or a name that it rebinds to this machine.
"""

import hashlib
import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from noderack_host.server.settings import ServerSettings

SAME_SITE = frozenset({"same-origin", "same-site", "none"})
COOKIE = "noderack_token"
OPEN = "/noderack/open"
START_HEADER = "X-Noderack-Token"


class Refusal(Exception):
    """A request that is not answered: the status, and one sentence that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def guard(settings: ServerSettings) -> Middleware:
    """The middleware for these settings."""

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refuse_foreign(request, settings)
            refuse_unknown(request, settings)
        except Refusal as refusal:
            if refusal.status == 401 and _is_visitor(request):
                raise web.HTTPSeeOther(OPEN) from refusal
            return web.json_response({"error": str(refusal)}, status=refusal.status)
        response = await handler(request)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    return watch


def refuse_foreign(request: web.Request, settings: ServerSettings) -> None:
    """Raises Refusal if the request comes from a page of another origin, or under a foreign name."""
    host = request.headers.get("Host", "")
    if not settings.answers_to(host):
        raise Refusal(403, f"this server does not answer to the name {host!r}; allow it with --name")
    origin = request.headers.get("Origin")
    if origin is not None:
        if origin not in settings.origins and origin.partition("://")[2] != host:
            raise Refusal(403, f"pages of {origin} may not call this server; allow them with --origin")
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in SAME_SITE and not _is_visit(request):
        raise Refusal(403, "a page of another site may not call this server")


def _is_visit(request: web.Request) -> bool:
    """A person followed a link to the start page: nothing happens by it."""
    return (
        request.method == "GET"
        and request.path == "/"
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
    )


def _is_visitor(request: web.Request) -> bool:
    """A person in a browser, who can be asked for the token."""
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


def cookie_for(token: str) -> str:
    """What a browser that gave the token once keeps: proof of it, not the token."""
    return hmac.new(token.encode(), b"noderack browser", hashlib.sha256).hexdigest()


def refuse_unknown(request: web.Request, settings: ServerSettings) -> None:
    """Raises Refusal if a token is wanted and the request does not carry it."""
    if request.method == "GET" and request.path == OPEN:
        return
    if settings.token is None or settings.is_start_token(request.headers.get(START_HEADER, "")):
        return
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    offered = given if kind.lower() == "bearer" else request.query.get("token", "")
    known = hmac.compare_digest(offered.encode(), settings.token.encode())
    cookie = request.cookies.get(COOKIE, "")
    if not known and not hmac.compare_digest(cookie.encode(), cookie_for(settings.token).encode()):
        raise Refusal(401, "this server wants its token: send the header Authorization: Bearer TOKEN")
