"""The command that the user gave, told again with a change: what resolves a conflict can be pasted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import click
from click.core import ParameterSource

from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice
from noderack_cli.show import quoted

ONLY_SHOW = ("--dry-run", "--json")


@dataclass(frozen=True, slots=True)
class Again:
    """A command with its arguments and options as they were said; `takes` are all options that it has."""

    command: tuple[str, ...] = ("install",)
    args: tuple[str, ...] = ()
    options: tuple[tuple[str, ...], ...] = ()
    takes: frozenset[str] = frozenset()

    @classmethod
    def here(cls) -> Again:
        """The command that runs; plain `nodes install` where none does."""
        context = click.get_current_context(silent=True)
        if context is None:
            return cls()
        params = context.command.params
        args = [_words(context.params[p.name]) for p in params if isinstance(p, click.Argument) and p.name]
        takes = frozenset(name for p in params if isinstance(p, click.Option) for name in p.opts)
        return cls(_path(context), tuple(word for some in args for word in some), _said(context), takes)

    def line(self) -> str:
        """The command in one line, as a shell takes it."""
        return _line(*self.command, *self.args, *(word for option in self.options for word in option))

    def on(self, folder: str) -> Again:
        """The same for another host."""
        kept = tuple(option for option in self.options if option[0] != "--host")
        return replace(self, options=(*kept, ("--host", folder)))

    def with_version(self, pack: PackChoice) -> str:
        """The command that takes `pack` in its version, and all else that this command takes."""
        exact = f"{pack.pack}=={pack.version}"
        if self._names(pack):
            return replace(self, args=tuple(exact if _is(a, pack) else a for a in self.args)).line()
        if "--choose" in self.takes and pack.node_types:
            return self._choosing(f"{pack.node_types[0]}={pack.pack}@{pack.version}").line()
        if self.command == ("update",):
            return f"{_line('pin', exact, *self._where())} && {self.line()}"
        alone = _line("install", exact, *self._where("--registry", "--yes"))
        return f"{self.without(pack)} && {alone}" if "--without" in self.takes else alone

    def without(self, pack: PackChoice) -> str:
        """The command without `pack`; empty where nothing is left of it."""
        others = tuple(word for word in self.args if not _is(word, pack))
        if self._names(pack):
            return replace(self, args=others).line() if others else ""
        if "--without" in self.takes:
            return self._plus("--without", pack.pack).line()
        if self.command == ("update",):
            return f"{_line('hold', pack.pack, *self._where())} && {self.line()}"
        return ""

    def after(self, *words: str, registry: bool = False) -> str:
        """Another command of the same host first, then this one."""
        more = ("--registry", "--yes") if registry else ("--yes",)
        return f"{_line(*words, *self._where(*more))} && {self.line()}"

    def _names(self, pack: PackChoice) -> bool:
        """Whether the arguments are packs, and this is one of them."""
        return self.command[0] in ("install", "update") and any(_is(word, pack) for word in self.args)

    def _choosing(self, choice: str) -> Again:
        """With this choice instead of others for the same type."""
        start = choice.rpartition("=")[0] + "="
        kept = [o for o in self.options if not (o[0] == "--choose" and o[-1].startswith(start))]
        return replace(self, options=(*kept, ("--choose", choice)))

    def _plus(self, *option: str) -> Again:
        return replace(self, options=(*self.options, option))

    def _where(self, *more: str) -> Iterator[str]:
        """The options for other commands that say the same host, and `more` of them."""
        for option in self.options:
            if option[0] in ("--host", *more):
                yield from option


def _path(context: click.Context) -> tuple[str, ...]:
    """The names of the command, without that of the program."""
    names: list[str] = []
    now: click.Context | None = context
    while now is not None and now.parent is not None:
        names.insert(0, now.info_name or "")
        now = now.parent
    return tuple(names)


def _said(context: click.Context) -> tuple[tuple[str, ...], ...]:
    """The options that stand on the command line, those left out that only show something."""
    found: list[tuple[str, ...]] = []
    for param in context.command.params:
        if not isinstance(param, click.Option) or not param.name or param.opts[0] in ONLY_SHOW:
            continue
        if context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            value, name = context.params[param.name], param.opts[0]
            found += [(name,)] if param.is_flag else [(name, word) for word in _words(value)]
    return tuple(found)


def _words(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def _is(word: str, pack: PackChoice) -> bool:
    return normal(word.replace("==", "@").partition("@")[0]) == pack.pack


def _line(*words: str) -> str:
    return " ".join(["nodes", *map(quoted, words)])
