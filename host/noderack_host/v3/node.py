"""Schema, NodeOutput and ComfyNode: a node as class methods over a schema; the V1 members follow from it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from noderack_host.graph import ExecutionBlocker
from noderack_host.v3.dynamic import DynamicInput
from noderack_host.v3.price import PriceBadge
from noderack_host.v3.sockets import ABSENT, Input, LeafOf, Output


class Hidden(str, Enum):
    """Values from the host instead of from inputs; read as `cls.hidden.<name>`."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"
    comfy_usage_source = "COMFY_USAGE_SOURCE"


class HiddenHolder:
    """The hidden values of one call; a name that is not there is None."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._values.get(name)


class SchemaError(ValueError):
    """A schema that cannot be: names the node and what is wrong."""


@dataclass
class Schema:
    """What a node is, takes and gives."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False
    price_badge: PriceBadge | None = None

    def finalize(self) -> "Schema":
        """Adds what follows from the rest: hidden values of output and API nodes. Raises SchemaError."""
        self.inputs, self.outputs = list(self.inputs or ()), list(self.outputs or ())
        names = [item.id for item in self.inputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SchemaError(
                f"{self.node_id}: two inputs are called {', '.join(twice)}; give each its own id"
            )
        for at, out in enumerate(self.outputs):
            out.id = out.id or f"_{at}_{out.get_io_type()}_"
        wanted = list(self.hidden or ())
        if self.is_api_node:
            wanted += [Hidden.auth_token_comfy_org, Hidden.api_key_comfy_org, Hidden.comfy_usage_source]
        if self.is_output_node:
            wanted += [Hidden.prompt, Hidden.extra_pnginfo]
        self.hidden = list(dict.fromkeys(wanted))
        return self


class NodeOutput:
    """What `execute` gives: values, and what to show, to expand to, or to block with."""

    def __init__(
        self,
        *args: Any,
        ui: Any = None,
        expand: Mapping[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values; None where there are none."""
        return self.args if self.args else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NodeOutput":
        """The V1 form of a return, as this one."""
        result = data.get("result", ())
        if isinstance(result, ExecutionBlocker):
            return cls(ui=data.get("ui"), expand=data.get("expand"), block_execution=result.message or "")
        return cls(*(result or ()), ui=data.get("ui"), expand=data.get("expand"))

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


@dataclass(frozen=True, slots=True)
class NodeReplace:
    """A node type that takes another's place: which inputs and outputs of the old are which of the new."""

    new_node_id: str
    old_node_id: str
    old_widget_ids: list[str] | None = None
    input_mapping: list[Any] | None = None
    output_mapping: list[Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The wire form, as /node_replacements lists it."""
        return {
            "new_node_id": self.new_node_id,
            "old_node_id": self.old_node_id,
            "old_widget_ids": self.old_widget_ids,
            "input_mapping": self.input_mapping or None,
            "output_mapping": self.output_mapping or None,
        }


class _Locked(type):
    """The class of one call: nothing can be stored on it, since nothing would stay."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"{cls.__name__}.{name} cannot be set: a V3 node keeps no state between calls")


class _Derived:
    """A class member that is worked out from the schema."""

    def __init__(self, of: Callable[[Schema], Any]) -> None:
        self._of = of

    def __get__(self, instance: object, owner: Any) -> Any:
        return self._of(owner.FIXED_SCHEMA())


def _placeholder(function: Any) -> Any:
    function.IS_PLACEHOLDER = True
    return function


class ComfyNode:
    """Base of V3 nodes: give it `define_schema` and `execute`, both class methods."""

    IS_V3_NODE = True
    FUNCTION = "EXECUTE_NORMALIZED"
    hidden: HiddenHolder = HiddenHolder()

    CATEGORY = _Derived(lambda schema: schema.category)
    DESCRIPTION = _Derived(lambda schema: schema.description)
    DISPLAY_NAME = _Derived(lambda schema: schema.display_name)
    DEPRECATED = _Derived(lambda schema: schema.is_deprecated)
    EXPERIMENTAL = _Derived(lambda schema: schema.is_experimental)
    DEV_ONLY = _Derived(lambda schema: schema.is_dev_only)
    API_NODE = _Derived(lambda schema: schema.is_api_node)
    OUTPUT_NODE = _Derived(lambda schema: schema.is_output_node)
    INPUT_IS_LIST = _Derived(lambda schema: schema.is_input_list)
    NOT_IDEMPOTENT = _Derived(lambda schema: schema.not_idempotent)
    ACCEPT_ALL_INPUTS = _Derived(lambda schema: schema.accept_all_inputs)
    SEARCH_ALIASES = _Derived(lambda schema: schema.search_aliases)
    ESSENTIALS_CATEGORY = _Derived(lambda schema: schema.essentials_category)
    HAS_INTERMEDIATE_OUTPUT = _Derived(lambda schema: schema.has_intermediate_output)
    RETURN_TYPES = _Derived(lambda schema: tuple(out.get_io_type() for out in schema.outputs))
    RETURN_NAMES = _Derived(
        lambda schema: tuple(out.display_name or out.get_io_type() for out in schema.outputs)
    )
    OUTPUT_IS_LIST = _Derived(lambda schema: tuple(out.is_output_list for out in schema.outputs))
    OUTPUT_TOOLTIPS = _Derived(lambda schema: _tooltips(schema))  # noqa: PLW0108
    OUTPUT_MATCHTYPES = _Derived(lambda schema: _match_types(schema))  # noqa: PLW0108
    PRICE_BADGE = _Derived(lambda schema: schema.price_badge and schema.price_badge.as_dict(schema.inputs))

    @classmethod
    def define_schema(cls) -> Schema:
        """What the node is; asked again whenever the choices of its inputs may have changed."""
        raise NotImplementedError(f"{cls.__name__} needs a class method define_schema()")

    @classmethod
    def execute(cls, *args: Any, **inputs: Any) -> Any:
        """Does the work; may be async."""
        raise NotImplementedError(f"{cls.__name__} needs a class method execute()")

    @classmethod
    @_placeholder
    def validate_inputs(cls, *args: Any, **inputs: Any) -> bool | str:
        """True, or what is wrong."""
        return True

    @classmethod
    @_placeholder
    def fingerprint_inputs(cls, **inputs: Any) -> Any:
        """What the result depends on beside the inputs."""
        return None

    @classmethod
    @_placeholder
    def check_lazy_status(cls, *args: Any, **inputs: Any) -> list[str]:
        """The lazy inputs that are needed."""
        return []

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The schema as it is now."""
        return cls.define_schema().finalize()

    @classmethod
    def FIXED_SCHEMA(cls) -> Schema:
        """The schema as it was first: enough for all but the choices of inputs."""
        found = cls.__dict__.get("_FIXED_SCHEMA")
        if found is None:
            if type(cls) is _Locked:
                return cls.__mro__[1].FIXED_SCHEMA()  # type: ignore[attr-defined, no-any-return]
            found = cls._FIXED_SCHEMA = cls.GET_SCHEMA()  # type: ignore[attr-defined]
        return found

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs as /object_info has them, dynamic ones as one input each."""
        schema = cls.GET_SCHEMA()
        found: dict[str, Any] = {"required": {}}
        for item in schema.inputs:
            section = found.setdefault("optional" if item.optional else "required", {})
            section[item.id] = (item.get_io_type(), item.as_dict())
        if schema.hidden:
            found["hidden"] = {hidden.name: (hidden.value,) for hidden in schema.hidden}
        return found

    @classmethod
    def LIVE_INPUT_TYPES(cls, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The flat inputs that there are for these values; for None, every one that there could be.

        The section `faults` says by name which of the values cannot be, and why.
        """
        schema = cls.GET_SCHEMA()
        found: dict[str, Any] = {"required": {}, "optional": {}, "faults": {}}
        for item in schema.inputs:
            for name, leaf in item.leaves(values).items():
                section = found["optional" if leaf.optional or values is None else "required"]
                section[name] = (leaf.io_type, leaf.options)
            found["faults"].update(() if values is None else item.faults(values))
        if schema.hidden:
            found["hidden"] = {hidden.name: (hidden.value,) for hidden in schema.hidden}
        return found

    @classmethod
    def BIND(cls, hidden: Mapping[str, Any]) -> Any:
        """The class for one call: it knows the call's hidden values, and nothing can be stored on it."""
        locked = _Locked(cls.__name__, (cls,), {"hidden": HiddenHolder(hidden), "__module__": cls.__module__})
        return _Bound(locked)

    @classmethod
    def EXECUTE_NORMALIZED(cls, **inputs: Any) -> Any:
        """Calls `execute` and gives a NodeOutput, whatever it gave."""
        given = cls.execute(**inputs)
        return _normalised_later(given) if inspect.isawaitable(given) else normalised(given)


class _Bound:
    """The methods of one call; each gets dotted inputs as nested dicts."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls
        schema = cls.FIXED_SCHEMA()
        self._dynamic = [item for item in schema.inputs if isinstance(item, DynamicInput)]
        self._nothing = [None] if schema.is_input_list else None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cls, name)
        if not self._dynamic:
            return method
        leaf = self._with_key if name == "check_lazy_status" else self._value
        return lambda **inputs: method(**nested(inputs, self._dynamic, leaf))

    def _value(self, key: str, value: Any) -> Any:
        return self._nothing if value is ABSENT else value

    def _with_key(self, key: str, value: Any) -> Any:
        return self._value(key, value), key


def nested(inputs: Mapping[str, Any], dynamic: Iterable[Input], leaf: LeafOf) -> dict[str, Any]:
    """Flat, dotted inputs as nested dicts: {"m": "a", "m.size": 3} → {"m": {"m": "a", "size": 3}}."""
    flat = dict(inputs)
    found = {item.id: item.taken(flat, leaf) for item in dynamic}
    return {**flat, **{name: value for name, value in found.items() if value is not ABSENT}}


async def _normalised_later(given: Any) -> NodeOutput:
    return normalised(await given)


def normalised(given: Any) -> NodeOutput:
    """Any allowed return of `execute` as NodeOutput; raises TypeError."""
    if isinstance(given, NodeOutput):
        return given
    if given is None:
        return NodeOutput()
    if isinstance(given, tuple):
        return NodeOutput(*given)
    if isinstance(given, Mapping):
        return NodeOutput.from_dict(given)
    if isinstance(given, ExecutionBlocker):
        return NodeOutput(block_execution=given.message or "")
    raise TypeError(f"execute() gave {type(given).__name__}, expected io.NodeOutput(value)")


def _match_types(schema: Schema) -> list[str | None] | None:
    found = [out.match_template for out in schema.outputs]
    return found if any(found) else None


def _tooltips(schema: Schema) -> tuple[str | None, ...]:
    tips = tuple(out.tooltip for out in schema.outputs)
    return tips if any(tips) else ()
