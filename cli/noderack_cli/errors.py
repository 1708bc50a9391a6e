"""The command line's error family, and the one place where any error becomes code, sentence and exit code.

Errors of other rooms are told apart by name, so that `nodes --help` need not import those rooms.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

import click

from noderack_cli.exits import Exit


class NodesError(Exception):
    """Something that the user should read: `message` says what and where, `hint` what to do next."""

    code = "unexpected"
    exit = Exit.UNEXPECTED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(NodesError):
    """A file or a value is not what it should be."""

    code, exit = "bad-input", Exit.BAD_INPUT


class NotFound(NodesError):
    """A pack, model, node type, host or file does not exist."""

    code, exit = "not-found", Exit.NOT_FOUND


class Unresolvable(NodesError):
    """No plan can be made; the message carries the causes."""

    code, exit = "unresolvable", Exit.UNRESOLVABLE


class IndexFault(NodesError):
    """An index of packages cannot be reached, or its answers cannot be read."""

    code, exit = "index-unreachable", Exit.REGISTRY


class InstallError(NodesError):
    """A pack could not be installed or verified; the generation in use did not change."""

    code, exit = "install-failed", Exit.INSTALL_FAILED


class TookTooLong(InstallError):
    """An import did not end within its time; whether the packs are good, nobody knows."""


class FetchError(NodesError):
    """A model could not be downloaded; nothing stands under its final name."""

    code, exit = "download-failed", Exit.INSTALL_FAILED


class HostHeld(NodesError):
    """Another process is changing this host."""

    code, exit = "host-held", Exit.HELD


class NoSpace(NodesError):
    """The disk is full, or a folder cannot be written."""

    code, exit = "no-space", Exit.NO_SPACE


class ServerEnded(NodesError):
    """The system, or a pack's code, ended the server."""

    code, exit = "server-ended", Exit.RUN_FAILED


@dataclass(frozen=True, slots=True)
class Told:
    """An error as the user sees it."""

    code: str
    message: str
    hint: str
    exit: Exit

    def as_dict(self) -> dict[str, object]:
        """Return the `--json` form."""
        body = {"code": self.code, "message": self.message, "hint": self.hint, "exit": int(self.exit)}
        return {"error": body}


# (root package, class name) → code and exit; a subclass that is not listed takes its parent's row.
FOREIGN: dict[tuple[str, str], tuple[str, Exit]] = {
    ("noderack_host", "HostError"): ("host", Exit.NOT_FOUND),
    ("noderack_host", "WorkflowError"): ("bad-workflow", Exit.BAD_INPUT),
    ("noderack_host", "PromptInvalid"): ("prompt-invalid", Exit.PROMPT_INVALID),
    ("noderack_host", "NodeError"): ("node-failed", Exit.RUN_FAILED),
    ("noderack_registry", "NotFound"): ("not-found", Exit.NOT_FOUND),
    ("noderack_registry", "Unreachable"): ("registry-unreachable", Exit.REGISTRY),
    ("noderack_registry", "Refused"): ("registry-refused", Exit.REGISTRY),
    ("noderack_registry", "RegistryError"): ("registry", Exit.REGISTRY),
    ("noderack_registry", "PackError"): ("bad-pack", Exit.BAD_INPUT),
    ("noderack_registry", "SchemaError"): ("bad-data", Exit.BAD_INPUT),
}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}


def tell(error: BaseException) -> Told:
    """Translate any error. What no row knows is ours to mend: code "unexpected"."""
    if isinstance(error, NodesError):
        return Told(error.code, error.message, error.hint, error.exit)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Told("interrupted", "Stopped.", "", Exit.INTERRUPTED)
    foreign = _foreign(error)
    if foreign is not None:
        return foreign
    if isinstance(error, OSError):
        return _os_error(error)
    message = f"{type(error).__name__}: {error}"
    return Told("unexpected", message, "This is a fault of Noderack; --debug shows where.", Exit.UNEXPECTED)


def _usage(error: click.ClickException) -> Told:
    context = getattr(error, "ctx", None)
    hint = f"Try '{context.command_path} --help'." if context is not None else ""
    code = Exit(error.exit_code) if error.exit_code in set(Exit) else Exit.USAGE
    return Told("usage", error.format_message(), hint, code)


def _foreign(error: BaseException) -> Told | None:
    for kind in type(error).__mro__:
        row = FOREIGN.get((kind.__module__.partition(".")[0], kind.__name__))
        if row is not None:
            return Told(row[0], str(error), str(getattr(error, "hint", "") or ""), row[1])
    return None


def _os_error(error: OSError) -> Told:
    where = f" ({error.filename})" if error.filename else ""
    said = f"{error.strerror or error}{where}"
    if error.errno in NO_SPACE:
        hint = "Free some space or choose a folder that can be written; nothing was left half done."
        return Told("no-space", f"Cannot write: {said}.", hint, Exit.NO_SPACE)
    if "No usable temporary directory" in said:  # Python's own, when nothing can be written anywhere
        hint = "Free some space, or name a folder that can be written in TMPDIR; nothing was changed."
        return Told("no-space", f"{said}.", hint, Exit.NO_SPACE)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Told("not-found", f"{said}.", "", Exit.NOT_FOUND)
    if error.errno in (errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP):
        return Told("bad-input", f"{said}.", "", Exit.BAD_INPUT)
    if error.errno == errno.EIO:
        hint = "The disk does not do what it should: look at the system's log. The host is as it was."
        return Told("disk-error", f"Cannot read or write: {said}.", hint, Exit.NO_SPACE)
    return Told("io-error", f"{said}.", "", Exit.UNEXPECTED)
