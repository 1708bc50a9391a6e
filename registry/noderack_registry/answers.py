"""What a registry's answers mean: the parsed body, or the error that an answer is."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from noderack_registry.errors import Malformed, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    import httpx

    from noderack_registry.client import RegistryClient

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
WRONG_PLACE = "Is this address really a Noderack registry? Check --registry, NODERACK_REGISTRY and host.toml."
LATER = "Nothing was changed; try again later. The registry's own log says more."


def body(answer: httpx.Response) -> Any:
    """The parsed answer, or the error that it carries; raises Unreachable, Refused, NotFound."""
    try:
        data = json.loads(answer.content) if answer.content else {}
    except ValueError:
        data = None
    if answer.is_success and data is not None:
        return data
    place = str(answer.request.url.copy_with(query=None))
    if answer.is_success:
        raise Unreachable(f"{place} answered with something that is not JSON", WRONG_PLACE)
    raise _refusal(place, answer.status_code, data)


def _refusal(place: str, status: int, data: Any) -> Refused:
    said = data.get("error") if isinstance(data, dict) else None
    said = said if isinstance(said, dict) else {}
    message = str(said.get("message") or f"{place} answered HTTP {status}")
    hint = str(said.get("hint") or "") if said else (LATER if status >= 500 else WRONG_PLACE)
    code = str(said.get("code") or "") or None
    kind = NotFound if status == 404 else Refused
    return kind(message, hint, code, status)


def understood(
    question: Callable[Concatenate[RegistryClient, Asked], Answer],
) -> Callable[Concatenate[RegistryClient, Asked], Answer]:
    """A question to which an answer of another shape than it should have is Unreachable."""

    @wraps(question)
    def asked(client: RegistryClient, /, *args: Asked.args, **more: Asked.kwargs) -> Answer:
        try:
            return question(client, *args, **more)
        except (Malformed, KeyError, TypeError, AttributeError) as cause:
            told = f"The registry at {client.url} gave an answer that this version does not understand"
            what = f"it has no {cause}" if isinstance(cause, KeyError) else str(cause)
            raise Unreachable(f"{told} ({what})", WRONG_PLACE) from cause

    return asked
