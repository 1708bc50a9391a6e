"""Blobs in an S3-compatible store, through obstore. Credentials come from the environment, as everywhere.

`s3://bucket/prefix?endpoint=http://…&region=…`; a plain-http endpoint is for tests and private networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from noderack_registry.server.refusals import Refusal


class S3Blobs:
    """Blobs as objects `prefix/ab/abcdef…`. An object appears whole or not at all."""

    def __init__(self, url: str) -> None:
        import obstore.store

        parts = urlsplit(url)
        options = {key: values[0] for key, values in parse_qs(parts.query).items()}
        endpoint = options.get("endpoint")
        self._prefix = parts.path.strip("/")
        self._store = obstore.store.S3Store(
            parts.netloc,
            endpoint=endpoint,
            region=options.get("region", "us-east-1"),
            virtual_hosted_style_request=endpoint is None,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        )

    def put(self, key: str, file: Path) -> None:
        """Send the file; it is removed here afterwards."""
        import obstore

        try:
            obstore.put(self._store, self._place(key), file)
        except obstore.exceptions.BaseError as cause:
            raise Refusal(
                "store-failed", f"the blob store did not take the file: {type(cause).__name__}"
            ) from cause
        file.unlink(missing_ok=True)

    def open(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`. Raises KeyError when there is no such object."""
        size = self.size(key)
        if size is None:
            raise KeyError(key)
        stop = size if length is None else min(size, start + length)
        return self._parts(key, start, stop)

    def path(self, key: str) -> Path | None:
        """Never a file of this machine."""
        return None

    def size(self, key: str) -> int | None:
        """Length in bytes, None when there is no such object."""
        import obstore

        try:
            return int(obstore.head(self._store, self._place(key))["size"])
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove it, if it is there."""
        import obstore

        if self.size(key) is not None:
            obstore.delete(self._store, self._place(key))

    def keys(self) -> Iterator[str]:
        """All keys."""
        import obstore

        for batch in obstore.list(self._store, prefix=self._prefix or None):
            for item in batch:
                yield str(item["path"]).rpartition("/")[2]

    def _parts(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        import obstore

        block = 4 << 20
        for at in range(start, stop, block):
            yield bytes(obstore.get_range(self._store, self._place(key), start=at, end=min(stop, at + block)))

    def _place(self, key: str) -> str:
        return "/".join(part for part in (self._prefix, key[:2], key) if part)
