"""A pack's source as a folder, whatever it was: a folder, one file, a git repository at a ref, a zip."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from noderack_registry.packing import files
from noderack_registry.packing.errors import SourceError

GIT = re.compile(
    r"(?:git\+)?(?P<url>(?:https?|ssh|git|file)://\S+?|git@[\w.-]+:\S+?|(?:gh|github):[\w.-]+/[\w.-]+?)"
    r"(?:@(?P<ref>[^@:\s]+))?"
)
LARGEST = 4 << 30  # of an unpacked archive
RATIO = 200


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source. `folder` is the name of the pack's folder at its author's; `files` what ships."""

    root: Path
    folder: str
    shown: str
    files: tuple[str, ...] = ()
    commit: str | None = None
    tag: str | None = None
    date: datetime | None = None
    repository: str | None = None


@contextmanager
def open_source(where: str | Path) -> Iterator[Source]:
    """Opens PATH, GIT[@REF] or ZIP for as long as the block runs; raises SourceError with the reason."""
    text = str(where)
    path = Path(text)
    local, _, ref = text.rpartition("@")
    if path.exists():
        with _open_path(path) as source:
            yield source
    elif ref and local and Path(local).is_dir():
        with _open_git(str(Path(local).resolve()), ref, text) as source:
            yield source
    elif found := GIT.fullmatch(text):
        with _open_git(_url(found["url"]), found["ref"], text) as source:
            yield source
    else:
        raise SourceError(
            f"{text} is neither a folder, a zip nor a git address", "check the spelling of the path"
        )


def _url(url: str) -> str:
    head, _, rest = url.partition(":")
    return f"https://github.com/{rest}" if head in {"gh", "github"} else url


@contextmanager
def _open_path(path: Path) -> Iterator[Source]:
    if path.is_dir():
        yield _folder(path.resolve())
    elif path.suffix == ".py":
        with tempfile.TemporaryDirectory(prefix="noderack-") as temporary:
            shutil.copyfile(path, Path(temporary) / path.name)
            yield Source(Path(temporary), path.stem, str(path), (path.name,))
    elif zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="noderack-") as temporary:
            yield _unpacked(path, Path(temporary))
    elif (path / "HEAD").is_file():
        with _open_git(str(path), None, str(path)) as source:
            yield source
    else:
        raise SourceError(
            f"{path} is not a pack: neither a folder, a .py file nor a zip", "give the pack's folder"
        )


def _folder(root: Path) -> Source:
    if (root / "HEAD").is_file() and (root / "objects").is_dir() and not (root / "__init__.py").exists():
        raise SourceError(f"{root} is a bare git repository", f"name the ref to build: {root}@main")
    source = _with_files(Source(root, root.name, str(root)))
    return _with_git(source) if (root / ".git").exists() else source


def _with_files(source: Source) -> Source:
    from noderack_registry.packing.metadata import pyproject

    comfy = pyproject(source.root).get("tool", {}).get("comfy", {})
    includes = comfy.get("includes", ()) if isinstance(comfy, dict) else ()
    return replace(source, files=files.shipped(source.root, [str(part) for part in includes]))


def _with_git(source: Source) -> Source:
    """Adds what the repository tells; the commit only when the tree is exactly that commit."""
    told = files.git(source.root, "log", "-1", "--format=%H %ct")
    if not told or not told.strip():
        return source
    commit, seconds = told.split()
    clean = files.git(source.root, "status", "--porcelain", "--untracked-files=no") == ""
    tag = files.git(source.root, "describe", "--tags", "--exact-match") if clean else None
    remote = files.git(source.root, "config", "--get", "remote.origin.url")
    return replace(
        source,
        commit=commit if clean else None,
        tag=tag.strip() if tag else None,
        date=datetime.fromtimestamp(int(seconds), timezone.utc),
        repository=public_url(remote.strip()) if remote else None,
    )


def public_url(remote: str) -> str | None:
    """A remote as others can open it: no password, https for git@host; None for a local path."""
    if found := re.fullmatch(r"git@([\w.-]+):(\S+)", remote):
        remote = f"https://{found[1]}/{found[2]}"
    if not remote.startswith(("https://", "http://")):
        return None
    return re.sub(r"//[^/@]*@", "//", remote).removesuffix(".git")


def _unpacked(archive: Path, temporary: Path) -> Source:
    """A zip without its outer folder, if it has one; nothing is written outside of `temporary`."""
    with zipfile.ZipFile(archive) as bundle:
        members = [info for info in bundle.infolist() if not info.is_dir()]
        _refuse_bombs(archive, members)
        for info in members:
            target = temporary / "tree" / _safe(archive, info)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.read(info))
            if info.external_attr >> 16 & 0o111:
                target.chmod(0o755)
    root = temporary / "tree"
    if not root.is_dir():
        raise SourceError(f"{archive} is an empty archive", "download it again")
    children = list(root.iterdir())
    folder = archive.stem
    if len(children) == 1 and children[0].is_dir():
        root = children[0]
        folder = re.sub(r"-(main|master|v?\d[\w.]*|[0-9a-f]{40})$", "", root.name)
    return _with_files(Source(root, _named(root) or folder, str(archive)))


def _named(root: Path) -> str | None:
    """The name that pyproject.toml gives: a zip's own name says little (node.zip)."""
    from noderack_registry.packing.metadata import pyproject

    name = pyproject(root).get("project", {}).get("name")
    return name if isinstance(name, str) else None


def _refuse_bombs(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    size = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members) or 1
    if size > LARGEST or (size > 64 << 20 and size / packed > RATIO):
        raise SourceError(
            f"{archive} would unpack to {size:,} bytes", "this is no ordinary pack; do not open it"
        )


def _safe(archive: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    link = info.external_attr >> 16 & 0o170000 == 0o120000
    if (
        path.is_absolute()
        or ".." in path.parts
        or re.match(r"[A-Za-z]:", info.filename)
        or link
        or not path.parts
    ):
        raise SourceError(
            f"{archive}: the entry {info.filename!r} would land outside", "do not open this archive"
        )
    return path


def _git_said(stderr: str) -> str:
    """Git's last word: its last line that tells of a failure, else its last line."""
    lines = [line for text in stderr.splitlines() if (line := text.strip().strip("'").strip())]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or [""])[-1]


@contextmanager
def _open_git(url: str, ref: str | None, shown: str) -> Iterator[Source]:
    """A clone of `url` at `ref` (branch, tag, commit; the default branch if None), submodules included."""
    try:
        from git import GitCommandError, Repo
    except ImportError as cause:
        raise SourceError("building from git needs GitPython", "pip install 'noderack[registry]'") from cause
    with tempfile.TemporaryDirectory(prefix="noderack-") as temporary:
        name = re.sub(r"\.git$", "", PurePosixPath(url.rstrip("/").replace(":", "/")).name) or "pack"
        root = Path(temporary) / name
        try:
            environment = {"GIT_TERMINAL_PROMPT": "0"}
            repository = Repo.clone_from(url, root, env=environment)
            with repository:
                if ref:
                    repository.git.checkout(ref, "--")
                if (root / ".gitmodules").is_file():
                    repository.git.submodule("update", "--init", "--recursive")
        except GitCommandError as cause:
            raise SourceError(
                f"{shown}: git says: {_git_said(str(cause.stderr)) or cause}", "check address and ref"
            ) from cause
        source = _with_files(Source(root, name, shown))
        yield replace(_with_git(source), repository=public_url(url))
