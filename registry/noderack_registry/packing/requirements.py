"""requirements.txt as people write it → requirements as METADATA can hold them, and notes on the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

COMMENT = re.compile(r"(?:^|\s)#.*$")
OPTION = re.compile(r"\s--(?:hash|config-settings?|global-option|install-option)[= ]\S+")
DIRECT = re.compile(r"(?:git|hg|svn|bzr)\+|https?://|file://")
INCLUDE = re.compile(r"(?:-r|--requirement)[= ]?\s*(?P<file>\S+)")
EDITABLE = re.compile(r"(?:-e|--editable)[= ]?\s*(?P<what>\S+)")
INDEX = re.compile(r"(?:-i|--index-url|--extra-index-url|-f|--find-links)[= ]?\s*(?P<url>\S+)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """`requires` for METADATA, `indexes` that the file adds, `notes` on lines that could not be kept."""

    requires: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decode(data: bytes) -> str:
    """The text of a file that an editor saved in UTF-8, UTF-16 (Windows PowerShell does) or Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read(text: str, include: Callable[[str], str | None] = lambda name: None) -> Requirements:
    """Reads a requirements file; `include` gives the text of the file that `-r NAME` names, or None."""
    requires: list[str] = []
    indexes: list[str] = []
    notes: list[str] = []
    for number, line in _lines(text, include, 0):
        if found := INDEX.match(line):
            indexes.append(found["url"])
        elif line.startswith("-") and not EDITABLE.match(line):
            notes.append(f"requirements.txt:{number}: option {line.split()[0]!r} is left out")
        else:
            try:
                requires.append(requirement(line))
            except ValueError as cause:
                notes.append(f"requirements.txt:{number}: {cause}")
    return Requirements(merge(requires), tuple(dict.fromkeys(indexes)), tuple(notes))


def _lines(text: str, include: Callable[[str], str | None], depth: int) -> Iterator[tuple[int, str]]:
    """Logical lines, each with its number: continued ones joined, comments off, `-r` files put in."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if joined else number
        joined += line
        if joined.rstrip().endswith("\\"):
            joined = joined.rstrip()[:-1] + " "
            continue
        clean, joined = COMMENT.sub("", joined).strip(), ""
        found = INCLUDE.match(clean)
        if found and depth < 5:
            yield from _lines(include(found["file"]) or "", include, depth + 1)
        elif clean and not found:
            yield start, clean


def requirement(line: str) -> str:
    """One line as a PEP 508 requirement; raises ValueError that says why it cannot be one."""
    line = OPTION.sub("", line).strip()
    if found := EDITABLE.match(line):
        line = found["what"]
    if DIRECT.match(line):
        return _direct(line)
    if line.startswith((".", "/")) or "\\" in line:
        raise ValueError(f"{line!r} is a path on the author's machine")
    try:
        return str(Requirement(line))
    except InvalidRequirement as cause:
        raise ValueError(f"{line!r} is not a requirement ({str(cause).splitlines()[0]})") from cause


def _direct(line: str) -> str:
    """A URL, or a repository, as `name @ url`."""
    url, _, marker = line.partition(" ;") if " ;" in line else line.partition("; ")
    url = url.strip()
    parts = urlsplit(url)
    egg = re.search(r"(?:^|&)egg=([A-Za-z0-9._-]+(?:\[[^\]]*\])?)", parts.fragment)
    name = egg[1] if egg else _name_in(parts.path)
    text = f"{name} @ {url}" + (f" ; {marker.strip()}" if marker else "")
    try:
        return str(Requirement(text))
    except InvalidRequirement as cause:
        raise ValueError(f"{line!r} is not a requirement ({str(cause).splitlines()[0]})") from cause


def _name_in(path: str) -> str:
    """The distribution that the file or repository at the end of a URL path most likely holds."""
    last = unquote(PurePosixPath(path).name)
    if last.endswith(".whl"):
        try:
            return parse_wheel_filename(last)[0]
        except InvalidWheelFilename:
            return canonicalize_name(last.split("-")[0])
    stem = re.sub(r"\.git(@.*)?$|@.*$", "", last)
    stem = re.sub(r"\.(tar\.(gz|bz2|xz)|zip|tgz)$", "", stem)
    stem = re.sub(r"-\d[\w.]*$", "", stem)
    if not stem:
        raise ValueError(f"no name can be read from {path!r}")
    return canonicalize_name(stem)


def merge(requires: Iterable[str]) -> tuple[str, ...]:
    """Without repeats, and without a bare name that is asked for more exactly elsewhere; the order stays."""
    parsed = {text: Requirement(text) for text in dict.fromkeys(requires)}
    exact = {_key(r) for r in parsed.values() if r.specifier or r.url}
    kept: dict[str, str] = {}
    for text, req in parsed.items():
        if not (req.specifier or req.url) and not req.extras and _key(req) in exact:
            continue
        kept.setdefault(str(_key(req)) + str(req.specifier) + str(req.url) + str(sorted(req.extras)), text)
    return tuple(kept.values())


def _key(requirement: Requirement) -> tuple[str, str]:
    return canonicalize_name(requirement.name), str(requirement.marker or "")
