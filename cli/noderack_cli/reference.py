"""Every command with options and examples, and the exit codes, as data: what the site's reference shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from noderack_cli.errors import FOREIGN, NodesError
from noderack_cli.exits import MEANING, Exit
from noderack_cli.main import COMMANDS


def reference() -> dict[str, Any]:
    """{"commands": [{"name", "section", "help", "usage", "options", "examples"}], "exits", "errors"}."""
    commands = [described for row in COMMANDS for described in _described(row.name, row.section, row.load())]
    return {
        "commands": commands,
        "exits": [{"code": int(code), "meaning": meaning} for code, meaning in MEANING.items()],
        "errors": [{"code": code, "exit": int(number)} for code, number in sorted(_errors().items())],
    }


def _errors() -> dict[str, Exit]:
    """Every code that `--json` may show, with its exit code."""
    kinds: list[type[NodesError]] = [NodesError, *_kinds(NodesError)]
    own = {kind.code: kind.exit for kind in kinds}
    others = dict(FOREIGN.values())
    return {
        "usage": Exit.USAGE,
        "interrupted": Exit.INTERRUPTED,
        "disk-error": Exit.NO_SPACE,
        "io-error": Exit.UNEXPECTED,
        **others,
        **own,
    }


def _kinds(kind: type[NodesError]) -> Iterator[type[NodesError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _kinds(child)


def _described(name: str, section: str, command: click.Command) -> Iterator[dict[str, Any]]:
    """The command, or each command of a group."""
    if isinstance(command, click.Group):
        for inner, child in sorted(command.commands.items()):
            yield from _described(f"{name} {inner}", section, child)
        return
    about, *marked = (command.help or "").split("\b\n")  # click's mark for lines that stay as they are
    lines = [*(line for block in marked for line in block.splitlines()), *(command.epilog or "").splitlines()]
    arguments = [p.human_readable_name for p in command.params if isinstance(p, click.Argument)]
    yield {
        "name": f"nodes {name}",
        "section": section,
        "help": about.strip(),
        "usage": " ".join(["nodes", name, *arguments]),
        "options": [_option(p) for p in command.params if isinstance(p, click.Option) and not p.hidden],
        "examples": [line.strip() for line in lines if line.strip().startswith("nodes ")],
    }


def _option(option: click.Option) -> dict[str, str]:
    default = (
        option.default if option.show_default and isinstance(option.default, str | int | float) else None
    )
    names = ", ".join(option.opts)
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    return {
        "names": names + value,
        "help": option.help or "",
        "default": "" if default is None else str(default),
    }
