"""`nodes pack build` and `nodes pack publish`: from a pack's source to a registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from noderack_registry.packing import BuiltWheel, build_wheel

from noderack_cli.errors import BadInput
from noderack_cli.options import json_option


@click.command(
    epilog="Examples:\n\n  nodes pack build .\n\n"
    "  nodes pack build https://github.com/owner/pack@v1.2 -o wheels"
    "\n\n  nodes pack build node.zip"
)
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("dist"), show_default=True)
@click.option("--name", help="The distribution's name, where the source has none or a wrong one.")
@click.option("--version", "version", help="The version, where the source has none.")
@json_option
def build(source: str, out: Path, name: str | None, version: str | None, as_json: bool) -> None:
    """Make a wheel of the pack at SOURCE: a folder, a .py file, a git address (with @REF), or a zip.

    No code of the pack is run. The same source always gives the same bytes.
    """
    built = build_wheel(source, out, name=name, version=version)
    if as_json:
        click.echo(json.dumps(as_dict(built)))
    else:
        for line in described(built):
            click.echo(line)


@click.command(
    epilog="Examples (NODERACK_REGISTRY and NODERACK_TOKEN stand for the options):\n\n"
    "  nodes pack publish . --registry https://registry.example --token TOKEN\n\n"
    "  nodes pack publish dist/my_pack-1.0-py3-none-any.whl"
)
@click.argument("what", metavar="WHEEL|SOURCE")
@click.option("--registry", metavar="URL", envvar="NODERACK_REGISTRY", required=True, help="Where to.")
@click.option("--token", envvar="NODERACK_TOKEN", required=True, help="Your upload token.")
@json_option
def publish(what: str, registry: str, token: str, as_json: bool) -> None:
    """Upload a wheel, or build one of SOURCE and upload that. A version, once there, never changes."""
    from noderack_registry.client import RegistryClient

    with TemporaryDirectory(prefix="noderack-") as temporary:
        wheel = _wheel_of(what, Path(temporary))
        with RegistryClient(registry, token) as client:
            shown = client.upload_wheel(wheel)
    if as_json:
        counts = {level: sum(one.level == level for one in shown.check) for level in ("error", "warning")}
        about = {"pack": shown.pack, "version": shown.version, "registry": registry}
        click.echo(json.dumps({**about, "findings": counts}))
        return
    click.echo(f"{wheel.name} is published at {registry}")
    worse = [one for one in shown.check if one.level != "note"]
    for one in worse[:5]:
        click.echo(f"  {one.level}: {one.file}{f':{one.line}' if one.line else ''}: {one.message}")
    if len(worse) > 5:
        click.echo(f"  and {len(worse) - 5} more; see `nodes pack check {what}`")


def _wheel_of(what: str, temporary: Path) -> Path:
    path = Path(what)
    if path.suffix != ".whl":
        return build_wheel(what, temporary).path
    if not path.is_file():
        raise BadInput(f"There is no wheel {path}.", "Build it with: nodes pack build SOURCE")
    return path


def as_dict(built: BuiltWheel) -> dict[str, Any]:
    """The `--json` form of a build."""
    return {
        "wheel": str(built.path),
        "name": built.metadata.name,
        "version": built.metadata.version,
        "sha256": built.sha256,
        "requires": list(built.metadata.requires),
        "indexes": list(built.metadata.indexes),
        "node_types": sorted(built.types.node_types),
        "unseen": list(built.types.unseen),
        "notes": list(built.notes),
        "library": built.metadata.library,
    }


def described(built: BuiltWheel) -> Sequence[str]:
    """What a person wants to know of a build."""
    types = sorted(built.types.node_types)
    lines = [f"{built.path}  ({built.path.stat().st_size:,} bytes)"]
    if built.metadata.library:
        lines.append("  a library: other packs use it, it has no nodes")
    else:
        more = f" … and {len(types) - 6} more" if len(types) > 6 else ""
        lines.append(f"  {len(types)} node types: {', '.join(types[:6])}{more}")
    if built.metadata.requires:
        lines.append(f"  requires {', '.join(built.metadata.requires)}")
    return [*lines, *(f"  note: {note}" for note in built.notes)]
