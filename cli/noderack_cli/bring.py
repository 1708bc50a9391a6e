"""Brings the models of a plan to their folders: linked if the content is here, else downloaded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from noderack_host.folder import Host

from noderack_cli.errors import NodesError
from noderack_cli.fetch import fetch
from noderack_cli.install import Report
from noderack_cli.model_files import Index, link, target_for
from noderack_cli.plan import ModelChoice
from noderack_cli.sources import Access


@dataclass(frozen=True, slots=True)
class Brought:
    """Models that are in place now, and those that are not with the error."""

    paths: tuple[Path, ...] = ()
    failed: tuple[tuple[ModelChoice, NodesError], ...] = ()


def bring(models: Sequence[ModelChoice], host: Host, access: Access, report: Report) -> Brought:
    """Bring each model; one that fails does not keep the others."""
    index = Index.open(host)
    paths: list[Path] = []
    failed: list[tuple[ModelChoice, NodesError]] = []
    for model in models:
        try:
            paths.append(_bring_one(model, host, index, access, report))
        except NodesError as error:
            report("model-failed", name=model.name, message=error.message)
            failed.append((model, error))
    index.save()
    return Brought(tuple(paths), tuple(failed))


def _bring_one(model: ModelChoice, host: Host, index: Index, access: Access, report: Report) -> Path:
    target = target_for(host, model.folder, model.name)
    start = time.monotonic()
    facts: dict[str, object] = {"name": model.name, "folder": model.folder}
    if model.present:
        how = link(Path(model.present), target)
        index.note(target, index.sha256(Path(model.present)))
        size = target.stat().st_size
    else:
        done = fetch(model.manifest, target, access, lambda n, t: _tell(report, model.name, n, t))
        index.note(target, done.sha256)
        how, size, facts = "downloaded", done.size, facts | {"sha256": done.sha256, "source": done.source}
    report("model-fetched", **facts, how=how, count=size, took=time.monotonic() - start)
    return target


def _tell(report: Report, name: str, done: int, total: int | None) -> None:
    report("model-progress", name=name, done=done, total=total)
