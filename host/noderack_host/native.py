"""A node is a typed function:

    @node(category="image")
    def brighten(image: Image, amount: Annotated[float, Range(0, 2)] = 1.2) -> Image:
        '''Makes a picture brighter.

        amount: 1 leaves it as it is
        '''
        return (image * amount).clamp(0, 1)

The decorator gives the function back unchanged, so a test calls it like any function. Sockets, defaults,
ranges and help follow from the signature and the docstring; `class_of` makes the class that hosts expect.
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar, overload

from noderack_host.native_types import (
    Choice,
    File,
    Hidden,
    Image,
    Latent,
    Lazy,
    Mask,
    NodeDefinitionError,
    Option,
    Parameter,
    Progress,
    Range,
    Seed,
    Show,
    Socket,
    Text,
    outputs_of,
    parameters_of,
)
from noderack_host.running import current_or_none

__all__ = [
    "Choice",
    "File",
    "Hidden",
    "Image",
    "Latent",
    "Lazy",
    "Mask",
    "NodeDefinitionError",
    "Option",
    "Progress",
    "Range",
    "Seed",
    "Show",
    "Socket",
    "Text",
    "class_of",
    "node",
    "result_of",
]

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__noderack_node__"


@overload
def node(function: F, /) -> F: ...
@overload
def node(
    *,
    name: str | None = None,
    title: str | None = None,
    category: str | None = None,
    output: bool | None = None,
    changed: Callable[..., Any] | None = None,
    deprecated: bool = False,
    experimental: bool = False,
    search: tuple[str, ...] = (),
) -> Callable[[F], F]: ...


def node(function: Any = None, /, **settings: Any) -> Any:
    """Marks a typed function as a node and gives it back unchanged.

    name: the node type; else the function's name in CamelCase. title: what people see.
    category: where menus show it. output: whether it is run for its own sake, as functions are that give
    None or Show. changed: called with the node's inputs (links as None); what it gives joins the cache key.
    """
    if function is None:
        return lambda found: _marked(found, settings)
    return _marked(function, settings)


def _marked(function: Any, settings: Mapping[str, Any]) -> Any:
    setattr(function, _MARK, dict(settings))
    return function


def is_node(value: object) -> bool:
    """Whether the value is a function that `@node` marked."""
    return inspect.isfunction(value) and hasattr(value, _MARK)


def type_name(function: Callable[..., Any]) -> str:
    """The node type of a marked function."""
    settings: dict[str, Any] = getattr(function, _MARK)
    return settings.get("name") or "".join(part.capitalize() for part in function.__name__.split("_"))


def title_of(function: Callable[..., Any]) -> str:
    """What people see: the title given, or the function's name as words."""
    settings: dict[str, Any] = getattr(function, _MARK)
    return settings.get("title") or function.__name__.replace("_", " ").strip().capitalize()


def class_of(function: Callable[..., Any]) -> type:
    """The node class of a marked function; raises NodeDefinitionError, with the parameter and the way out."""
    settings: dict[str, Any] = getattr(function, _MARK)
    description, tips = split_docstring(function)
    parameters = parameters_of(function, tips)
    outputs = outputs_of(function)
    members: dict[str, Any] = {
        "INPUT_TYPES": classmethod(lambda cls: _input_types(parameters)),
        "RETURN_TYPES": tuple(out.type for out in outputs.outputs),
        "RETURN_NAMES": tuple(out.name for out in outputs.outputs),
        "OUTPUT_IS_LIST": tuple(out.is_list for out in outputs.outputs),
        "INPUT_IS_LIST": any(parameter.is_list for parameter in parameters),
        "OUTPUT_NODE": outputs.shown if settings.get("output") is None else bool(settings["output"]),
        "FUNCTION": "run",
        "CATEGORY": settings.get("category") or function.__module__.split(".")[0],
        "DESCRIPTION": description,
        "DISPLAY_NAME": title_of(function),
        "run": _runner(function, parameters, outputs.to_tuple),
        "__module__": function.__module__,
        "__doc__": function.__doc__,
    }
    if any(out.tooltip for out in outputs.outputs):
        members["OUTPUT_TOOLTIPS"] = tuple(out.tooltip or "" for out in outputs.outputs)
    for flag in ("deprecated", "experimental"):
        members[flag.upper()] = bool(settings.get(flag))
    if settings.get("search"):
        members["SEARCH_ALIASES"] = list(settings["search"])
    if settings.get("changed"):
        members["IS_CHANGED"] = staticmethod(settings["changed"])
    return type(type_name(function), (), members)


def split_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The docstring as (what it does, {parameter: help}); a help line starts with `parameter:`."""
    names = set(inspect.signature(function).parameters)
    text: list[str] = []
    tips: dict[str, str] = {}
    last: str | None = None
    for line in (inspect.getdoc(function) or "").splitlines():
        name, colon, rest = line.strip().partition(":")
        if colon and name in names:
            last, tips[name] = name, rest.strip()
        elif last and line.startswith((" ", "\t")):
            tips[last] += " " + line.strip()
        else:
            last = None
            text.append(line)
    return "\n".join(text).strip(), tips


def _input_types(parameters: tuple[Parameter, ...]) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {"required": {}, "optional": {}, "hidden": {}}
    for parameter in parameters:
        sections[parameter.kind][parameter.name] = parameter.spec()
    return {kind: found for kind, found in sections.items() if found or kind == "required"}


def _runner(
    function: Callable[..., Any], parameters: tuple[Parameter, ...], to_tuple: Callable[[Any], Any]
) -> Callable[..., Any]:
    """The method that a host calls: values in, function, values out, in the function's own colour."""
    by_name = {parameter.name: parameter for parameter in parameters}
    lists = any(parameter.is_list for parameter in parameters)

    def given(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: by_name[name].take(value, lists) for name, value in values.items() if name in by_name}

    if inspect.iscoroutinefunction(function):

        async def run_async(self: Any, **values: Any) -> Any:
            return to_tuple(await function(**given(values)))

        return run_async

    if inspect.isgeneratorfunction(function):

        def run_steps(self: Any, **values: Any) -> Any:
            return to_tuple(result_of(function(**given(values))))

        return run_steps

    def run(self: Any, **values: Any) -> Any:
        return to_tuple(function(**given(values)))

    return run


def result_of(steps: Generator[Any, None, Any]) -> Any:
    """Runs a generator node to its end, reports each step to the running host, and gives what it returns."""
    running = current_or_none()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        if running is not None:
            told = step if isinstance(step, Progress) else Progress(*step)
            running.progress(told.value, told.total, told.preview)
