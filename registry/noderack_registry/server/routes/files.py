"""Wheels, their metadata files, and model files."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlmodel import Session, select

from noderack_registry.server import assets
from noderack_registry.server.answers import registry_of, send_blob
from noderack_registry.server.documents import serves
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Blob, File, Pack, Version

router = APIRouter(tags=["files"])
_METADATA = ".metadata"
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
MEDIA = (*PICTURES, "application/json")


@router.head("/files/{sha256}/{filename}", include_in_schema=False)
@router.get("/files/{sha256}/{filename}", openapi_extra=serves("application/zip", "text/plain"))
async def wheel(request: Request, sha256: str, filename: str) -> Response:
    """A wheel, or with '.metadata' behind its name the METADATA that stands in it."""
    registry = registry_of(request)
    plain = filename.removesuffix(_METADATA)
    pack_id, version = await registry.database.read(_need_wheel, sha256, plain)
    if filename.endswith(_METADATA):
        return send_blob(request, registry.blobs, sha256 + _METADATA, "text/plain", filename)
    if request.client and request.method == "GET":
        registry.downloads.saw(pack_id, version, request.client.host, registry.settings.now())
    return send_blob(request, registry.blobs, sha256, "application/zip", filename)


def _need_wheel(session: Session, sha256: str, filename: str) -> tuple[int, str]:
    """Pack and version of a published wheel that may be had. Raises Refusal."""
    row = session.exec(
        select(Version.status, Pack.status, Version.pack_id, Version.version)
        .join(File, File.version_id == Version.id)  # type: ignore[arg-type]
        .join(Pack, Pack.id == Version.pack_id)  # type: ignore[arg-type]
        .where(File.filename == filename, File.sha256 == sha256)
    ).first()
    if row is None or "quarantined" in row:
        raise Refusal("no-such-file", f"no file {filename[:100]!r} with this hash")
    return row[2], row[3]


@router.head("/assets/{sha256}/{name}", include_in_schema=False)
@router.get("/assets/{sha256}/{name}", openapi_extra=serves(*MEDIA))
async def asset(request: Request, sha256: str, name: str) -> Response:
    """A pack's picture (icon, screenshot, …) or example workflow; its type was checked when it came in."""
    registry = registry_of(request)
    found = await registry.database.read(assets.find, sha256)
    if found is None:
        raise Refusal("no-such-file", f"no picture or workflow {sha256[:64]!r} here")
    media, inline = found.media, found.media in PICTURES
    return send_blob(request, registry.blobs, sha256, media, name, inline=inline)


@router.head("/blobs/{sha256}/{name}", include_in_schema=False)
@router.get("/blobs/{sha256}/{name}", openapi_extra=serves("application/octet-stream"))
async def model_file(request: Request, sha256: str, name: str) -> Response:
    """A model file that the registry keeps itself. Ranges are honoured; `name` is for the receiver only."""
    registry = registry_of(request)
    if not await registry.database.read(lambda session: session.get(Blob, sha256)):
        raise Refusal("no-such-file", f"no model file {sha256[:64]!r} here")
    return send_blob(request, registry.blobs, sha256, "application/octet-stream", name)
