"""While a host runs: is its list of revoked files still the registry's? Asked beside the start, not before.

What the host has when it starts decides what it loads (`noderack_host.revoked`). This brings the list up to
date for the next time, and says when it could not, how old the list is, and what was revoked meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from noderack_host.folder import Host
from noderack_host.revoked import LIST, revoked_packs

EVERY = 3600.0  # seconds for which a list is fresh, and between questions of a server that goes on
Say = Callable[[str], None]


class Watch:
    """Asks the host's registry for its list now, if that is due, and then every hour until `stop`."""

    def __init__(self, host: Host, say: Say, *, every: float = EVERY) -> None:
        self._host, self._say, self._every = host, say, every
        self._known = revoked_packs(host)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="revocations")

    def start(self) -> None:
        """Begin, in a thread: nothing waits for it."""
        if registry_of(self._host) and not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            old = age(self._host)
            if old is None or old >= self._every:
                self._ask()
            self._ended.wait(self._every)

    def _ask(self) -> None:
        told = brought_up_to_date(self._host)
        if told:
            self._say(told)
        for name, reason in revoked_packs(self._host).items():
            if name not in self._known:
                self._say(
                    f"The registry has revoked {name}: {reason}. It runs until this ends, and is not loaded "
                    f"again; take it out: nodes uninstall {name}"
                )
        self._known |= revoked_packs(self._host)


def registry_of(host: Host) -> str | None:
    """The registry that answers for a host."""
    return os.environ.get("NODERACK_REGISTRY") or host.config.registry


def age(host: Host, now: float | None = None) -> float | None:
    """Seconds since the list was last found to be the registry's, None if it never came."""
    try:
        return max(0.0, (time.time() if now is None else now) - (host.root / LIST).stat().st_mtime)
    except OSError:
        return None


def brought_up_to_date(host: Host) -> str:
    """Ask the registry and keep its list; empty, or the sentence that says why that was not possible."""
    import httpx
    from noderack_registry.client import RegistryClient
    from noderack_registry.errors import RegistryError

    from noderack_cli.trust import refreshed

    url = registry_of(host) or ""
    try:
        with RegistryClient(url, http=httpx.Client(timeout=5.0)) as client:
            refreshed(host, client, keep=True)
    except (RegistryError, OSError) as error:
        hint = getattr(error, "hint", "")
        said = f"The list of revoked packs was not brought up to date: {error}"
        return f"{said}{f' ({hint})' if hint else ''}; {old(host)}."
    return ""


def old(host: Host) -> str:
    """How old the list is, in words."""
    seconds = age(host)
    if seconds is None:
        return "there is none here yet"
    days, hours = int(seconds // 86400), int(seconds // 3600)
    many, unit = (days, "day") if days else (hours, "hour")
    return f"the one here is {many} {unit}{'' if many == 1 else 's'} old"
