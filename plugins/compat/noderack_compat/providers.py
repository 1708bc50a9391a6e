"""The cache providers that packs have registered, in their order; the host looks here for them."""

from __future__ import annotations

from noderack_host.providers import CacheProvider

PROVIDERS: list[CacheProvider] = []


class Registered:
    """What registering gives: there is nothing to wait for, and awaiting it is allowed."""

    def __await__(self):  # type: ignore[no-untyped-def]
        return iter(())


def register(provider: CacheProvider) -> Registered:
    """Has the host ask this provider, after those that are there."""
    if provider not in PROVIDERS:
        PROVIDERS.append(provider)
    return Registered()


def unregister(provider: CacheProvider) -> Registered:
    """Has the host ask it no more."""
    if provider in PROVIDERS:
        PROVIDERS.remove(provider)
    return Registered()
