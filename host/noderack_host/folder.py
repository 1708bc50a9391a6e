"""A host is a folder: where its parts are, and what its `host.toml` says.

Errors:
    HostError            anything wrong with a host folder
    ├─ HostNotFound      the folder has no host.toml
    └─ HostConfigError   host.toml is not TOML, or a value in it is not allowed
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_NAME = "host.toml"
ISOLATIONS = ("none", "process")


class HostError(Exception):
    """Something is wrong with a host folder; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class HostNotFound(HostError):
    """The folder is not a host."""


class HostConfigError(HostError):
    """A host.toml that cannot be used."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What `host.toml` says; every field has a value that works.

    `python_index` is "default" (what pip and uv would use), "none" (only the registry) or a URL.
    `isolation` says where packs run: "none" in the host's process, "process" each in a child of its own;
    `pack_isolation` says otherwise for one pack. `other` keeps keys that this version does not know.
    """

    registry: str | None = None
    python_index: str = "default"
    model_paths: tuple[Path, ...] = ()
    isolation: str = "none"
    pack_isolation: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)

    def isolation_of(self, pack: str) -> str:
        """ "none" or "process" for the pack of that name."""
        return self.pack_isolation.get(pack, self.isolation)


def read_config(text: str, where: str = CONFIG_NAME) -> HostConfig:
    """The configuration in a host.toml's text; raises HostConfigError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise HostConfigError(
            f"{where} is not valid TOML: {cause}", "correct the line, or delete the file's text"
        ) from cause
    packs = _table(data.pop("packs", {}), "packs", where)
    pack_isolation = {
        name: _one_of(
            _table(table, f"packs.{name}", where)["isolation"], ISOLATIONS, f"packs.{name}.isolation", where
        )
        for name, table in packs.items()
        if "isolation" in _table(table, f"packs.{name}", where)
    }
    return HostConfig(
        registry=_text(data.pop("registry", None), "registry", where),
        python_index=_text(data.pop("python_index", None), "python_index", where) or "default",
        model_paths=tuple(
            Path(p).expanduser() for p in _texts(data.pop("model_paths", []), "model_paths", where)
        ),
        isolation=_one_of(data.pop("isolation", "none"), ISOLATIONS, "isolation", where),
        pack_isolation=pack_isolation,
        other=data,
    )


def write_config(config: HostConfig) -> str:
    """The text of a host.toml that reads back as `config`."""
    data: dict[str, Any] = dict(config.other)
    if config.registry:
        data["registry"] = config.registry
    data["python_index"] = config.python_index
    if config.model_paths:
        data["model_paths"] = [str(path) for path in config.model_paths]
    if config.isolation != "none":
        data["isolation"] = config.isolation
    if config.pack_isolation:
        data["packs"] = {name: {"isolation": value} for name, value in config.pack_isolation.items()}
    return tomli_w.dumps(data)


def _text(value: object, key: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise HostConfigError(f"{where}: {key} must be a text, not {value!r}")


def _texts(value: object, key: str, where: str) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise HostConfigError(f"{where}: {key} must be a list of texts, not {value!r}")


def _table(value: object, key: str, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise HostConfigError(f"{where}: {key} must be a table, not {value!r}")


def _one_of(value: object, allowed: tuple[str, ...], key: str, where: str) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise HostConfigError(f"{where}: {key} is {value!r}", f"use one of: {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class Host:
    """A host folder. The properties are places; that they exist is for who uses them to see."""

    root: Path
    config: HostConfig

    @classmethod
    def open(cls, path: Path | str) -> "Host":
        """The host at `path`; raises HostNotFound, HostConfigError."""
        root = Path(path).expanduser().resolve()
        file = root / CONFIG_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise HostNotFound(
                f"{root} is not a host: it has no {CONFIG_NAME}", f"make one with: nodes init {root}"
            ) from cause
        except (OSError, UnicodeDecodeError) as cause:
            raise HostConfigError(f"{file} cannot be read: {cause}") from cause
        return cls(root, read_config(text, str(file)))

    @classmethod
    def find(cls, start: Path | str = ".") -> "Host":
        """The host at `start` or the nearest parent folder that is one; raises HostNotFound."""
        first = Path(start).resolve()
        for folder in (first, *first.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls.open(folder)
        raise HostNotFound(
            f"there is no host at {first} or above it",
            "make one with: nodes init FOLDER, or say --host FOLDER",
        )

    def with_config(self, **changes: Any) -> "Host":
        """The same host with other settings, written to host.toml in one step."""
        changed = Host(self.root, replace(self.config, **changes))
        changed.save()
        return changed

    def save(self) -> None:
        """Writes host.toml beside its place and renames it there, so that it is never half written."""
        self.root.mkdir(parents=True, exist_ok=True)
        beside = self.root / f".{CONFIG_NAME}.{os.getpid()}"
        try:
            beside.write_text(write_config(self.config), encoding="utf-8")
            beside.replace(self.root / CONFIG_NAME)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    @property
    def env(self) -> Path:
        """The environment in use: a link into `generations`."""
        return self.root / "env"

    @property
    def generations(self) -> Path:
        return self.root / "generations"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def temp(self) -> Path:
        return self.root / "temp"

    @property
    def user(self) -> Path:
        return self.root / "user"

    @property
    def lockfile(self) -> Path:
        return self.root / "nodes.lock"

    @property
    def python(self) -> Path:
        """The interpreter of the environment in use."""
        return self.env / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
