"""What packs add to the server by themselves: routes, messages, a look at each prompt.

Packs of the field do so through an object `PromptServer.instance` in a module named `server`. The runtime
knows that module only by finding it imported; who provides it is a pack's affair (plugins/compat does).
"""

import sys
from typing import Any

from aiohttp import web

from noderack_host.server.clients import Clients


def found() -> Any:
    """The object that packs talk to, or None when no pack has asked for one."""
    instance = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    return instance if hasattr(instance, "routes") and hasattr(instance, "sender") else None


def adopt(app: web.Application, clients: Clients) -> None:
    """Takes over the routes that packs have registered so far, and lets their messages out to clients."""
    instance = found()
    if instance is None:
        return
    for route in instance.routes:
        if isinstance(route, web.RouteDef):
            app.router.add_route(route.method, route.path, route.handler, **route.kwargs)
            app.router.add_route(route.method, "/api" + route.path, route.handler)
        else:
            route.register(app.router)
    for resource in list(instance.app.router.resources()):
        app.router.register_resource(resource)
    instance.app = app

    def send(event: str | int, data: Any, client_id: str | None) -> None:
        if isinstance(event, str):
            clients.tell({"type": event, "data": data}, client_id)
        else:
            clients.tell_bytes(event.to_bytes(4, "big") + bytes(data), client_id)

    instance.sender = send


def rewritten(body: Any) -> Any:
    """A posted prompt after packs have looked at it."""
    instance = found()
    return body if instance is None else instance.trigger_on_prompt(body)
