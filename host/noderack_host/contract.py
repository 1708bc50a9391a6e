"""The node contract: what a node class declares, read once into a value.

Three kinds of class come here: V1 (INPUT_TYPES, RETURN_TYPES, FUNCTION …), V3 (`noderack_host.v3`, which
offers the V1 members as derived ones) and what `@node` makes of a function. Source: host contract §1.

INPUT_TYPES may read the disk, so nothing here is kept longer than its caller keeps it: one prompt at most.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noderack_host.schema import COMBO, KINDS, Kind, NodeSchema, OutputSchema, inputs_from_types

SECTIONS: tuple[Kind, ...] = ("required", "optional")
_EXTRA_MEMBERS = {
    "is_input_list": "INPUT_IS_LIST",
    "has_intermediate_output": "HAS_INTERMEDIATE_OUTPUT",
    "dev_only": "DEV_ONLY",
    "search_aliases": "SEARCH_ALIASES",
    "essentials_category": "ESSENTIALS_CATEGORY",
    "output_matchtypes": "OUTPUT_MATCHTYPES",
    "price_badge": "PRICE_BADGE",
}


class ContractError(Exception):
    """A node class that breaks the contract: `node_type` and what is wrong with it."""

    def __init__(self, node_type: str, problem: str) -> None:
        super().__init__(f"node type {node_type}: {problem}")
        self.node_type = node_type


@dataclass(frozen=True, slots=True)
class InputInfo:
    """One declared input: its section, its type as written (text or list of choices) and its options."""

    kind: Kind
    type: Any
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """A node class as the executor sees it. `declared` and `building` are what INPUT_TYPES gave.

    `building` was asked for as graph building does it: some packs answer that question with a container
    that claims to have every input. Never copy either into a plain dict. `is_live`: which inputs there are
    depends on their values, and LIVE_INPUT_TYPES(values) says so; all V3 classes have it. `shows_inside`:
    what it shows stands in the node, so it is told again when the result was kept.
    """

    node_type: str
    cls: Any
    function: str
    is_async: bool
    is_v3: bool
    is_live: bool
    output_node: bool
    shows_inside: bool
    input_is_list: bool
    not_idempotent: bool
    output_count: int
    output_is_list: tuple[bool, ...]
    hidden: Mapping[str, str]
    declared: Mapping[str, Any]
    building: Mapping[str, Any]
    fingerprint: str | None
    validator: str | None
    lazy_status: str | None
    accepts_all: bool

    def input(self, name: str) -> InputInfo | None:
        """The declared input of that name, or None; magic containers of packs may know any name."""
        return find_input(self.declared, name)

    def built_input(self, name: str) -> InputInfo | None:
        """The same, as graph building sees it: whether a link is lazy is decided by this."""
        return find_input(self.building, name)

    @property
    def uses_own_id(self) -> bool:
        """Whether the node's result may depend on its id, so that equal nodes must not share one."""
        return self.not_idempotent or (not self.is_v3 and "UNIQUE_ID" in self.hidden.values())


def find_input(input_types: Mapping[str, Any], name: str) -> InputInfo | None:
    """Looks `name` up as packs expect it: `in` first, then the item, in required, then in optional."""
    for kind in SECTIONS:
        section = input_types.get(kind)
        if section is not None and name in section:
            spec = section[name]
            if not isinstance(spec, (list, tuple)) or not spec:
                return InputInfo(kind, spec, {})
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
            return InputInfo(kind, spec[0], options)
    return None


def choices_of(info: InputInfo) -> tuple[Any, ...] | None:
    """The values that a combo input allows, or None for any other input and for choices fetched elsewhere."""
    if isinstance(info.type, (list, tuple)):
        return tuple(info.type)
    options = info.options.get("options") if info.type == COMBO else None
    return tuple(options) if isinstance(options, (list, tuple)) else None


def is_v3(cls: Any) -> bool:
    """Whether the class is of the newer form: a schema and class methods."""
    return bool(getattr(cls, "IS_V3_NODE", False))


def contract_of(node_type: str, cls: Any) -> Contract:
    """Reads a node class; raises ContractError."""
    v3 = is_v3(cls)
    live = hasattr(cls, "LIVE_INPUT_TYPES")
    function = _function_name(node_type, cls)
    returns = _return_types(node_type, cls)
    declared = _all_inputs(node_type, cls) if live else input_types(node_type, cls)
    return Contract(
        node_type=node_type,
        cls=cls,
        function=function,
        is_async=inspect.iscoroutinefunction(getattr(cls, "execute" if v3 else function)),
        is_v3=v3,
        is_live=live,
        output_node=getattr(cls, "OUTPUT_NODE", False) is True,
        shows_inside=bool(getattr(cls, "HAS_INTERMEDIATE_OUTPUT", False)),
        input_is_list=bool(getattr(cls, "INPUT_IS_LIST", False)),
        not_idempotent=bool(getattr(cls, "NOT_IDEMPOTENT", False)),
        output_count=len(returns),
        output_is_list=_list_flags(cls, len(returns)),
        hidden=_hidden(declared),
        declared=declared,
        building=declared if live else _Building(cls).get_input_info(node_type),
        fingerprint=_override(cls, "fingerprint_inputs" if v3 else "IS_CHANGED"),
        validator=_override(cls, "validate_inputs" if v3 else "VALIDATE_INPUTS"),
        lazy_status=_override(cls, "check_lazy_status"),
        accepts_all=bool(getattr(cls, "ACCEPT_ALL_INPUTS", False)),
    )


