"""What will be done, as data: packs, distributions and models with reasons, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noderack_cli.show import quoted
from noderack_cli.wheels import Wheel, fitting

if TYPE_CHECKING:
    from noderack_registry.schema import ModelManifest, TypeClaim

    from noderack_cli.wheel_facts import WheelFacts

UNPACKED = 3  # times a wheel's size is what it takes unpacked and compiled, roughly, where nobody can look


@dataclass(frozen=True, slots=True)
class PackChoice:
    """A pack to install. `replaces` is the version that the host has, None when it has none."""

    pack: str
    version: str
    node_types: tuple[str, ...]
    reason: str
    alternatives: tuple[str, ...] = ()
    replaces: str | None = None
    sha256: str | None = None
    size: int = 0
    licence: str | None = None
    dependencies: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    library: bool = False
    places: tuple[str, ...] = ()  # where the workflows have its node types, in words
    wheel: str | None = None  # a file to install from, where it does not come from the registry
    brings: tuple[str, ...] = ()  # all node types of that version, as far as they are known

    @property
    def requirement(self) -> str:
        """The line of a requirements file that means exactly this pack, hash included where it is known."""
        name = f"{self.pack} @ {Path(self.wheel).as_uri()}" if self.wheel else f"{self.pack}=={self.version}"
        return f"{name} --hash=sha256:{self.sha256}" if self.sha256 else name


@dataclass(frozen=True, slots=True)
class Distribution:
    """A change to the Python environment: `old` is None for what comes, `new` for what goes.

    `wheels` are the new version's, for every platform; none where the index does not tell their hashes.
    `facts` are those of the one that this platform takes, where it could be looked into.
    """

    name: str
    old: str | None
    new: str | None
    wheels: tuple[Wheel, ...] = ()
    facts: WheelFacts | None = None

    @property
    def wheel(self) -> Wheel | None:
        """The wheel that this platform takes."""
        return fitting(self.wheels)

    @property
    def licence(self) -> str:
        """Its licence, empty where it is not known."""
        return self.facts.licence if self.facts else ""

    @property
    def download(self) -> int:
        """Bytes to download: none for what uv's cache holds."""
        return self.wheel.size if self.wheel and not (self.facts and self.facts.cached) else 0

    @property
    def disk(self) -> int:
        """Bytes that it takes on the disk, about."""
        return self.facts.disk if self.facts else UNPACKED * (self.wheel.size if self.wheel else 0)

    def as_dict(self) -> dict[str, Any]:
        """The `--json` form."""
        wheel = self.wheel
        about = {"url": wheel.url, "sha256": wheel.sha256, "size": wheel.size} if wheel else {}
        if self.facts and self.new:
            about |= {"licence": self.licence or None, "disk": self.disk, "cached": self.facts.cached}
        return {"name": self.name, "old": self.old, "new": self.new, **about}


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to bring. `present` is a file of the host with the same content, to be linked.

    `refused` is what its host answered when it was asked beforehand, if that was a refusal.
    """

    name: str
    folder: str
    manifest: ModelManifest
    reason: str
    present: str | None = None
    refused: str = ""

    @property
    def size(self) -> int:
        """Bytes to download: none for what is linked."""
        return 0 if self.present else self.manifest.size or 0


@dataclass(frozen=True, slots=True)
class Toss:
    """A choice that only the user can make: the candidates, what speaks for each, and why it is open."""

    what: str
    name: str
    candidates: tuple[tuple[str, str], ...]
    why: str = ""

    @property
    def hint(self) -> str:
        """The option that settles it."""
        return f"--choose {quoted(f'{self.name}={self.candidates[0][0]}')}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A node type or model that nothing leads to; `hint` is the next thing to try.

    `pack` is the pack that would bring it, where only its repository is known.
    """

    what: str
    name: str
    why: str
    hint: str = ""
    pack: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything before the first change. Can be carried out when `tosses` is empty.

    `left_out` are distributions that would overwrite another's files, which stands in for them.
    With the options `args` uv finds all of it on the host's indexes; None where it need not be there.
    """

    packs: tuple[PackChoice, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    models: tuple[ModelChoice, ...] = ()
    tosses: tuple[Toss, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    args: tuple[str, ...] | None = None
    generation: int = 0
    solved: bool = False

    @property
    def _looked_into(self) -> dict[str, Distribution]:
        """The distributions whose wheel is known, packs among them."""
        return {d.name: d for d in self.distributions if d.wheel}

    @property
    def model_bytes(self) -> int:
        """Bytes of all models that come; none for what is linked."""
        return sum(m.size for m in self.models)

    @property
    def download(self) -> int:
        """Bytes to download: what uv's cache has already is not fetched again."""
        known = self._looked_into
        packs = sum(p.size for p in self.packs if p.wheel is None and p.pack not in known)
        return packs + sum(d.download for d in known.values()) + self.model_bytes

    @property
    def disk(self) -> int:
        """Bytes that the disk fills by, about: wheels unpacked and compiled, less what is linked; models."""
        known = self._looked_into
        packs = sum(UNPACKED * p.size for p in self.packs if p.pack not in known)
        return packs + sum(d.disk for d in known.values()) + self.model_bytes

    def __bool__(self) -> bool:
        return bool(self.packs or self.models or self.distributions)

    def as_dict(self) -> dict[str, Any]:
        """The `--json` form."""
        return {
            "generation": self.generation,
            "packs": [asdict(pack) for pack in self.packs],
            "distributions": [d.as_dict() for d in self.distributions],
            "models": [_model(m) for m in self.models],
            "choose": [{**asdict(t), "hint": t.hint} for t in self.tosses],
            "unknown": [asdict(u) for u in self.unknown],
            "notes": list(self.notes),
            "left_out": list(self.left_out),
            "download": self.download,
            "disk": self.disk,
            "solved": self.solved,
        }


def _model(model: ModelChoice) -> dict[str, Any]:
    data = {"name": model.name, "folder": model.folder, "reason": model.reason, "present": model.present}
    data |= {"refused": model.refused} if model.refused else {}
    return data | {"size": model.manifest.size, "manifest": model.manifest.to_json()}


@dataclass(frozen=True, slots=True)
class Claims:
    """What the registry answered, and what else was found out, for a choice to be made."""

    types: Mapping[str, tuple[TypeClaim, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[ModelManifest, ...]] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)  # pack id named by a workflow → its newest version
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # unknown type → near names
    places: Mapping[str, str] = field(default_factory=dict)  # the same pack id → its repository
