"""Which parts of a network can be on a device on their own, told from the names of its parameters."""

import re
from collections.abc import Iterable

REST = "rest"
"""What is small, or used from everywhere: it comes first and is always there."""
_PART = re.compile(
    r"(?:input_blocks|middle_block|output_blocks)\.\d+(?:(?:\.\d+)?\.transformer_blocks\.\d+)?"
    r"|(?:text_model|vision_model)\.encoder\.layers\.\d+"
)
"""A stage's transformer blocks are parts of their own: those of SDXL have ten, 700 MB together."""


def part_of(parameter: str) -> str:
    """The part that a parameter belongs to."""
    found = _PART.match(parameter)
    return found.group() if found else REST


def parts_of(parameters: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The parameters of each part, parts in about the order in which they run."""
    found: dict[str, list[str]] = {REST: []}
    for name in sorted(parameters, key=_natural):
        found.setdefault(part_of(name), []).append(name)
    return {part: tuple(names) for part, names in found.items() if names}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(word), "") if word.isdigit() else (-1, word) for word in name.split(".")]
