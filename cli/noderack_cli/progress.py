"""Progress on the terminal or as JSON lines: one `Report` for what packs and models do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from noderack_cli.show import seconds, size

STEPS = {"clone": "cloning the environment", "install": "installing", "verify": "importing it in a child"}


@dataclass(slots=True)
class Progress:
    """Tells events as they come. On a terminal a running line is rewritten; in a file only results stand."""

    as_json: bool = False
    started: float = field(default_factory=time.monotonic)  # the whole work
    told: float = 0.0
    width: int = 0
    course: tuple[str, float, int] | None = None  # file, when it began, bytes that were there then

    def __call__(self, event: str, **facts: object) -> None:
        """One event."""
        if self.as_json:
            click.echo(json.dumps({"event": event, **facts}))
            return
        handler = getattr(self, "_" + event.replace("-", "_"), None)
        if handler is not None:
            handler(**facts)

    def _packs_together(self, packs: Sequence[str]) -> None:
        self.running(f"  {len(packs)} packs: installing, and importing them in a child")

    def _pack_started(self, pack: str, version: str, **_: object) -> None:
        self.running(f"  {pack} {version}: starting")

    def _pack_step(self, pack: str, step: str) -> None:
        self.running(f"  {pack}: {STEPS.get(step, step)}")

    def _pack_installed(self, pack: str, version: str, generation: int) -> None:
        self.line(f"  installed {pack} {version}, imported and checked, generation {generation}")

    def _pack_failed(self, pack: str, version: str, message: str) -> None:
        self.line(f"  left out {f'{pack} {version}'.rstrip()}: {message}")

    def _model_progress(self, name: str, done: int, total: int | None, **course: int) -> None:
        now = time.monotonic()
        if self.course is None or self.course[0] != name:
            self.course = (name, now, done)
        if now - self.told >= 0.1:
            self.told = now
            self.running(_course(name, done, total, speed=self._speed(now, done), **course))

    def _speed(self, now: float, done: int) -> float:
        """Bytes a second since this file began."""
        _, began, first = self.course or ("", now, done)
        return max(0, done - first) / (now - began) if now > began else 0.0

    def _model_waits(self, message: str) -> None:
        self.line(f"  {message}")

    def _model_fetched(
        self,
        name: str,
        folder: str,
        how: str,
        count: int,
        took: float,
        downloaded: int = 0,
        checked: bool = True,
        **_: object,
    ) -> None:
        speed = f", {size(downloaded / took)}/s" if how == "downloaded" and took > 0.05 else ""
        said = "sha256 as expected" if checked else "its sha256 was not known before, so nothing was checked"
        self.line(f"  {how} {folder}/{name} ({size(count)}{speed}; {said})")

    def _model_failed(self, name: str, message: str) -> None:
        self.line(f"  left out {name}: {message}")

    def running(self, text: str) -> None:
        """A line that the next one replaces; only on a terminal."""
        if sys.stdout.isatty():
            click.echo("\r" + text[:110].ljust(self.width), nl=False)
            self.width = min(len(text), 110)

    def line(self, text: str) -> None:
        """A line that stays."""
        if self.width and sys.stdout.isatty():
            click.echo("\r" + " " * self.width + "\r", nl=False)
            self.width = 0
        click.echo(text)


def _course(
    name: str,
    done: int,
    total: int | None,
    *,
    speed: float,
    files: int = 1,
    file: int = 1,
    all_done: int = 0,
    all: int = 0,
) -> str:
    """One running line: which file, how far, how fast, how long for all of them."""
    parts = [f"{done / total:4.0%} of {size(total)}" if total else size(done), f"{size(speed)}/s"]
    left = max(all - all_done, (total or 0) - done)
    if speed > 0 and left > 0:
        parts.append(f"{seconds(left / speed)} left")
    if files > 1:
        parts.append(
            f"file {file} of {files}" + (f", all {all_done / all:.0%} of {size(all)}" if all else "")
        )
    return f"  {name}: " + ", ".join(parts)
