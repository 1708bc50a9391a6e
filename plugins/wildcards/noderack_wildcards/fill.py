"""A template and a generator to a text; or a template to every text that it can become."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from random import Random

from .template import (
    Assign,
    Choice,
    FromList,
    Option,
    Part,
    Recall,
    Sequence,
    TemplateError,
    Text,
    parse,
    parse_line,
)

Lists = Callable[[str], tuple[str, ...]]
Names = Mapping[str, str]
DEEPEST = 24


def fill(template: str, lists: Lists, seed: int) -> str:
    """One text; the same template, lists and seed always give the same one."""
    return _Filler(lists, Random(seed)).sequence(parse(template), depth=0)


def options_of(lists: Lists, name: str) -> tuple[Option, ...]:
    """The lines of a list as weighted options; a line is a template of its own."""
    lines = lists(name)
    if not lines:
        raise TemplateError(
            f"no word list is called {name!r}: put user/wildcards/{name}.txt into the host, or mend the name"
        )
    return tuple(parse_line(line) for line in lines)


class _Filler:
    def __init__(self, lists: Lists, random: Random) -> None:
        self.lists = lists
        self.random = random
        self.names: dict[str, str] = {}

    def sequence(self, parts: Sequence, depth: int) -> str:
        if depth > DEEPEST:
            raise TemplateError("word lists call each other in a circle: take one of the calls out")
        return "".join(self._part(part, depth) for part in parts)

    def _part(self, part: Part, depth: int) -> str:
        if isinstance(part, Text):
            return part.text
        if isinstance(part, Choice):
            return self._choose(part, depth)
        if isinstance(part, FromList):
            return self._choose(Choice(options_of(self.lists, part.name)), depth)
        if isinstance(part, Assign):
            self.names[part.name] = self.sequence(part.value, depth + 1)
            return ""
        return recall(part, self.names)

    def _choose(self, choice: Choice, depth: int) -> str:
        count = min(self.random.randint(choice.low, choice.high), len(choice.options))
        left = list(choice.options)
        chosen: list[str] = []
        for _ in range(count):
            # At weight 0 nothing is taken, unless nothing else is left.
            weights = [option.weight for option in left]
            (option,) = self.random.choices(left, weights if any(weights) else None)
            left.remove(option)
            chosen.append(self.sequence(option.value, depth + 1))
        return choice.between.join(chosen)


def recall(part: Recall, names: Names) -> str:
    """The value remembered under a name."""
    if part.name not in names:
        raise TemplateError(
            f"${{{part.name}}} is used before it is set: write ${{{part.name}=…}} further left"
        )
    return names[part.name]


def combinations(template: str, lists: Lists) -> Iterator[str]:
    """Every text that a template can become, the last choice varying fastest. Weights play no part."""
    for text, _ in _all_sequence(parse(template), lists, {}, 0):
        yield text


def _all_sequence(parts: Sequence, lists: Lists, names: Names, depth: int) -> Iterator[tuple[str, Names]]:
    if depth > DEEPEST:
        raise TemplateError("word lists call each other in a circle: take one of the calls out")
    if not parts:
        yield "", names
        return
    for head, after_head in _all_part(parts[0], lists, names, depth):
        for tail, after_tail in _all_sequence(parts[1:], lists, after_head, depth):
            yield head + tail, after_tail


def _all_part(part: Part, lists: Lists, names: Names, depth: int) -> Iterator[tuple[str, Names]]:
    if isinstance(part, Text):
        yield part.text, names
    elif isinstance(part, Recall):
        yield recall(part, names), names
    elif isinstance(part, Assign):
        for value, _ in _all_sequence(part.value, lists, names, depth + 1):
            yield "", {**names, part.name: value}
    else:
        choice = part if isinstance(part, Choice) else Choice(options_of(lists, part.name))
        yield from _all_choices(choice, lists, names, depth)


def _all_choices(choice: Choice, lists: Lists, names: Names, depth: int) -> Iterator[tuple[str, Names]]:
    for count in range(choice.low, min(choice.high, len(choice.options)) + 1):
        for chosen in itertools.combinations(choice.options, count):
            tables = [[text for text, _ in _all_sequence(o.value, lists, names, depth + 1)] for o in chosen]
            for texts in itertools.product(*tables):
                yield choice.between.join(texts), names
