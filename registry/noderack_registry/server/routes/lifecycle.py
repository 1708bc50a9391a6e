"""What owners and admins do to packs: yank, deprecate, archive, quarantine, transfer."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from noderack_registry.schema import Pack, PackVersion
from noderack_registry.server import lifecycle
from noderack_registry.server.answers import need_actor, registry_of
from noderack_registry.server.bodies import Reason, StatusChange, Target, body_as
from noderack_registry.server.documents import says
from noderack_registry.server.routes.packs import pack, version

router = APIRouter(prefix="/api/v1/packs", tags=["life of a pack"])


@router.post("/{name}/versions/{number}/yank", openapi_extra=says(PackVersion, Reason))
async def yank(request: Request, name: str, number: str) -> Response:
    """Take a version out of what installers choose by themselves. It stays for those who pinned it."""
    reason = (await body_as(request, Reason)).reason
    await _write(request, lifecycle.yank, name, number, reason)
    return await version(request, name, number)


@router.delete("/{name}/versions/{number}/yank", openapi_extra=says(PackVersion))
async def unyank(request: Request, name: str, number: str) -> Response:
    """Take a yank back."""
    await _write(request, lifecycle.yank, name, number, None)
    return await version(request, name, number)


@router.put("/{name}/versions/{number}/status", openapi_extra=says(PackVersion, StatusChange))
async def version_status(request: Request, name: str, number: str) -> Response:
    """Quarantine one version, or lift that (admins)."""
    wish = await body_as(request, StatusChange)
    await _write(request, lifecycle.set_version_status, name, number, wish.status, wish.reason)
    return await version(request, name, number)


@router.put("/{name}/status", openapi_extra=says(Pack, StatusChange))
async def status(request: Request, name: str) -> Response:
    """Deprecate (with a successor), archive or quarantine a pack, or make it active."""
    wish = await body_as(request, StatusChange)
    await _write(request, lifecycle.set_status, name, wish.status, wish.reason, wish.successor)
    return await pack(request, name)


@router.post("/{name}/transfer", openapi_extra=says(Pack, Target))
async def transfer(request: Request, name: str) -> Response:
    """Give a pack to another publisher that one owns."""
    wish = await body_as(request, Target)
    await _write(request, lifecycle.transfer, name, wish.publisher)
    return await pack(request, name)


async def _write(request: Request, change: Callable[..., None], *wish: object) -> None:
    registry = registry_of(request)
    actor = await need_actor(request)
    await registry.database.write(change, *wish, actor, registry.settings.now())
