"""What a build remembers of the one before: each file with the fingerprint of what it was made from.

`.noderack-site` in the output folder, one line a file: fingerprint, space, path. Files of a block stand
together under a line `# fingerprint name`: they are read, and their lines made, only when the block changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noderack_site.data import SiteError

STATE, UNFINISHED = ".noderack-site", ".noderack-site-unfinished"
_DIGEST = re.compile(r"^(# )?[0-9a-f]+ ", re.MULTILINE)


class NotASite(SiteError):
    """The output folder holds something else."""


@dataclass(slots=True)
class State:
    """{path: fingerprint} of the files outside of blocks; (fingerprint, lines of its files) of each block."""

    files: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def count(self) -> int:
        """How many files there are."""
        return len(self.files) + sum(lines.count("\n") for _, lines in self.blocks.values())

    def text(self) -> str:
        """The content of the state file."""
        parts = (f"# {digest} {name}\n{lines}" for name, (digest, lines) in self.blocks.items())
        return lines_of(self.files) + "".join(parts)

    def gone(self, after: State) -> set[str]:
        """The paths that are here and no longer in `after`; blocks that did not change keep all of theirs."""
        same = {name for name, block in after.blocks.items() if self.blocks.get(name) == block}
        lost = set(self._paths(same)).difference(after._paths(same))
        return {path for path in lost if not any(f" {path}\n" in after.blocks[name][1] for name in same)}

    def _paths(self, leave_out: set[str]) -> Iterator[str]:
        yield from self.files
        for name, (_, lines) in self.blocks.items():
            if name not in leave_out:
                yield from files_in(lines)


def lines_of(files: Mapping[str, str]) -> str:
    """The lines of files."""
    return "".join(f"{digest} {path}\n" for path, digest in files.items())


def files_in(lines: str) -> dict[str, str]:
    """{path: fingerprint} of such lines."""
    rows = (line.partition(" ") for line in lines.splitlines())
    return {path: digest for digest, _, path in rows}


def read_state(out: Path) -> State:
    """The state after the build before; after a killed one the files stand without fingerprints.

    Raises NotASite if `out` holds files that no build of ours wrote.
    """
    killed = out / UNFINISHED
    if killed.exists():
        return _parsed(_DIGEST.sub(r"\1 ", killed.read_text(encoding="utf-8")))
    if (out / STATE).exists():
        return _parsed((out / STATE).read_text(encoding="utf-8"))
    if out.is_dir() and any(not path.name.startswith(".noderack-") for path in out.iterdir()):
        hint = "give an empty folder, or one that `nodes registry site` wrote before"
        raise NotASite(f"{out} holds files that are no site of ours; {hint}")
    return State()


def put_aside(out: Path) -> None:
    """Until `finish`, a build that finds this folder makes everything anew."""
    if (out / UNFINISHED).exists():
        return
    if (out / STATE).exists():
        (out / STATE).rename(out / UNFINISHED)
    else:
        (out / UNFINISHED).touch()


def finish(out: Path, state: State) -> None:
    """Remember what was built."""
    (out / STATE).write_text(state.text(), encoding="utf-8")
    (out / UNFINISHED).unlink()


def _parsed(text: str) -> State:
    first, *rest = f"\n{text}".split("\n# ")
    return State(files_in(first[1:]), dict(_blocks(rest)))


def _blocks(parts: Iterable[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    for part in parts:
        head, _, lines = part.partition("\n")
        digest, _, name = head.partition(" ")
        yield name, (digest, f"{lines.removesuffix(chr(10))}\n" if lines else "")
