"""Nodes in the schema form (V3): base class, schema, result; and the class-contract view of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from noderack_compat.v3_types import Hidden, Output

T = TypeVar("T")


@dataclass
class Schema:
    """What a node declares."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    search_aliases: list[str] = field(default_factory=list)
    is_dev_only: bool = False
    price_badge: Any = None
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def finalize(self) -> None:
        """Output nodes are given the prompt and what goes into a picture's file."""
        wanted = [Hidden.prompt, Hidden.extra_pnginfo] if self.is_output_node else []
        wanted += [Hidden.auth_token_comfy_org, Hidden.api_key_comfy_org] if self.is_api_node else []
        self.hidden = list(dict.fromkeys([*(self.hidden or []), *wanted]))

    def validate(self) -> None:
        """Two inputs, or two outputs, must not share an id."""
        for parts in (self.inputs, self.outputs):
            ids = [part.id for part in parts or () if part.id is not None]
            if len(ids) != len(set(ids)):
                raise ValueError(f"{self.node_id}: an id is used twice in {ids}")


class NodeOutput:
    """What `execute` returns."""

    def __init__(
        self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None
    ) -> None:
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args if self.args else None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class HiddenValues:
    """`cls.hidden`: what the host gave; a name that it did not give is None."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(values or {})

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class classproperty:
    """A property of a class, computed anew each time: choices are to be live."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self.function(owner)


def placeholder(function: T) -> T:
    """Marks a method of the base class, so that a host can tell whether a node has its own."""
    function.IS_PLACEHOLDER = True  # type: ignore[attr-defined]
    return function


class ComfyNode:
    """The base class of schema-form nodes; below, its members as the class contract has them."""

    IS_V3_NODE = True
    hidden: Any = HiddenValues()
    comfy_api_node: Any = None

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError(f"{cls.__name__} has no define_schema")

    @classmethod
    @placeholder
    def execute(cls, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{cls.__name__} has no execute")

    @classmethod
    @placeholder
    def validate_inputs(cls, **kwargs: Any) -> Any:
        return True

    @classmethod
    @placeholder
    def fingerprint_inputs(cls, **kwargs: Any) -> Any:
        return None

    @classmethod
    @placeholder
    def check_lazy_status(cls, **kwargs: Any) -> list[str]:
        return [name for name, value in kwargs.items() if value is None]

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def BIND(cls, hidden: Mapping[str, Any]) -> type:
        """A copy of the class for one call, with the hidden values of that call."""
        names = {item.value: item.name for item in Hidden}
        found = {names.get(key, key): value for key, value in hidden.items()}
        return type(cls.__name__, (cls,), {"hidden": HiddenValues(found), "__module__": cls.__module__})

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        schema = cls.GET_SCHEMA()
        types: dict[str, dict[str, Any]] = {"required": {}}
        for part in schema.inputs or ():
            types.setdefault("optional" if part.optional else "required", {})[part.id] = part.as_spec()
        if schema.hidden:
            types["hidden"] = {item.name: (item.value,) for item in schema.hidden}
        return types

    FUNCTION = "execute"
    RETURN_TYPES = classproperty(lambda cls: tuple(part.get_io_type() for part in _outputs(cls)))
    RETURN_NAMES = classproperty(
        lambda cls: tuple(part.display_name or part.get_io_type() for part in _outputs(cls))
    )
    OUTPUT_IS_LIST = classproperty(lambda cls: tuple(part.is_output_list for part in _outputs(cls)))
    OUTPUT_TOOLTIPS = classproperty(lambda cls: tuple(part.tooltip or "" for part in _outputs(cls)))
    OUTPUT_NODE = classproperty(lambda cls: cls.GET_SCHEMA().is_output_node)
    INPUT_IS_LIST = classproperty(lambda cls: cls.GET_SCHEMA().is_input_list)
    NOT_IDEMPOTENT = classproperty(lambda cls: cls.GET_SCHEMA().not_idempotent)
    ACCEPT_ALL_INPUTS = classproperty(lambda cls: cls.GET_SCHEMA().accept_all_inputs)
    CATEGORY = classproperty(lambda cls: cls.GET_SCHEMA().category)
    DESCRIPTION = classproperty(lambda cls: cls.GET_SCHEMA().description)
    DISPLAY_NAME = classproperty(lambda cls: cls.GET_SCHEMA().display_name)
    DEPRECATED = classproperty(lambda cls: cls.GET_SCHEMA().is_deprecated)
    EXPERIMENTAL = classproperty(lambda cls: cls.GET_SCHEMA().is_experimental)
    API_NODE = classproperty(lambda cls: cls.GET_SCHEMA().is_api_node)
    SEARCH_ALIASES = classproperty(lambda cls: cls.GET_SCHEMA().search_aliases)


def _outputs(cls: type[ComfyNode]) -> Sequence[Output]:
    return cls.GET_SCHEMA().outputs or ()


class ComfyExtension:
    """What `comfy_entrypoint` returns: the list of a pack's nodes."""

    async def on_load(self) -> None:
        """Called once, before the list is asked for."""

    async def get_node_list(self) -> list[type[ComfyNode]]:
        raise NotImplementedError(f"{type(self).__name__} has no get_node_list")
