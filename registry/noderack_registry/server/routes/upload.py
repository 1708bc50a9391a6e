"""Uploads: wheels in the form that twine sends, model files and manifests."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from pathlib import PurePath

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from sqlmodel import Session
from starlette.datastructures import FormData, UploadFile

from noderack_registry.schema import ModelManifest
from noderack_registry.server import manifests, turns
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import (
    Registry,
    base_url,
    need_actor,
    registry_of,
    send,
)
from noderack_registry.server.blobs import CHUNK
from noderack_registry.server.bodies import body_as
from noderack_registry.server.documents import says
from noderack_registry.server.events import record
from noderack_registry.server.incoming import Arrived, receive, waiting_room
from noderack_registry.server.publish import Upload
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings

router = APIRouter(tags=["uploads"])


@router.post("/legacy/", status_code=201, openapi_extra=says(dict))
@router.post("/legacy", include_in_schema=False)
async def upload_wheel(request: Request) -> Response:
    """Publish a wheel. All checks come before anything is visible; a refused upload leaves nothing."""
    registry = registry_of(request)
    actor = await need_actor(request)
    try:
        form = await request.form(max_files=2, max_fields=1000)
    except Exception as cause:  # the parser's own kinds of error, and starlette's
        if isinstance(cause, Refusal):
            raise
        raise Refusal("bad-form", f"the form cannot be read: {str(cause)[:100]}") from cause
    try:
        content = _content(form)
        with waiting_room(registry.incoming) as path:
            arrived = await receive(_blocks(content), path, registry.settings.wheel.file)
            _check_digest(form, arrived)
            publisher = str(form.get("noderack_publisher") or "") or None
            upload = Upload(path, str(content.filename), arrived.sha256, publisher)
            done = await to_thread.run_sync(registry.publisher.publish, upload, actor)
    finally:
        await form.close()
    return send(done, 201 if done.created else 200)


def _content(form: FormData) -> UploadFile:
    expected = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel"}
    for field, value in expected.items():
        if form.get(field) != value:
            raise Refusal("bad-form", f"field {field!r} must be {value!r}: only wheels are published here")
    content = form.get("content")
    if not isinstance(content, UploadFile) or not content.filename:
        raise Refusal("bad-form", "field 'content' must be the file")
    if PurePath(content.filename).name != content.filename or "\\" in content.filename:
        raise Refusal("file-name", f"{content.filename[:100]!r} is not a plain file name")
    return content


async def _blocks(content: UploadFile) -> AsyncIterator[bytes]:
    while block := await content.read(CHUNK):
        yield block


def _check_digest(form: FormData, arrived: Arrived) -> None:
    said = str(form.get("sha256_digest") or "").lower()
    if not said:
        raise Refusal("no-hash", "field 'sha256_digest' is missing")
    if not hmac.compare_digest(said.encode(), arrived.sha256.encode()):
        raise Refusal("wrong-hash", f"the file has sha256 {arrived.sha256}, the form says {said[:64]}")


@router.put("/api/v1/blobs/{sha256}", status_code=201, openapi_extra=says(dict))
async def upload_blob(request: Request, sha256: str) -> Response:
    """Keep a model file under its sha256. The hash is checked before the file can be had."""
    registry = registry_of(request)
    actor = await need_actor(request)
    actor.need("models")
    with waiting_room(registry.incoming) as path:
        arrived = await receive(_body(request), path, registry.settings.largest_blob)
        if arrived.sha256 != sha256.lower():
            raise Refusal("wrong-hash", f"the file has sha256 {arrived.sha256}, not {sha256[:64]}")
        await to_thread.run_sync(_keep_blob, registry, arrived, actor)
    return send({"sha256": arrived.sha256, "size": arrived.size}, 201)


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for block in request.stream():
        yield block


def _keep_blob(registry: Registry, arrived: Arrived, actor: Actor) -> None:
    with turns.publishing(registry.database):
        registry.blobs.put(arrived.sha256, arrived.path)
        registry.database.writing(manifests.note_blob, arrived, actor.account_id, registry.settings.now())


@router.put("/api/v1/models", openapi_extra=says(ModelManifest, ModelManifest))
async def put_model(request: Request) -> Response:
    """Publish a model's manifest, or add to what is known of that content."""
    registry = registry_of(request)
    actor = await need_actor(request)
    actor.need("models")
    manifest = await body_as(request, ModelManifest)
    kept = await registry.database.write(_put, manifest, actor, registry.settings, base_url(request))
    return send(kept)


def _put(
    session: Session, manifest: ModelManifest, actor: Actor, settings: Settings, base: str
) -> ModelManifest:
    now = settings.now()
    kept = manifests.put(session, manifest, actor.account_id, now)
    record(session, "model-published", str(kept.sha256), now, actor=actor.name)
    return manifests.by_sha256(session, str(kept.sha256), base)[0]
