"""The OpenAPI description, made from the same records that are sent. Built when it is first asked for."""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
        }
    },
}


KEPT = "x-kept"


def says(answer: type, body: type | None = None, kept: bool = False) -> dict[str, Any]:
    """For `openapi_extra`: the record that a route answers with, and the one that it takes.

    `kept`: the answer depends on nothing but the address, Accept and the database, see kept.py.
    """
    return {"x-answer": _place(answer), "x-body": _place(body) if body else None, KEPT: kept}


def serves(*media: str, kept: bool = False) -> dict[str, Any]:
    """For `openapi_extra`: the content types of a route that sends pages (`kept`), or files, in parts too."""
    return {"x-media": list(media), KEPT: kept}


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of a record's annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        inner = [schema_of(arm) for arm in arguments if arm is not types.NoneType]
        return {"anyOf": [*inner, {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if dataclasses.is_dataclass(kind):
        return _object(kind)
    return {"type": _SCALARS[kind]}


def _object(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    needed = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    properties = {field.name: schema_of(hints[field.name]) for field in fields}
    return {"type": "object", "title": kind.__name__, "properties": properties, "required": needed}


def describe(api: FastAPI) -> dict[str, Any]:
    """The description of all routes; FastAPI keeps it after the first time."""
    if api.openapi_schema is None:
        found = get_openapi(
            title=api.title, version=api.version, description=api.description, routes=api.routes
        )
        found.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
        }
        for path in found["paths"].values():
            for method, operation in path.items():
                _complete(method, operation)
        api.openapi_schema = found
    return api.openapi_schema


def _complete(method: str, operation: dict[str, Any]) -> None:
    answer, body = operation.pop("x-answer", None), operation.pop("x-body", None)
    media, kept = operation.pop("x-media", None), operation.pop(KEPT, False)
    responses = operation["responses"]
    responses.pop("422", None)
    if media:
        content: dict[str, Any] = {name: {} for name in media}
        responses["200"]["content"] = content
        if not kept:
            responses["206"] = {"description": "The part that was asked for", "content": content}
    if media or kept:
        responses["304"] = {"description": "What the client has is current"}
    for status, response in responses.items():
        if answer is not None and status.startswith("2"):
            response["content"] = {"application/json": {"schema": schema_of(_at(answer))}}
    for status in ("4XX", "5XX"):
        responses[status] = {"description": "Why not", "content": {"application/json": {"schema": _ERROR}}}
    if body is not None:
        taken = {"application/json": {"schema": schema_of(_at(body))}}
        operation["requestBody"] = {"required": True, "content": taken}
    if method not in ("get", "head") and not operation["summary"].startswith("Resolve"):
        operation["security"] = [{"token": []}, {"basic": []}]
