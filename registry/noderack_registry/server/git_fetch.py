"""Git on a repository of strangers: what it may read, run and take is bounded here.

GitPython cannot stop a clone that grows too large, so git itself is started, and watched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from noderack_registry.server.git_address import SCHEMES
from noderack_registry.server.refusals import Refusal

LARGEST_REPOSITORY = 2 << 30
LARGEST_TREE = 1 << 30
MOST_FILES = 50_000
MOST_TAGS = 2_000
SECONDS = 600
_LOOK_EVERY = 0.2
# Whatever the repository's own settings say: no hooks, no filters that run programs, no other transports.
_SAFE = (
    "core.hooksPath=/dev/null",
    "http.followRedirects=false",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "filter.lfs.smudge=cat",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "transfer.fsckObjects=true",
)


_PASSED_ON = frozenset(
    {"SSH_AUTH_SOCK", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)


class Git:
    """Git on one strange repository: no settings but ours, nothing asked, bounded in time and bytes."""

    def __init__(self, folder: Path, schemes: tuple[str, ...]) -> None:
        self._folder, self._clone = folder, folder / "clone.git"
        allowed = ":".join(sorted({*schemes} & {*SCHEMES}))
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "GIT_ALLOW_PROTOCOL": allowed,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "GIT_LFS_SKIP_SMUDGE": "1",
            **{key: value for key, value in os.environ.items() if key in _PASSED_ON},
        }

    def tags(self, address: str) -> list[tuple[str, str]]:
        """Tags with the commit each stands for, by name."""
        listed = self._run(["ls-remote", "--tags", "--", address], f"{address} cannot be read")
        found: dict[str, str] = {}
        for line in listed.decode("utf-8", "replace").splitlines():
            commit, _, ref = line.partition("\t")
            plain = ref.removeprefix("refs/tags/")
            if ref.endswith("^{}") or plain not in found:  # what an annotated tag points at comes after it
                found[plain.removesuffix("^{}")] = commit
        if len(found) > MOST_TAGS:
            raise Refusal("too-large", f"{address} has {len(found)} tags; the most is {MOST_TAGS}")
        return sorted(found.items())

    def clone(self, address: str) -> None:
        """Fetch everything, as long as it is not too much."""
        settings = [f"--config={setting}" for setting in _SAFE]
        options = [
            "--quiet",
            "--bare",
            "--no-hardlinks",
            "--template=",
            "--filter=blob:limit=100m",
            *settings,
        ]
        self._run(["clone", *options, "--", address, str(self._clone)], f"{address} cannot be cloned")

    def archive(self, commit: str, target: Path) -> None:
        """The tree of a commit as a zip: no filter, no link, no submodule, nothing fetched for it."""
        self._check_tree(commit)
        command = ["-C", str(self._clone), "archive", "--format=zip", "-o", str(target), commit]
        self._run(command, f"{commit[:12]} cannot be read", alone=True)

    def _check_tree(self, commit: str) -> None:
        """Raise Refusal for a tree that unpacks to too much: trees can hold themselves many times."""
        command = ["git", "-C", str(self._clone), "ls-tree", "-r", "-l", "-z", commit]
        count = size = 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=self._alone) as listing:
            assert listing.stdout is not None
            for line in _records(listing.stdout):
                count, size = count + 1, size + _size_of(line)
                if count > MOST_FILES or size > LARGEST_TREE:
                    listing.kill()
                    raise Refusal("too-large", f"{commit[:12]} holds {count} files or more, {size} bytes")

    @property
    def _alone(self) -> dict[str, str]:
        """The environment for what may not fetch: not even what a partial clone left out."""
        return {**self._environment, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}

    def _run(self, command: list[str], failure: str, alone: bool = False) -> bytes:
        """What git prints. Raises Refusal when it fails, takes too long, or fills the disk."""
        settings = [part for setting in _SAFE for part in ("-c", setting)]
        beside = self._folder / "said"
        with (
            beside.open("wb") as out,
            subprocess.Popen(
                ["git", *settings, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                env=self._alone if alone else self._environment,
                start_new_session=True,
            ) as child,
        ):
            self._watch(child, failure)
            said = (child.stderr.read() if child.stderr else b"").decode("utf-8", "replace").strip()
        if child.returncode:
            raise Refusal("bad-value", f"{failure}: {(said.splitlines() or ['git failed'])[-1][:200]}")
        return beside.read_bytes()

    def _watch(self, child: subprocess.Popen[bytes], failure: str) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                child.wait(_LOOK_EVERY)
                return
            except subprocess.TimeoutExpired:
                late = time.monotonic() > deadline
                if late or _bytes_in(self._folder) > LARGEST_REPOSITORY:
                    os.killpg(child.pid, signal.SIGKILL)
                    most = f"{SECONDS} s" if late else f"{LARGEST_REPOSITORY} bytes"
                    raise Refusal("too-large", f"{failure}: it takes more than {most}") from None


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # git renames while we look
            total += path.lstat().st_size
    return total


def _records(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def _size_of(line: bytes) -> int:
    """Bytes of an entry: `mode kind hash size<TAB>name`; a submodule has none."""
    size = line.partition(b"\t")[0].split()[-1:]
    return int(size[0]) if size and size[0].isdigit() else 0
