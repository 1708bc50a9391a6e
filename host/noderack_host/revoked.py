"""Packs that a registry revoked are not loaded: by the list that the manager verified and keeps in the host.

The list (`.revoked.json`, by registry) was signed when it came; the generation's record says which file each
pack was installed from. Both are read at each load, so that a server that runs for weeks obeys a newer list.

Errors:
    Revoked   the pack's file was revoked: says why, and how to take the pack out
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_host.folder import Host

if TYPE_CHECKING:  # the installer reads the list as well, and needs nothing of what loads packs
    from importlib.metadata import EntryPoint

    from noderack_host.packs import Contents

LIST, RECORD = ".revoked.json", "generation.json"


class Revoked(RuntimeError):
    """The registry says that nobody may start this file."""


def refusing(host: Host, load: "Callable[[EntryPoint], Contents]") -> "Callable[[EntryPoint], Contents]":
    """`load`, but for packs whose file was revoked: those raise Revoked and are not touched."""

    def checked(point: "EntryPoint") -> "Contents":
        name = point.dist.name if point.dist is not None else point.name
        reason = revoked_packs(host).get(_key(name))
        if reason is not None:
            raise Revoked(f"its registry revoked it: {reason}. Take it out: nodes uninstall {_key(name)}")
        return load(point)

    return checked


def revoked_packs(host: Host) -> dict[str, str]:
    """The packs of the generation in use whose file was revoked, with the reason."""
    killed = dict(_listed(host))
    if not killed:
        return {}
    packs = _read(Path(os.path.realpath(host.env)) / RECORD).get("packs")
    found = {}
    for name, pack in packs.items() if isinstance(packs, Mapping) else ():
        if isinstance(pack, Mapping) and pack.get("sha256") in killed:
            found[_key(name)] = killed[pack["sha256"]]
    return found


def _listed(host: Host) -> Iterator[tuple[str, str]]:
    for rows in _read(host.root / LIST).values():
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, Mapping) and isinstance(row.get("sha256"), str):
                yield row["sha256"], str(row.get("reason") or "no reason given")


def _read(file: Path) -> Mapping[str, Any]:
    """The object in a JSON file; nothing where there is none, as before the first list came."""
    with suppress(OSError, ValueError):
        data = json.loads(file.read_text("utf-8"))
        if isinstance(data, Mapping):
            return data
    return {}


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
