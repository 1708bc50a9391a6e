"""`nodes registry site`: the static site, written by noderack_site in a child process.

The command line imports no site code: that needs packages of its own (`noderack[site]`), and what it reads
was written by strangers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from noderack_cli.errors import BadInput, NodesError, NoSpace
from noderack_cli.exits import Exit
from noderack_cli.reference import reference

_NEEDS = ("jinja2", "markdown_it", "nh3")
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="Examples:\n\n  nodes registry site public --data registry-data --url https://packs.example.org\n\n"
    "  nodes registry site public --export export.json.gz\n\n"
    "  nodes registry site public --from export.json.gz"
)
@click.argument("out", type=_FOLDER)
@click.option("--data", type=_FOLDER, default=Path("registry-data"), show_default=True, help="The registry.")
@click.option("--database", metavar="URL", help="postgresql://… instead of a file in --data.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="An export or a catalogue instead.")
@click.option("--export", type=_FILE, help="Also keep the registry's data in this file (.json, .json.gz).")
@click.option(
    "--built-in",
    type=_FILE,
    help="/object_info JSON of the nodes that every host has; else those of the noderack[host] that is here.",
)
@click.option("--url", metavar="URL", help="Where the site will be; feeds and sitemap need it.")
@click.option("--name", help="The site's name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def site(
    out: Path,
    data: Path,
    database: str | None,
    source: Path | None,
    export: Path | None,
    built_in: Path | None,
    url: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Write the static site of a registry into OUT. Only files whose data changed are written."""
    missing = next((module for module in _NEEDS if importlib.util.find_spec(module) is None), None)
    if missing:
        hint = "install it with: pip install 'noderack[site]'"
        raise BadInput(f"writing the site needs {missing!r}, which is not installed here", hint)
    given = {"--from": source, "--export": export, "--built-in": built_in, "--url": url, "--name": name}
    given["--database"] = database
    options = [part for option, value in given.items() if value is not None for part in (option, str(value))]
    command = [sys.executable, "-m", "noderack_site", str(out), "--data", str(data), *options]
    with TemporaryDirectory() as folder:
        own = None if built_in else built_in_nodes(out, Path(folder))
        command += ["--built-in", str(own)] if own else []
        described = Path(folder) / "commands.json"
        described.write_text(json.dumps(reference()), encoding="utf-8")
        command += ["--commands", str(described), *(["--json"] if as_json else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and own is not None and own.parent != out:
            for older in out.glob(".noderack-built-in-*.json"):
                older.unlink()
            shutil.copyfile(own, out / own.name)
    if done.returncode:
        raise _error(done.returncode, done.stderr.strip())
    click.echo(done.stdout, nl=False)


def built_in_nodes(out: Path, folder: Path) -> Path | None:
    """A file with the built-in nodes of this installation, None where those are not installed.

    They are asked in a child process, into `folder`, unless a build before left the answer in `out` and no
    line of them changed since.
    """
    nodes, torch = (importlib.util.find_spec(name) for name in ("noderack_nodes", "torch"))
    if nodes is None or nodes.origin is None or torch is None:
        return None
    sources = sorted(Path(nodes.origin).parent.rglob("*.py"))
    of = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    kept = out / f".noderack-built-in-{of}.json"
    if kept.exists():
        return kept
    entries = _inspected()
    made = folder / kept.name
    made.write_text(json.dumps(entries), encoding="utf-8")
    return made if entries else None


def _inspected() -> dict[str, object]:
    command = [sys.executable, "-m", "noderack_host", "inspect", "--packs", "noderack"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    found: dict[str, object] = json.loads(lines[-1])["node_types"] if done.returncode == 0 and lines else {}
    return found


def _error(code: int, sentence: str) -> NodesError:
    if code == Exit.BAD_INPUT:
        return BadInput(sentence)
    return NoSpace(sentence) if code == Exit.NO_SPACE else NodesError(sentence)
