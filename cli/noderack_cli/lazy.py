"""Commands that are imported only when they run, so that `nodes --help` stays fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Row:
    """One command: section in the help, name ("pack build" is in group "pack"), where it is, what it does."""

    section: str
    name: str
    target: str
    help: str

    def load(self) -> click.Command:
        """Import the module and return the click command that `target` ("module:attribute") names."""
        module, _, attribute = self.target.partition(":")
        # httpx would bring rich along, for a command line of its own: a third of the start of a command here
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is not a click command")
        return command


class LazyGroup(click.Group):
    """A group whose help is written from a table; a command's module is imported when it is called."""

    def __init__(
        self, *args: Any, rows: Iterable[Row] = (), groups: Mapping[str, str] | None = None, **kw: Any
    ):
        super().__init__(*args, **kw)
        self.rows = {row.name: row for row in rows if " " not in row.name}
        self.helps = {name: (row.section, row.help) for name, row in self.rows.items()}
        for row in rows:
            head, _, rest = row.name.partition(" ")
            if rest:
                text = (groups or {}).get(head, "")
                self.helps.setdefault(head, (row.section, text))
                group = self.commands.get(head) or LazyGroup(name=head, help=text)
                assert isinstance(group, LazyGroup)
                group.add(Row("Commands", rest, row.target, row.help))
                self.commands[head] = group

    def add(self, row: Row) -> None:
        """Take one more row."""
        self.rows[row.name] = row
        self.helps[row.name] = (row.section, row.help)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.helps)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing it now."""
        row = self.rows.get(cmd_name)
        return row.load() if row else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a name that does not exist say which ones are near."""
        if args and args[0] not in self.helps and not args[0].startswith("-"):
            raise click.UsageError(f"No such command '{args[0]}'.{_near(args[0], self.helps)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, section by section, without importing a single command."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (section, text) in self.helps.items():
            sections.setdefault(section, []).append((name, text))
        for section, lines in sections.items():
            with formatter.section(section):
                formatter.write_dl(lines)


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(known), n=2)
    return f" Did you mean {' or '.join(near)}?" if near else ""
