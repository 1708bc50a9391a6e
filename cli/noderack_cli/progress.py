"""Progress on the terminal or as JSON lines: one `Report` for what packs and models do."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field

import click

from noderack_cli.show import seconds, size

STEPS = {"clone": "cloning the environment", "install": "installing", "verify": "importing it in a child"}


@dataclass(slots=True)
class Progress:
    """Tells events as they come. On a terminal a running line is rewritten; in a file only results stand."""

    as_json: bool = False
    started: float = field(default_factory=time.monotonic)
    told: float = 0.0
    width: int = 0

    def __call__(self, event: str, **facts: object) -> None:
        """One event."""
        if self.as_json:
            click.echo(json.dumps({"event": event, **facts}))
            return
        handler = getattr(self, "_" + event.replace("-", "_"), None)
        if handler is not None:
            handler(**facts)

    def _pack_started(self, pack: str, version: str, **_: object) -> None:
        self.started = time.monotonic()
        self.running(f"  {pack} {version}: starting")

    def _pack_step(self, pack: str, step: str) -> None:
        self.running(f"  {pack}: {STEPS.get(step, step)}")

    def _pack_installed(self, pack: str, version: str, generation: int) -> None:
        took = seconds(time.monotonic() - self.started)
        self.line(f"  installed {pack} {version}, imported and checked, generation {generation} ({took})")

    def _pack_failed(self, pack: str, version: str, message: str) -> None:
        self.line(f"  left out {pack} {version}: {message}")

    def _model_progress(self, name: str, done: int, total: int | None) -> None:
        if time.monotonic() - self.told >= 0.1:
            self.told = time.monotonic()
            share = f"{done / total:4.0%} of {size(total)}" if total else size(done)
            self.running(f"  {name}: {share}")

    def _model_fetched(self, name: str, folder: str, how: str, count: int, took: float, **_: object) -> None:
        speed = f", {size(count / took)}/s" if how == "downloaded" and took > 0.05 else ""
        self.line(f"  {how} {folder}/{name} ({size(count)}{speed}, sha256 checked)")

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
