"""Where a worker works: in the host's own folder where it sees that, else in one of its own of the same lock.

A worker sees the host's folder when the mark is there that the server left in it: it runs on the same
machine, or the folder is a share that is mounted at the same place.

Errors:
    NoHome   the worker cannot work here: what is missing, and what to do
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from noderack_host.cluster.child import CARRIED, FOLDER, Setup
from noderack_host.folder import Host, HostError
from noderack_host.renewal import in_use

OWN = ".worker-"  # folders of workers, below temp/
SYNCED = "synced"  # below user/: the hash of the lock that the generation in use was made from
DEFAULT_ROOT = "~/.noderack/worker"


class NoHome(Exception):
    """A worker cannot work on its machine."""


@dataclass(frozen=True, slots=True)
class Site:
    """What every worker is told of the server's host.

    root: its folder. mark: a file in it that only this server has left. python: the interpreter of the
    generation in use. lock: nodes.lock, "" if there is none. config: host.toml. apart: where workers keep
    hosts of their own even if they see the host's folder. outputs: the address of a bucket, or None.
    number: of the change; another one means that packs may be other.
    """

    root: str
    mark: str
    python: str
    lock: str
    config: str
    apart: str | None
    outputs: str | None
    cache: str
    keep: str | None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Home:
    """The interpreter, what its process is told, whether that is the host's own folder."""

    python: str
    setup: Setup
    shared: bool


def settle(site: Site) -> Home:
    """Finds or makes the place; takes as long as an installation where packs are missing. Raises NoHome."""
    if site.apart is None and Path(site.mark).is_file():
        return _home(site, Path(site.root), site.python, shared=True)
    root = Path(site.apart or DEFAULT_ROOT).expanduser() / Path(site.root).name
    root.parent.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        _sync(site, root)
        _sweep(root / "temp")
    host = _opened(root)
    return _home(site, root, str(in_use(host)[1] / host.python.relative_to(host.env)), shared=False)


def _home(site: Site, root: Path, python: str, shared: bool) -> Home:
    own = root / "temp" / f"{OWN}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    outputs = site.outputs or (FOLDER if shared else CARRIED)
    return Home(python, Setup(str(root), str(own), outputs, site.cache, site.keep), shared)


def leave(home: Home) -> None:
    """Removes the worker's own folder; what it made has been handed on."""
    shutil.rmtree(home.setup.own, ignore_errors=True)


def sweep_all(root: Path) -> None:
    """Removes what workers of an earlier server left."""
    for left in (root / "temp").glob(f"{OWN}*"):
        shutil.rmtree(left, ignore_errors=True)


def _sweep(temp: Path) -> None:
    """Removes what workers of this machine left that are gone."""
    for left in temp.glob(f"{OWN}*"):
        pid = left.name.removeprefix(OWN).partition("-")[0]
        if pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _opened(root: Path) -> Host:
    try:
        return Host.open(root)
    except HostError as cause:
        raise NoHome(f"{cause}; {cause.hint}") from cause


def _sync(site: Site, root: Path) -> None:
    """Makes the host at `root` what the lock says, if it is not that already."""
    if not site.lock:
        raise NoHome(f"{site.root} has no nodes.lock to install from: run nodes lock in it, then serve again")
    digest = hashlib.sha256(site.lock.encode()).hexdigest()
    synced = root / "user" / SYNCED
    with contextlib.suppress(OSError):
        if synced.read_text("utf-8") == digest:
            return
    if not (root / "host.toml").is_file():
        _nodes("init", str(root))
        (root / "host.toml").write_text(site.config, encoding="utf-8")
    lock = root / "user" / "server.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(site.lock, encoding="utf-8")
    _nodes("sync", str(lock), "--host", str(root), "--yes")
    synced.write_text(digest, encoding="utf-8")


def _nodes(*words: str) -> None:
    """Runs a `nodes` command of the worker's own environment; raises NoHome with what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "noderack_cli", *words, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoHome(f"nodes {words[0]} failed on this machine: {_said(done.stdout) or done.stderr[-400:]}")


def _said(output: str) -> str:
    try:
        error = json.loads(output.strip().rpartition("\n")[2])["error"]
        return f"{error['message']} {error.get('hint') or ''}".strip()
    except (ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One worker at a time makes the host of a machine; the others wait, and find it done."""
    import fcntl

    with root.with_name(f".{root.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
