"""Where the `nodes workflow` commands take node schemas from: a file, the host's own packs, a registry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from noderack_host.folder import Host, HostError
from noderack_host.schema import NodeSchema, SchemaError, read_schemas, schemas_from_object_info

from noderack_cli import generations
from noderack_cli.errors import BadInput

if TYPE_CHECKING:
    from noderack_registry.client import RegistryClient


def find_schemas(file: Path | None, folder: Path | None, *, fresh: bool = False) -> dict[str, NodeSchema]:
    """The schemas in `file`, else those of the host in `folder` or around here, else none.

    A host's packs are imported once for each generation, in a child process; `fresh` asks them again, as
    wanted where the choices offered matter. Raises BadInput, InstallError.
    """
    if file is not None:
        return _from_file(file)
    host = _host(folder)
    return {} if host is None else _from_host(host, fresh=fresh)


def _from_file(file: Path) -> dict[str, NodeSchema]:
    try:
        return read_schemas(file)
    except OSError as cause:
        raise BadInput(f"{file} cannot be opened: {cause.strerror}") from cause
    except SchemaError as cause:
        hint = "Save one with: curl http://127.0.0.1:8188/object_info -o object_info.json"
        raise BadInput(str(cause), hint) from cause


def _host(folder: Path | None) -> Host | None:
    if folder is not None:
        return Host.open(folder)
    try:
        return Host.find(Path.cwd())
    except HostError:
        return None


def _from_host(host: Host, *, fresh: bool) -> dict[str, NodeSchema]:
    from noderack_cli.verify import inspect

    generation = generations.current(host)
    kept = host.temp / f"node-types-{generation.number}.json"
    if not fresh:
        with suppress(OSError, SchemaError):
            return read_schemas(kept)
    entries = inspect(generation.python, host).node_types
    _keep(kept, entries)
    return schemas_from_object_info(entries)


def _keep(kept: Path, entries: Mapping[str, object]) -> None:
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(entries), "utf-8")
        part.replace(kept)


def ask_registry(client: RegistryClient, types: Iterable[str]) -> dict[str, NodeSchema]:
    """Schemas of `types` as the best claiming pack published them; types that none describes are left out."""
    claims = client.resolve(list(types)).node_types
    best = {kind: ranked[0] for kind, ranked in claims.items() if ranked and ranked[0].version}
    found: dict[str, NodeSchema] = {}
    for pack, version in dict.fromkeys((c.pack, str(c.version)) for c in best.values()):
        described = client.version(pack, version).node_types
        wanted = {kind: described.get(kind) for kind, claim in best.items() if claim.pack == pack}
        known = {
            kind: entry for kind, entry in wanted.items() if isinstance(entry, Mapping) and "input" in entry
        }
        found.update(schemas_from_object_info(known))
    return found
