"""What Python's own functions give, as far as syntax can tell: containers, types, looking around, texts."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from noderack_registry.packing.syntax.call import Call, Handler
from noderack_registry.packing.syntax.program import Raised
from noderack_registry.packing.syntax.values import (
    UNKNOWN,
    Bound,
    Builtin,
    Class,
    Foreign,
    Function,
    Instance,
    Module,
    Table,
    known,
    truth,
)

PURE: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (len, str, int, float, bool, min, max, sum, abs, round, ord, chr, repr, tuple, set, frozenset)
}


def _list(call: Call) -> Any:
    items = call.items() if call.args else []
    return items if items is not None else UNKNOWN


def _tuple(call: Call) -> Any:
    items = call.items() if call.args else []
    return tuple(items) if items is not None else UNKNOWN


def _len(call: Call) -> Any:
    items = call.items()
    return len(items) if items is not None else UNKNOWN


def _dict(call: Call) -> Table:
    table = Table()
    call.reader.update(table, call.args, call.kwargs, call.node, call.scope)
    return table


def _defaultdict(call: Call) -> Table:
    return _dict(replace(call, args=call.args[1:]))


def _sorted(call: Call) -> Any:
    items = call.items()
    if items is None:
        return UNKNOWN
    try:
        return sorted(items)
    except TypeError:
        return items


def _reversed(call: Call) -> Any:
    items = call.items()
    return items[::-1] if items is not None else UNKNOWN


def _range(call: Call) -> Any:
    return range(*call.args) if call.args and all(isinstance(a, int) for a in call.args) else UNKNOWN


def _enumerate(call: Call) -> Any:
    items = call.items()
    start = call.args[1] if len(call.args) > 1 else call.kwargs.get("start", 0)
    return list(enumerate(items, start)) if items is not None and isinstance(start, int) else UNKNOWN


def _zip(call: Call) -> Any:
    lists = [call.reader.expressions.items(a) for a in call.args]
    return UNKNOWN if None in lists else list(zip(*[x for x in lists if x is not None], strict=False))


def _map(call: Call) -> Any:
    items = call.reader.expressions.items(call.args[1]) if len(call.args) == 2 else None
    return UNKNOWN if items is None else [call.again(call.args[0], item) for item in items]


def _filter(call: Call) -> Any:
    items = call.reader.expressions.items(call.args[1]) if len(call.args) == 2 else None
    if items is None:
        return UNKNOWN
    test = call.args[0]
    return [i for i in items if truth(i if test is None else call.again(test, i)) is not False]


def _quantified(value: bool) -> Handler:
    def handler(call: Call) -> Any:
        items = call.items()
        verdicts = [truth(item) for item in items] if items is not None else [None]
        if value in verdicts:
            return value
        return UNKNOWN if None in verdicts else not value

    return handler


def _isinstance(call: Call) -> Any:
    value, kinds = call.args if len(call.args) == 2 else (UNKNOWN, UNKNOWN)
    verdicts = [_is_a(value, kind) for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
    return True if True in verdicts else (UNKNOWN if None in verdicts else False)


TYPES = {kind.__name__: kind for kind in (str, int, float, bool, list, tuple, dict, set)}


def _is_a(value: Any, kind: Any) -> bool | None:
    if isinstance(value, Foreign):
        return None
    name = kind.name if isinstance(kind, Builtin) else kind.path if isinstance(kind, Foreign) else ""
    if name in ("type", "inspect.isclass", "object"):
        return name == "object" or isinstance(value, Class)
    if name in TYPES and not isinstance(value, Instance):
        return isinstance(value, TYPES[name])
    if isinstance(kind, Class):
        return isinstance(value, Instance) and any(cls is kind for cls in value.cls.mro())
    if isinstance(value, Instance):
        return _of_outside_class(value, name)
    if name.endswith(("FunctionType", "Callable")):
        return isinstance(value, Function)
    if name.endswith("ModuleType"):
        return isinstance(value, Module)
    return None


def _of_outside_class(instance: Instance, name: str) -> bool | None:
    """Whether an object is a `name`, by the bases that its class has from outside the pack."""
    bases = [base for cls in instance.cls.mro() for base in cls.bases if not isinstance(base, Class)]
    if any(getattr(base, "name", getattr(base, "path", "")) == name for base in bases):
        return True
    return None if any(isinstance(base, Foreign) for base in bases) else False


def _issubclass(call: Call) -> Any:
    cls, kinds = call.args if len(call.args) == 2 else (UNKNOWN, UNKNOWN)
    if not isinstance(cls, Class):
        return UNKNOWN
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        if kind in list(cls.mro()) or (isinstance(kind, Foreign) and kind.path in cls.foreign_bases()):
            return True
        if isinstance(kind, Builtin) and kind.name == "object":
            return True
    outside = [b for c in cls.mro() for b in c.bases if isinstance(b, Foreign)]
    return UNKNOWN if outside and not isinstance(kinds, Class) else False


def _getattr(call: Call) -> Any:
    if len(call.args) < 2 or not isinstance(call.args[1], str):
        return UNKNOWN
    try:
        value = call.reader.expressions.attribute(call.args[0], call.args[1])
    except Raised:
        if len(call.args) < 3:
            raise
        return call.args[2]
    absent = isinstance(value, Foreign) and not isinstance(call.args[0], Foreign)
    if absent and len(call.args) > 2 and not _has_foreign_bases(call.args[0]):
        return call.args[2]
    return value


def _has_foreign_bases(value: Any) -> bool:
    cls = value.cls if isinstance(value, Instance) else value
    return isinstance(cls, Class) and bool(cls.foreign_bases())


OF_NODES = ("INPUT_TYPES", "RETURN_TYPES", "GET_SCHEMA", "define_schema")
MAY_HOLD_NODES = ("unknown", "nodes", "comfy_extras", "comfy_api", "comfy_api_nodes", "custom_nodes")


def _is_no_node(value: Any) -> bool:
    """Whether a value is a library's: packs look through all names of a module for what nodes have."""
    if isinstance(value, Class):
        bases = (base for cls in value.mro() for base in cls.bases)
        return all(_is_no_node(base) for base in bases if not isinstance(base, Class))
    origin = value.path if isinstance(value, Foreign) else getattr(value, "name", "")
    return re.split(r"\W", origin)[0] not in ("", *MAY_HOLD_NODES)


