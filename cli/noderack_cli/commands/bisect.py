"""`nodes bisect`: which generation, and which pack of it, broke a workflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from noderack_host.folder import Host
from noderack_host.workflow import read_workflow

from noderack_cli import generations as gens
from noderack_cli.child_run import Child
from noderack_cli.errors import BadInput, NotFound
from noderack_cli.exits import Exit
from noderack_cli.generations import Generation
from noderack_cli.halving import (
    Verdict,
    before,
    halve,
    of_generation,
    removable,
    trial_folder,
    with_files,
    without,
)
from noderack_cli.held import hold
from noderack_cli.options import FOLDER, host_option, json_option, wait_option
from noderack_cli.reasons import difference
from noderack_cli.show import table
from noderack_cli.where import open_host

SKIP = 125  # what a test command says when it cannot tell, as for git bisect


@dataclass(slots=True)
class Trials:
    """Asks how trial hosts do: by running a workflow, by a command, or by asking the user."""

    file: Path | None
    command: str | None
    as_json: bool
    tried: list[dict[str, str]] = field(default_factory=list)
    last_error: str = ""

    def __call__(self, host: Host, what: str) -> Verdict:
        """The verdict on one trial host."""
        answer = (
            self._by_command(host) if self.command else self._by_file(host) if self.file else _ask(host, what)
        )
        self.tried.append({"what": what, "verdict": answer})
        if not self.as_json:
            words = {"good": "works", "bad": "is broken", "skip": "cannot tell"}
            click.echo(f"  {what}: {words[answer]}")
        return answer

    def _by_command(self, host: Host) -> Verdict:
        environment = {**os.environ, "NODERACK_HOST": str(host.root)}
        out = sys.stderr if self.as_json else None  # standard output is for the JSON alone
        command = str(self.command)  # the user's own shell line
        ended = subprocess.run(command, shell=True, check=False, env=environment, stdout=out)  # noqa: S602
        if ended.returncode == SKIP:
            return "skip"
        return "good" if ended.returncode == 0 else "bad"

    def _by_file(self, host: Host) -> Verdict:
        child = Child(host, ["run", str(self.file), "--host", str(host.root)])
        for _ in child:
            pass
        failure = child.failure()
        if failure is None:
            return "good"
        if failure.exit == Exit.PROMPT_INVALID:
            return "skip"  # a node type is not there: that says nothing of what broke
        self.last_error = failure.message
        return "bad"


def _ask(host: Host, what: str) -> Verdict:
    click.echo(f"{what} is ready: NODERACK_HOST={host.root}")
    answers: dict[str, Verdict] = {"y": "good", "n": "bad", "s": "skip"}
    said = click.prompt("Does it work? (s: cannot tell)", type=click.Choice(list(answers)))
    return answers[str(said)]


@click.command()
@click.argument("file", type=FOLDER, required=False)
@click.option(
    "--test", "command", metavar="CMD", help="Shell command: 0 works, 125 cannot tell, else broken."
)
@click.option("--good", type=int, metavar="N", help="A generation that is known to work.")
@click.option(
    "--bad", type=int, metavar="N", help="A generation that is known to be broken; else the one in use."
)
@click.option("--packs", "packs_only", is_flag=True, help="Only look for the pack, in one generation.")
@wait_option
@host_option
@json_option
def bisect(
    *,
    file: Path | None,
    command: str | None,
    good: int | None,
    bad: int | None,
    packs_only: bool,
    no_wait: bool,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Find which generation broke the workflow in FILE, and which pack of it, by halving.

    Each try runs FILE, or CMD (with NODERACK_HOST set to a host for the trial), or asks you. The host itself
    is not changed.

    \b
    nodes bisect portrait.json
    nodes bisect --test "nodes run portrait.json && cmp \\$NODERACK_HOST/output/a.png good.png"
    nodes bisect --good 3 --bad 9 portrait.json
    """
    if file is None and command is None and not sys.stdin.isatty():
        raise BadInput("There is nothing to try", "Name a workflow, or a command: nodes bisect --test CMD")
    host = open_host(folder)
    trials = Trials(file, command, as_json)
    with hold(host.root, "nodes bisect", wait=0 if no_wait else 600), trial_folder(host) as place:
        named = gens.numbered(host, bad) if bad is not None else gens.current(host)
        last = with_files(host, place, named)
        if trials(of_generation(host, place, last), f"generation {last.number}") != "bad":
            return _tell({"found": None, "works": last.number}, trials, f"Generation {last.number} works.")
        error = trials.last_error
        found = None if packs_only else _by_generation(host, place, last, good, trials)
        if found is None or len(found["packs"]) != 1:
            found = _by_pack(host, place, last, found, trials) or found
    if found is None:
        hint = "All packs of it are needed by the workflow, or the fault is outside packs: nodes doctor"
        raise NotFound(f"No generation and no pack can be blamed: {error or 'it is always broken'}", hint)
    return _tell({"found": found, "error": error}, trials, _words(found, error))


def _by_generation(
    host: Host, place: Path, last: Generation, good: int | None, trials: Trials
) -> dict[str, Any] | None:
    """The generation that broke it, with what changed in it."""
    every = [g for g in before(host, last) if good is None or g.number >= good]

    def verdict(at: int) -> Verdict:
        if every[at].number == good:
            return "good"
        return trials(of_generation(host, place, every[at]), f"generation {every[at].number}")

    found = halve(len(every), verdict)
    if found is None:
        return None
    old, new = every[found.last_good], every[found.first_bad]
    changes = difference(old, new)
    packs = [c.name for c in changes if c.name in new.packs or c.name in old.packs]
    rows = [[c.name, c.old, c.new] for c in changes]
    return {"generation": new.number, "why": new.why, "good": old.number, "packs": packs, "changes": rows}


def _by_pack(
    host: Host, place: Path, last: Generation, found: dict[str, Any] | None, trials: Trials
) -> dict[str, Any] | None:
    """The pack of generation `last` without which it works."""
    types = [use.type for use in read_workflow(trials.file).node_uses()] if trials.file else []
    only = set(found["packs"]) if found else None
    names = [p.name for p in removable(last, types) if only is None or p.name in only]
    if not names:
        return None

    def verdict(at: int) -> Verdict:
        """With the first `at` of the packs, and none of the others."""
        left_out = names[at:]
        return trials(without(host, place, last, left_out), f"without {', '.join(left_out)}")

    halved = halve(len(names) + 1, verdict)
    if halved is None:
        return None
    blamed = names[halved.last_good : halved.first_bad]
    return {**(found or {"generation": last.number, "good": None, "changes": []}), "packs": blamed}


def _words(found: dict[str, Any], error: str) -> str:
    packs = ", ".join(found["packs"])
    lines = [f"{packs or 'A change of distributions'} broke it" + (f": {error}" if error else ".")]
    if found["good"] is not None:
        lines.append(f"Generation {found['good']} works, {found['generation']} ({found['why']}) does not.")
        lines.append(table([(n, old or "-", "→", new or "-") for n, old, new in found["changes"]]))
        lines.append(f"Go back with: nodes rollback {found['good']}")
    lines += [f"Take it out with: nodes disable {pack}" for pack in found["packs"]]
    return "\n".join(line for line in lines if line)


def _tell(result: dict[str, Any], trials: Trials, words: str) -> int:
    click.echo(json.dumps({**result, "tried": trials.tried}) if trials.as_json else words)
    return Exit.OK
