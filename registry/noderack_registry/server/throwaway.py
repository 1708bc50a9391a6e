"""An environment to import one pack in: the verifying Python's own, and a folder with what the pack adds.

Only wheels are unpacked here, so nothing of anybody's runs until the jail has closed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlmodel import Session, col, select

from noderack_registry import names
from noderack_registry.server import packs
from noderack_registry.server.again import fetch
from noderack_registry.server.answers import Registry
from noderack_registry.server.database import first
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import File, Pack, Version

SECONDS = 600
MOST_WHEELS = 50
_PROBE = """
import importlib.metadata as m, json, os, sys, noderack_host
names = sorted({d.metadata['Name'] or '' for d in m.distributions()} - {''})
paths = [p for p in dict.fromkeys([sys.prefix, sys.base_prefix, *sys.path]) if os.path.isdir(p)]
print(json.dumps({'paths': paths, 'names': names, 'version': sys.version.split()[0]}))
"""


@dataclass(frozen=True, slots=True)
class Verifier:
    """The Python that verifies: its version, the folders it reads, the distributions it has."""

    python: Path
    version: str
    paths: tuple[Path, ...]
    has: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of this registry, with what it asks for."""

    filename: str
    sha256: str
    requires: tuple[str, ...]


def look_at(python: Path) -> Verifier:
    """What a Python has. Raises Refusal unless the host's runtime is there."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as cause:
        lines = str(getattr(cause, "stderr", None) or cause).strip().splitlines()
        raise Refusal(
            "cannot-verify", f"{python} cannot import noderack_host: {lines[-1][:200] if lines else cause}"
        ) from cause
    paths = [Path(path) for path in told["paths"] if path != "/" and not path.startswith(("/usr", "/lib"))]
    own = [path for path in paths if not any(other in path.parents for other in paths)]
    return Verifier(python, told["version"], tuple(own), frozenset(map(canonicalize_name, told["names"])))


@contextmanager
def unpacked(registry: Registry, verifier: Verifier, pack: str, version: str) -> Iterator[Path]:
    """A folder with the version, the packs it needs, and what they need of the index. Raises Refusal."""
    registry.incoming.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="noderack-verify-") as folder:
        Path(folder).chmod(0o755)
        site = Path(folder) / "site"
        site.mkdir()
        wheels, requires = registry.database.reading(needed, pack, version, verifier.has)
        room = Path(folder) / "wheels"
        room.mkdir()
        for wheel in wheels:
            fetch(registry, wheel.sha256, room / wheel.filename)
        _uv(verifier, site, ["--no-deps", "--offline", *(str(room / wheel.filename) for wheel in wheels)])
        _third_party(registry.settings.verifying.index, verifier, site, requires)
        yield site


def needed(
    session: Session, pack: str, version: str, has: frozenset[str]
) -> tuple[list[Wheel], tuple[str, ...]]:
    """The version's wheel and those of the packs that it needs; and the other requirements, as they stand."""
    row = packs.find(session, pack)
    waiting = [(row, packs.find_version(session, row, version))]
    wheels: dict[str, Wheel] = {}
    others: dict[str, None] = {}
    while waiting and len(wheels) < MOST_WHEELS:
        owner, number = waiting.pop()
        wheels[owner.key] = wheel = _wheel(session, owner, number)
        for asked in map(Requirement, wheel.requires):
            name = canonicalize_name(asked.name)
            if name in has or name in wheels or not _applies(asked):
                continue
            found = _fitting(session, asked)
            if found:
                waiting.append(found)
            else:
                others[str(asked)] = None
    return list(wheels.values()), tuple(others)


def _applies(asked: Requirement) -> bool:
    environment: Mapping[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
    return asked.marker is None or asked.marker.evaluate(dict(environment))


def _wheel(session: Session, pack: Pack, version: Version) -> Wheel:
    query = select(File).where(File.version_id == version.id).order_by(col(File.filename).desc())
    file: File | None = first(session, query)
    if file is None or "quarantined" in (version.status, pack.status):
        raise Refusal("no-such-file", f"{pack.key} {version.version} has no file that may be had")
    return Wheel(file.filename, file.sha256, tuple(json.loads(version.facts)["dependencies"]))


def _fitting(session: Session, asked: Requirement) -> tuple[Pack, Version] | None:
    """The newest version of a pack of ours that a requirement allows. A name of ours never goes elsewhere."""
    pack: Pack | None = first(session, select(Pack).where(Pack.key == names.key(asked.name)))
    if pack is None or pack.latest is None:
        return None
    for version in packs.versions_of(session, pack):
        if packs.is_usable(version) and asked.specifier.contains(version.version, prereleases=True):
            return pack, version
    raise Refusal("no-such-version", f"no version of {pack.key} here fits {asked}")


def _third_party(index: str, verifier: Verifier, site: Path, requires: Sequence[str]) -> None:
    """Requirements that no pack here and nothing in the host's environment fills: wheels only."""
    if not requires or index == "none":
        return
    beside = site.with_name("has.txt")
    beside.write_text("\n".join(sorted(verifier.has)), encoding="utf-8")
    where = [] if index == "default" else ["--index-url", index]
    _uv(verifier, site, ["--only-binary", ":all:", "--excludes", str(beside), *where, *requires])


def _uv(verifier: Verifier, site: Path, arguments: Sequence[str]) -> None:
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "install", "--no-config", "--link-mode", "copy", "--quiet"]
    command += ["--python", str(verifier.python), "--target", str(site), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, env={**os.environ}
        )
    except subprocess.TimeoutExpired as cause:
        raise Refusal("cannot-verify", f"what it needs was not here within {SECONDS} s") from cause
    if done.returncode:
        said = " ".join(done.stderr.split())[:400]
        raise Refusal("cannot-verify", f"what it needs cannot be installed: {said}")
