"""The app: settings in, FastAPI out. Nothing is opened before `app` is called, nothing is global."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from noderack_registry.names import BadName
from noderack_registry.server import documents, routes, schema_state
from noderack_registry.server.answers import Registry, send_refusal
from noderack_registry.server.blobs import open_store
from noderack_registry.server.database import Database
from noderack_registry.server.downloads import Downloads
from noderack_registry.server.edge import Edge
from noderack_registry.server.kept import Keeping
from noderack_registry.server.metrics import Metrics
from noderack_registry.server.publish import Publisher
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Settings
from noderack_registry.server.verification import keep_verifying

_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 400: "bad-form", 413: "too-large"}


def open_registry(settings: Settings) -> Registry:
    """Open (or make) the database and the blob store that the settings name."""
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    schema_state.prepare(database)
    blobs = open_store(settings.blobs_url)
    return Registry(
        settings, database, blobs, Publisher(settings, database, blobs), Downloads(database), Metrics()
    )


def app(settings: Settings) -> FastAPI:
    """The registry service as an ASGI app, ready to answer."""
    registry = open_registry(settings)
    api = FastAPI(
        title="Noderack registry",
        version=version("noderack"),
        description="Packs, node types and models for node-graph image generation.",
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    api.state.registry = registry
    api.openapi = lambda: documents.describe(api)  # type: ignore[method-assign]
    for router in routes.ALL:
        api.include_router(router)
    api.add_exception_handler(Refusal, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(BadName, _bad_name)
    api.add_exception_handler(HTTPException, _http)
    api.add_middleware(Keeping, database=registry.database)
    api.add_middleware(Edge, settings=settings, metrics=registry.metrics)
    return api


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    registry: Registry = api.state.registry
    counting = asyncio.create_task(registry.downloads.keep_flushing())
    stop = threading.Event()
    if registry.settings.verifying.on:
        threading.Thread(target=keep_verifying, args=(registry, stop), name="verifier", daemon=True).start()
    yield
    stop.set()
    counting.cancel()
    registry.downloads.flush()
    registry.database.close()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return send_refusal(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return send_refusal(Refusal("bad-value", f"{place}: {first['msg']}"))


async def _bad_name(request: Request, error: Exception) -> Response:
    return send_refusal(Refusal("bad-value", str(error)))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, "internal")
    return send_refusal(Refusal(code, f"{request.method} {request.url.path[:200]}: {error.detail}"))
