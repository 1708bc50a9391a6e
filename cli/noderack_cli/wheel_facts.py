"""What wheels are unpacked, and under which licence, told before they come: by their list of files alone.

A wheel that uv's cache holds is read there, as it was unpacked; of others a range request brings the end,
where a ZIP keeps its list of files and wheels keep their metadata. What cannot be read in time stays unknown.
"""

from __future__ import annotations

import csv
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import httpx
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from noderack_cli.side_by_side import each
from noderack_cli.wheels import Wheel

PATIENCE = 2.0  # seconds for all wheels together
TAIL = 64 << 10  # bytes of the end that are asked for first
MOST = 32 << 20  # bytes of one wheel that are ever asked for
LONGEST_LICENCE = 80
LONGEST_NAME = 40  # from here on uv may shorten the name under which it keeps a wheel
_UNREADABLE = (OSError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError, httpx.HTTPError)


@dataclass(frozen=True, slots=True)
class WheelFacts:
    """`unpacked`: bytes of all files. `sources`: those of Python files, of which byte code is made.

    `cached`: uv's cache holds it, so that nothing is downloaded and its files are linked.
    """

    unpacked: int
    sources: int = 0
    licence: str = ""
    cached: bool = False

    @property
    def disk(self) -> int:
        """Bytes by which the disk fills: byte code takes about as much as its source."""
        return self.sources + (0 if self.cached else self.unpacked)


def facts_of(wheels: Sequence[Wheel], cache: Path | None) -> dict[str, WheelFacts]:
    """By sha256, of those wheels that can be read within `PATIENCE`; `cache` is uv's."""
    buckets = list(_buckets(cache)) if cache else []
    found = {wheel.sha256: told for wheel in wheels if (told := _in_cache(wheel, buckets))}
    far = [wheel for wheel in wheels if wheel.sha256 not in found]
    if not far:
        return found
    client = httpx.Client(timeout=PATIENCE, follow_redirects=True)
    done = each(lambda wheel: _from_afar(wheel, client), far, PATIENCE)
    return found | {wheel.sha256: told for wheel, told in done if told is not None}


# -- in uv's cache


def _in_cache(wheel: Wheel, buckets: Sequence[str]) -> WheelFacts | None:
    """Read where uv unpacked it: its pointer names the address and the hash that it had."""
    try:
        name, rest = parse_wheel_filename(wheel.name)[0], wheel.name.removesuffix(".whl").partition("-")[2]
        for bucket in buckets:  # one for each index that was ever asked: texts, as there may be many
            for place in _places(f"{bucket}/{name}", rest):
                if _points_at(Path(f"{place}.http").read_bytes(), wheel):
                    return _of_folder(Path(place))
    except (*_UNREADABLE, InvalidWheelFilename):
        return None
    return None


def _places(folder: str, rest: str) -> Iterator[str]:
    """Where uv may have unpacked a wheel: under the rest of its name, or under a hash where that is long."""
    if os.path.isfile(f"{folder}/{rest}.http"):  # noqa: PTH113 (asked for each wheel of a plan in each bucket)
        yield f"{folder}/{rest}"
    elif len(rest) > LONGEST_NAME and Path(folder).is_dir():
        version = rest.partition("-")[0]
        yield from (str(file)[: -len(".http")] for file in Path(folder).glob(f"{version}-*.http"))


def _buckets(cache: Path) -> Iterator[str]:
    for wheels in cache.glob("wheels-v*"):
        yield str(wheels / "pypi")
        with suppress(OSError), os.scandir(wheels / "index") as entries:
            yield from (entry.path for entry in entries)


def _points_at(pointer: bytes, wheel: Wheel) -> bool:
    return wheel.sha256.encode() in pointer and wheel.url.partition("#")[0].encode() in pointer


def _of_folder(folder: Path) -> WheelFacts:
    (info,) = folder.glob("*.dist-info")
    with (info / "RECORD").open(encoding="utf-8", newline="") as file:
        sizes = [(row[0], int(row[2])) for row in csv.reader(file) if len(row) == 3 and row[2].isdigit()]
    return _facts(sizes, (info / "METADATA").read_text("utf-8", "replace"), cached=True)


# -- at an address, or in a file


def _from_afar(wheel: Wheel, client: httpx.Client) -> WheelFacts | None:
    try:
        far = "://" in wheel.url and not wheel.url.startswith("file:")
        file = Ending(wheel.url, client) if far else Path(wheel.url.removeprefix("file://"))
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            (place,) = (one for one in infos if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename))
            text = archive.read(place).decode("utf-8", "replace") if place.file_size < 1 << 20 else ""
            return _facts([(one.filename, one.file_size) for one in infos], text)
    except _UNREADABLE:
        return None


class Ending:
    """A file at an address, read by ranges from its end; as much of a file as `zipfile` needs to read one."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url, self._client, self._at, self._asked = url, client, 0, 0
        self._data, said = self._range(f"-{TAIL}", TAIL)
        self._size = int(said.rpartition("/")[2])
        self._start = self._size - len(self._data)

    def _range(self, span: str, most: int) -> tuple[bytes, str]:
        """Raises ValueError from a server that sends something else than what is asked for."""
        self._asked += most
        if self._asked > MOST:
            raise ValueError("its list of files is too long")
        headers = {"Range": f"bytes={span}", "Accept-Encoding": "identity"}
        with self._client.stream("GET", self._url, headers=headers) as answer:
            if answer.status_code != 206:
                raise ValueError("no ranges")
            data = b""
            for block in answer.iter_raw():
                data += block
                if len(data) > most:
                    raise ValueError("more than was asked for")
            return data, answer.headers.get("Content-Range", "")

    def seekable(self) -> bool:
        """True: zipfile asks."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, to: int, whence: int = 0) -> int:
        """As files do."""
        self._at = to + (0, self._at, self._size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        """As files do; what is before the part that is known is asked for, with all that is between."""
        end = self._size if count < 0 else min(self._size, self._at + count)
        if self._at < self._start:
            data, _ = self._range(f"{self._at}-{self._start - 1}", self._start - self._at)
            self._data, self._start = data + self._data, self._at
        found = self._data[self._at - self._start : end - self._start]
        self._at = max(self._at, end)
        return found


def _facts(sizes: Sequence[tuple[str, int]], metadata: str, cached: bool = False) -> WheelFacts:
    sources = sum(size for name, size in sizes if name.endswith(".py"))
    return WheelFacts(sum(size for _, size in sizes), sources, licence_of(metadata), cached)


def licence_of(metadata: str) -> str:
    """The licence that METADATA tells: its expression, its text if that is short, else its classifiers."""
    said = HeaderParser().parsestr(metadata)
    for field in ("License-Expression", "License"):
        text = " ".join((said.get(field) or "").split())
        if text and text.upper() != "UNKNOWN" and len(text) <= LONGEST_LICENCE:
            return text
    named = [value for value in said.get_all("Classifier", []) if value.startswith("License ::")]
    return ", ".join(dict.fromkeys(value.rpartition(" :: ")[2] for value in named))
