"""What packs add to the server by themselves: routes, messages, a look at each prompt.

Packs of the field do so through an object `PromptServer.instance` in a module named `server`. The runtime
knows that module only by finding it imported; who provides it is a pack's affair (plugins/compat does).

An application's own routes are fixed once it runs. Packs may come later, so theirs are kept apart, in
dispatchers that are asked for what the application has no route for; the guard stands before both.
"""

import sys
from typing import Any

from aiohttp import web

from noderack_host.replace import Replacement
from noderack_host.server.clients import Clients


def found() -> Any:
    """The object that packs talk to, or None when no pack has asked for one."""
    instance = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    return instance if hasattr(instance, "routes") and hasattr(instance, "sender") else None


class PackRoutes:
    """Packs' routes as they are registered; `adopt` looks anew."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._own = web.UrlDispatcher()

    def adopt(self) -> None:
        """Takes over the routes of now (of a reloaded pack its newer ones), and lets messages out."""
        instance = found()
        if instance is None:
            return
        self._own = web.UrlDispatcher()
        for route in {_place(route): route for route in instance.routes}.values():
            self._add(route)
        instance.sender = self.send

    def _add(self, route: web.AbstractRouteDef) -> None:
        if not isinstance(route, web.RouteDef):
            route.register(self._own)
            return
        self._own.add_route(route.method, route.path, route.handler, **route.kwargs)
        self._own.add_route(route.method, "/api" + route.path, route.handler)

    def send(self, event: str | int, data: Any, client_id: str | None) -> None:
        """A pack's own message to a client, or to all; from any thread."""
        if isinstance(event, str):
            self._clients.tell({"type": event, "data": data}, client_id)
        else:
            self._clients.tell_bytes(event.to_bytes(4, "big") + bytes(data), client_id)

    def dispatchers(self) -> tuple[web.UrlDispatcher, ...]:
        """Who knows packs' routes: ours, and the one of the application object that packs may add to."""
        instance = found()
        theirs = () if instance is None else (instance.app.router,)
        return (self._own, *theirs)


def _place(route: web.AbstractRouteDef) -> tuple[str, str]:
    if isinstance(route, web.RouteDef):
        return route.method, route.path
    return "static", str(getattr(route, "prefix", id(route)))


async def answered(request: web.Request, dispatcher: web.UrlDispatcher) -> web.StreamResponse | None:
    """The answer of the route that this dispatcher has for the request; None if it has none."""
    match = await dispatcher.resolve(request)
    if match.http_exception is not None:
        return None
    request.match_info.clear()
    request.match_info.update(match)
    return await match.handler(request)


def replacements() -> list[Replacement]:
    """The node types that packs have registered as taking another's place."""
    return list(getattr(found(), "node_replacements", ()))


def rewritten(body: Any) -> Any:
    """A posted prompt after packs have looked at it."""
    instance = found()
    return body if instance is None else instance.trigger_on_prompt(body)
