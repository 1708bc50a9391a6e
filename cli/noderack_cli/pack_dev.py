"""`nodes pack dev`: links a working copy into a host, and tells the host when a file of it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from noderack_host.folder import Host
from noderack_host.packs import LINKED
from noderack_host.reload import CHANGED, tell_change
from noderack_registry.packing.layout import identifier, linked_modules
from noderack_registry.packing.metadata import pyproject

from noderack_cli.errors import BadInput
from noderack_cli.options import host_option

# Before installed packages, so that a linked pack is used instead of its installed wheel.
BEFORE = (
    "import sys; sys.path.insert(next((i for i, p in enumerate(sys.path) if p.endswith('-packages')), 0), "
    "{root!r})"
)
LINKS = "linked"  # below the host's user folder
EVERY = 0.3  # seconds between two looks
ENDINGS = {".py", ".js", ".css", ".json", ".toml", ".html"}


@click.command(
    "dev",
    epilog="Examples:\n\n  nodes pack dev .\n\n  nodes pack dev ~/my-pack --host ~/host --once",
)
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".")
@host_option
@click.option("--once", is_flag=True, help="Link it and return; do not watch.")
@click.option("--unlink", is_flag=True, help="Take the link out again.")
def dev(source: Path, folder: Path | None, once: bool, unlink: bool) -> None:
    """Link the working copy at SOURCE into a host: saved changes are there at once, with no install."""
    host = Host.open(folder) if folder else Host.find()
    packages = site_packages(host)
    if unlink:
        for path in take_out(packages, source, host.user / LINKS):
            click.echo(f"removed {path}")
        tell_change(host.user / CHANGED, link_name(source))
        return
    click.echo(f"{source.resolve()} is linked into {put_in(packages, source, host.user / LINKS)}")
    tell_change(host.user / CHANGED, link_name(source))
    if not once:
        click.echo("Watching; Ctrl-C ends it.")
        for changed in changes(source):
            tell_change(host.user / CHANGED, link_name(source))
            click.echo(f"{time.strftime('%H:%M:%S')}  {', '.join(sorted(changed))}")


def site_packages(host: Host) -> Path:
    """Where the host's Python looks for packages."""
    found = [*sorted((host.env / "lib").glob("python3*/site-packages")), host.env / "Lib" / "site-packages"]
    for path in found:
        if path.is_dir():
            return path.resolve()
    raise BadInput(f"{host.root} has no environment yet.", "Make one with: nodes init")


def link_name(source: Path) -> str:
    """The distribution that a linked working copy is; no wheel has such a name."""
    return f"{LINKED}{identifier(source.resolve().name)}"


def _names(packages: Path, source: Path) -> tuple[Path, Path]:
    """The `.pth` file and the metadata folder of a linked pack."""
    name = link_name(source)
    return packages / f"_{name}.pth", packages / f"{name}-0.dist-info"


def put_in(packages: Path, source: Path, links: Path) -> Path:
    """Links a pack: a path file for its modules, metadata for its entry points. Nothing of it is copied.

    `links` is a folder of the host that outlives its generations.
    """
    path_file, info = _names(packages, source)
    modules, root = linked_modules(source.resolve(), pyproject(source))
    if root is None:  # an untouched pack: its folder stands below custom_nodes, as its wheel has it
        root = (links / identifier(source.resolve().name)).resolve()
        link = root / "custom_nodes" / root.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(source.resolve(), target_is_directory=True)
    info.mkdir(exist_ok=True)
    lines = "\n".join(f"{module.replace('.', '-')} = {module}" for module in modules)
    (info / "entry_points.txt").write_text(f"[noderack.packs]\n{lines}\n", "utf-8")
    metadata = f"Metadata-Version: 2.1\nName: {link_name(source)}\nVersion: 0\n"
    (info / "METADATA").write_text(metadata, "utf-8")
    path_file.write_text(f"# {root}\n{BEFORE.format(root=str(root))}\n", "utf-8")
    return info


def take_out(packages: Path, source: Path, links: Path) -> Iterator[Path]:
    """Takes a link out again, and says what is gone."""
    path_file, info = _names(packages, source)
    root = links / identifier(source.resolve().name)
    link = root / "custom_nodes" / root.name
    for path in (path_file, info / "entry_points.txt", info / "METADATA", link):
        if path.exists() or path.is_symlink():
            path.unlink()
            yield path
    for folder in (info, link.parent, root):
        if folder.is_dir():
            folder.rmdir()


def stamps(source: Path) -> dict[str, int]:
    """The files that count, with their times."""
    found: dict[str, int] = {}
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__", "node_modules"))]
        for name in names:
            path = Path(folder) / name
            if path.suffix in ENDINGS:
                try:
                    found[path.relative_to(source).as_posix()] = path.stat().st_mtime_ns
                except OSError:  # gone between the two calls
                    continue
    return found


def changes(source: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[set[str]]:
    """The paths that changed, each time some did; looks several times a second."""
    before = stamps(source)
    while True:
        sleep(EVERY)
        after = stamps(source)
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        before = after
        if changed:
            yield changed
