"""The client of the registry's HTTP API: what `nodes` and packs' authors use. One method per question.

Every failure is one of `noderack_registry.errors`; what httpx or json raise is translated
here and nowhere else.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies

import httpx

from noderack_registry.answers import body, understood
from noderack_registry.errors import Malformed, NotFound, Refused, RegistryError, Unreachable
from noderack_registry.schema import (
    Change,
    ModelManifest,
    ModelQuery,
    Pack,
    PackSummary,
    PackVersion,
    Resolution,
    Revocation,
    SearchPage,
    TypeClaim,
)

__all__ = ["NotFound", "Refused", "RegistryClient", "RegistryError", "Unreachable"]

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
CHUNK = 1 << 20


class RegistryClient:
    """Talks to the registry at `url`; `token` is needed for uploads only. Usable as a context manager.

    Pass `http` to share or replace the connection pool (tests pass one with their own transport).
    """

    def __init__(self, url: str, token: str | None = None, http: httpx.Client | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._http = http or httpx.Client(timeout=TIMEOUT, follow_redirects=False, verify=_trusted(url))

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def simple_index(self) -> str:
        """The address for `pip --index-url` and `uv --index`."""
        return f"{self.url}/simple/"

    def health(self) -> Mapping[str, Any]:
        """What the registry says of itself: `status`, `version`, counts."""
        answer: Mapping[str, Any] = self._json("GET", "/healthz")
        return answer

    @understood
    def packs(self, page: int = 1, limit: int = 50) -> tuple[PackSummary, ...]:
        """One page of all packs, by name."""
        answer = self._json("GET", "/api/v1/packs", params={"page": page, "limit": limit})
        return tuple(PackSummary.from_json(item) for item in answer["packs"])

    @understood
    def pack(self, name: str) -> Pack:
        """A pack's page. Raises NotFound."""
        return Pack.from_json(self._json("GET", f"/api/v1/packs/{quote(name, safe='')}"))

    @understood
    def versions(self, name: str) -> tuple[PackVersion, ...]:
        """All versions of a pack, newest first, without their node schemas. Raises NotFound."""
        answer = self._json("GET", f"/api/v1/packs/{quote(name, safe='')}/versions")
        return tuple(PackVersion.from_json(item) for item in answer["versions"])

    @understood
    def version(self, name: str, version: str) -> PackVersion:
        """One version with its node schemas and files. Raises NotFound."""
        path = f"/api/v1/packs/{quote(name, safe='')}/versions/{quote(version, safe='')}"
        return PackVersion.from_json(self._json("GET", path))

    @understood
    def node_type(self, type_: str) -> tuple[TypeClaim, ...]:
        """All claims to a node type, best first; empty when no pack has it."""
        answer = self._json("GET", f"/api/v1/node-types/{quote(type_, safe='')}", missing={"claims": []})
        return tuple(TypeClaim.from_json(item) for item in answer["claims"])

    @understood
    def resolve(
        self, types: Iterable[str], models: Iterable[ModelQuery] = (), packs: Iterable[str] = ()
    ) -> Resolution:
        """Candidates for every node type and model of a workflow, in one question.

        And the versions that `packs` mean, each NAME or NAME==VERSION; an older registry answers for none.
        """
        asked = {"node_types": sorted(set(types)), "models": [model.to_json() for model in models]}
        asked |= {"packs": list(packs)} if packs else {}
        return Resolution.from_json(self._json("POST", "/api/v1/resolve", json=asked))

    @understood
    def search(self, query: str, kind: str | None = None, page: int = 1, limit: int = 20) -> SearchPage:
        """Packs, node types and models that match `query`; `kind` is one of pack, node-type, model."""
        params: dict[str, Any] = {"q": query, "page": page, "limit": limit}
        if kind:
            params["kind"] = kind
        return SearchPage.from_json(self._json("GET", "/api/v1/search", params=params))

    @understood
    def changes(self, since: int = 0, limit: int = 1000) -> tuple[Change, ...]:
        """What changed after serial `since`, oldest first."""
        answer = self._json("GET", "/api/v1/changes", params={"since": since, "limit": limit})
        return tuple(Change.from_json(item) for item in answer["changes"])

    @understood
    def revocations(self) -> tuple[Revocation, ...]:
        """The killed artefacts, as the registry lists them (see `revocations.verify` for the signature)."""
        feed = self.revocation_feed()
        return tuple(Revocation.from_json(item) for item in feed["payload"]["revocations"])

    def revocation_feed(self) -> Mapping[str, Any]:
        """The signed feed as sent: `payload`, `signed` (the exact bytes, as text), `signature`, `key`."""
        feed: Mapping[str, Any] = self._json("GET", "/api/v1/revocations")
        return feed

    @understood
    def model(self, sha256: str) -> ModelManifest:
        """The model with this content. Raises NotFound."""
        answer = self._json("GET", "/api/v1/models", params={"sha256": sha256})
        models = tuple(ModelManifest.from_json(item) for item in answer["models"])
        if not models:
            raise NotFound(f"no model with sha256 {sha256}", "search by name instead", "model-not-found", 404)
        return models[0]

    @understood
    def find_models(self, name: str) -> tuple[ModelManifest, ...]:
        """Models known by this file name or alias, best first; empty when none."""
        answer = self._json("GET", "/api/v1/models", params={"name": name})
        return tuple(ModelManifest.from_json(item) for item in answer["models"])

    def put_model(self, manifest: ModelManifest, file: Path | None = None) -> ModelManifest:
        """Publish a manifest, and the file too when given (if small enough for the registry)."""
        if file is not None:
            if manifest.sha256 is None:
                raise Refused(
                    "a model file needs its sha256 in the manifest", "compute it first", "no-sha256"
                )
            self.put_blob(manifest.sha256, file)
        return ModelManifest.from_json(self._json("PUT", "/api/v1/models", json=manifest.to_json()))

    def put_blob(self, sha256: str, file: Path) -> None:
        """Upload a file's content under its hash. The registry checks that they agree."""
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        with file.open("rb") as stream:
            chunks = iter(lambda: stream.read(CHUNK), b"")
            self._json("PUT", f"/api/v1/blobs/{sha256}", content=chunks, headers=headers)

    def upload_wheel(self, path: Path) -> PackVersion:
        """Publish a wheel, in the form that twine sends. Gives the version as the registry now shows it."""
        content = path.read_bytes()
        name, version = path.name.split("-")[:2]
        form = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.4",
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "name": name,
            "version": version,
            "sha256_digest": hashlib.sha256(content).hexdigest(),
        }
        files = {"content": (path.name, content, "application/octet-stream")}
        self._json("POST", "/legacy/", data=form, files=files, headers={"Accept": "application/json"})
        return self.version(name.replace("_", "-").lower(), version)

    def stream(self, place: str) -> Iterator[bytes]:
        """The bytes of the file at `place` below the address, as they come. Raises as the others do."""
        try:
            with self._http.stream("GET", self.url + place) as answer:
                if not answer.is_success:
                    answer.read()
                    body(answer)
                yield from answer.iter_bytes(CHUNK)
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            raise Unreachable(f"{self.url}{place} broke off: {cause}", "try again") from cause

    def _json(self, method: str, path: str, missing: Any = None, **request: Any) -> Any:
        headers = {**request.pop("headers", {})}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = self._http.request(method, self.url + path, headers=headers, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            raise Unreachable(
                f"no answer from the registry at {self.url}: {cause}",
                "check the address (--registry, NODERACK_REGISTRY) and that a registry runs there",
            ) from cause
        if answer.status_code == 404 and missing is not None:
            return missing
        return body(answer)


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Whom to trust. Over plain HTTP nobody: reading all authorities would take longer than the questions."""
    plain = url.startswith("http://") and not getproxies()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


def wheels(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The wheels among `paths`, folders searched one level deep."""
    found = [item for path in paths for item in (sorted(path.glob("*.whl")) if path.is_dir() else [path])]
    bad = [path for path in found if path.suffix != ".whl"]
    if bad:
        raise Malformed(str(bad[0]), "is not a wheel; build one with `nodes pack build`")
    return tuple(found)
