"""The door: the table of commands, errors as one sentence, exit codes."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from noderack_cli import errors
from noderack_cli.exits import MEANING, Exit
from noderack_cli.lazy import LazyGroup, Row
from noderack_cli.main import COMMANDS, GROUPS, cli, run


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_each_row_loads_and_explains_itself(row: Row) -> None:
    command = row.load()
    assert command.help, "a command says what it does"
    assert row.help.endswith("."), "a sentence"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, (*path, name))


def test_every_command_shows_an_example_on_a_line_of_its_own() -> None:
    without = [
        path
        for path, command in leaves(cli)
        if not re.search(rf"^ +nodes {path}\b", command.get_help(click.Context(command)), re.MULTILINE)
    ]
    assert without == []


def test_each_group_has_a_help_text() -> None:
    assert {row.name.split()[0] for row in COMMANDS if " " in row.name} <= set(GROUPS)


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from noderack_cli.main import run; run(['--help']);"
        "print([m for m in sys.modules if m.split('.')[0] in ('httpx','torch','noderack_host')"
        " or m.startswith('noderack_cli.commands.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


class HostError(Exception):
    """Stands for an error of another room: same root package, same name."""


HostError.__module__ = "noderack_host.folder"


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (errors.NotFound("no pack x", "nodes search x"), "not-found", 4),
        (errors.HostHeld("held by 7"), "host-held", 10),
        (click.UsageError("what?"), "usage", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (click.Abort(), "interrupted", 130),
        (HostError("no host.toml here"), "host", 4),
        (OSError(28, "No space left on device", "/x"), "no-space", 11),
        (OSError(36, "File name too long", "/x"), "bad-input", 3),
        (PermissionError(13, "Permission denied", "/x"), "no-space", 11),
        (FileNotFoundError(2, "No such file or directory", "/x"), "not-found", 4),
        (ValueError("a bug"), "unexpected", 1),
    ],
)
def test_an_error_becomes_code_and_exit(error: BaseException, code: str, exit_code: int) -> None:
    told = errors.tell(error)
    assert (told.code, int(told.exit)) == (code, exit_code)


def test_usage_errors_name_the_near_command(capsys: pytest.CaptureFixture[str]) -> None:
    group = LazyGroup(rows=[Row("A", "install", "x:y", "Install.")])
    with pytest.raises(click.UsageError, match="Did you mean install"):
        group.resolve_command(click.Context(group), ["instal"])
    assert run(["no-such-thing"]) == Exit.USAGE
    assert "No such command" in capsys.readouterr().err


def test_json_errors_are_the_last_line_of_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["no-such-thing", "--json"]) == Exit.USAGE
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["code"] == "usage" and error["exit"] == 2


def test_nested_rows_make_a_group() -> None:
    group = LazyGroup(rows=[Row("A", "pack build", "x:y", "Build.")], groups={"pack": "Packs."})
    pack = group.commands["pack"]
    assert isinstance(pack, LazyGroup) and list(pack.rows) == ["build"]
    assert isinstance(cli, LazyGroup)


def test_help_is_fast() -> None:
    best = min(_cpu_seconds() for _ in range(4))
    assert best < 0.2, f"nodes --help took {best:.3f} s of a processor"  # aim: 0.12 s; see make bench-manager


def _cpu_seconds() -> float:
    """Processor time, because a test machine may be busy with other things."""
    code = "from noderack_cli.main import run; run(['--help'])"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EIO, "Input/output error", "/host/models/a"), "disk-error"),
        (OSError(errno.ENOSPC, "No space left on device"), "no-space"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "no-space"),
    ],
)
def test_a_disk_that_does_not_take_it_ends_with_its_own_code(error: OSError, code: str) -> None:
    told = errors.tell(error)
    assert (
        (told.code, told.exit) == (code, Exit.NO_SPACE) and str(error.strerror) in told.message and told.hint
    )
