"""What is installed in a virtualenv, read from its metadata without running its Python."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from functools import cache
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from noderack_cli import links


@dataclass(frozen=True, slots=True)
class Installed:
    """One distribution: its folder is `<name>-<version>.dist-info`."""

    name: str
    version: str
    info: Path

    def requires(self, extras: Iterable[str] = ()) -> list[Requirement]:
        """Its requirements that count here, with those of `extras`; broken lines are left out."""
        found = []
        for line in _headers(self.info).get_all("Requires-Dist") or ():
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if _counts(requirement, ("", *extras)):
                found.append(requirement)
        return found


def _headers(info: Path) -> Message:
    text = (info / "METADATA").read_text("utf-8", "replace")
    return HeaderParser().parsestr(text.partition("\n\n")[0])


def _counts(requirement: Requirement, extras: Iterable[str]) -> bool:
    if requirement.marker is None:
        return True
    environment = _environment()
    return any(requirement.marker.evaluate(environment | {"extra": extra}) for extra in extras)


@cache
def _environment() -> dict[str, str]:
    return {key: str(value) for key, value in default_environment().items()}


def installed(root: Path) -> dict[str, Installed]:
    """All distributions of the virtualenv at `root`, by normalised name."""
    found: dict[str, Installed] = {}
    for packages in links.site_packages(root):
        for info in sorted(packages.glob("*.dist-info")):
            match = re.fullmatch(r"(.+?)-([^-]+)\.dist-info", info.name)
            if match and (info / "METADATA").is_file():
                name = canonicalize_name(match[1])
                found[name] = Installed(name, match[2], info)
    return found


def records(info: Path) -> Iterator[str]:
    """The paths in a distribution's RECORD, relative to site-packages; none where there is no RECORD."""
    with suppress(FileNotFoundError), (info / "RECORD").open(encoding="utf-8", newline="") as file:
        yield from (row[0] for row in csv.reader(file) if row and row[0])


@dataclass(frozen=True, slots=True)
class Constraint:
    """A line that uv must obey, and the reason for it in words."""

    name: str
    specifier: str
    because: str

    @property
    def line(self) -> str:
        """The form of a constraints file."""
        return f"{self.name}{self.specifier}"


# Installed as one unit, bound to the accelerator's build.
TORCH_FAMILY = (
    "torch",
    "torchvision",
    "torchaudio",
    "torchcodec",
    "triton",
    "xformers",
    "pytorch-triton-rocm",
)


# Of these the indexes of torch's builds have one that is labelled as torch is.
TORCH_SIBLINGS = frozenset({"torchvision", "torchaudio", "torchcodec"})


def torch_backend(have: Mapping[str, Installed]) -> str:
    """The build that the torch here is labelled with, as uv names it: cpu, cu128 …; "" without a label."""
    label = re.search(r"\+(cpu|cu\d+|rocm[\d.]+|xpu)$", have["torch"].version if "torch" in have else "")
    return label[1] if label else ""


def torch_args(have: Mapping[str, Installed], coming: Collection[str]) -> list[str]:
    """uv's option that takes torch's siblings, if any are `coming`, from the index of torch's own build."""
    backend = torch_backend(have)
    return ["--torch-backend", backend] if backend and TORCH_SIBLINGS & set(coming) else []


def constraints(have: Mapping[str, Installed], leaving: Collection[str] = ()) -> tuple[Constraint, ...]:
    """What must stay true: the core and the torch family as they are, and all that is installed satisfied.

    What the distributions that are `leaving` (to be replaced or removed) need counts no more.
    """
    pins = _pins(have)
    staying = {name: one for name, one in have.items() if name not in leaving}
    return (*pins.values(), *_torch_siblings(have), *_kept_promises(have, staying, pins))


def _pins(have: Mapping[str, Installed]) -> dict[str, Constraint]:
    why = dict.fromkeys(TORCH_FAMILY, "the torch family is one unit")
    why |= {"numpy": "torch and the host are built for it", "noderack": "it is the host itself"}
    return {
        name: Constraint(
            name, f"=={have[name].version}", f"this host has {name} {have[name].version}: {reason}"
        )
        for name, reason in why.items()
        if name in have
    }


def _torch_siblings(have: Mapping[str, Installed]) -> list[Constraint]:
    """torchvision and torchaudio that fit the torch that is there: their metadata does not say it."""
    if "torch" not in have:
        return []
    torch = Version(have["torch"].version)
    fits = {"torchaudio": f"{torch.major}.{torch.minor}", "torchvision": f"0.{torch.minor + 15}"}
    return [
        Constraint(name, f"=={version}.*", f"torch {torch.public} goes with {name} {version}")
        for name, version in fits.items()
        if name not in have and torch.major == 2
    ]


def _kept_promises(
    have: Mapping[str, Installed], staying: Mapping[str, Installed], pins: Mapping[str, Constraint]
) -> list[Constraint]:
    found = {}
    for one in staying.values():
        for needs in one.requires(["host"] if one.name == "noderack" else ()):
            name = canonicalize_name(needs.name)
            if name in pins or name not in have or needs.url or not needs.specifier:
                continue
            if _satisfied(needs, have[name].version):
                because = f"{one.name} {one.version} of this host needs {name}{needs.specifier}"
                found[(name, str(needs.specifier))] = Constraint(name, str(needs.specifier), because)
    return list(found.values())


def _satisfied(needs: Requirement, version: str) -> bool:
    try:
        return needs.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