def _hasattr(call: Call) -> Any:
    if len(call.args) != 2 or not isinstance(call.args[1], str):
        return UNKNOWN
    if isinstance(call.args[0], Foreign):
        return False if call.args[1] in OF_NODES and _is_no_node(call.args[0]) else UNKNOWN
    try:
        value = call.reader.expressions.attribute(call.args[0], call.args[1])
    except Raised:
        return False
    if not isinstance(value, Foreign):
        return True
    names = call.reader.module_names(call.args[0])
    if names is not None and call.args[1] in names:
        return True
    if call.args[1] in OF_NODES and _is_no_node(call.args[0]):
        return False
    return UNKNOWN if _has_foreign_bases(call.args[0]) else False


def _setattr(call: Call) -> None:
    if len(call.args) == 3 and isinstance(call.args[1], str):
        call.reader.expressions.statements.set_attribute(call.args[0], call.args[1], call.args[2])


def _type(call: Call) -> Any:
    if len(call.args) == 3:
        return call.reader.make_class(call.args, call.scope)
    value = call.first
    if isinstance(value, Instance):
        return value.cls
    if isinstance(value, Class):
        return Builtin("type")
    return Builtin(type(value).__name__) if isinstance(value, str | int | float | list | tuple) else UNKNOWN


def _type_new(call: Call) -> Any:
    return call.reader.make_class(call.args[1:4], call.scope) if len(call.args) >= 4 else UNKNOWN


def _dir(call: Call) -> Any:
    names = call.reader.module_names(call.args[0]) if call.args else dict(call.scope.names)
    return sorted(names) if names is not None else UNKNOWN


def _vars(call: Call) -> Any:
    names = call.reader.module_names(call.args[0]) if call.args else dict(call.scope.names)
    return Table(names) if names is not None else UNKNOWN


