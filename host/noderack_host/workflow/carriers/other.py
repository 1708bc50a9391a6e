"""GLB (`asset.extras`), safetensors and .latent headers (`__metadata__`), SVG (`<metadata>`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from noderack_host.workflow.carriers.entry import MAX_ENTRY, Data, Entry, as_text
from noderack_host.workflow.text import parse

_CDATA = "<![CDATA["


def glb(data: Data) -> Iterator[Entry]:
    size = int.from_bytes(data[12:16], "little")
    value = parse(as_text(data[20 : 20 + min(size, MAX_ENTRY)]))
    asset = value.get("asset") if isinstance(value, Mapping) else None
    extras = asset.get("extras") if isinstance(asset, Mapping) else None
    yield from _fields(extras, "asset.extras")


def safetensors(data: Data) -> Iterator[Entry]:
    size = int.from_bytes(data[:8], "little")
    value = parse(as_text(data[8 : 8 + min(size, MAX_ENTRY)]))
    yield from _fields(value.get("__metadata__") if isinstance(value, Mapping) else None, "__metadata__")


def svg(data: Data) -> Iterator[Entry]:
    """The text of the first `<metadata>` element, out of its CDATA section where it has one."""
    text = as_text(data[:MAX_ENTRY])
    start = text.find("<metadata")
    end = text.find("</metadata>", start)
    if start < 0 or end < 0:
        return
    inner = text[text.find(">", start) + 1 : end]
    opened = inner.find(_CDATA)
    if opened >= 0:
        inner = inner[opened + len(_CDATA) :].replace("]]]]><![CDATA[>", "]]>").rstrip()
        inner = inner.removesuffix("]]>")
    yield Entry("", inner.strip(), "<metadata>")


def _fields(value: Any, where: str) -> Iterator[Entry]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            text = item if isinstance(item, str) else json.dumps(item)
            yield Entry(str(key), text, f"{where}.{key}")
