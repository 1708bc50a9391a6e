"""`comfy_execution.cache_provider`: results from elsewhere."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_compat.providers import register as register_cache_provider
from noderack_compat.providers import unregister as unregister_cache_provider
from noderack_host.providers import CacheContext, CacheProvider, CacheValue

__getattr__ = gap(__name__)
__all__ = [
    "CacheContext",
    "CacheProvider",
    "CacheValue",
    "register_cache_provider",
    "unregister_cache_provider",
]
