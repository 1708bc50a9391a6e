"""What the browser asks when a workflow is dropped: which pack has this node type, is this model known.

256 shards by CRC-32 of the name: a workflow of thirty node types reads thirty small files, not the catalogue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from noderack_site.names import checksum
from noderack_site.render import Page, Renderer, fingerprint, json_bytes

SHARDS = 256
_CLAIMS = 4


def lookup_pages(renderer: Renderer) -> Iterator[Page]:
    """lookup/HH.json: {"t": {type: [page, [[pack, title, built in]…]]}, "m": {file name: [page, folder]}}."""
    shelf = renderer.shelf
    shards: dict[int, dict[str, dict[str, Any]]] = defaultdict(lambda: {"t": {}, "m": {}})
    for node_type in shelf.types:
        packs = [str(claim["pack"]) for claim in shelf.data.claims.get(node_type, ())[:_CLAIMS]]
        known = [(name, shelf.data.packs.get(name, {})) for name in packs]
        rows = [[name, str(pack.get("title") or name), bool(pack.get("built_in"))] for name, pack in known]
        shards[checksum(node_type) % SHARDS]["t"][node_type] = [shelf.type_pages[node_type], rows]
    for page, model in shelf.data.models.items():
        file = str(model["name"])
        shards[checksum(file.lower()) % SHARDS]["m"].setdefault(file.lower(), [page, model.get("folder")])
    for number in range(SHARDS):
        shard = shards[number]
        key = fingerprint(shard)
        yield Page(f"lookup/{number:02x}.json", key, lambda shard=shard: json_bytes(shard))  # type: ignore[misc]
