"""Which host and which registry a command means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from noderack_host.folder import Host

from noderack_cli.errors import BadInput

if TYPE_CHECKING:
    import httpx
    from noderack_registry.client import RegistryClient


def open_host(folder: Path | None) -> Host:
    """The host at `folder`, else at the nearest parent of the working folder; raises HostError."""
    return Host.open(folder) if folder is not None else Host.find(Path.cwd())


def registry_url(host: Host | None, given: str | None) -> str:
    """The registry's address: given, or the host's; raises BadInput when there is none."""
    url = given or (host.config.registry if host is not None else None)
    if not url:
        hint = "Say --registry URL, set NODERACK_REGISTRY, or start one here with: nodes registry serve"
        raise BadInput("No registry is named, so there is nowhere to look for packs and models", hint)
    return url


def open_registry(host: Host | None, given: str | None, *, needed: bool = True) -> RegistryClient:
    """A client of that registry, with the token that NODERACK_TOKEN holds.

    Where none is named and none is `needed`, it is one that knows of nothing.
    """
    import httpx  # here: what a command that only looks at the host would wait for
    from noderack_registry.client import RegistryClient

    if not needed and not (given or (host is not None and host.config.registry)):
        nowhere = httpx.Client(transport=httpx.MockTransport(_nothing), base_url="http://nowhere.invalid")
        return RegistryClient("", http=nowhere)
    return RegistryClient(registry_url(host, given), token=os.environ.get("NODERACK_TOKEN"))


def _nothing(_: httpx.Request) -> httpx.Response:
    import httpx

    return httpx.Response(404, json={"detail": "no registry is named"})
