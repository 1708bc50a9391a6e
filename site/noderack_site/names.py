"""Names in addresses: letters, digits and hyphens; the same for the same name, never one for two pages."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_OTHER = re.compile(r"[^a-z0-9]+")
_LIMIT = 80


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens; a checksum stands in where nothing of the name is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    made = _OTHER.sub("-", ascii_text.lower()).strip("-")[:_LIMIT].strip("-")
    return made or f"x{checksum(text):08x}"


def checksum(text: str) -> int:
    """CRC-32 of the UTF-8 bytes: the browser computes the same to find a name's shard."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def page_names(names: Iterable[str]) -> dict[str, str]:
    """An address for each name: the name itself where it is plain and no other differs by case only."""
    wanted = list(names)
    folded = Counter(name.casefold() for name in wanted)
    return {
        name: name
        if len(name) <= _LIMIT and _PLAIN.fullmatch(name) and folded[name.casefold()] == 1 and name != "index"
        else f"{slug(name)}~{checksum(name):08x}"
        for name in wanted
    }
