"""The Git index: a repository's tags become versions, each built and published like any other upload.

Nothing of the repository runs: no hooks, no filters, no submodules, no build backend. What was built stays
when the repository goes away.
"""

from __future__ import annotations

import fnmatch
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version
from sqlmodel import Session, col, select

from noderack_registry.server import git_address, tickets
from noderack_registry.server.accounts import Actor, ensure_account
from noderack_registry.server.answers import Registry
from noderack_registry.server.git_address import SCHEMES
from noderack_registry.server.git_fetch import Git
from noderack_registry.server.publish import Upload
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.tables import Note
from noderack_registry.server.tickets import Ticket


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
    retry: bool = False,
) -> Indexed:
    """Build and publish each tag that fits `pattern` and is not here yet. Raises Refusal.

    Tags that were refused before are known, too, unless `retry`. Nothing is cloned when all are known.
    """
    address = git_address.final(url, schemes)
    actor = registry.database.writing(_actor, registry)
    registry.incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=registry.incoming) as folder:
        git = Git(Path(folder), schemes)
        done = registry.database.reading(_known, url, retry)
        tags = sorted((one for one in git.tags(address) if fnmatch.fnmatch(one[0], pattern)), key=_order)
        fresh = [one for one in tags if one[1] not in done]
        if fresh:
            git.clone(address)
        pack = name or url.rstrip("/").removesuffix(".git").rpartition("/")[2]
        published, refused = [], []
        for tag, commit in fresh:
            try:
                version = _publish(registry, git, Path(folder), (pack, tag, commit), actor)
                published.append(version)
                report(f"{tag}: {pack} {version}")
            except Refusal as refusal:
                refused.append((tag, refusal.message))
                report(f"{tag}: {refusal.message}")
            was_refused = bool(refused) and refused[-1][0] == tag
            registry.database.writing(_note, url, commit, was_refused)
    return Indexed(tuple(published), len(tags) - len(fresh), tuple(refused))


def _order(one: tuple[str, str]) -> tuple[bool, Version, str]:
    """Oldest version first; names that are no version come last."""
    version = _version(one[0])
    return version is None, version or Version("0"), one[0]


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.removeprefix("v").removeprefix("V"))
    except InvalidVersion:
        return None


def _publish(registry: Registry, git: Git, folder: Path, wanted: tuple[str, str, str], actor: Actor) -> str:
    pack, tag, commit = wanted
    version = _version(tag)
    if version is None:
        raise Refusal("bad-value", f"tag {tag!r} is no version")
    archive = folder / "tree.zip"
    git.archive(commit, archive)
    ticket = Ticket(actor.account_id, actor.name, True, ("admin",), actor.name, pack, str(version), "")
    wheel = tickets.build(archive, ticket, folder)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    try:
        upload = Upload(wheel, wheel.name, digest, actor.name, commit=commit, built_here=True)
        registry.publisher.publish(upload, actor)
    finally:
        wheel.unlink(missing_ok=True)
    return str(version)


def _actor(session: Session, registry: Registry) -> Actor:
    account = ensure_account(session, "git-index", registry.settings.now(), admin=True)
    return Actor(account.id or 0, account.name, True, frozenset({"admin"}))


def _note(session: Session, url: str, commit: str, refused: bool) -> None:
    session.merge(Note(key=f"{'git-refused' if refused else 'git'}:{url}:{commit}", value=commit))


def _known(session: Session, url: str, retry: bool) -> set[str]:
    """Commits of this repository that were looked at before."""
    prefixes = [f"git:{url}:", *(() if retry else (f"git-refused:{url}:",))]
    rows = [session.exec(select(Note.value).where(col(Note.key).startswith(one))).all() for one in prefixes]
    return {commit for found in rows for commit in found}
