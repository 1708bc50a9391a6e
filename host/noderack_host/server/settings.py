"""What a server is told when it starts; every field has a value that is safe on one's own machine."""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field

from noderack_host.server.queue import Limits

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen, whom to answer, how much to take.

    listen, port: the address. token: what every request must carry (None: nothing; only on loopback).
    origins: web pages of other origins that may call. names: further host names that the server answers to.
    max_body: bytes of one request. lost: what becomes of a prompt that ran when the server died.
    webhooks: addresses that are called when a prompt is over. webhook_origins: origins that a prompt may
    name an address of. webhook_secret: what calls are signed with.
    fair: clients take turns. manager: whether packs may be installed from the editor.
    engine: "local", "ray" or "ray=ADDRESS"; workers, worker_root, outputs: how many there are, where those
    keep hosts of their own, the bucket that outputs go to (cluster.engine.Wishes).
    cache, keep: which results are kept in memory, and how many bytes of them on disk for the next start
    (None: none), as texts such as "lru:100" and "2G".
    start_token: what this start's own helpers carry: the installer that tells of a new generation, and the
    editor's manager. It is made anew at each start and lies in user/server.json, for this user alone.
    """

    listen: str = "127.0.0.1"
    port: int = 8188
    token: str | None = None
    origins: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    max_body: int = 100 * MEBIBYTE
    limits: Limits = field(default_factory=Limits)
    lost: str = "again"
    webhooks: tuple[str, ...] = ()
    webhook_origins: tuple[str, ...] = ()
    webhook_secret: str = field(default="", repr=False)
    fair: bool = False
    manager: bool = False
    engine: str = "local"
    workers: int | None = None
    worker_root: str | None = None
    outputs: str | None = None
    cache: str = "classic"
    keep: str | None = None
    start_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def is_start_token(self, offered: str) -> bool:
        """Whether this is the token of this start."""
        return hmac.compare_digest(offered.encode(), self.start_token.encode())

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.listen == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.listen).is_loopback
        except ValueError:
            return False

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host names this server; a foreign name is a page that rebound its own."""
        name = host_name(host)
        if name in LOCAL_NAMES or name in self.names or name == self.listen:
            return True
        return not self.is_loopback and is_address(name)


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return (host.rpartition(":")[0] or host).lower() if host.count(":") == 1 else host.lower()


def is_address(name: str) -> bool:
    """Whether a name is an IP address: no DNS answer can change what it means."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
