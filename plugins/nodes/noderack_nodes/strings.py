"""Texts: joined, cut, compared, searched."""

from __future__ import annotations

import json
import re
import string as letters
from typing import Any, ClassVar

from noderack_host.v3 import io

from noderack_nodes.errors import NodeInputError
from noderack_nodes.sockets import Inputs, Mappings, Node, combo, flag, integer, text

_CASES = {
    "UPPERCASE": str.upper,
    "lowercase": str.lower,
    "Capitalize": str.capitalize,
    "Title Case": str.title,
}
_TRIMS = {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}
_COMPARES = {"Starts With": str.startswith, "Ends With": str.endswith, "Equal": str.__eq__}
_REGEX_FLAGS = {"case_insensitive": flag(True), "multiline": flag(False), "dotall": flag(False)}


class _Text(Node):
    RETURN_TYPES = ("STRING",)
    CATEGORY = "utils/string"


class StringConcatenate(_Text):
    """Two texts with something between them."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"string_a": text(), "string_b": text(), "delimiter": text(multiline=False, default="")}
    }

    def run(self, string_a: str, string_b: str, delimiter: str) -> tuple[str]:
        """a + delimiter + b."""
        return (f"{string_a}{delimiter}{string_b}",)


class StringSubstring(_Text):
    """A part of a text, by character positions."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text(), "start": ("INT", {}), "end": ("INT", {})}}

    def run(self, string: str, start: int, end: int) -> tuple[str]:
        """From `start` up to, not including, `end`; negative counts from the end."""
        return (string[start:end],)


class StringLength(_Text):
    """How many characters."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text()}}
    RETURN_TYPES = ("INT",)
    RETURN_NAMES = ("length",)

    def run(self, string: str) -> tuple[int]:
        """Unicode code points."""
        return (len(string),)


class CaseConverter(_Text):
    """Capitals and small letters."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text(), "mode": combo(*_CASES)}}

    def run(self, string: str, mode: str) -> tuple[str]:
        """By the mode's rule."""
        return (_pick(_CASES, mode)(string),)


class StringTrim(_Text):
    """No white space at the ends."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text(), "mode": combo(*_TRIMS)}}

    def run(self, string: str, mode: str) -> tuple[str]:
        """By the mode's rule."""
        return (_pick(_TRIMS, mode)(string),)


class StringReplace(_Text):
    """Every occurrence of a text by another."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text(), "find": text(), "replace": text()}}

    def run(self, string: str, find: str, replace: str) -> tuple[str]:
        """Literal, not a pattern."""
        return (string.replace(find, replace),)


class StringContains(_Text):
    """Whether a text holds another."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"string": text(), "substring": text(), "case_sensitive": flag(True)}
    }
    RETURN_TYPES = ("BOOLEAN",)
    RETURN_NAMES = ("contains",)

    def run(self, string: str, substring: str, case_sensitive: bool) -> tuple[bool]:
        """Letter case matters only if asked."""
        return (_cased(substring, case_sensitive) in _cased(string, case_sensitive),)


class StringCompare(_Text):
    """Whether a text begins with, ends with or is another."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "string_a": text(),
            "string_b": text(),
            "mode": combo(*_COMPARES),
            "case_sensitive": flag(True),
        }
    }
    RETURN_TYPES = ("BOOLEAN",)

    def run(self, string_a: str, string_b: str, mode: str, case_sensitive: bool) -> tuple[bool]:
        """By the mode's rule."""
        compare = _pick(_COMPARES, mode)
        return (bool(compare(_cased(string_a, case_sensitive), _cased(string_b, case_sensitive))),)


class RegexMatch(_Text):
    """Whether a pattern occurs in a text."""

    INPUTS: ClassVar[Inputs] = {"required": {"string": text(), "regex_pattern": text(), **_REGEX_FLAGS}}
    RETURN_TYPES = ("BOOLEAN",)
    RETURN_NAMES = ("matches",)

    def run(self, string: str, regex_pattern: str, **flags: bool) -> tuple[bool]:
        """Anywhere in the text."""
        return (_compiled(regex_pattern, flags).search(string) is not None,)


class RegexExtract(_Text):
    """What a pattern finds."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "string": text(),
            "regex_pattern": text(),
            "mode": combo("First Match", "All Matches", "First Group", "All Groups"),
            **_REGEX_FLAGS,
            "group_index": integer(1, 0, 100),
        }
    }

    def run(self, string: str, regex_pattern: str, mode: str, group_index: int, **flags: bool) -> tuple[str]:
        """The match or the group; several are joined by line ends; nothing found is an empty text."""
        pattern = _compiled(regex_pattern, flags)
        group = group_index if mode.endswith(("Group", "Groups")) else 0
        if group > pattern.groups:
            return ("",)
        found = [match.group(group) or "" for match in pattern.finditer(string)]
        return ("\n".join(found if mode.startswith("All") else found[:1]),)


class RegexReplace(_Text):
    """Every match of a pattern by a text, which may name groups."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"string": text(), "regex_pattern": text(), "replace": text()},
        "optional": {**_REGEX_FLAGS, "count": integer(0, 0, 100)},
    }

    def run(self, string: str, regex_pattern: str, replace: str, count: int = 0, **flags: bool) -> tuple[str]:
        """`count` limits how many; 0 means all."""
        defaults = {"case_insensitive": True, **flags}
        return (_compiled(regex_pattern, defaults).sub(replace, string, count=count),)


