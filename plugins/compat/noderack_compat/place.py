"""Where the host is that this process serves; packs ask at import as well as while they run."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from noderack_host.folder import Host, HostError
from noderack_host.running import current_or_none


def host() -> Host | None:
    """The running host, else the one that NODERACK_HOST names, else the one that this Python belongs to."""
    running = current_or_none()
    if running is not None and running.host is not None:
        return running.host
    return _nearby(os.environ.get("NODERACK_HOST"), sys.prefix)


@lru_cache(maxsize=4)
def _nearby(named: str | None, prefix: str) -> Host | None:
    for find, where in ((Host.open, named), (Host.find, prefix)):
        if where:
            try:
                return find(where)
            except HostError:
                continue
    return None


def root() -> Path:
    """The host's folder; the working folder where packs are looked at without a host."""
    found = host()
    return found.root if found else Path.cwd()


def folder(name: str) -> Path:
    """One of the host's own folders: models, input, output, temp, user."""
    found = host()
    chosen: Path = getattr(found, name) if found else root() / name
    return chosen


def packs_folder() -> Path:
    """Where the wheels of existing packs put their trees."""
    import importlib.util

    spec = importlib.util.find_spec("custom_nodes")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else root() / "custom_nodes"
