"""What the browser asks when a workflow is dropped: which pack has this node type, is this model known.

256 shards by CRC-32 of the name: a workflow of thirty node types reads thirty small files, not the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from noderack_site.names import checksum
from noderack_site.render import Page, Renderer, fingerprint, json_bytes

SHARDS = 256
_CLAIMS = 4


def lookup_pages(renderer: Renderer) -> Iterator[Page]:
    """lookup/HH.json: {"t": {type: [page, [[pack, title, built in]…]]}, "m": {file name: [page, folder]}}."""
    data = renderer.shelf.data
    shards: list[dict[str, dict[str, Any]]] = [{"t": {}, "m": {}} for _ in range(SHARDS)]
    known = {
        name: [name, str(pack.get("title") or name), bool(pack.get("built_in"))]
        for name, pack in data.packs.items()
    }
    for node_type, page in renderer.shelf.type_pages.items():
        packs = [str(claim["pack"]) for claim in data.claims.get(node_type, ())[:_CLAIMS]]
        rows = [known.get(name) or [name, name, False] for name in packs]
        shards[checksum(node_type) % SHARDS]["t"][node_type] = [page, rows]
    for page, model in data.models.items():
        file = str(model["name"]).lower()
        shards[checksum(file) % SHARDS]["m"].setdefault(file, [page, model.get("folder")])
    for number, shard in enumerate(shards):
        yield Page(f"lookup/{number:02x}.json", fingerprint(shard), partial(json_bytes, shard))
