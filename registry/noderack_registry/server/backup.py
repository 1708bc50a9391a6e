"""Backup and restore: one folder with the database as a single file and every blob, whole or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path

from noderack_registry.server.answers import Registry
from noderack_registry.server.blobs import FolderBlobs, sync
from noderack_registry.server.refusals import Refusal

MARK = "backup.json"


def backup(registry: Registry, target: Path) -> int:
    """Copy everything into the new folder `target` while the registry runs; gives the number of blobs.

    The database is copied first: every blob that it speaks of is there by then, and blobs never change.
    PostgreSQL has tools of its own for its part (pg_dump); this refuses it.
    """
    if not registry.database.is_sqlite:
        raise Refusal("bad-value", "back PostgreSQL up with pg_dump, and the blob store with its own tools")
    if target.exists():
        raise Refusal("already-there", f"{target} exists already")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "blobs").mkdir(parents=True)
    _copy_database(registry, part / "registry.db")
    blobs = FolderBlobs(part / "blobs")
    count = 0
    for key in registry.blobs.keys():  # noqa: SIM118  a store is no dict
        if not key.endswith(".part"):
            _copy_blob(registry, blobs, key, part / "blob")
            count += 1
    (part / MARK).write_text(json.dumps({"version": version("noderack"), "blobs": count}), encoding="utf-8")
    part.rename(target)
    sync(target.parent)
    return count


def restore(source: Path, data: Path) -> None:
    """Make the data folder `data`, which must not exist or be empty, from a backup."""
    if not (source / MARK).exists():
        raise Refusal("bad-value", f"{source} is no backup: it has no {MARK}")
    if data.exists() and any(data.iterdir()):
        raise Refusal("already-there", f"{data} is not empty")
    part = data.with_name(f"{data.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, ignore=shutil.ignore_patterns(MARK))
    if data.exists():
        data.rmdir()
    part.rename(data)
    sync(data.parent)


def _copy_database(registry: Registry, target: Path) -> None:
    """SQLite's own online copy: a consistent state, while others write."""
    source = sqlite3.connect(registry.database.url.removeprefix("sqlite:///"))
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()


def _copy_blob(registry: Registry, blobs: FolderBlobs, key: str, part: Path) -> None:
    with part.open("wb") as file:
        for block in registry.blobs.open(key):
            file.write(block)
    blobs.put(key, part)