class JsonExtractString(_Text):
    """What stands under a key of a JSON object."""

    INPUTS: ClassVar[Inputs] = {"required": {"json_string": text(), "key": text(multiline=False)}}
    CATEGORY = "text"

    def run(self, json_string: str, key: str) -> tuple[str]:
        """As text; without that key, or without JSON, an empty text."""
        try:
            found = json.loads(json_string)
        except ValueError:
            return ("",)
        value = found.get(key) if isinstance(found, dict) else None
        return ("" if value is None else str(value),)


class ConvertDictionaryToString(_Text):
    """A table as JSON."""

    INPUTS: ClassVar[Inputs] = {"required": {"dictionary": ("DICT", {}), "indent": integer(2, 0, 8)}}
    CATEGORY = "text"

    def run(self, dictionary: Any, indent: int = 2) -> tuple[str]:
        """`indent` spaces a level; 0 for one line."""
        return (json.dumps(dictionary, ensure_ascii=False, indent=indent or None),)


class ConvertArrayToString(ConvertDictionaryToString):
    """A list as JSON."""

    INPUTS: ClassVar[Inputs] = {"required": {"array": ("ARRAY", {}), "indent": integer(2, 0, 8)}}

    def run(self, array: Any, indent: int = 2) -> tuple[str]:
        """`indent` spaces a level; 0 for one line."""
        return super().run(array, indent)


class StringFormat(io.ComfyNode):
    """A text with values in it: `{a}`, or `{b:.2f}` for two places behind the point."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The values are called a, b, c …"""
        growing = io.Autogrow.TemplateNames(
            input=io.AnyType.Input("value"), names=list(letters.ascii_lowercase), min=0
        )
        return io.Schema(
            node_id="StringFormat",
            display_name="Format Text",
            category="text",
            inputs=[
                io.Autogrow.Input("values", template=growing),
                io.String.Input("f_string", default="{a}", multiline=True),
            ],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, f_string: str, values: dict[str, Any]) -> io.NodeOutput:
        """Values by name; what is asked of a value beyond how to write it is refused."""
        try:
            asked = {name for _, name, _, _ in letters.Formatter().parse(f_string) if name is not None}
            if not asked <= set(values):
                raise KeyError(", ".join(sorted(asked - set(values))) or "{}")
            return io.NodeOutput(f_string.format(**values))
        except (KeyError, ValueError, TypeError) as error:
            known = ", ".join(values) or "none"
            raise NodeInputError(
                f"{f_string!r} cannot be filled in ({error}); the values are: {known}"
            ) from error


def _pick(table: dict[str, Any], mode: str) -> Any:
    if mode not in table:
        raise NodeInputError(f"there is no mode {mode!r}; use one of {', '.join(table)}")
    return table[mode]


def _cased(string: str, sensitive: bool) -> str:
    return string if sensitive else string.lower()


def _compiled(pattern: str, flags: dict[str, bool]) -> re.Pattern[str]:
    bits = {"case_insensitive": re.IGNORECASE, "multiline": re.MULTILINE, "dotall": re.DOTALL}
    try:
        return re.compile(pattern, sum(bits[name] for name, on in flags.items() if on))
    except re.error as error:
        raise NodeInputError(f"the pattern {pattern!r} is not a regular expression: {error}") from error


_ALL: tuple[type[Any], ...] = (
    StringConcatenate,
    StringSubstring,
    StringLength,
    CaseConverter,
    StringTrim,
    StringReplace,
    StringContains,
    StringCompare,
    RegexMatch,
    RegexExtract,
    RegexReplace,
    JsonExtractString,
    ConvertDictionaryToString,
    ConvertArrayToString,
    StringFormat,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "StringConcatenate": "Concatenate",
    "StringSubstring": "Substring",
    "StringLength": "Length",
    "CaseConverter": "Case Converter",
    "StringTrim": "Trim",
    "StringReplace": "Replace",
    "StringContains": "Contains",
    "StringCompare": "Compare",
    "RegexMatch": "Regex Match",
    "RegexExtract": "Regex Extract",
    "RegexReplace": "Regex Replace",
    "JsonExtractString": "Extract Text from JSON",
    "ConvertDictionaryToString": "Convert Dictionary to String",
    "ConvertArrayToString": "Convert Array to String",
    "StringFormat": "Format Text",
}
