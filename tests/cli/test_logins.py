"""Tokens in the keyring: a real backend of the keyring package, in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
from noderack_cli import keys
from noderack_cli.commands.logins import canonical
from noderack_cli.main import run
from noderack_cli.sources import Access

keyring = pytest.importorskip("keyring", reason="the keyring package is not installed")


@pytest.fixture
def ring() -> Iterator[dict[str, str]]:
    from keyring.backend import KeyringBackend
    from keyring.errors import PasswordDeleteError

    kept: dict[str, str] = {}

    class InMemory(KeyringBackend):  # type: ignore[misc]
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return kept.get(f"{service}/{username}")

        def set_password(self, service: str, username: str, password: str) -> None:
            kept[f"{service}/{username}"] = password

        def delete_password(self, service: str, username: str) -> None:
            if kept.pop(f"{service}/{username}", None) is None:
                raise PasswordDeleteError(username)

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    yield kept
    keyring.set_keyring(before)


def test_a_token_is_kept_used_and_forgotten(ring: dict[str, str], monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdin", type("In", (), {"readline": lambda self: "hf_secret\n"})())
    assert run(["models", "login", "https://hf.co/some/model", "--token-stdin"]) == 0
    assert ring == {"noderack/huggingface.co": "hf_secret"}
    access = Access.of({"HOME": "/nowhere"}, None, keys.stored)
    assert access.token_for("https://huggingface.co/o/r/resolve/main/m") == "hf_secret"
    assert access.token_for("https://cdn.example.org/m") is None
    assert Access.of({"HF_TOKEN": "env"}, None, keys.stored).token_for("https://hf.co/o/r") == "env"
    assert run(["models", "logout", "hf.co"]) == 0 and ring == {}
    assert run(["models", "logout", "hf.co"]) == 4
    assert "hf_secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("hf.co", "huggingface.co"),
        ("https://civitai.red/x", "civitai.com"),
        ("Models.Example.org", "models.example.org"),
    ],
)
def test_a_host_has_one_name(said: str, meant: str) -> None:
    assert canonical(said) == meant
