"""Save names: `<prefix>_<5-digit counter>_.<ext>`, tokens in the prefix filled in, never outside the folder.

The rules are those that existing workflows were written against: files land where their authors look.
Source: host contract §6.4.

Errors:
    OutsideFolder   a prefix that would leave its folder
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_COUNTER = re.compile(r"_(\d+)_?(?:\.|$)")


class OutsideFolder(ValueError):
    """A save name that would leave the output folder."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            f"the filename prefix {prefix!r} points outside the output folder; use a name inside it"
        )


@dataclass(frozen=True, slots=True)
class SaveName:
    """Where the pictures of one save go; `subfolder` is `folder` relative to the root, for the client.

    `mark` stands between the counter and the extension; later kinds of nodes have none there.
    """

    folder: Path
    stem: str
    counter: int
    subfolder: str
    mark: str = "_"

    def file_name(self, number: int, extension: str) -> str:
        """The name of the `number`-th picture of a batch, `%batch_num%` filled in."""
        stem = self.stem.replace("%batch_num%", str(number))
        return f"{stem}_{self.counter + number:05}{self.mark}{extension}"


def fill_tokens(prefix: str, width: int, height: int, now: datetime) -> str:
    """Replace %width%, %height% and the %year% … %second% tokens; others stay as they are."""
    values = {
        "width": str(width),
        "height": str(height),
        "year": f"{now.year}",
        "month": f"{now.month:02}",
        "day": f"{now.day:02}",
        "hour": f"{now.hour:02}",
        "minute": f"{now.minute:02}",
        "second": f"{now.second:02}",
    }
    return re.sub(r"%(\w+)%", lambda match: values.get(match[1], match[0]), prefix)


def save_name(prefix: str, root: Path, width: int, height: int, now: datetime | None = None) -> SaveName:
    """Find the folder and the next free counter for `prefix` under `root`; makes the folder.

    Raises OutsideFolder when the prefix would leave `root`.
    """
    filled = fill_tokens(prefix, width, height, now or datetime.now()).replace("\\", "/")
    root = Path(os.path.normpath(root.absolute()))
    target = Path(os.path.normpath(root / filled))  # an absolute prefix replaces root, and fails below
    if not target.is_relative_to(root) or target == root:
        raise OutsideFolder(prefix)
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise OutsideFolder(prefix)
    subfolder = "" if folder == root else folder.relative_to(root).as_posix()
    return SaveName(folder, target.name, _next_counter(folder, target.name), subfolder)


def _next_counter(folder: Path, stem: str) -> int:
    """One more than the highest counter that files of this stem carry."""
    taken = (
        int(match[1])
        for file in folder.iterdir()
        if file.name.startswith(f"{stem}_") and (match := _COUNTER.match(file.name[len(stem) :]))
    )
    return max(taken, default=0) + 1


def write_new(place: SaveName, number: int, extension: str, write: Callable[[Path], None]) -> str:
    """Has `write` write the `number`-th file of a save, and gives its name: the next one that is free.

    It is written beside its place and gets its name in one step: a reader never sees half a file, and two
    hosts that save at once never overwrite each other.
    """
    name = place.file_name(number, extension)
    beside = place.folder / f".{name}.{os.getpid()}.part"
    try:
        write(beside)
        while not claim(beside, place.folder / name):  # another process took this name meanwhile
            number += 1
            name = place.file_name(number, extension)
    finally:
        beside.unlink(missing_ok=True)
    return name


def claim(beside: Path, final: Path) -> bool:
    """Gives a file its final name in one step; False if another has that name."""
    try:
        os.link(beside, final)
    except FileExistsError:
        return False
    except OSError:  # a filesystem without links: rename, the best that it offers
        if final.exists():
            return False
        beside.replace(final)
    return True
