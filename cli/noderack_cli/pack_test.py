"""`nodes pack test`: builds a pack, imports it in a child process, runs its nodes on generated inputs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from noderack_registry.packing import build_wheel

from noderack_cli.errors import InstallError
from noderack_cli.exits import Exit
from noderack_cli.options import json_option

SECONDS = 600


@click.command(
    "test",
    epilog="Examples:\n\n  nodes pack test .\n\n  nodes pack test . --only MyNode --json",
)
@click.argument("source", default=".")
@click.option("--only", multiple=True, metavar="TYPE", help="Run this node type alone; may be repeated.")
@click.option("--python", type=click.Path(path_type=Path), help="The Python to run in; else this one.")
@json_option
@click.pass_context
def test(
    context: click.Context, source: str, only: tuple[str, ...], python: Path | None, as_json: bool
) -> None:
    """Run the nodes of the pack at SOURCE on inputs made from their declarations.

    Nodes that want a model or a file are skipped. Exit code 7 when a node fails.
    """
    told = try_pack(source, python or Path(sys.executable))
    if not told["loaded"]:
        raise InstallError(
            f"{source} cannot be imported: {told['error']}", "Install what it needs, or mend it."
        )
    nodes = {name: node for name, node in told["nodes"].items() if not only or name in only}
    if as_json:
        click.echo(json.dumps({**told, "nodes": nodes}))
    else:
        for name, node in nodes.items():
            click.echo(f"{node['state']:8}{node['seconds']:8.3f} s  {name}  {node.get('why', '')}".rstrip())
        states = [node["state"] for node in nodes.values()]
        click.echo(", ".join(f"{states.count(state)} {state}" for state in ("ran", "failed", "skipped")))
    failed = any(node["state"] == "failed" for node in nodes.values())
    context.exit(int(Exit.RUN_FAILED) if failed else 0)


def try_pack(source: str | Path, python: Path, *, run: bool = True) -> dict[str, Any]:
    """What a child process found: {"loaded", "error", "types", "seconds", "nodes"}."""
    with TemporaryDirectory(prefix="noderack-") as temporary:
        folder = Path(temporary)
        built = build_wheel(source, folder)
        with zipfile.ZipFile(built.path) as wheel:
            wheel.extractall(folder / "site")
        job = {"paths": [str(folder / "site")], "modules": built.entry_modules, "run": run}
        return run_job(job, python, folder)


def run_job(job: dict[str, Any], python: Path, folder: Path) -> dict[str, Any]:
    """Starts the child for one job and reads its answer; a child that dies is an answer, too."""
    out = folder / "answer.json"
    command = [
        str(python),
        str(Path(__file__).with_name("pack_try.py")),
        json.dumps({**job, "out": str(out)}),
    ]
    out.unlink(missing_ok=True)  # an answer of the job before must never pass for this one's
    dead = {"loaded": False, "types": [], "seconds": 0.0, "nodes": {}}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {**dead, "error": f"it took longer than {SECONDS} s"}
    if not out.is_file():
        last = (done.stderr.strip() or "no word").splitlines()[-1]
        return {**dead, "error": f"the process died with {done.returncode}: {last}"}
    answer: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return answer
