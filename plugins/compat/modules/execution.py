"""`execution`: what packs look up in the executor's module."""

from noderack_compat.missing import gap

__getattr__ = gap(__name__)
