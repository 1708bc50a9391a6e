"""Where a model's bytes are: addresses in order, the token for each host, and where none may lead."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from noderack_registry.schema import ModelManifest, Source

from noderack_cli.errors import FetchError

HF = "https://huggingface.co"
HF_HOSTS = ("huggingface.co", "hf.co", "www.huggingface.co")
CIVITAI = "https://civitai.com"
CIVITAI_HOSTS = ("civitai.com", "civitai.red", "www.civitai.com")
KIND_ORDER = {"registry": 0, "hf": 1, "civitai": 2, "url": 3}


def _nothing_stored(host: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Access:
    """What the user's environment says: tokens, the Hugging Face endpoint, hosts that may be private."""

    hf_token: str | None = None
    hf_endpoint: str = HF
    civitai_token: str | None = None
    civitai_endpoint: str = CIVITAI
    trusted: frozenset[str] = frozenset()
    stored: Callable[[str], str | None] = _nothing_stored

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        registry: str | None = None,
        stored: Callable[[str], str | None] = _nothing_stored,
    ) -> Access:
        """Read HF_TOKEN (or its file), HF_ENDPOINT, CIVITAI_TOKEN; the registry and endpoint are trusted.

        `stored` gives the token of a host from the system's keyring; the environment goes first.
        """
        endpoint = (environment.get("HF_ENDPOINT") or HF).rstrip("/")
        civitai_at = (environment.get("CIVITAI_ENDPOINT") or CIVITAI).rstrip("/")
        trusted = {urlsplit(url).netloc for url in (endpoint, civitai_at, registry or "") if url}
        token = environment.get("HF_TOKEN") or _token_file(environment)
        civitai = environment.get("CIVITAI_TOKEN") or environment.get("CIVITAI_API_TOKEN")
        return cls(token, endpoint, civitai, civitai_at, frozenset(trusted), stored)

    def token_for(self, url: str) -> str | None:
        """The token that may go to the host of `url`, and to no other; none in the clear to a public host."""
        place = urlsplit(url)
        host = place.hostname or ""
        if place.scheme != "https" and place.netloc not in self.trusted:
            return None
        if self.is_hf(url):
            return self.hf_token or self.stored("huggingface.co")
        if self.is_civitai(url):
            return self.civitai_token or self.stored("civitai.com")
        return self.stored(host)

    def is_hf(self, url: str) -> bool:
        """Whether this is an address at Hugging Face, or at the endpoint that stands in for it."""
        place = urlsplit(url)
        return place.netloc == urlsplit(self.hf_endpoint).netloc or place.hostname in HF_HOSTS

    def is_civitai(self, url: str) -> bool:
        """Whether this is an address at Civitai, or at the endpoint that stands in for it."""
        place = urlsplit(url)
        return place.netloc == urlsplit(self.civitai_endpoint).netloc or place.hostname in CIVITAI_HOSTS


def _token_file(environment: Mapping[str, str]) -> str | None:
    home = environment.get("HF_HOME") or Path(environment.get("HOME", "~"), ".cache/huggingface").expanduser()
    try:
        return Path(home, "token").read_text("utf-8").strip() or None
    except OSError:
        return None


def addresses(manifest: ModelManifest, access: Access) -> list[str]:
    """The addresses to try, in order: the registry's own copy first, then its named sources."""
    ordered = sorted(manifest.sources, key=lambda source: KIND_ORDER[source.kind])
    return list(dict.fromkeys(address(source, access) for source in ordered))


def address(source: Source, access: Access) -> str:
    """The address of one source; Hugging Face web pages become file addresses, at the user's endpoint."""
    if source.kind == "hf" and source.repo and source.path:
        return f"{access.hf_endpoint}/{source.repo}/resolve/{source.revision or 'main'}/{source.path}"
    return plain_address(source.url, access)


def plain_address(url: str, access: Access) -> str:
    """`url` as an address of bytes: a Hugging Face page (/blob/) becomes its file (/resolve/).

    Raises FetchError for what is no address at all.
    """
    try:
        place = urlsplit(url)
        _ = place.port  # a wrong one is told where it is read
    except ValueError as cause:
        raise FetchError(f"{url!r} is no address: {cause}") from cause
    if place.hostname in HF_HOSTS:
        path = re.sub(r"^((?:/datasets)?/[^/]+/[^/]+)/(?:blob|raw)/", r"\1/resolve/", place.path)
        return access.hf_endpoint + path
    return url


def name_of(url: str) -> str:
    """The file name at the end of an address, "" when it has none."""
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]


def check_address(url: str, access: Access) -> None:
    """Refuse what a manifest must never lead to; raises FetchError naming the rule.

    Only http and https, and only public hosts beside those of the registry and the endpoint.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise FetchError(f"{url} is refused: only http and https addresses are downloaded")
    if place.netloc in access.trusted:
        return
    try:
        found = {info[4][0] for info in socket.getaddrinfo(place.hostname, place.port or 443)}
    except OSError as cause:
        raise FetchError(f"{place.hostname} cannot be found: {cause}", "Is there a network?") from cause
    inside = [text for text in found if not _public(str(text))]
    if inside:
        hint = "If you trust it, download it yourself and use: nodes models import FILE"
        raise FetchError(
            f"{url} is refused: {place.hostname} is {inside[0]}, an address inside a network", hint
        )


def _public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)
