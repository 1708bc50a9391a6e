"""`server`: the HTTP side that packs register routes on and send messages through."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web
from noderack_compat import finder
from noderack_compat.missing import gap
from noderack_compat.promptserver import BinaryEventTypes, Server

finder.install()
__getattr__ = gap(__name__)
__all__ = ["BinaryEventTypes", "PromptServer", "uuid", "web"]


class PromptServer(Server):
    """The class under its name in the field; `PromptServer.instance` is this process's one."""

    instance: Any = None


PromptServer.instance = PromptServer()