def input_types(node_type: str, cls: Any) -> Mapping[str, Any]:
    """What INPUT_TYPES() answers now; raises ContractError with the pack's own error as its cause."""
    try:
        found = cls.INPUT_TYPES()
    except Exception as cause:  # pack code: whatever it raises becomes data
        raise ContractError(node_type, f"INPUT_TYPES failed: {type(cause).__name__}: {cause}") from cause
    if not isinstance(found, Mapping):
        raise ContractError(node_type, f"INPUT_TYPES gave {type(found).__name__}, expected a dict")
    return found


def _all_inputs(node_type: str, cls: Any) -> Mapping[str, Any]:
    """Every flat input that a class with dynamic inputs could have."""
    try:
        found: Mapping[str, Any] = cls.LIVE_INPUT_TYPES(None)
    except Exception as cause:  # pack code
        raise ContractError(node_type, f"define_schema failed: {type(cause).__name__}: {cause}") from cause
    return found


class _Building:
    """Asks INPUT_TYPES from a frame called get_input_info under a method of that name.

    Packs with inputs that grow look for these names on the stack (one caller up, or two) and then answer
    with a container that accepts any input; the names are part of the contract.
    """

    def __init__(self, cls: Any) -> None:
        self.cls = cls

    def get_input_info(self, node_type: str) -> Mapping[str, Any]:
        return get_input_info(node_type, self.cls)


def get_input_info(node_type: str, cls: Any) -> Mapping[str, Any]:
    """See _Building; INPUT_TYPES must be called by this very frame."""
    try:
        found = cls.INPUT_TYPES()
    except Exception as cause:  # pack code
        raise ContractError(node_type, f"INPUT_TYPES failed: {type(cause).__name__}: {cause}") from cause
    return found if isinstance(found, Mapping) else {}


def schema_of(
    node_type: str, cls: Any, display_name: str | None = None, python_module: str | None = None
) -> NodeSchema:
    """The class as data, as /object_info serves it; raises ContractError."""
    types = input_types(node_type, cls)
    return NodeSchema(
        type=node_type,
        inputs=inputs_from_types(types),
        outputs=_outputs(node_type, cls),
        display_name=display_name or getattr(cls, "DISPLAY_NAME", None) or node_type,
        category=getattr(cls, "CATEGORY", "sd"),
        description=getattr(cls, "DESCRIPTION", ""),
        python_module=python_module or str(getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes")),
        output_node=getattr(cls, "OUTPUT_NODE", False) is True,
        deprecated=bool(getattr(cls, "DEPRECATED", False)),
        experimental=bool(getattr(cls, "EXPERIMENTAL", False)),
        api_node=bool(getattr(cls, "API_NODE", False)),
        function=_function_name(node_type, cls),
        extra={key: getattr(cls, name) for key, name in _EXTRA_MEMBERS.items() if getattr(cls, name, None)},
        sections=tuple(kind for kind in KINDS if kind in types),
    )


def _outputs(node_type: str, cls: Any) -> tuple[OutputSchema, ...]:
    types = _return_types(node_type, cls)
    names = getattr(cls, "RETURN_NAMES", None) or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    tips = tuple(getattr(cls, "OUTPUT_TOOLTIPS", None) or ())
    flags = _list_flags(cls, len(types))
    return tuple(
        OutputSchema(
            type=COMBO if isinstance(kind, (list, tuple)) else kind,
            name=str(names[at]) if at < len(names) else COMBO if isinstance(kind, (list, tuple)) else kind,
            is_list=flags[at],
            tooltip=tips[at] if at < len(tips) else None,
            choices=tuple(kind) if isinstance(kind, (list, tuple)) else None,
        )
        for at, kind in enumerate(types)
    )


def _return_types(node_type: str, cls: Any) -> Any:
    types = getattr(cls, "RETURN_TYPES", ())
    if isinstance(types, str) or not isinstance(types, (list, tuple)):
        raise ContractError(node_type, f"RETURN_TYPES is {types!r}, expected a tuple such as ('IMAGE',)")
    return types


def _function_name(node_type: str, cls: Any) -> str:
    name = getattr(cls, "FUNCTION", None)
    if not isinstance(name, str) or not callable(getattr(cls, name, None)):
        raise ContractError(node_type, f"FUNCTION is {name!r}, which is no method of {cls!r}")
    return name


def _list_flags(cls: Any, count: int) -> tuple[bool, ...]:
    flags = tuple(bool(flag) for flag in getattr(cls, "OUTPUT_IS_LIST", None) or ())
    return (flags + (False,) * count)[: max(count, len(flags))]


def _hidden(types: Mapping[str, Any]) -> Mapping[str, str]:
    section = types.get("hidden")
    if not isinstance(section, Mapping):
        return {}
    return {name: spec if isinstance(spec, str) else str(spec[0]) for name, spec in section.items() if spec}


def _override(cls: Any, name: str) -> str | None:
    """The method's name where the class has one; a placeholder of the V3 base class does not count."""
    method = getattr(cls, name, None)
    if method is None:
        return None
    placeholder = getattr(getattr(method, "__func__", method), "IS_PLACEHOLDER", False)
    return None if placeholder else name
