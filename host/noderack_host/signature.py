"""Content signatures: what a node's result depends on, as 16 bytes.

A key is a hash over the node type, the fingerprint that its class gives, its constants, and the keys of the
nodes that it links to. So it grows with the node and not with its ancestry, ids play no part, and equal
sub-graphs of different workflows have equal keys.
"""

import math
import struct
import uuid
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

KEY_BYTES = 16
_DEEPEST = 64


def node_key(
    node_type: str,
    salt: str,
    own_id: str | None,
    changed: Any,
    constants: Iterable[tuple[str, Any]],
    links: Iterable[tuple[str, bytes, int]],
) -> bytes:
    """The key of a node. constants: (input, value). links: (input, key of the source, slot).

    salt tells versions of the code apart; own_id is given for nodes that must not share results; a changed
    of False means that the class has no fingerprint.
    """
    parts = [_text(node_type), _text(salt), b"-" if own_id is None else _text(own_id)]
    encode(changed, parts)
    for name, value in sorted(constants, key=_name):
        parts.append(_text(name))
        encode(value, parts)
    parts.append(b"|")
    for name, key, slot in sorted(links, key=_name):
        parts += (_text(name), key, b"%d;" % slot)
    return blake2b(b"".join(parts), digest_size=KEY_BYTES).digest()


def _name(item: tuple[Any, ...]) -> str:
    return item[0]  # type: ignore[no-any-return]


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"s%d:" % len(data) + data


def encode(value: Any, parts: list[bytes], depth: int = 0) -> None:
    """Appends bytes that are equal for equal values only.

    NaN and objects that are no plain data are equal to nothing: each becomes a new random number, which makes
    the node, and all that depends on it, run again next time.
    """
    kind = type(value)
    if kind is str:
        parts.append(_text(value))
    elif value is None or value is True or value is False:
        parts.append(b"%a;" % value)
    elif kind is int:
        parts.append(b"i%d;" % value)
    elif kind is float and not math.isnan(value):
        parts.append(b"f" + struct.pack("<d", value))
    elif kind is bytes:
        parts.append(b"b%d:" % len(value) + value)
    elif kind in (list, tuple) and depth < _DEEPEST:
        parts.append(b"[")
        for item in value:
            encode(item, parts, depth + 1)
        parts.append(b"]")
    elif kind is dict and depth < _DEEPEST and all(type(key) is str for key in value):
        parts.append(b"{")
        for key in sorted(value):
            parts.append(_text(key))
            encode(value[key], parts, depth + 1)
        parts.append(b"}")
    else:
        parts.append(b"?" + uuid.uuid4().bytes)
