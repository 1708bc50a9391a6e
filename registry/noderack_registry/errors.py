"""What goes wrong at the registry, as seen by its client. Each message says what, where, what next."""

from __future__ import annotations


class RegistryError(Exception):
    """Root of the family. `hint` is the next step for the user; `code` is stable and in kebab case."""

    code = "registry-error"

    def __init__(self, message: str, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code


class Unreachable(RegistryError):
    """No answer: wrong address, registry not running, network down, or the answer broke off."""

    code = "registry-unreachable"


class Refused(RegistryError):
    """The registry answered no. `status` is the HTTP status, `code` the registry's own reason."""

    code = "registry-refused"

    def __init__(self, message: str, hint: str = "", code: str | None = None, status: int = 0) -> None:
        super().__init__(message, hint, code)
        self.status = status


class NotFound(Refused):
    """The registry does not know this pack, version, type or model."""

    code = "not-found"


class Malformed(RegistryError, ValueError):
    """JSON that does not fit the record. `where` is the path to the value, such as `files[0].size`."""

    code = "malformed"

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"{where or 'value'}: {what}", "compare it with the record's fields in registry/README.md"
        )
        self.where = where
