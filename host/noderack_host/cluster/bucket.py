"""Outputs in an S3-compatible store, through obstore. Credentials come from the environment, as everywhere.

`s3://bucket/prefix?endpoint=http://…&region=…`; a plain-http endpoint is for tests and private networks.
Objects are `prefix/output/subfolder/name`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from noderack_host.cluster.files import Made, first_free, following, sibling


class BucketError(ValueError):
    """The address of a bucket that cannot be used; the message says what to do."""


class Bucket:
    """A place for outputs; an object appears whole or not at all, and never instead of another."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise BucketError(f"{url!r} is no bucket; say s3://BUCKET/PREFIX")
        try:
            import obstore.store
        except ModuleNotFoundError as cause:
            raise BucketError("outputs in S3 need obstore: pip install 'noderack[s3]'") from cause
        options = {key: values[0] for key, values in parse_qs(parts.query).items()}
        endpoint = options.get("endpoint")
        self._prefix = parts.path.strip("/")
        self._store: Any = obstore.store.S3Store(
            parts.netloc,
            endpoint=endpoint,
            region=options.get("region", "us-east-1"),
            virtual_hosted_style_request=endpoint is None,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))},
        )

    def put(self, made: Made, file: Path, names: Mapping[Made, Made]) -> Made:
        """Sends the file, under the first name that nobody else has taken."""
        import obstore

        if made in names:
            obstore.put(self._store, self._key(names[made]), file)
            return names[made]
        taken = (FileExistsError, obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError)
        name = sibling(made, names) or first_free(made.name, iter(self._names(made)))
        while True:
            final = Made(made.kind, made.subfolder, name)
            try:
                obstore.put(self._store, self._key(final), file, mode="create")
                return final
            except taken:
                name = following(name)

    def read(self, made: Made) -> bytes | None:
        """The object's bytes, or None if there is none."""
        import obstore

        try:
            return bytes(obstore.get(self._store, self._key(made)).bytes())
        except FileNotFoundError:
            return None

    def _names(self, made: Made) -> list[str]:
        """What is there beside it."""
        import obstore

        folder = self._key(made).rpartition("/")[0]
        found = obstore.list_with_delimiter(self._store, prefix=folder)
        return [str(item["path"]).rpartition("/")[2] for item in found["objects"]]

    def _key(self, made: Made) -> str:
        return "/".join(part for part in (self._prefix, made.kind, made.subfolder, made.name) if part)
