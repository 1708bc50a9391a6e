"""What the API is sent, as records. Reading one checks it; the OpenAPI description is made from the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from noderack_registry import wire
from noderack_registry.errors import Malformed
from noderack_registry.server.answers import json_body
from noderack_registry.server.refusals import Refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """active, deprecated, archived or quarantined; why; and which pack to use instead."""

    status: str
    reason: str = ""
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The publisher that gets the pack."""

    publisher: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The account that may."""

    account: str


@dataclass(frozen=True, slots=True)
class Powers:
    """Whether an account may act as admin, with a token that has the scope."""

    admin: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """owner or maintainer."""

    role: str


@dataclass(frozen=True, slots=True)
class PublisherText:
    """What a publisher says of itself."""

    name: str
    title: str = ""
    description: str = ""
    website: str = ""


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token to be made: what it is good for, and for how many days."""

    scopes: tuple[str, ...] = ("publish",)
    label: str = ""
    days: int = 90
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """An artefact to revoke: by hash, or every file of a version of a pack."""

    name: str
    sha256: str | None = None
    version: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """A model as a workflow names it."""

    name: str
    folder: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a workflow needs; and packs, each as NAME (its latest version) or NAME==VERSION."""

    node_types: tuple[str, ...] = ()
    models: tuple[ModelQuestion, ...] = ()
    packs: tuple[str, ...] = ()


async def body_as(request: Request, cls: type[T]) -> T:
    """The request's JSON body as a record. Raises Refusal naming what does not fit."""
    try:
        return wire.read(cls, await json_body(request))
    except Malformed as cause:
        raise Refusal("bad-value", cause.message) from cause
