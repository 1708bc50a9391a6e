"""Packs that the user gives: a wheel, or a folder, file, zip or git address that is made one first."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from noderack_host.folder import Host
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from noderack_cli.errors import BadInput, NotFound
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice, Plan


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for wheels that are made to be looked at; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="noderack-") as folder:
        yield Path(folder).resolve()


def from_source(text: str, work: Path) -> PackChoice:
    """The choice for it; a wheel that has to be made is written to `work`. Raises PackError, BadInput."""
    if text.endswith(".whl"):
        return _from_wheel(Path(text).expanduser().resolve())
    from noderack_registry.packing import build_wheel  # much to import: only where a wheel is made

    built = build_wheel(text, work)
    name, version = built.metadata.name, built.metadata.version
    choice = PackChoice(
        normal(name), version, tuple(built.types.node_types), f"built from {text}", wheel=str(built.path)
    )
    return replace(choice, sha256=built.sha256, library=built.metadata.library)


def _from_wheel(path: Path) -> PackChoice:
    from noderack_registry.packing import PackError
    from noderack_registry.packing.wheel import read_wheel

    if not path.is_file():
        raise NotFound(f"{path} is not a file")
    try:
        name, version, *_ = parse_wheel_filename(path.name)
        entries, info = read_wheel(path)
        said = json.loads(entries[f"{info}/noderack.json"].data) if f"{info}/noderack.json" in entries else {}
        types, library = tuple(said.get("node_types") or ()), bool(said.get("library"))
    except (InvalidWheelFilename, PackError, ValueError, AttributeError) as cause:
        raise BadInput(f"{path} is not a wheel: {cause}", "Make one of a pack: nodes pack build") from cause
    size = path.stat().st_size
    reason = "you gave the wheel"
    return PackChoice(normal(name), str(version), types, reason, size=size, wheel=str(path), library=library)


def keep_wheels(plan: Plan, host: Host, work: Path) -> Plan:
    """The plan with the wheels that were made in `work` moved to where the host keeps them."""
    folder = host.root / "wheels"
    packs = []
    for pack in plan.packs:
        if pack.wheel and Path(pack.wheel).is_relative_to(work):
            folder.mkdir(exist_ok=True)
            kept = folder / Path(pack.wheel).name
            shutil.move(pack.wheel, kept)
            pack = replace(pack, wheel=str(kept))
        packs.append(pack)
    return replace(plan, packs=tuple(packs))
