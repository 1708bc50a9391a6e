"""The registry service. `app(settings)` gives the ASGI app, `serve` and `serving` put it on a socket."""

from noderack_registry.server.answers import Registry
from noderack_registry.server.application import app, open_registry
from noderack_registry.server.serving import serve, serving
from noderack_registry.server.settings import RateLimits, Settings

__all__ = ["RateLimits", "Registry", "Settings", "app", "open_registry", "serve", "serving"]
