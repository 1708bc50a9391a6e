"""What the editor's manager dialogs ask a registry, asked of this host's own.

The published editor has one registry built in. Our part of it sends its questions here instead, where the
page may install (`nodes serve --manager`, the token of this start); nothing of the asker's is passed on.
"""

import os

import aiohttp
from aiohttp import web

from noderack_host.server.routes_manager import refuse_unless_manager
from noderack_host.server.state import SERVER

PATIENCE = aiohttp.ClientTimeout(total=20)
MOST_BYTES = 16 << 20


async def ask(request: web.Request) -> web.Response:
    """The registry's answer to the same question; 502 with a sentence where it gives none."""
    refuse_unless_manager(request)
    base = os.environ.get("NODERACK_REGISTRY") or request.app[SERVER].host.config.registry
    if not base:
        raise web.HTTPNotFound(text="this host has no registry: name one in host.toml or NODERACK_REGISTRY")
    url = f"{base.rstrip('/')}/{request.match_info['kind']}{request.match_info['rest']}"
    body = await request.read() if request.method == "POST" else None
    try:
        async with aiohttp.ClientSession(timeout=PATIENCE) as http:
            return await _answer(http, request, url, body)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise web.HTTPBadGateway(text=f"the registry {base} does not answer: {error}") from error


async def _answer(
    http: aiohttp.ClientSession, request: web.Request, url: str, body: bytes | None
) -> web.Response:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    query = list(request.query.items())
    async with http.request(
        request.method, url, params=query, data=body, headers=headers, allow_redirects=False
    ) as answer:
        text = bytearray()
        async for chunk in answer.content.iter_chunked(1 << 16):
            text += chunk
            if len(text) > MOST_BYTES:
                raise web.HTTPBadGateway(text=f"the registry's answer is larger than {MOST_BYTES} bytes")
        return web.Response(status=answer.status, body=bytes(text), content_type="application/json")


ROUTES = (
    web.get("/noderack/registry/{kind:nodes|comfy-nodes|publishers}{rest:(?:/.+)?}", ask),
    web.post("/noderack/registry/{kind:bulk}{rest:/nodes/versions}", ask),
)
