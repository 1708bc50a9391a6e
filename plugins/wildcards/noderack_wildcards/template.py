"""The template language: text to a tree. What each part means is in the README's table."""

import re
from dataclasses import dataclass

SPECIAL = re.compile(
    r"\\(?P<escaped>[{}|\\_$])"
    r"|\$\{(?P<name>\w+)(?P<assign>=)?"
    r"|__(?P<list>[\w*/ .-]+?)__"
    r"|(?P<sign>[{|}])"
)
COUNT = re.compile(r"(?P<low>\d+)(?:-(?P<high>\d+))?\$\$(?:(?P<between>[^{}|$]*)\$\$)?")
WEIGHT = re.compile(r"(?P<weight>\d+(?:\.\d+)?)::")


class TemplateError(ValueError):
    """A template that cannot be read or filled in; the message says where."""


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class FromList:
    """One line of the lists whose names match."""

    name: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Chooses once and remembers it under a name; stands for nothing itself."""

    name: str
    value: "Sequence"


@dataclass(frozen=True, slots=True)
class Recall:
    name: str


@dataclass(frozen=True, slots=True)
class Option:
    weight: float
    value: "Sequence"


@dataclass(frozen=True, slots=True)
class Choice:
    """`low` to `high` different options, joined by `between`."""

    options: tuple[Option, ...]
    low: int = 1
    high: int = 1
    between: str = ", "


Part = Text | FromList | Assign | Recall | Choice
Sequence = tuple[Part, ...]


def parse(template: str) -> Sequence:
    """Reads a whole template; raises TemplateError at an open or stray bracket."""
    return _Reader(template).whole()


def parse_line(line: str) -> Option:
    """Reads a line of a word list: a template that may begin with its weight."""
    weight = WEIGHT.match(line)
    return (
        Option(float(weight["weight"]), parse(line[weight.end() :])) if weight else Option(1.0, parse(line))
    )


class _Reader:
    """Walks the template once, from left to right."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.place = 0

    def whole(self) -> Sequence:
        parts = self.sequence(ends="")
        if self.place < len(self.template):
            around = self.template[max(0, self.place - 12) : self.place + 12]
            raise TemplateError(f"a `}}` without its `{{` at character {self.place + 1}: {around!r}")
        return parts

    def sequence(self, ends: str) -> Sequence:
        """Parts up to one of `ends` (left unread), or to the end of the template."""
        parts: list[Part] = []
        while found := SPECIAL.search(self.template, self.place):
            _append_text(parts, self.template[self.place : found.start()])
            self.place = found.start()
            if found["sign"] and found["sign"] in ends:
                return tuple(parts)
            if found["sign"] == "}":
                return tuple(parts)
            self.place = found.end()
            self._special(found, parts)
        _append_text(parts, self.template[self.place :])
        self.place = len(self.template)
        return tuple(parts)

    def _special(self, found: "re.Match[str]", parts: list[Part]) -> None:
        if found["escaped"]:
            _append_text(parts, found["escaped"])
        elif found["list"]:
            parts.append(FromList(found["list"]))
        elif found["name"]:
            parts.append(self._variable(found))
        elif found["sign"] == "{":
            parts.append(self._choice(found.start()))
        else:
            _append_text(parts, "|")  # outside brackets a bar is only a bar

    def _variable(self, found: "re.Match[str]") -> Part:
        value = self.sequence(ends="}") if found["assign"] else ()
        self._close(found.start())
        return Assign(found["name"], value) if found["assign"] else Recall(found["name"])

    def _choice(self, start: int) -> Choice:
        low, high, between = 1, 1, ", "
        if count := COUNT.match(self.template, self.place):
            low = int(count["low"])
            high = int(count["high"] or low)
            between = between if count["between"] is None else count["between"]
            self.place = count.end()
        options = [self._option()]
        while self.template.startswith("|", self.place):
            self.place += 1
            options.append(self._option())
        self._close(start)
        return Choice(tuple(options), min(low, high), max(low, high), between)

    def _option(self) -> Option:
        weight = 1.0
        if found := WEIGHT.match(self.template, self.place):
            weight = float(found["weight"])
            self.place = found.end()
        return Option(weight, self.sequence(ends="|}"))

    def _close(self, start: int) -> None:
        if not self.template.startswith("}", self.place):
            rest = self.template[start : start + 24]
            raise TemplateError(f"a `{{` that is never closed at character {start + 1}: {rest!r}")
        self.place += 1


def _append_text(parts: list[Part], text: str) -> None:
    """Adds literal text, grown onto the literal before it."""
    if not text:
        return
    if parts and isinstance(parts[-1], Text):
        parts[-1] = Text(parts[-1].text + text)
    else:
        parts.append(Text(text))
