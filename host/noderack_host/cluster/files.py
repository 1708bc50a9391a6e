"""The files of a prompt: which it reads, what it wrote, and the names that those get where all outputs go.

Each worker writes to a folder of its own (`Apart`), because two that save at once would take the same number.
`Outbox` hands on what is new there; a `Place` gives each file a name that is free, and messages are told with
that name.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from noderack_host.folder import Host
from noderack_host.folders import safe_relative
from noderack_host.save_names import claim

KINDS = ("input", "output", "temp")
_NUMBERED = re.compile(r"^(?P<stem>.*_)(?P<number>\d+)(?P<rest>_?(?:\..*)?)$")
_COPIED = re.compile(r"^(?P<stem>.*?)(?: \((?P<number>\d+)\))?(?P<rest>\.[^.]*)?$")


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a node wrote or reads: output, temp or input, and its place below that."""

    kind: str
    subfolder: str
    name: str

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Made":
        """The file that an item of a ui payload names."""
        kind, subfolder = str(item.get("type", "output")), str(item.get("subfolder") or "")
        return cls(kind, subfolder.replace("\\", "/").strip("/"), str(item["filename"]))

    def below(self, root: Path) -> Path | None:
        """Where it is, below the folder that holds the three kinds; None for a name that leads out."""
        relative = safe_relative(f"{self.subfolder}/{self.name}" if self.subfolder else self.name)
        return None if relative is None or self.kind not in KINDS else root / self.kind / relative


@dataclass(frozen=True, slots=True)
class Apart(Host):
    """A host whose outputs go to a folder of one worker's own; `brought`: its inputs are there as well."""

    own: Path
    brought: bool

    @property
    def output(self) -> Path:
        return self.own / "output"

    @property
    def temp(self) -> Path:
        return self.own / "temp"

    @property
    def input(self) -> Path:
        return self.own / "input" if self.brought else self.root / "input"


class Place(Protocol):
    """Where outputs land."""

    def put(self, made: Made, file: Path, names: Mapping[Made, Made]) -> Made:
        """Takes a file under a free name; gives that. `names` are those that files got before.

        One that was taken before takes its own place, and one of the same number as another keeps to that.
        """


def following(name: str) -> str:
    """The next name to try: `a_00001_.png` → `a_00002_.png`, `a.png` → `a (1).png`."""
    found = _NUMBERED.match(name)
    if found is not None:
        number = found["number"]
        return f"{found['stem']}{int(number) + 1:0{len(number)}}{found['rest']}"
    copied = _COPIED.match(name)
    assert copied is not None  # it takes any text
    return f"{copied['stem']} ({int(copied['number'] or 0) + 1}){copied['rest'] or ''}"


def first_free(name: str, taken: Iterator[str]) -> str:
    """`name`, or for a numbered one the name after the highest number that is taken."""
    found = _NUMBERED.match(name)
    if found is None:
        return name
    others = (_NUMBERED.match(other) for other in taken if other.startswith(found["stem"]))
    numbers = [int(other["number"]) for other in others if other and other["stem"] == found["stem"]]
    highest = max(numbers, default=0)
    if highest < int(found["number"]):
        return name
    return f"{found['stem']}{highest + 1:0{len(found['number'])}}{found['rest']}"


def sibling(made: Made, names: Mapping[Made, Made]) -> str | None:
    """The name that goes with what a file of the same number became: a picture's text keeps its number."""
    found = _NUMBERED.match(made.name)
    if found is None:
        return None
    start = f"{found['stem']}{found['number']}"
    for one, final in reversed(list(names.items())):
        if (one.kind, one.subfolder) == (made.kind, made.subfolder) and one.name.startswith(start):
            given = _NUMBERED.match(final.name)
            return f"{given['stem']}{given['number']}{found['rest']}" if given else None
    return None


