"""The Git index: a repository's tags become versions, each built and published like any other upload.

Nothing of the repository runs: no hooks, no filters, no submodules, no build backend. What was built stays
when the repository goes away.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version
from sqlmodel import Session, select

from noderack_registry.server import tickets
from noderack_registry.server.accounts import Actor, ensure_account
from noderack_registry.server.answers import Registry
from noderack_registry.server.publish import Upload
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Note
from noderack_registry.server.tickets import Ticket

SCHEMES = ("https", "http", "ssh", "file")
LARGEST_REPOSITORY = 2 << 30
SECONDS = 600
# Whatever the repository's own settings say: no hooks, no filters that run programs, no other transports.
_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "filter.lfs.smudge=cat",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "transfer.fsckObjects=true",
)


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of a repository's tags: published now, known before, or refused (tag, why)."""

    published: tuple[str, ...]
    known: int
    refused: tuple[tuple[str, str], ...]


def index(
    registry: Registry,
    url: str,
    pattern: str = "*",
    name: str | None = None,
    schemes: tuple[str, ...] = SCHEMES,
    report: Callable[[str], None] = lambda line: None,
) -> Indexed:
    """Build and publish each tag that fits `pattern` and is not here yet. Raises Refusal."""
    _check_url(url, schemes)
    actor = registry.database.writing(_actor, registry)
    registry.incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=registry.incoming) as folder:
        clone = Path(folder) / "clone.git"
        _clone(url, clone, schemes)
        pack = name or url.rstrip("/").removesuffix(".git").rpartition("/")[2]
        tags = [(tag, commit) for tag, commit in _tags(clone) if fnmatch.fnmatch(tag, pattern)]
        done = registry.database.reading(_known, url)
        published, refused = [], []
        for tag, commit in (item for item in tags if item[1] not in done):
            try:
                version = _publish(registry, clone, Path(folder), (pack, tag, commit), actor)
                published.append(version)
                report(f"{tag}: {pack} {version}")
            except Refusal as refusal:
                refused.append((tag, refusal.message))
                report(f"{tag}: {refusal.message}")
            registry.database.writing(_note, url, commit)
    return Indexed(tuple(published), len(tags) - len(published) - len(refused), tuple(refused))


def _check_url(url: str, schemes: tuple[str, ...]) -> None:
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in schemes or url.startswith("-") or not url.isprintable() or "::" in url:
        raise Refusal("bad-value", f"{url[:200]!r} is not an address by {', '.join(schemes)}")


def _clone(url: str, target: Path, schemes: tuple[str, ...]) -> None:
    from git import GitCommandError, Repo

    allowed = ":".join(sorted({*schemes} & {*SCHEMES}))
    environment = {"GIT_ALLOW_PROTOCOL": allowed, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    settings = [f"--config={setting}" for setting in _SAFE]
    options = ["--bare", "--no-hardlinks", "--filter=blob:limit=100m", *settings]
    try:
        Repo.clone_from(
            url,
            target,
            multi_options=options,
            env=environment,
            allow_unsafe_options=True,
            kill_after_timeout=SECONDS,
        )
    except GitCommandError as cause:
        said = str(cause.stderr).strip().splitlines()[-1:] or ["git failed"]
        raise Refusal("bad-value", f"{url} cannot be cloned: {said[0][:200]}") from cause
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > LARGEST_REPOSITORY:
        raise Refusal("too-large", f"{url} has {size} bytes; the most is {LARGEST_REPOSITORY}")


def _tags(clone: Path) -> list[tuple[str, str]]:
    """Tags with the commit each stands for, oldest version first; names that are no version by name."""
    from git import Repo

    repository = Repo(clone)
    found = []
    for tag in repository.tags:
        try:
            found.append((tag.name, tag.commit.hexsha))
        except ValueError:
            continue  # a tag of something that is no commit
    return sorted(
        found, key=lambda item: (_version(item[0]) is None, _version(item[0]) or Version("0"), item[0])
    )


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.removeprefix("v").removeprefix("V"))
    except InvalidVersion:
        return None


def _publish(
    registry: Registry, clone: Path, folder: Path, wanted: tuple[str, str, str], actor: Actor
) -> str:
    pack, tag, commit = wanted
    version = _version(tag)
    if version is None:
        raise Refusal("bad-value", f"tag {tag!r} is no version")
    archive = folder / "tree.zip"
    _archive(clone, commit, archive)
    ticket = Ticket(actor.account_id, actor.name, True, ("admin",), actor.name, pack, str(version), "")
    wheel = tickets.build(archive, ticket, folder)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    try:
        upload = Upload(wheel, wheel.name, digest, actor.name, commit=commit, built_here=True)
        registry.publisher.publish(upload, actor)
    finally:
        wheel.unlink(missing_ok=True)
    return str(version)


def _archive(clone: Path, commit: str, target: Path) -> None:
    """The tree of a commit as a zip: `git archive` runs no filter, follows no link, fetches no submodule."""
    done = subprocess.run(
        ["git", "-C", str(clone), "archive", "--format=zip", "-o", str(target), commit],
        env={
            **os.environ,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "HOME": str(target.parent),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise Refusal("bad-value", f"{commit[:12]} cannot be read: {done.stderr.strip()[:200]}")


def _actor(session: Session, registry: Registry) -> Actor:
    account = ensure_account(session, "git-index", registry.settings.now(), admin=True)
    return Actor(account.id or 0, account.name, True, frozenset({"admin"}))


def _note(session: Session, url: str, commit: str) -> None:
    session.merge(Note(key=f"git:{url}:{commit}", value=commit))


def _known(session: Session, url: str) -> set[str]:
    """Commits of this repository that were looked at before."""
    prefix = f"git:{url}:"
    rows = session.exec(select(Note.value).where(Note.key.startswith(prefix))).all()
    return set(rows)
