"""Packs and their versions."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from noderack_registry import schema
from noderack_registry.server import accounts, again, findings, packs, verdicts
from noderack_registry.server.accounts import Actor
from noderack_registry.server.answers import base_url, need_actor, registry_of, send
from noderack_registry.server.documents import says

router = APIRouter(prefix="/api/v1/packs", tags=["packs"])


@router.get("", openapi_extra=says(dict, kept=True))
async def list_packs(
    request: Request,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """One page of all packs, by name."""
    total, found = await registry_of(request).database.read(packs.listing, page, limit, base_url(request))
    return send({"total": total, "page": page, "limit": limit, "packs": found})


@router.get("/{name}", openapi_extra=says(schema.Pack, kept=True))
async def pack(request: Request, name: str) -> Response:
    """A pack's page."""
    return send(await registry_of(request).database.read(_pack, name, base_url(request)))


def _pack(session: Session, name: str, base: str) -> schema.Pack:
    return packs.page(session, packs.find(session, name), base)


@router.get("/{name}/versions", openapi_extra=says(dict, kept=True))
async def versions(request: Request, name: str) -> Response:
    """All versions of a pack, newest first, without the schemas of their nodes."""
    found = await registry_of(request).database.read(_versions, name, base_url(request))
    return send({"versions": found})


def _versions(session: Session, name: str, base: str) -> list[schema.PackVersion]:
    pack = packs.find(session, name)
    return [
        packs.version_page(session, pack, row, base, schemas=False)
        for row in packs.versions_of(session, pack)
    ]


@router.get("/{name}/versions/{version}", openapi_extra=says(schema.PackVersion, kept=True))
async def version(request: Request, name: str, version: str) -> Response:
    """One version with its files and the schemas of its nodes."""
    return send(await registry_of(request).database.read(_version, name, version, base_url(request)))


def _version(session: Session, name: str, version: str, base: str) -> Any:
    pack = packs.find(session, name)
    return packs.version_page(session, pack, packs.find_version(session, pack, version), base)


@router.get("/{name}/versions/{version}/findings", openapi_extra=says(dict, kept=True))
async def version_findings(request: Request, name: str, version: str) -> Response:
    """What the check found in a version: rule, level, file, line, what to do; and by which rules."""
    rules, found = await registry_of(request).database.read(_findings, name, version)
    return send({"rules": rules, "findings": found})


def _findings(session: Session, name: str, version: str) -> tuple[str, tuple[schema.CheckFinding, ...]]:
    pack = packs.find(session, name)
    return findings.of_version(session, packs.find_version(session, pack, version))


@router.post("/{name}/versions/{version}/findings", openapi_extra=says(dict))
async def examine(request: Request, name: str, version: str) -> Response:
    """Look at a version's wheel again, by today's rules: for members of its publisher, and admins."""
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.read(_may, name, actor)
    await to_thread.run_sync(again.examine_again, registry, name, version)
    return await version_findings(request, name, version)


def _may(session: Session, name: str, actor: Actor) -> None:
    pack = packs.find(session, name)
    actor.need("publish", pack.key)
    accounts.need_member(session, actor, pack)


@router.get("/{name}/versions/{version}/verification", openapi_extra=says(dict, kept=True))
async def verification(request: Request, name: str, version: str) -> Response:
    """What came of importing a version in a jail; `verification` is null while nobody tried."""
    return send({"verification": await registry_of(request).database.read(_verdict, name, version)})


def _verdict(session: Session, name: str, version: str) -> schema.Verification | None:
    pack = packs.find(session, name)
    return packs.verdict(session, packs.find_version(session, pack, version))


@router.post("/{name}/versions/{version}/verification", status_code=202, openapi_extra=says(dict))
async def ask_verification(request: Request, name: str, version: str) -> Response:
    """Ask for a version to be imported in a jail (again): for members of its publisher, and admins."""
    registry, actor = registry_of(request), await need_actor(request)
    await registry.database.write(verdicts.ask, name, version, actor, registry.settings.now())
    found = await registry.database.read(_verdict, name, version)
    return send({"verification": found}, 202)
