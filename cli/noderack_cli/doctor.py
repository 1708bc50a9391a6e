"""Looks a host over and names each ill it knows, with what mends it. Reads only."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from noderack_host.folder import Host
from noderack_host.folders import YAML
from noderack_host.revoked import revoked_packs

from noderack_cli import generations
from noderack_cli.errors import NodesError
from noderack_cli.generations import Generation, InstalledPack
from noderack_cli.installed import Installed, installed
from noderack_cli.machine import Machine
from noderack_cli.model_files import Index
from noderack_cli.reasons import Needs
from noderack_cli.show import quoted
from noderack_cli.solve import OVERLAPS

LITTLE = 1 << 30


@dataclass(frozen=True, slots=True)
class Ill:
    """Something wrong: a stable code, a sentence, what mends it."""

    code: str
    what: str
    cure: str


def look(host: Host, *, deep: bool = False, machine: Machine | None = None) -> list[Ill]:
    """Every ill found; `deep` also reads each file of the packs and compares hashes."""
    try:
        now = generations.current(host)
    except NodesError as error:
        return [Ill("no-environment", error.message, error.hint)]
    checks: list[Callable[[], Iterator[Ill]]] = [
        lambda: _folders(host),
        lambda: _space(host),
        lambda: _edited(now),
        lambda: _starts(now),
        lambda: _packs(now),
        lambda: _revoked(host),
        lambda: _overlaps(now),
        lambda: _unmet(now),
        lambda: _torch(now, machine or Machine.here()),
        lambda: _models(host),
        lambda: _edits(now) if deep else iter(()),
    ]
    return [ill for check in checks for ill in check()]


def _folders(host: Host) -> Iterator[Ill]:
    """Folders that are none, or that this user may not use."""
    own = (host.root, host.generations, host.models, host.input, host.output, host.temp, host.user)
    for folder in own:
        if folder.exists() and not folder.is_dir():
            yield Ill("folder", f"{folder} is not a folder", f"move it away, then: mkdir {folder}")
        elif folder.exists() and not _usable(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Ill("folder", f"{folder} cannot be read and written", f"chmod u+rwx {folder}")
    for folder in host.config.model_paths:
        file = folder.suffix in YAML
        if not _usable(folder, os.R_OK if file else os.R_OK | os.X_OK):
            what = "a file of model folders" if file else "a model folder"
            told = f"{folder}, {what} of host.toml, is not there or cannot be read"
            yield Ill("folder", told, "mount it, or take it out of model_paths in host.toml")


def _usable(folder: Path, mode: int) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, mode, effective_ids=effective)


def _edited(now: Generation) -> Iterator[Ill]:
    """Distributions that came, went or changed since the generation was made."""
    if not now.distributions:  # made by an older Noderack
        return
    have = {name: one.version for name, one in installed(now.path).items()}
    cure = f"nodes rollback; or keep it as it is now with: nodes doctor --accept (generation {now.number})"
    for name in sorted(have.keys() | now.distributions.keys()):
        was, is_ = now.distributions.get(name), have.get(name)
        if was != is_ and name not in now.packs:
            told = (
                f"{name} is {is_ or 'gone'}, was {was or 'not there'} when generation {now.number} was made"
            )
            yield Ill("foreign-edit", f"{told}: not by nodes", cure)


def _space(host: Host) -> Iterator[Ill]:
    free = shutil.disk_usage(host.root).free
    if free < LITTLE:
        yield Ill("disk", f"only {free:,} bytes are free at {host.root}", "nodes prune --keep 1")


def _starts(now: Generation) -> Iterator[Ill]:
    try:
        done = subprocess.run([now.python, "-c", ""], capture_output=True, check=False, timeout=60)
        broken = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        broken = True
    if broken:
        yield Ill("python", f"{now.python} does not start", "nodes rollback")


def _packs(now: Generation) -> Iterator[Ill]:
    have = installed(now.path)
    for pack in now.packs.values():
        here = have.get(pack.name)
        if pack.disabled or pack.origin == "host":
            continue
        if here is None:
            yield Ill("pack-gone", f"{pack.name} is recorded and not installed", _again(pack))
        elif here.version != pack.version:
            told = f"{pack.name} is {here.version}, recorded is {pack.version}: something else changed it"
            yield Ill("foreign-edit", told, _again(pack))


def _again(pack: InstalledPack) -> str:
    """The command that installs what the record says."""
    source = pack.origin if pack.origin != "registry" else f"{pack.name}=={pack.version}"
    return f"nodes install {quoted(source)}"


def _revoked(host: Host) -> Iterator[Ill]:
    for name, reason in revoked_packs(host).items():
        told = f"{name} was revoked by its registry and is not loaded: {reason}"
        yield Ill("revoked", told, f"nodes uninstall {name}")


def _overlaps(now: Generation) -> Iterator[Ill]:
    have = installed(now.path)
    for group in OVERLAPS:
        inside = [name for name in group if name in have]
        if len(inside) > 1:
            told = f"{' and '.join(inside)} overwrite each other's files"
            yield Ill(
                "overlap", told, f"nodes uninstall what needs {inside[-1]}; see: nodes why {inside[-1]}"
            )


def _unmet(now: Generation) -> Iterator[Ill]:
    needs = Needs.of(now.path)
    for who, one in needs.have.items():
        for wanted in one.requires():
            here = needs.have.get(wanted.name.lower().replace("_", "-"))
            if here is not None and not wanted.specifier.contains(here.version, prereleases=True):
                told = f"{who} needs {wanted.name}{wanted.specifier}, here is {here.version}"
                yield Ill("unmet", told, f"nodes why {here.name}")


def _torch(now: Generation, machine: Machine) -> Iterator[Ill]:
    have = installed(now.path)
    torch = have.get("torch")
    if torch is None:
        yield Ill("torch", "there is no torch in the environment", "nodes init --new in a new folder")
        return
    cuda = _cuda(torch.version, have)
    if machine.card and "+cpu" in torch.version:
        told = f"this machine has an NVIDIA card, but torch {torch.version} cannot use it"
        yield Ill("torch-cpu", told, "nodes init --new --torch auto in a new folder")
    elif cuda is not None and (oldest := machine.too_old_for(cuda)):
        told = (
            f"torch {torch.version} is for CUDA {cuda}, which needs driver {oldest}; here is {machine.driver}"
        )
        yield Ill(
            "driver", told, "update the NVIDIA driver, or: nodes init --new --torch auto in a new folder"
        )


def _cuda(version: str, have: Mapping[str, Installed]) -> int | None:
    """The CUDA major version that a torch is built for, from its label or from what it needs."""
    label = re.search(r"\+cu(\d\d)\d$", version)
    if label:
        return int(label[1])
    majors = [name[-2:] for name in have if re.fullmatch(r"nvidia-cuda-runtime-cu\d\d", name)]
    if majors:
        return int(majors[0])
    runtime = have.get("nvidia-cuda-runtime")  # since CUDA 13 the major version is in its version alone
    return int(runtime.version.partition(".")[0]) if runtime else None


def _models(host: Host) -> Iterator[Ill]:
    for link in sorted(host.models.rglob("*")) if host.models.is_dir() else ():
        if link.is_symlink() and not link.exists():
            told = f"{link} leads to {link.readlink()}, which is not there"
            yield Ill(
                "model-gone",
                told,
                f"nodes models rm {quoted(link.relative_to(host.models).as_posix())}, or bring it back",
            )
    for path, known in Index.open(host).known.items():
        file = Path(path)
        if not file.exists():
            yield Ill("model-gone", f"{path} was here and is not any more", "nodes models scan forgets it")
        elif file.stat().st_size != known.size:
            yield Ill(
                "model-changed", f"{path} has another size than when it was read", "nodes models verify"
            )


def _edits(now: Generation) -> Iterator[Ill]:
    """Files of the packs that are not what their RECORD says."""
    for pack in now.packs.values():
        one = installed(now.path).get(pack.name)
        if one is None or pack.origin == "host":
            continue
        bad = [name for name, digest in _recorded(one.info) if not _same(one.info.parent / name, digest)]
        if bad:
            told = f"{pack.name}: {', '.join(bad[:3])} {'are' if len(bad) > 1 else 'is'} not as installed"
            yield Ill("foreign-edit", told, f"nodes rollback, or: {_again(pack)}")


def _recorded(info: Path) -> Iterator[tuple[str, str]]:
    with (info / "RECORD").open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) == 3 and row[1].startswith("sha256=") and not row[0].startswith(".."):
                yield row[0], row[1].removeprefix("sha256=")


def _same(file: Path, digest: str) -> bool:
    try:
        found = hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == digest.rstrip("=")
