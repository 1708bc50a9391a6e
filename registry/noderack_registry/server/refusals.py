"""How the service says no: one table of codes with their HTTP status and what to do next."""

from __future__ import annotations

from noderack_registry.gate import FINDINGS

LOOK = "search for it with `nodes search`"

# code → (status, hint). A wheel's own faults come from the gate's table, all with 422.
REFUSALS: dict[str, tuple[int, str]] = {
    "no-such-pack": (404, LOOK),
    "no-such-version": (404, "ask for the pack to see its versions"),
    "no-such-type": (404, LOOK),
    "no-such-model": (404, LOOK),
    "no-such-file": (404, "the index lists the files there are"),
    "no-such-publisher": (404, "ask an admin of this registry for the list"),
    "no-such-member": (404, "list the publisher's members"),
    "no-such-token": (404, "list the account's tokens"),
    "no-such-name": (404, "ask for the list first"),
    "no-such-account": (404, "ask for the list of accounts"),
    "not-found": (404, "see /docs for what can be asked"),
    "no-token": (401, "make one with `nodes registry token create` and set NODERACK_TOKEN"),
    "bad-token": (401, "check NODERACK_TOKEN; a token is shown only once, when it is made"),
    "expired-token": (401, "make a new one with `nodes registry token create`"),
    "revoked-token": (401, "make a new one with `nodes registry token create`"),
    "out-of-scope": (403, "use a token with this scope"),
    "not-yours": (403, "ask an owner of the publisher to make you a member"),
    "publisher-banned": (403, "write to the registry's admins"),
    "quarantined": (403, "write to the registry's admins"),
    "archived": (403, "an owner can make the pack active again"),
    "reserved-name": (409, "choose another name, or ask an admin of this registry"),
    "similar-name": (409, "choose a name that nobody can take for the other"),
    "catalogue-name": (409, "set [project.urls] Repository to the pack's own repository, or ask an admin"),
    "version-exists": (409, "a version never changes: raise the version number and publish again"),
    "already-there": (409, "choose another name"),
    "revoked-content": (403, "these bytes were revoked; write to the registry's admins"),
    "wrong-hash": (422, "the file changed on its way; send it again"),
    "no-hash": (422, "send the file's sha256_digest with it"),
    "bad-form": (422, "send the form that `twine upload` sends"),
    "bad-value": (422, "correct the value"),
    "bad-json": (400, "send valid UTF-8 JSON without NaN, duplicate keys or deep nesting"),
    "bad-path": (400, "use the address from the index"),
    "bad-host": (403, "use the address that the registry printed, or name this one with --allow-host"),
    "bad-range": (416, "ask for a range within the file"),
    "too-large": (413, "send less; models that are this large belong on a model host"),
    "too-slow": (408, "send and read without long pauses"),
    "too-many-requests": (429, "wait as long as Retry-After says"),
    "read-only": (403, "publish to the registry that this one mirrors"),
    "method-not-allowed": (405, "see /docs for what can be asked"),
    "not-acceptable": (406, "accept JSON or HTML"),
    "no-space": (507, "the registry's disk is full; its admin has to make room"),
    "store-failed": (503, "try again in a moment; the registry's admin finds the reason in its log"),
    "database-busy": (503, "try again in a moment"),
    "cannot-verify": (409, "see `nodes registry verify --help` for what it needs"),
    "internal": (500, "this is a fault of the registry; its log has the details"),
}


class Refusal(Exception):
    """The answer is no. `code` is a key of REFUSALS, or of the gate's FINDINGS (then the status is 422)."""

    def __init__(self, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status, self.hint = REFUSALS[code] if code in REFUSALS else (422, FINDINGS[code])
        self.headers = headers or {}

    def body(self) -> dict[str, dict[str, str]]:
        """The JSON form of every refusal."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}
