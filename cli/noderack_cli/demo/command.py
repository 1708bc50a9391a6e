"""The six steps, each through a public command in a child process; loopback only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from noderack_cli.demo.places import Places, find_places
from noderack_cli.errors import BadInput, NodesError
from noderack_cli.exits import Exit
from noderack_cli.options import FOLDER
from noderack_cli.show import seconds

NODES = (sys.executable, "-m", "noderack_cli")
OURS = ("NODERACK_HOST", "NODERACK_REGISTRY", "NODERACK_TOKEN")


class DemoFailed(NodesError):
    """A step failed; what it said stands above."""

    code, exit = "demo-failed", Exit.UNEXPECTED


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays: its folder, the registry's address and token, the parts."""

    root: Path
    url: str
    token: str
    places: Places

    @property
    def host(self) -> Path:
        """The host's folder."""
        return self.root / "host"

    @property
    def workflow(self) -> Path:
        """The demo's workflow, copied beside the host."""
        return self.root / "workflow.json"


@click.command()
@click.option("--keep", type=FOLDER, help="Leave registry, host and picture in this folder to play with.")
def demo(keep: Path | None) -> None:
    """Show the whole job on this machine: publish packs and models, make a host, install what a workflow
    needs, run it. Uses no internet and takes under a minute.

    \b
    nodes demo
    nodes demo --keep ~/noderack-demo
    """
    places = find_places()
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise BadInput(f"{keep} is not empty", "Name a new folder, or remove this one.")
    start = time.monotonic()
    with _folder(keep) as root:
        heading(1, "A registry on this machine")
        with registry(root, places) as stage:
            play(stage)
        picture = _picture(stage, keep)
    click.secho(f"\nThe picture, with its workflow inside: {picture}", bold=True)
    click.echo(f"All of it took {seconds(time.monotonic() - start)}.")
    heading(6, "What to try next")
    for line in _next_steps(stage, keep):
        click.echo(line)


def play(stage: Stage) -> None:
    """Steps 2 to 5."""
    heading(2, "Authors publish: three packs, two models")
    for pack in stage.places.packs:
        step("pack", "publish", str(pack), environment=_with(stage))
    step("models", "publish", *map(str, stage.places.models), environment=_with(stage))
    heading(3, "A host beside it, from the environment that is here")
    step("init", str(stage.host), "--registry", stage.url, "--python-index", "none", environment=_with(stage))
    heading(4, "Everything that the workflow needs, and the host lacks")
    shutil.copy(stage.places.workflow, stage.workflow)
    step("install-missing", str(stage.workflow), "--yes", environment=_with(stage))
    heading(5, "Run it")
    step("run", str(stage.workflow), environment=_with(stage))


def _with(stage: Stage) -> dict[str, str]:
    """The environment in which a command means this host and this registry."""
    return {"NODERACK_HOST": str(stage.host), "NODERACK_REGISTRY": stage.url, "NODERACK_TOKEN": stage.token}


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="noderack-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def registry(root: Path, places: Places) -> Iterator[Stage]:
    """`nodes registry serve` as a child while the block runs."""
    token = root / "token"
    command = [*NODES, "registry", "serve", "--data", str(root / "registry"), "--port", "0"]
    command += ["--token-file", str(token), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_clean())
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise DemoFailed(f"The registry did not start: {child.stderr.read() if child.stderr else ''}")
        url = str(json.loads(line)["url"])
        click.echo(f"  $ nodes registry serve --data {root / 'registry'}\n  Registry at {url}")
        yield Stage(root, url, token.read_text("utf-8").strip(), places)
    finally:
        child.terminate()
        child.communicate()


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in OURS}


def heading(number: int, text: str) -> None:
    """Begin a step."""
    click.secho(f"\n{number}. {text}", bold=True)


def step(*args: str, environment: dict[str, str] | None = None) -> None:
    """Run one `nodes` command as a user would, its output indented; raises DemoFailed."""
    shown = " ".join(arg if " " not in arg else repr(arg) for arg in args)
    click.secho(f"  $ nodes {shown}", fg="cyan")
    start = time.monotonic()
    child = subprocess.Popen(
        [*NODES, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_clean() | (environment or {}),
    )
    assert child.stdout is not None
    for line in child.stdout:
        click.echo(f"    {line.rstrip()}")
    if child.wait() != 0:
        raise DemoFailed(f"nodes {args[0]} ended with code {child.returncode}", "What it said stands above.")
    click.secho(f"    ({seconds(time.monotonic() - start)})", dim=True)


def _picture(stage: Stage, keep: Path | None) -> Path:
    """The newest picture; out of a temporary folder it is copied to where the user is."""
    found = sorted((stage.host / "output").rglob("*.png"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DemoFailed("The run left no picture")
    if keep is not None:
        return found[-1]
    return Path(shutil.copy(found[-1], Path.cwd() / "noderack-demo.png"))


def _next_steps(stage: Stage, keep: Path | None) -> list[str]:
    if keep is None:
        return [
            "  nodes demo --keep ~/noderack-demo          # the same, and it stays",
            "  nodes init ~/pictures                      # a host of your own, in seconds",
            "  nodes install-missing YOURS.json --dry-run # what one of your workflows would need",
        ]
    port = stage.url.rpartition(":")[2]
    return [
        f"  nodes registry serve --data {stage.root / 'registry'} --port {port}",
        f"  nodes run {stage.workflow} --host {stage.host}   # again: only what changed runs",
        f"  nodes rollback --host {stage.host}   # the pack that came last is gone, the host still runs",
    ]
