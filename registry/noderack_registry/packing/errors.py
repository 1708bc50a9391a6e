"""What can go wrong between a pack's source and its wheel. Each says what, where and what to do next."""

from __future__ import annotations


class PackError(Exception):
    """Root of the family: no wheel was written. `hint` is the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceError(PackError):
    """The source cannot be opened: no such folder, ref or archive, or an archive that tries to escape."""


class NoNodes(PackError):
    """The source opens, but nothing in it looks like a pack."""


class MetadataError(PackError):
    """pyproject.toml, a requirement or a version cannot be read."""


class BackendError(PackError):
    """The pack's own build backend failed; the message ends with what it said."""
