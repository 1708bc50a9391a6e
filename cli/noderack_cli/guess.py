"""Asks uv what it would take for packs by their names, before the registry has told anything of them.

Nearly always uv takes the versions that the registry then tells, and nobody has waited for it. If not, it is
asked again for just those.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import Any

from noderack_host.folder import Host

from noderack_cli.generations import Generation
from noderack_cli.installed import installed
from noderack_cli.pack_names import is_source, said
from noderack_cli.plan import Distribution
from noderack_cli.policy import Policy
from noderack_cli.solve import DRY, bounds_of, changes_told, kept_packs, run_install

Guessed = Future[tuple[Distribution, ...]]


@contextmanager
def guessing(host: Host, registry: str | None, now: Generation, wanted: Sequence[str]) -> Iterator[Guessed]:
    """What installing all that is `wanted` would change, being asked for; nothing if uv alone cannot say."""
    pins = Policy.of(host).pins
    asked = [] if any(map(is_source, wanted)) else [said(text, pins) for text in wanted]
    names = [one.partition("==")[0] for one in asked]
    if not now.packs.keys().isdisjoint(names):  # uv would keep those
        asked = []
    told: Guessed = Future()
    Thread(target=_tell, args=(told, host, registry, now, asked, names), daemon=True).start()
    try:
        yield told
    finally:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # whoever wants to end does not wait for uv
            told.exception()


def _tell(told: Guessed, *about: Any) -> None:
    try:
        told.set_result(_guess(*about))
    except BaseException as error:  # for the one who asks for the result
        told.set_exception(error)


def _guess(
    host: Host, registry: str | None, now: Generation, asked: Sequence[str], names: Sequence[str]
) -> tuple[Distribution, ...]:
    if not asked:
        return ()
    ran = run_install(
        host,
        registry,
        now.python,
        requirements=[*asked, *kept_packs(now, ())],
        bounds=bounds_of(installed(now.path), names),
        args=DRY,
    )
    return changes_told(json.loads(ran.out)) if ran.code == 0 else ()
