"""Tokens of hosts in the operating system's keyring, by the `keyring` package where that is installed."""

from __future__ import annotations

from typing import Any

from noderack_cli.errors import BadInput

SERVICE = "noderack"


def stored(host: str) -> str | None:
    """The token of `host`, None where there is none, no keyring, or it cannot be opened."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, host)
    except KeyringError:
        return None


def store(host: str, token: str) -> None:
    """Keep the token of `host`; raises BadInput where there is no keyring."""
    keyring, errors = _keyring()
    try:
        keyring.set_password(SERVICE, host, token)
    except errors.KeyringError as cause:
        raise BadInput(f"The keyring of this system cannot be written: {cause}", _otherwise(host)) from cause


def remove(host: str) -> bool:
    """Forget the token of `host`; says whether there was one."""
    keyring, errors = _keyring()
    try:
        keyring.delete_password(SERVICE, host)
    except errors.KeyringError:
        return False
    return True


def _keyring() -> tuple[Any, Any]:
    try:
        import keyring
        from keyring import errors
    except ImportError as cause:
        hint = "Install it with: pip install 'noderack[keyring]'. " + _otherwise("")
        raise BadInput("The package 'keyring' is not installed", hint) from cause
    return keyring, errors


def _otherwise(host: str) -> str:
    name = "CIVITAI_TOKEN" if "civitai" in host else "HF_TOKEN"
    return f"Or set {name} in the environment."
