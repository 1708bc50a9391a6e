"""Rules on node classes as they are written: a function that is not there, inputs that it does not take."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from noderack_registry.packing.finding import Finding

Function = ast.FunctionDef | ast.AsyncFunctionDef


def scan(texts: Mapping[str, bytes]) -> Iterator[Finding]:
    """Findings on the node classes of every Python file."""
    for file, data in texts.items():
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError):
            continue  # told by check_code
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield from _class(file, node)


def _class(file: str, cls: ast.ClassDef) -> Iterator[Finding]:
    own = _values(cls)
    methods = {node.name: node for node in cls.body if isinstance(node, Function)}
    if "INPUT_TYPES" not in methods or "FUNCTION" not in own:
        return
    returned = own.get("RETURN_TYPES")
    if isinstance(returned, ast.Constant) and isinstance(returned.value, str):
        message = f"{cls.name}: RETURN_TYPES is the text {returned.value!r}: its letters become outputs"
        mend = f'write RETURN_TYPES = ("{returned.value}",)'
        yield Finding("schema", "error", file, returned.lineno, message, mend)
    named = own["FUNCTION"]
    if not isinstance(named, ast.Constant) or not isinstance(named.value, str):
        return
    function = methods.get(named.value)
    if function is not None:
        yield from _taken(file, cls, methods["INPUT_TYPES"], function)
    elif not cls.bases and not cls.decorator_list and not cls.keywords and named.value not in own:
        message = f"{cls.name}: FUNCTION names {named.value!r}, and the class has no such method"
        mend = f"write def {named.value}(self, …), or name the method that there is"
        yield Finding("schema", "error", file, named.lineno, message, mend)


def _taken(file: str, cls: ast.ClassDef, inputs: Function, function: Function) -> Iterator[Finding]:
    """Required inputs that the function has no parameter for."""
    arguments = function.args
    if arguments.kwarg is not None or function.decorator_list:
        return
    known = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    for name, line in _required(inputs):
        if name not in known:
            message = f"{cls.name}: input {name} is required, and {function.name}() does not take it"
            mend = f"add the parameter {name}, or **kwargs"
            yield Finding("schema", "error", file, line, message, mend)


def _required(inputs: Function) -> Iterator[tuple[str, int]]:
    """Names and lines of the required inputs, where the only thing returned is a literal dict."""
    returns = [node for node in ast.walk(inputs) if isinstance(node, ast.Return)]
    if len(returns) != 1 or not isinstance(returns[0].value, ast.Dict):
        return
    for key, value in zip(returns[0].value.keys, returns[0].value.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "required" and isinstance(value, ast.Dict):
            for name in value.keys:
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield name.value, name.lineno


def _values(cls: ast.ClassDef) -> dict[str, ast.expr]:
    """What is assigned to names in the body of a class."""
    found: dict[str, ast.expr] = {}
    for node in cls.body:
        if isinstance(node, ast.Assign):
            found.update({t.id: node.value for t in node.targets if isinstance(t, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found
