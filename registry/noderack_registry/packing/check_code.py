"""Rules on code, from syntax: what runs at import, what runs code, what installs, what hides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from noderack_registry.packing.finding import Finding, Level

CALLS: dict[str, tuple[str, Level, str, str]] = {
    "eval": ("eval", "warning", "runs text as code", "use ast.literal_eval, or a small parser of your own"),
    "exec": ("eval", "warning", "runs text as code", "call functions instead of building source"),
    "os.system": ("subprocess", "warning", "starts a shell", "use subprocess.run with a list of arguments"),
    "os.popen": ("subprocess", "warning", "starts a shell", "use subprocess.run with a list of arguments"),
    "pickle.load": (
        "pickle",
        "warning",
        "loads a pickle, which can run code",
        "store data as JSON or safetensors",
    ),
    "pickle.loads": (
        "pickle",
        "warning",
        "loads a pickle, which can run code",
        "store data as JSON or safetensors",
    ),
}
NETWORK = re.compile(
    r"(requests|httpx)\.(get|post|put|head|request)|urllib\.request\.\w+|socket\.create_connection"
)
NETWORK_MORE = re.compile(
    r"(huggingface_hub\.)?(hf_hub_download|snapshot_download)|torch\.hub\.\w+|wget\.download"
)
LONGEST_NAME = 30  # parts of a dotted name that are looked at
MOST_WRITTEN = 100
LONGEST_SHOWN = 10_000
HIDES = re.compile(
    r"((base64|__import__\('base64'\))\.\w*decode|(zlib|__import__\('zlib'\))\.decompress"
    r"|marshal\.loads|__import__\('marshal'\)\.loads|bytes\.fromhex|codecs\.decode)"
)


def scan(texts: Mapping[str, bytes]) -> Iterator[Finding]:
    """Findings of every Python file."""
    for file, data in texts.items():
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError) as cause:
            line = getattr(cause, "lineno", 0) or 0
            yield Finding("syntax", "error", file, line, f"cannot be parsed: {cause}", "mend the syntax")
            continue
        yield from _File(file, tree).findings()


class _File:
    """One parsed file; `aliases` are the dotted origins of imported names."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.written = 0
        self.hiding = {name for node in ast.walk(tree) for name in _hiding(node)}
        self.aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.aliases.update({a.asname: a.name for a in node.names if a.asname})
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self.aliases.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})

    def findings(self) -> Iterator[Finding]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield from self._call(node)
        for node in _at_import(self.tree.body):
            yield from self._at_import(node)

    def _dotted(self, node: ast.AST) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < LONGEST_NAME:
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.aliases.get(node.id, node.id), *reversed(parts)])

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        called = self._dotted(node.func)
        if called in CALLS:
            rule, level, what, mend = CALLS[called]
            hidden = called in ("eval", "exec") and self._hides(node)
            if hidden:
                rule, level, what = "obfuscation", "error", "runs code that was packed to be unreadable"
                mend = "ship the source as it is"
            yield Finding(rule, level, self.file, node.lineno, f"{called}() {what}", mend)
        if called == "torch.load" and not any(k.arg == "weights_only" for k in node.keywords):
            mend = "pass weights_only=True, or load safetensors"
            yield Finding(
                "pickle", "note", self.file, node.lineno, "torch.load() of a pickle can run code", mend
            )
        starts = (
            called.startswith(("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn"))
            or "pip" in called
        )
        inside = ast.walk(node) if starts else ()  # looking into every call would take its square in time
        words = [w.value for w in inside if isinstance(w, ast.Constant) and isinstance(w.value, str)]
        if starts and re.search(r"\bpip\b.*\binstall\b", " ".join(words)):
            mend = "list the requirement in requirements.txt or [project].dependencies"
            yield Finding("installs", "error", self.file, node.lineno, "installs packages by itself", mend)

    def _hides(self, node: ast.Call) -> bool:
        """Whether code that is run was packed; only so many are written out, as they may hold each other."""
        self.written += 1
        inside = [name.id for one in node.args for name in ast.walk(one) if isinstance(name, ast.Name)]
        if self.written <= MOST_WRITTEN and not self.hiding.isdisjoint(inside):
            return True
        return self.written <= MOST_WRITTEN and any(HIDES.search(ast.unparse(one)) for one in node.args)

    def _at_import(self, node: ast.AST) -> Iterator[Finding]:
        if not isinstance(node, ast.Call):
            return
        called = self._dotted(node.func)
        if NETWORK.fullmatch(called) or NETWORK_MORE.fullmatch(called):
            mend = "move it into the node's function"
            message = f"{called}() talks to the network while the pack is imported"
            yield Finding("network-at-import", "error", self.file, node.lineno, message, mend)
        elif called.startswith("subprocess."):
            mend = "move it into the node's function"
            message = f"{called}() starts a program while the pack is imported"
            yield Finding("subprocess-at-import", "warning", self.file, node.lineno, message, mend)
        elif called in ("sys.path.append", "sys.path.insert", "sys.path.extend"):
            mend = "use relative imports: from .module import name"
            message = "changes the search path for everybody: other packs may find the wrong modules"
            yield Finding("search-path", "note", self.file, node.lineno, message, mend)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Everything that runs while the module is imported: not the bodies of functions."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _hiding(node: ast.AST) -> Iterator[str]:
    """The names that a statement gives to what unpacks code: `_ = lambda data: zlib.decompress(…)`."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda | ast.Call):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if names and HIDES.search(ast.unparse(node.value)[:LONGEST_SHOWN]):
            yield from names
