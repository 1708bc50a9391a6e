"""Brings the models of a plan to their folders: linked if the content is here, else downloaded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from noderack_host.folder import Host

from noderack_cli.errors import BadInput, NodesError
from noderack_cli.fetch import fetch, room
from noderack_cli.model_files import Index, link, target_for
from noderack_cli.plan import ModelChoice
from noderack_cli.sources import Access
from noderack_cli.streaming import Manner
from noderack_cli.works import Report


@dataclass(frozen=True, slots=True)
class Brought:
    """Models that are in place now, and those that are not with the error."""

    paths: tuple[Path, ...] = ()
    failed: tuple[tuple[ModelChoice, NodesError], ...] = ()


@dataclass(slots=True)
class Course:
    """How far all downloads together are."""

    report: Report
    files: int
    total: int
    file: int = 0
    before: int = 0

    def next(self) -> None:
        """The next file begins."""
        self.file += 1

    def tell(self, name: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of the file that is being downloaded are there."""
        whole = {"files": self.files, "file": self.file, "all_done": self.before + done, "all": self.total}
        self.report("model-progress", name=name, done=done, total=total, **whole)


def bring(
    models: Sequence[ModelChoice], host: Host, access: Access, report: Report, manner: Manner | None = None
) -> Brought:
    """Bring each model; one that fails does not keep the others. Raises NoSpace before the first byte."""
    coming = [m for m in models if not m.present]
    room([(m.manifest, target_for(host, m.folder, m.name)) for m in coming])
    course = Course(report, len(coming), sum(m.size for m in coming))
    index = Index.open(host)
    paths: list[Path] = []
    failed: list[tuple[ModelChoice, NodesError]] = []
    for model in models:
        try:
            paths.append(_bring_one(model, host, index, access, course, manner or Manner()))
        except NodesError as error:
            report("model-failed", name=model.name, message=error.message)
            failed.append((model, error))
        course.before += model.size
    index.save()
    return Brought(tuple(paths), tuple(failed))


def _same_or_refuse(model: ModelChoice, target: Path, index: Index) -> None:
    """Raise BadInput for a file that is there already and is another one: it is the user's."""
    if model.manifest.sha256 != index.sha256(target):
        hint = (
            f"Give it another name with --name, or take it away: nodes models rm {model.folder}/{model.name}"
        )
        raise BadInput(f"{target} is there already, with other content", hint)


def _bring_one(
    model: ModelChoice, host: Host, index: Index, access: Access, course: Course, manner: Manner
) -> Path:
    target = target_for(host, model.folder, model.name)
    start = time.monotonic()
    facts: dict[str, object] = {"name": model.name, "folder": model.folder}
    if target.is_file():
        _same_or_refuse(model, target, index)
        index.note(target, index.sha256(target))
        how, size = "here already", target.stat().st_size
    elif model.present:
        how = link(Path(model.present), target)
        index.note(target, index.sha256(Path(model.present)))
        size = target.stat().st_size
    else:
        course.next()
        done = fetch(
            model.manifest,
            target,
            access,
            lambda n, t: course.tell(model.name, n, t),
            manner,
            lambda text: course.report("model-waits", message=text),
        )
        index.note(target, done.sha256)
        facts |= {"sha256": done.sha256, "source": done.source, "downloaded": done.downloaded}
        how, size = "downloaded", done.size
    checked = model.manifest.sha256 is not None
    took = time.monotonic() - start
    course.report("model-fetched", **facts, how=how, count=size, took=took, checked=checked)
    return target
