"""What a pack's code can be seen to do, from syntax alone: shown to the user, no reason to refuse.

The same function runs at the author's, at the registry and at the host, so all three see the same list.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# rule → what it tells the user
RULES: dict[str, str] = {
    "network": "talks to the network",
    "subprocess": "starts other programs",
    "eval": "runs code that it makes at run time",
    "pickle": "loads pickles, which can run code",
    "installs": "installs Python packages by itself",
    "routes": "adds its own HTTP routes to the host",
    "native": "loads native libraries",
}
_MODULES = {
    "aiohttp": "network", "ftplib": "network", "http": "network", "httpx": "network", "paramiko": "network",
    "requests": "network", "smtplib": "network", "socket": "network", "urllib": "network",
    "urllib3": "network", "websocket": "network", "websockets": "network", "huggingface_hub": "network",
    "subprocess": "subprocess", "pty": "subprocess", "pickle": "pickle", "dill": "pickle",
    "cloudpickle": "pickle", "pip": "installs", "ensurepip": "installs", "ctypes": "native", "cffi": "native",
}  # fmt: skip
_CALLS = {
    "eval": "eval", "exec": "eval", "compile": "eval", "__import__": "eval", "os.system": "subprocess",
    "os.popen": "subprocess", "torch.load": "pickle", "pickle.load": "pickle", "pickle.loads": "pickle",
    "marshal.loads": "eval", "torch.hub.load": "network",
}  # fmt: skip
LONGEST_NAME = 30  # parts of a dotted name that are looked at: no chain of names may take its square in time
_HARMLESS_PARTS = frozenset({"urllib.parse", "urllib.error", "http.HTTPStatus"})


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place: the rule, the file in the wheel, the line (from 1), and what stands there."""

    rule: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.file}:{self.line}: {self.what}"


def scan(texts: Mapping[str, bytes]) -> tuple[Finding, ...]:
    """The first place of each rule in each Python file. Files that do not parse cannot run."""
    found: set[Finding] = set()
    for name in sorted(texts):
        if name.endswith(".py"):
            found.update(_first_of_each(name, texts[name]))
    return tuple(sorted(found))


def _first_of_each(name: str, source: bytes) -> Iterator[Finding]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    seen = set()
    for node in ast.walk(tree):
        for rule, what in _rules(node):
            if rule not in seen:
                seen.add(rule)
                yield Finding(rule, name, getattr(node, "lineno", 0), what)


def _rules(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        yield from (found for alias in node.names for found in _module(alias.name))
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            yield from _module(f"{node.module}.{alias.name}")
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif (
        isinstance(node, ast.Attribute) and node.attr == "routes" and _dotted(node).startswith("PromptServer")
    ):
        yield "routes", _dotted(node)


def _module(name: str) -> Iterator[tuple[str, str]]:
    rule = _MODULES.get(name.partition(".")[0])
    if rule and not any(name.startswith(part) for part in _HARMLESS_PARTS):
        yield rule, f"import {name}"


def _call(node: ast.Call) -> Iterator[tuple[str, str]]:
    called = _dotted(node.func)
    if called in _CALLS:
        yield _CALLS[called], f"{called}(…)"
    words = list(_words(node))
    if "pip" in words and "install" in words:
        yield "installs", f"{called or 'call'}(… pip install …)"


def _words(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        items = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
        for item in items:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                yield from item.value.split() if argument is item else [item.value]


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < LONGEST_NAME:
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
