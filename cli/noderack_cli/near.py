"""What is named nearly so: the hint of an error about a name that nobody knows."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal

from noderack_registry.client import NotFound as UnknownHere
from noderack_registry.client import RegistryClient
from noderack_registry.schema import Pack

from noderack_cli.errors import NotFound

ALIKE = 0.55  # of two names: what a search finds may share a word and nothing else


def near(client: RegistryClient, name: str, kind: Literal["pack", "node-type", "model"]) -> list[str]:
    """Up to three names of that kind that a search for `name` finds; a node type with its pack."""
    try:
        hits = client.search(name, kind=kind, limit=10).hits
    except UnknownHere:  # a registry without search
        return []
    hits = tuple(hit for hit in hits if _alike(name.lower(), hit.name.lower()))[:3]
    return [f"{hit.name} ({hit.pack})" if hit.pack and kind == "node-type" else hit.name for hit in hits]


def _alike(one: str, other: str) -> bool:
    return one in other or SequenceMatcher(None, one, other).ratio() >= ALIKE


def pack_or_near(client: RegistryClient, name: str) -> Pack:
    """The pack's page; raises NotFound with near names."""
    try:
        return client.pack(name)
    except UnknownHere as cause:
        found = near(client, name, "pack")
        hint = f"Near names: {', '.join(found)}." if found else "Search: nodes search WORDS"
        raise NotFound(f"There is no pack {name} at {client.url}", hint) from cause