class Folder:
    """A host's own output and temp folders. A reader never sees half a file, and nothing is overwritten."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, made: Made, file: Path, names: Mapping[Made, Made]) -> Made:
        target = made.below(self._root)
        if target is None:
            raise ValueError(f"{made.name!r} leads out of {made.kind}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.parent / f".{os.getpid()}-{target.name}.part"
        _link_or_copy(file, beside)
        if made in names:
            beside.replace(target.with_name(names[made].name))
            return names[made]
        taken = (other.name for other in target.parent.iterdir())
        name = sibling(made, names) or first_free(made.name, taken)
        try:
            while not claim(beside, target.with_name(name)):
                name = following(name)
        finally:
            beside.unlink(missing_ok=True)
        return Made(made.kind, made.subfolder, name)


def _link_or_copy(file: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another filesystem, or one without links
        shutil.copyfile(file, target)


class Outbox:
    """Hands on what appears in a worker's own output and temp folders, each file once for each change.

    also: where files are that payloads name and that are not there (packs in processes of their own write to
    the host's folders); None if they are to stay where they are.
    """

    def __init__(self, own: Path, place: Place, also: Path | None = None) -> None:
        self._own, self._place, self._also = own, place, also
        self._seen: dict[Made, tuple[int, int]] = {}
        self.names: dict[Made, Made] = {}

    def sent(self, ui: Any) -> Any:
        """A ui payload whose files have been handed on, under the names that they got."""
        for item in _items(ui):
            made = Made.of(item)
            self._hand_on(made, self._own)
            if self._also is not None and made not in self.names:
                self._hand_on(made, self._also)
        return renamed(ui, self.names)

    def sweep(self) -> None:
        """Hands on what no payload named."""
        for kind in ("output", "temp"):
            for folder, _, names in os.walk(self._own / kind):
                below = Path(folder).relative_to(self._own / kind).as_posix()
                for name in names:
                    if not name.endswith(".part"):
                        self._hand_on(Made(kind, "" if below == "." else below, name), self._own)

    def known(self, made: Made, file: Path) -> None:
        """A file that was brought here to be read: it is nothing new."""
        self._seen[made] = _stamp(file)

    def _hand_on(self, made: Made, root: Path) -> None:
        file = made.below(root)
        if made.kind == "input" or file is None or not file.is_file():
            return
        stamp = _stamp(file)
        if self._seen.get(made) != stamp:
            self._seen[made] = stamp
            self.names[made] = self._place.put(made, file, self.names)


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def renamed(value: Any, names: Mapping[Made, Made]) -> Any:
    """A payload in which every file has the name that it got; the payload itself where nothing changed."""
    if isinstance(value, Mapping):
        if isinstance(value.get("filename"), str):
            final = names.get(Made.of(value))
            if final is None:
                return value
            return {**value, "filename": final.name, "subfolder": final.subfolder, "type": final.kind}
        return {key: renamed(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [renamed(one, names) for one in value]
    return value


def _items(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every file that a ui payload names, however deep."""
    if isinstance(value, Mapping):
        if isinstance(value.get("filename"), str):
            yield value
        else:
            for one in value.values():
                yield from _items(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _items(one)


def read_by(prompt: Mapping[str, Any], host: Host) -> Iterator[tuple[Made, Path]]:
    """The host's files that a prompt's inputs name, as `picture.png` or `sub/picture.png [output]`."""
    texts = {
        value
        for node in prompt.values()
        for value in (node.get("inputs") or {}).values()
        if isinstance(value, str) and 0 < len(value) < 500
    }
    for text in sorted(texts):
        name, kind = _annotated(text)
        relative = safe_relative(name)
        if relative is None:
            continue
        folder: Path = getattr(host, kind)
        if (folder / relative).is_file():
            below = relative.parent.as_posix()
            yield Made(kind, "" if below == "." else below, relative.name), folder / relative


def _annotated(text: str) -> tuple[str, str]:
    for kind in KINDS:
        if text.endswith(f" [{kind}]"):
            return text.removesuffix(f" [{kind}]"), kind
    return text, "input"
