"""The registry's list of revoked files: verified with the key that the host trusts, remembered, obeyed.

The key is in host.toml under [trust], by the registry's address: what you write there, or what the registry
showed the first time. The list that was last verified is kept beside it, so that an install without a
registry (from a lock, from a bundle) obeys it as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from noderack_host.folder import Host
from noderack_host.revoked import LIST
from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.revocations import BadFeed, current_key, verify
from noderack_registry.schema import Revocation

from noderack_cli.errors import Unresolvable
from noderack_cli.links import write_settled
from noderack_cli.plan import Plan

KEY = "trust"

Killed = Mapping[str, Revocation]


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a host knows of a registry's list: the key that signs it, and the highest serial met."""

    key: str | None = None
    serial: int = 0


def pinned(host: Host, url: str) -> Pinned:
    """What host.toml says of the registry at `url`."""
    said = host.config.other.get(KEY, {})
    row = said.get(url.rstrip("/"), {}) if isinstance(said, Mapping) else {}
    row = {"key": row} if isinstance(row, str) else row
    key, serial = row.get("key"), row.get("serial", 0)
    return Pinned(key if isinstance(key, str) else None, serial if isinstance(serial, int) else 0)


def refreshed(host: Host, client: RegistryClient, *, keep: bool, now: datetime | None = None) -> Killed:
    """The registry's list, verified; raises BadFeed (not its key, expired, an old copy), RegistryError.

    With `keep` the host remembers the key and the list; without, as for a dry run, nothing is written.
    A registry without such a list counts as one with an empty list, until it has shown one.
    """
    host = Host.open(host.root)
    known = pinned(host, client.url)
    try:
        feed = client.revocation_feed()
    except NotFound as cause:
        if known.key:
            raise BadFeed(
                f"{client.url} does not serve its list of revoked files any more", "ask who runs it"
            ) from cause
        return remembered(host)
    key = known.key or str(feed.get("key", ""))
    try:
        key = current_key(feed, key)
        serial, revoked = verify(feed, key, now or datetime.now(timezone.utc), known.serial)
    except BadFeed as error:
        raise _with_way_out(error, host, client.url, known) from error
    if keep and (known.key, known.serial) != (key, serial):
        _pin(host, client.url, Pinned(key, serial))
    if keep:
        _remember(host, client.url, revoked)
    return remembered(host) | {one.sha256: one for one in revoked}


def _with_way_out(error: BadFeed, host: Host, url: str, known: Pinned) -> BadFeed:
    if not known.key or error.code != "index-signature":
        return error
    hint = (
        f"If the registry did change its key, take the line of {url} out of [{KEY}] in {host.root}/host.toml"
    )
    return BadFeed(str(error), hint, error.code)


def _pin(host: Host, url: str, what: Pinned) -> None:
    said = host.config.other.get(KEY, {})
    rows = dict(said) if isinstance(said, Mapping) else {}
    rows[url.rstrip("/")] = {"key": what.key, "serial": what.serial}
    host.with_config(other={**host.config.other, KEY: rows})


def remembered(host: Host) -> dict[str, Revocation]:
    """All that any registry of this host revoked when it was last asked, by sha256."""
    return {one.sha256: one for rows in _lists(host).values() for one in map(Revocation.from_json, rows)}


def _lists(host: Host) -> dict[str, list[Any]]:
    with suppress(OSError, ValueError, AttributeError):
        data = json.loads((host.root / LIST).read_text("utf-8"))
        return {str(url): list(rows) for url, rows in data.items()}
    return {}


def _remember(host: Host, url: str, revoked: Iterable[Revocation]) -> None:
    rows = [one.to_json() for one in revoked]
    lists = _lists(host)
    if rows != lists.get(url):
        write_settled(_file(host), json.dumps({**lists, url: rows}))
    else:
        _file(host).touch()  # its age is that of the last answer, see revocation_watch.py


def _file(host: Host) -> Path:
    return host.root / LIST


def refuse_killed(plan: Plan, killed: Killed) -> None:
    """Raise Unresolvable if the plan would install a revoked file."""
    files = [(f"{p.pack} {p.version}", p.sha256) for p in plan.packs]
    files += [(f"{d.name} {d.new}", d.wheel.sha256) for d in plan.distributions if d.wheel]
    files += [(m.name, m.manifest.sha256) for m in plan.models]
    bad = [(name, killed[sha256]) for name, sha256 in files if sha256 and sha256 in killed]
    if not bad:
        return
    name, one = bad[0]
    more = f" (and {len(bad) - 1} more)" if bad[1:] else ""
    raise Unresolvable(
        f"{name} was revoked by the registry, and is not installed{more}: {one.reason or 'no reason given'}",
        "Take another version, or leave it out; see what else is revoked here: nodes audit",
    )
