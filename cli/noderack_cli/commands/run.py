"""`nodes run`: a workflow file in any form, run by the host, once or as a batch."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from noderack_cli.child_run import Child
from noderack_cli.errors import BadInput
from noderack_cli.options import FOLDER, host_option, json_option, memory_option, placing, weights_option
from noderack_cli.revocation_watch import Watch
from noderack_cli.run_view import RunView
from noderack_cli.where import open_host


@click.command()
@click.argument("file", type=FOLDER)
@click.option(
    "--set", "sets", multiple=True, metavar="NODE.INPUT=VALUE", help="Set an input; @FILE: each line."
)
@click.option("--grid", "grids", multiple=True, metavar="NODE.INPUT=A,B,C", help="Run with each value.")
@click.option("--inputs", type=FOLDER, help="A CSV or JSONL table: one run for each row.")
@click.option("--seed", type=int, help="Every seed of the workflow.")
@click.option("--output", "-o", type=FOLDER, help="Copy what was written here too; - is standard output.")
@click.option("--resume", is_flag=True, help="Leave out the jobs of this batch that are done.")
@click.option("--sheet", metavar="FILE|none", help="The batch's contact sheet; one is made unless none.")
@click.option("--cache", metavar="POLICY", help="classic, none, lru:N, bytes:2G.")
@click.option("--keep", metavar="BYTES", help="Keep results on disk for the next run, up to so much: 2G.")
@click.option("--trace", type=FOLDER, help="Write a trace that Perfetto and Chrome open.")
@click.option("--verbose", "-v", is_flag=True, help="Every node, and what packs print.")
@memory_option
@weights_option
@host_option
@json_option
def run(
    file: Path,
    folder: Path | None,
    output: Path | None,
    memory: str | None,
    weights: str | None,
    as_json: bool,
    verbose: bool,
    **wishes: Any,
) -> int:
    """Run the workflow in FILE (JSON in either form, or a picture that holds one).

    A NODE is named by its id, its title, or its type where there is one of it. Several --set @FILE and --grid
    multiply; work that jobs share is done once.

    \b
    nodes run portrait.json
    nodes run portrait.png --set 6.text="a red circle" --seed 7 -o out/
    nodes run portrait.json --set "Positive prompt.text=a cat" -o - > cat.png
    nodes run wf.json --set 6.text=@prompts.txt --grid 3.cfg=4,7,10
    nodes run big.json --memory 6GB --weights int8
    nodes run wf.json --json | jq 'select(.type == "noderack.written")'
    """
    to_stdout = output is not None and str(output) == "-"
    if to_stdout and as_json:
        raise click.UsageError("-o - and --json both want standard output; copy to a folder with -o FOLDER")
    host = open_host(folder)
    words = ["run", str(file), "--host", str(host.root), *_words(wishes)]
    child = Child(host, words, verbose=verbose, environment=placing(memory, weights))
    view = RunView(every=verbose)
    written: list[Path] = []
    watch = Watch(host, lambda told: click.echo(told, err=True))
    for line in child:
        if line.get("type") == "noderack.packs":
            watch.start()
        if as_json:
            click.echo(json.dumps(line))
        elif not to_stdout:
            view(line)
        if line.get("type") == "noderack.written":
            written.append(Path(line["data"]["path"]))
    failure = child.failure()
    if failure is not None:
        if as_json and child.error is not None:
            return int(failure.exit)
        raise failure
    if output is not None:
        _hand_out(written, output, to_stdout=to_stdout)
    return 0


def _words(wishes: dict[str, Any]) -> list[str]:
    """The child's options: those that were given, the repeated ones once for each value."""
    words: list[str] = []
    for name, value in wishes.items():
        if name in ("sets", "grids"):
            words += [f"--{name[:-1]}={item}" for item in value]
        elif value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words.append(f"--{name}={value}")
    return words


def _hand_out(written: list[Path], output: Path, *, to_stdout: bool) -> None:
    if to_stdout:
        if not written:
            raise BadInput("The workflow wrote no file, so there is nothing for standard output")
        sys.stdout.buffer.write(written[0].read_bytes())
        return
    output.mkdir(parents=True, exist_ok=True)
    for path in written:
        shutil.copy2(path, output / path.name)
