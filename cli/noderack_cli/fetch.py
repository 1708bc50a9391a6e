"""Downloads one model: sources in order, resumed by range, hashed while it is written, renamed when whole.

The bytes go to `NAME.part` beside the target; only a file with the right hash ever gets the final name.
Tokens go to the host that they are for, and never past a redirect elsewhere.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from noderack_registry.schema import ModelManifest

from noderack_cli import part as parts
from noderack_cli.errors import FetchError, NoSpace
from noderack_cli.links import settle_folder
from noderack_cli.model_files import digest as digest_of
from noderack_cli.part import part_of
from noderack_cli.sources import Access, addresses
from noderack_cli.streaming import Manner, Progress, Stream
from noderack_cli.web import Cut

SPARE = 16 << 20  # bytes that a download leaves free


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model in its place: its hash, its bytes, and how many of those were downloaded this time."""

    path: Path
    sha256: str
    size: int
    downloaded: int
    source: str


@dataclass(frozen=True, slots=True)
class Job:
    """One model on its way from one address to its place."""

    url: str
    manifest: ModelManifest
    target: Path
    access: Access
    manner: Manner
    progress: Progress

    @property
    def part(self) -> Path:
        """Where its bytes gather."""
        return part_of(self.target)


def fetch(
    manifest: ModelManifest,
    target: Path,
    access: Access,
    progress: Progress = lambda n, t: None,
    manner: Manner | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Fetched:
    """Bring the model to `target`; raises FetchError with every source's reason, NoSpace."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = addresses(manifest, access)
    if not found:
        raise FetchError(f"{manifest.name}: its manifest names no source", "Add one: nodes models get URL")
    with parts.alone(target, tell) as waited:
        if waited and (here := _brought_by_another(manifest, target)):
            return here
        room([(manifest, target)])
        try:
            return _from_any(found, manifest, target, access, manner or Manner(), progress)
        finally:
            _drop_empty(part_of(target))


def _brought_by_another(manifest: ModelManifest, target: Path) -> Fetched | None:
    if not target.is_file() or target.stat().st_size != (manifest.size or target.stat().st_size):
        return None
    sha256 = digest_of(target)
    if manifest.sha256 not in (None, sha256):
        return None
    return Fetched(target, sha256, target.stat().st_size, 0, "another process")


def _from_any(
    urls: Sequence[str],
    manifest: ModelManifest,
    target: Path,
    access: Access,
    manner: Manner,
    progress: Progress,
) -> Fetched:
    failures: list[FetchError] = []
    for url in urls:
        try:
            return _from(Job(url, manifest, target, access, manner, progress))
        except FetchError as error:
            failures.append(error)
            _drop_empty(part_of(target))
    if len(failures) == 1:
        raise failures[0]
    told = "; ".join(error.message for error in failures)
    raise FetchError(f"{manifest.name}: no source worked: {told}", failures[0].hint)


def _drop_empty(part: Path) -> None:
    """Nothing came: nothing is kept, whatever went wrong."""
    with suppress(OSError):
        if not parts.length(part):
            parts.forget(part)


def room(wanted: Sequence[tuple[ModelManifest, Path]]) -> None:
    """Raise NoSpace unless all of these fit on their disks, with what of them is there already."""
    needs: dict[int, tuple[int, Path]] = {}
    for manifest, target in wanted:
        folder = next(p for p in target.parents if p.exists())
        device = folder.stat().st_dev
        more = parts.missing(part_of(target), manifest.size) if manifest.size else 0
        needs[device] = (needs.get(device, (0, folder))[0] + more, folder)
    for more, folder in needs.values():
        free = shutil.disk_usage(folder).free
        if more and more + SPARE > free:
            names = ", ".join(manifest.name for manifest, _ in wanted[:3]) + (" …" if wanted[3:] else "")
            hint = "Free some, or put models elsewhere with model_paths in host.toml."
            raise NoSpace(f"{names}: {more:,} bytes more are needed and {folder} has {free:,}", hint)


def _from(job: Job) -> Fetched:
    """From one address, through cuts; once more from the start if the part was of other content."""
    fresh, downloaded = False, 0
    while True:
        before = parts.length(job.part)
        digest, size, came = _through_cuts(job)
        downloaded += came
        problem = _mismatch(job.manifest, digest, size)
        if problem is None:
            _keep(job)
            return Fetched(job.target, digest, size, downloaded, job.url)
        parts.forget(job.part)
        if before == 0 or fresh:
            raise FetchError(
                f"{job.url}: {problem}", "Nothing of it was kept; another source may have it right."
            )
        fresh = True


def _through_cuts(job: Job) -> tuple[str, int, int]:
    """sha256, size, and the bytes that were downloaded; raises FetchError after too much silence."""
    came, stalls, furthest = 0, 0, 0
    while True:
        stream = Stream(job.url, job.manifest, job.part, job.access, job.manner, job.progress)
        try:
            digest, size = stream.run()
        except Cut as cut:
            came += stream.came
            stalls = 0 if stream.there > furthest else stalls + 1
            furthest = max(furthest, stream.there)
            if stalls > job.manner.retries:
                raise _gave_up(job, cut, stalls, stream.came) from cut
            pauses = job.manner.pauses
            time.sleep(pauses[min(stalls, len(pauses)) - 1] if stalls else 0)
            continue
        return digest, size, came + stream.came


def _gave_up(job: Job, cut: Cut, tries: int, came: int) -> FetchError:
    """What is said after so many tries of which none came further than one before."""
    if came:
        parts.forget(job.part)
        told = f"{job.url}: cut in {tries + 1} tries, always from the start again ({cut})"
        return FetchError(told, "This server does not go on where it was cut; another source may.")
    hint = "What came is kept: the next try goes on from there."
    return FetchError(f"{job.url}: no answer in {tries} tries ({cut})", hint)


def _mismatch(manifest: ModelManifest, digest: str, size: int) -> str | None:
    if manifest.size is not None and size != manifest.size:
        return f"it has {size:,} bytes, expected {manifest.size:,}"
    if manifest.sha256 is not None and digest != manifest.sha256:
        return f"its content is not {manifest.name}: sha256 {digest[:12]}…, expected {manifest.sha256[:12]}…"
    return None


def _keep(job: Job) -> None:
    with job.part.open("rb") as file:
        os.fsync(file.fileno())
    parts.keep(job.part, job.target)
    settle_folder(job.target.parent)
