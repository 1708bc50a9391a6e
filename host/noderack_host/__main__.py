"""The runtime as a program: `python -m noderack_host run FILE` and `… inspect`. One JSON value for each line.

`run` prints what happens (wire form, host contract §3.4, plus `noderack.*` lines); an error is the last line.
`inspect` imports packs and prints {"packs", "node_types", "failures"}. What packs print goes to stderr.
Exit codes are those of the one table in `noderack_cli.exits`.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from noderack_host.folder import Host, HostError
from noderack_host.folders import ModelFolders
from noderack_host.lacking import lacking
from noderack_host.packs import load_packs
from noderack_host.running import Running, use

# What `run` alone needs is imported by it: an installation waits for `inspect`.
if TYPE_CHECKING:
    from noderack_host.batch import Job


def errors() -> tuple[tuple[type[BaseException], str, int], ...]:
    """error class → (code in JSON, exit code); the first that fits counts."""
    from noderack_host.batch import SettingError
    from noderack_host.execute import NodeError, PromptStopped
    from noderack_host.problems import PromptInvalid
    from noderack_host.workflow import WorkflowError

    return (
        (HostError, "host", 4),
        (WorkflowError, "bad-workflow", 3),
        (SettingError, "bad-setting", 3),
        (PromptInvalid, "prompt-invalid", 8),
        (NodeError, "node-failed", 7),
        (PromptStopped, "interrupted", 130),
        (KeyboardInterrupt, "interrupted", 130),
        (FileNotFoundError, "not-found", 4),
        (PermissionError, "no-space", 11),
        (ValueError, "bad-input", 3),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    options = _parser().parse_args(arguments)
    with own_stdout() as out:
        try:
            return int(options.command(options, out))
        except (Exception, KeyboardInterrupt) as error:  # the border: every error becomes one line
            return _told(error, out, options.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m noderack_host", description=__doc__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="run a workflow file")
    run.set_defaults(command=run_command)
    run.add_argument("file", type=Path)
    run.add_argument("--host", default=".", help="the host folder, or a folder in it")
    run.add_argument("--set", action="append", default=[], dest="sets", metavar="NODE.INPUT=VALUE")
    run.add_argument("--grid", action="append", default=[], dest="grids", metavar="NODE.INPUT=A,B,C")
    run.add_argument("--inputs", type=Path, help="a CSV or JSONL table, one job for each row")
    run.add_argument("--seed", type=int, help="every seed of the workflow")
    run.add_argument("--record", type=Path, help="where to note the jobs that are done")
    run.add_argument("--resume", action="store_true", help="skip the jobs that the record says are done")
    run.add_argument("--sheet", default="auto", help="a batch's contact sheet: a file, or none")
    run.add_argument("--cache", default=None, help="classic, none, lru:N or bytes:N")
    run.add_argument("--keep", metavar="BYTES", help="keep results on disk, up to so many bytes: 2G")
    run.add_argument("--trace", type=Path, help="write a trace that Perfetto opens")
    run.add_argument("--json", action="store_true", help="the only form there is; for symmetry with nodes")
    inspect = commands.add_parser("inspect", help="import packs and list their node types")
    inspect.set_defaults(command=inspect_command)
    inspect.add_argument("--packs", nargs="*", default=None)
    inspect.add_argument("--types", nargs="*", default=None)
    inspect.add_argument("--host", default=None)
    return parser


def run_command(options: argparse.Namespace, out: IO[str]) -> int:
    """Runs a file, once or as a batch."""
    from noderack_host.batch import jobs_from
    from noderack_host.headless import Session, Wishes
    from noderack_host.persist import cache_for
    from noderack_host.trace import write_trace
    from noderack_host.workflow import read_workflow

    workflow = read_workflow(options.file)  # before the packs: a slip in its name is told at once
    jobs = jobs_from(options.sets, options.grids, options.inputs)
    policy = options.cache or ("classic" if len(jobs) == 1 else "bytes:2G")
    host = Host.find(options.host)
    cache = cache_for(policy, options.keep, host)
    session = Session(host, lambda line: write_line(out, line), cache)
    wishes = Wishes(jobs, options.seed, _record(options, jobs, session.host), options.resume, _sheet(options))
    try:
        results = session.run(workflow, wishes)
    finally:
        session.executor.close()
    if options.trace is not None:
        timings = [timing for result in results for timing in result.timings]
        options.trace.write_text(write_trace(timings), encoding="utf-8")
    return 0


def _record(options: argparse.Namespace, jobs: "Sequence[Job]", host: Host) -> Path | None:
    """Where a batch notes what is done: as told, or in the host under a name that the batch alone has."""
    if options.record is not None or len(jobs) == 1:
        return options.record  # type: ignore[no-any-return]
    content = options.file.read_bytes() if options.file.is_file() else b""
    name = blake2b(content + json.dumps(jobs).encode(), digest_size=6).hexdigest()
    return host.user / "batches" / f"{name}.jsonl"


def _sheet(options: argparse.Namespace) -> Path | bool:
    return options.sheet == "auto" or (options.sheet != "none" and Path(options.sheet))


def inspect_command(options: argparse.Namespace, out: IO[str]) -> int:
    """Imports packs and prints what they bring; a pack that fails is in the answer, not an error."""
    host = Host.open(options.host) if options.host else None
    with use(Running(host=host, folders=ModelFolders.of(host) if host else None)):
        packs = load_packs(only=options.packs or None)
        schemas, broken = packs.schemas()
    wanted = set(options.types or schemas)
    write_line(
        out,
        {
            "packs": [pack.as_dict() for pack in packs.packs],
            "node_types": {name: found.to_object_info() for name, found in schemas.items() if name in wanted},
            "failures": [failure.as_dict() for failure in (*packs.failures, *broken)],
            "lacking": lacking(),
        },
    )
    return 0


def write_line(out: IO[str], line: Any) -> None:
    """One JSON value on one line, at once; what JSON has no form for becomes text."""
    out.write(json.dumps(line, default=str) + "\n")
    out.flush()


def _told(error: BaseException, out: IO[str], debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    code, exit_code = next(
        ((code, number) for kind, code, number in errors() if isinstance(error, kind)), ("unexpected", 1)
    )
    message = str(error) if exit_code != 1 else f"{type(error).__name__}: {error}"
    body: dict[str, Any] = {"code": code, "message": message or code, "exit": exit_code}
    body["hint"] = getattr(error, "hint", "")
    from noderack_host.execute import NodeError
    from noderack_host.problems import PromptInvalid

    if isinstance(error, PromptInvalid):
        body["problems"] = [problem.as_dict() for problem in error.problems]
    if isinstance(error, NodeError):
        body["node"] = {"id": error.node_id, "type": error.node_type, "inputs": error.inputs}
    write_line(out, {"error": body})
    return exit_code


class own_stdout:
    """Keeps standard output for our lines alone: whatever else prints, in Python or in C, goes to stderr."""

    def __enter__(self) -> IO[str]:
        sys.stdout.flush()
        self._kept = os.dup(1)
        os.dup2(2, 1)
        self._out = open(self._kept, "w", encoding="utf-8", closefd=False)
        return self._out

    def __exit__(self, *error: object) -> None:
        self._out.flush()
        sys.stdout.flush()
        os.dup2(self._kept, 1)
        os.close(self._kept)


if __name__ == "__main__":
    sys.exit(main())
