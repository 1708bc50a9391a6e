"""Verifying a version: it is imported once, in a jail, and its node types are seen as a host would see them.

Code that runs can lie about itself, but only about itself: what comes out is data, and is read as such.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from noderack_registry import jail
from noderack_registry.server import examination, throwaway, verdicts
from noderack_registry.server.answers import Registry, strict_json
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.throwaway import Verifier
from noderack_registry.server.verdicts import Outcome

CHILD = Path(jail.__file__).with_name("inspect_child.py")
MOST_TYPES = 5000
_PAUSE = 2.0
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}
_LOG = logging.getLogger("noderack.registry")


def verifier_of(registry: Registry) -> Verifier:
    """The Python that the settings name, looked at once. Raises Refusal when it cannot verify."""
    return throwaway.look_at(registry.settings.verifying.python or Path(sys.executable))


def verify(registry: Registry, verifier: Verifier, pack: str, version: str) -> Outcome:
    """Import a version in a jail and keep what came of it. Raises Refusal when that could not be tried."""
    told = registry.database.reading(verdicts.declared, pack, version)
    try:
        with throwaway.unpacked(registry, verifier, pack, version) as site:
            ended = _jailed(registry, verifier, site, pack)
        outcome = _outcome(ended, told, verifier)
    except jail.JailError as cause:
        raise Refusal("cannot-verify", cause.message) from cause
    except Refusal as cause:
        if cause.code not in ("cannot-verify", "no-such-version"):
            raise
        outcome = Outcome("failed", cause.message, python=verifier.version)
    registry.database.writing(verdicts.store, pack, version, outcome, registry.settings.now())
    return outcome


def _jailed(registry: Registry, verifier: Verifier, site: Path, pack: str) -> jail.Ended:
    wish = registry.settings.verifying
    return jail.run(
        [str(verifier.python), "-I", str(CHILD), str(site), pack],
        shown=[*verifier.paths, site, CHILD],
        environment=_ENVIRONMENT,
        limits=wish.limits,
        weak=wish.weak,
    )


def _outcome(ended: jail.Ended, told: set[str], verifier: Verifier) -> Outcome:
    found = _answer(ended.out)
    about: dict[str, Any] = {
        "seconds": ended.seconds,
        "barriers": dict(ended.walls),
        "python": verifier.version,
    }
    if found is None:
        return Outcome("failed", _how_it_ended(ended), missing=tuple(sorted(told)), **about)
    types = {
        name: entry
        for name, entry in list(found["node_types"].items())[:MOST_TYPES]
        if isinstance(entry, dict) and examination.fits(name, entry)
    }
    failures = tuple(_failure(one) for one in found.get("failures") or () if isinstance(one, dict))
    missing = tuple(sorted(told - types.keys()))
    if not types and (failures or missing):
        return Outcome(
            "failed", failures[0] if failures else "no types", missing=missing, failures=failures, **about
        )
    if failures or missing:
        said = f"{len(types)} of {len(types.keys() | told)} node types appeared"
        return Outcome("partial", said, types=types, missing=missing, failures=failures, **about)
    return Outcome("verified", f"{len(types)} node types appeared", types=types, **about)


def _answer(out: bytes) -> dict[str, Any] | None:
    """The host's line about what it found; None when there is none."""
    for line in reversed(out.splitlines()):
        try:
            found = strict_json(line)
        except Refusal:
            continue
        if isinstance(found, dict) and isinstance(found.get("node_types"), dict):
            return found
    return None


def _failure(one: dict[str, Any]) -> str:
    kind = one.get("node_type")
    return f"{kind}: {one.get('cause')}" if kind else str(one.get("cause"))


def _how_it_ended(ended: jail.Ended) -> str:
    last = next((line.strip() for line in reversed(ended.err.splitlines()) if line.strip()), "")
    how = {
        "time": f"importing it did not end within {ended.seconds:.0f} s",
        "memory": "importing it took too much memory",
        "output": "importing it printed too much",
    }.get(ended.why)
    if how is None and ended.code < 0:
        how = f"importing it crashed the process ({signal.Signals(-ended.code).name})"
    how = how or f"importing it ended the process with code {ended.code}"
    return f"{how}: {last[:300]}" if last else how


def keep_verifying(registry: Registry, stop: threading.Event) -> None:
    """Verify what waits, one version at a time, until `stop` is set. For a thread of the service."""
    try:
        verifier = verifier_of(registry)
    except Refusal as cause:
        _LOG.error("versions are not verified: %s", cause.message)
        return
    while not stop.is_set():
        if not _one(registry, verifier):
            stop.wait(_PAUSE)


def _one(registry: Registry, verifier: Verifier) -> bool:
    """Verify the next version; False when none waits."""
    now = registry.settings.now()
    if not registry.database.reading(verdicts.anything, now):  # asked without the lock that a write takes
        return False
    wanted = registry.database.writing(verdicts.take_next, now)
    if wanted is None:
        return False
    try:
        verify(registry, verifier, *wanted)
    except Exception as cause:  # whatever a stranger's wheel brought about must not stop the next one's turn
        _LOG.exception("%s %s could not be verified", *wanted)
        outcome = Outcome("failed", f"it could not be tried: {str(cause)[:200]}", python=verifier.version)
        registry.database.writing(verdicts.store, *wanted, outcome, registry.settings.now())
    return True
