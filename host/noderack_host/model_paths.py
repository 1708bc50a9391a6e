"""extra_model_paths.yaml, as people have it: further model folders by category, section by section.

Only what such files hold is read (two levels of names, texts, `|` blocks, lists, comments), so no YAML
library is needed. What is not understood is passed over: a wrong line costs its own folder and nothing else.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "extra_model_paths.yaml"
_NO_MODELS = ("base_path", "is_default", "download_model_base", "custom_nodes")
_LINE = re.compile(r"^(\s*)(['\"]?)([^\s#'\"][^:]*?)\2\s*:(?:\s+(.*))?$")


@dataclass(frozen=True, slots=True)
class ModelPath:
    """One folder for one category; `first` says that it goes before the host's own."""

    category: str
    folder: Path
    first: bool = False


def read_model_paths(file: Path) -> tuple[ModelPath, ...]:
    """The folders that the file names, in its order; none if it is not there."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return ()
    return tuple(path for section in _sections(text) for path in _of_section(section, file.parent))


def read_pack_folders(file: Path) -> tuple[Path, ...]:
    """The further folders of packs (`custom_nodes`) that the file names; none if it is not there."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return ()
    found = []
    for section in _sections(text):
        base = _folder(section.get("base_path", ""), file.parent)
        lines = map(str.strip, section.get("custom_nodes", "").splitlines())
        found += [_folder(line, base) for line in lines if line]
    return tuple(found)


def _sections(text: str) -> Iterator[Mapping[str, str]]:
    """The pairs of each section; a block's lines are joined as lines."""
    section: dict[str, str] = {}
    block: tuple[str, int] | None = None
    key = ""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if block is not None and indent > block[1]:
            section[block[0]] += "\n" + line.strip()
            continue
        if key and indent and line.lstrip().startswith("- "):
            section[key] += "\n" + _plain(line.lstrip()[2:])
            continue
        block, match = None, _LINE.match(line.rstrip())
        if match is None:
            continue
        if indent == 0:
            yield section
            section, key = {}, ""
            continue
        value = _plain(match[4] or "")
        key = match[3]
        block = (key, indent) if value in ("|", "|-", ">", ">-") else None
        section[key] = "" if block else value
    yield section


def _plain(value: str) -> str:
    """A value without its quotes or the comment behind it."""
    quoted = re.match(r"(['\"])(.*?)\1", value.strip())
    return quoted[2] if quoted else re.sub(r"(^|\s)#.*$", "", value).strip()


def _of_section(section: Mapping[str, str], beside: Path) -> Iterator[ModelPath]:
    first = section.get("is_default", "").lower() in ("true", "yes", "on", "1")
    base = _folder(section.get("base_path", ""), beside)
    for category, said in section.items():
        if category in _NO_MODELS:
            continue
        for line in filter(None, map(str.strip, said.splitlines())):
            yield ModelPath(category, _folder(line, base), first)


def _folder(text: str, below: Path) -> Path:
    path = Path(os.path.expandvars(text)).expanduser()
    return Path(os.path.normpath(path if path.is_absolute() else below / path))
