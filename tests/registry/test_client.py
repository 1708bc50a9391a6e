"""The client translates every answer, and every failure into its own family."""

import httpx
import pytest
from noderack_registry.client import NotFound, Refused, RegistryClient, Unreachable
from noderack_registry.schema import ModelQuery

SHA = "ab" * 32


def client(answer, token=None):
    handler = answer if callable(answer) else lambda request: answer
    return RegistryClient("http://registry/", token, httpx.Client(transport=httpx.MockTransport(handler)))


def error(status, code="no-such-pack"):
    return httpx.Response(status, json={"error": {"code": code, "message": "no pack x", "hint": "look"}})


def test_pack_is_read():
    assert client(httpx.Response(200, json={"name": "x", "versions": ["1"]})).pack("x").versions == ("1",)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (403, Refused), (422, Refused), (500, Refused)]
)
def test_refusals_carry_code_hint_and_status(status, kind):
    with pytest.raises(kind) as caught:
        client(error(status)).pack("x")
    assert (caught.value.code, caught.value.hint, caught.value.status) == ("no-such-pack", "look", status)


def test_no_answer_is_unreachable():
    def broken(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="http://registry"):
        client(broken).pack("x")


@pytest.mark.parametrize("text", ["<html>", ""])
def test_an_answer_of_another_server_is_unreachable_or_malformed(text):
    with pytest.raises(Exception) as caught:
        client(httpx.Response(200, text=text)).pack("x")
    assert type(caught.value).__module__ == "noderack_registry.errors"


def test_unknown_type_has_no_claims():
    assert client(error(404)).node_type("Nope") == ()


def test_resolve_sends_types_once_and_models():
    seen = []

    def answer(request):
        seen.append(request.read())
        return httpx.Response(200, json={"node_types": {"A": []}, "models": {}})

    client(answer).resolve(["A", "A"], [ModelQuery("m.safetensors", "loras", SHA)])
    assert seen[0].count(b'"A"') == 1
    assert SHA.encode() in seen[0]


def test_token_goes_as_bearer_and_names_are_quoted():
    def answer(request):
        assert request.headers["authorization"] == "Bearer t"
        assert request.url.raw_path == b"/api/v1/packs/a%2Fb"
        return httpx.Response(200, json={"name": "x"})

    client(answer, "t").pack("a/b")
