"""What routes share: reading a strict JSON body, knowing who asks, and sending records, files and errors."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from fastapi import Request, Response
from starlette.responses import FileResponse, StreamingResponse

from noderack_registry import wire
from noderack_registry.server import accounts, kept
from noderack_registry.server.accounts import Actor
from noderack_registry.server.blobs import BlobStore
from noderack_registry.server.database import Database
from noderack_registry.server.downloads import Downloads
from noderack_registry.server.metrics import Metrics
from noderack_registry.server.publish import Publisher
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings

IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Registry:
    """What the routes of one app work with."""

    settings: Settings
    database: Database
    blobs: BlobStore
    publisher: Publisher
    downloads: Downloads
    metrics: Metrics

    @property
    def incoming(self) -> Path:
        """Where uploads wait until they are checked; on the same disk as the blobs."""
        return self.settings.data / "incoming"


def registry_of(request: Request) -> Registry:
    """The registry that this request asks."""
    registry: Registry = request.app.state.registry
    return registry


def base_url(request: Request) -> str:
    """The registry's address as its clients know it."""
    public = registry_of(request).settings.public_url
    return public.rstrip("/") if public else str(request.base_url).rstrip("/")


def send(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A record, or an object of records, as JSON."""
    body = json.dumps(wire.write(value), separators=(",", ":"), ensure_ascii=False).encode()
    return Response(body, status, headers, "application/json")


def send_refusal(refusal: Refusal) -> Response:
    """A refusal in its JSON form."""
    headers = dict(refusal.headers)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="noderack"'
    return send(refusal.body(), refusal.status, headers)


async def need_actor(request: Request) -> Actor:
    """Whoever sent the request. Raises Refusal when it carries no good token."""
    registry = registry_of(request)
    if registry.settings.read_only:
        raise Refusal("read-only", "this registry is a mirror")
    text = _token(request.headers.get("authorization", ""))
    return await registry.database.read(accounts.authenticate, text, registry.settings.now())


def _token(header: str) -> str:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError) as cause:
            raise Refusal("bad-token", "the Authorization header cannot be read") from cause
    raise Refusal("no-token", "this needs a token")


async def json_body(request: Request) -> Any:
    """The request's body as strict JSON: UTF-8, no NaN, no double keys, not too deep. Raises Refusal."""
    return strict_json(await request.body())


def strict_json(body: bytes) -> Any:
    """Parse JSON as strictly as every other reader might. Raises Refusal."""
    try:
        text = body.decode("utf-8")
        if "\\u0000" in text:
            raise ValueError("it holds a NUL character, which no text may")
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_distinct
        )
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates cannot be sent on
    except (ValueError, RecursionError) as cause:
        raise Refusal(
            "bad-json", f"the body is not valid JSON: {str(cause)[:120] or 'nested too deeply'}"
        ) from cause
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def send_blob(
    request: Request, store: BlobStore, key: str, media: str, name: str, *, inline: bool = False
) -> Response:
    """A stored file, whole or the range asked for. Raises Refusal when it is not there.

    Only what is known to be a picture may be shown by browsers in place (`inline`); the rest they save.
    """
    size = store.size(key)
    if size is None:
        raise Refusal("no-such-file", f"no file {name[:100]!r}")
    headers = {
        "ETag": f'"{key}"',
        "Cache-Control": IMMUTABLE,
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Disposition": "inline" if inline else _attachment(name),
        "Accept-Ranges": "bytes",
    }
    if kept.matches(request.headers.get("if-none-match", ""), f'"{key}"'):
        return Response(status_code=304, headers=headers)
    path = store.path(key)
    if path is not None:
        return FileResponse(path, headers=headers, media_type=media)
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(size)}, media_type=media)
    return _stream(request, store, key, size=size, media=media, headers=headers)


def _stream(
    request: Request, store: BlobStore, key: str, *, size: int, media: str, headers: dict[str, str]
) -> Response:
    part = byte_range(request.headers.get("range", ""), size)
    if part is None:
        headers["Content-Length"] = str(size)
        return StreamingResponse(store.open(key), 200, headers, media)
    start, stop = part
    headers["Content-Length"] = str(stop - start)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    blocks: Iterator[bytes] = store.open(key, start, stop - start)
    return StreamingResponse(blocks, 206, headers, media)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """start and stop of a one-range header; None for the whole file. Raises Refusal if out of it."""
    unit, _, wanted = header.partition("=")
    first, dash, last = wanted.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not (first + last).isascii() or not (first + last).isdigit():
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size or start >= stop:
        raise Refusal("bad-range", "the range is outside of the file", {"Content-Range": f"bytes */{size}"})
    return start, stop


def _attachment(name: str) -> str:
    plain = "".join(
        mark if mark.isascii() and mark.isprintable() and mark not in '"\\' else "_" for mark in name
    )
    return f'attachment; filename="{plain}"'