def _globals(call: Call) -> Any:
    return Table(call.scope.module.names)


def _callable(call: Call) -> Any:
    value = call.first
    return (
        UNKNOWN
        if isinstance(value, Foreign | Instance)
        else isinstance(value, Class | Function | Bound | Builtin)
    )


def _next(call: Call) -> Any:
    items = call.items()
    if items:
        return items[0]
    return call.args[1] if items is not None and len(call.args) > 1 else UNKNOWN


def _identity(call: Call) -> Any:
    return call.first


def _copy(call: Call) -> Any:
    value = call.first
    if isinstance(value, dict):
        return Table(value)
    return list(value) if isinstance(value, list) else value


def _partial(call: Call) -> Any:
    return (
        Bound(call.args[1], call.args[0])
        if len(call.args) == 2 and isinstance(call.args[0], Function) and not call.kwargs
        else UNKNOWN
    )


def _is(*kinds: type) -> Handler:
    def handler(call: Call) -> Any:
        value = call.first
        return UNKNOWN if isinstance(value, Foreign) else isinstance(value, kinds)

    return handler


def _regex(name: str) -> Handler:
    def handler(call: Call) -> Any:
        if not (known(call.args) and all(isinstance(a, str) and len(a) < 2000 for a in call.args)):
            return UNKNOWN
        try:
            return getattr(re, name)(*call.args)
        except (re.error, TypeError):
            return UNKNOWN

    return handler


def _fnmatch(call: Call) -> Any:
    return (
        fnmatch.fnmatch(*call.args)
        if len(call.args) == 2 and all(isinstance(a, str) for a in call.args)
        else UNKNOWN
    )


def _chain(call: Call) -> Any:
    lists = [call.reader.expressions.items(a) for a in call.args]
    return UNKNOWN if None in lists else [item for x in lists if x is not None for item in x]


def _members(call: Call) -> Any:
    names = call.reader.module_names(call.args[0]) if call.args else None
    if names is None:
        return UNKNOWN
    test = call.args[1] if len(call.args) > 1 else call.kwargs.get("predicate")
    pairs = [(name, names[name]) for name in sorted(names)]
    if test is None:
        return pairs
    return [pair for pair in pairs if truth(call.again(test, pair[1])) is not False]


def _fromkeys(call: Call) -> Any:
    keys = call.items()
    if keys is None or not known(keys):
        return UNKNOWN
    return Table(dict.fromkeys(keys, call.args[1] if len(call.args) > 1 else None))


def _cast(call: Call) -> Any:
    return call.args[1] if len(call.args) == 2 else UNKNOWN


BUILTINS: dict[str, Handler] = {
    "list": _list,
    "tuple": _tuple,
    "dict": _dict,
    "sorted": _sorted,
    "reversed": _reversed,
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "map": _map,
    "filter": _filter,
    "any": _quantified(True),
    "all": _quantified(False),
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "setattr": _setattr,
    "type": _type,
    "dir": _dir,
    "vars": _vars,
    "globals": _globals,
    "locals": _vars,
    "callable": _callable,
    "next": _next,
    "iter": _identity,
    "len": _len,
}
LIBRARY: dict[str, Handler] = {
    "os.fspath": _identity,
    "os.path.normcase": _identity,
    "inspect.getmembers": _members,
    "inspect.isclass": _is(Class),
    "inspect.isfunction": _is(Function),
    "inspect.ismodule": _is(Module),
    "copy.copy": _copy,
    "copy.deepcopy": _copy,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _defaultdict,
    "collections.ChainMap": _dict,
    "dict.fromkeys": _fromkeys,
    "functools.partial": _partial,
    "asyncio.run": _identity,
    "re.sub": _regex("sub"),
    "re.split": _regex("split"),
    "fnmatch.fnmatch": _fnmatch,
    "itertools.chain": _chain,
    "super().__new__": _type_new,
    "type.__new__": _type_new,
    "types.MappingProxyType": _identity,
    "typing.cast": _cast,
}
