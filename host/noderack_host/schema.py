"""What a node type takes and gives: the value between /object_info, packs, the converter and the checks.

A schema is data. `from_object_info` reads an entry as hosts serve it (`/object_info`), and `to_object_info`
gives the same entry back, key for key; what we have no field for is kept in `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["required", "optional", "hidden"]
KINDS: tuple[Kind, ...] = ("required", "optional", "hidden")
COMBO = "COMBO"


class SchemaError(ValueError):
    """An /object_info entry that cannot be read; says which type and which place in it."""


@dataclass(frozen=True, slots=True)
class InputSchema:
    """One input. `type` is the socket type; combos are `COMBO` with `choices`, in whichever of the two forms.

    `listed` and `length` remember how the entry was written (`[["a","b"], {}]`, `["LATENT"]`, a bare string
    for hidden inputs have lengths 2, 1, 0), so that it can be written the same way again.
    """

    name: str
    type: str
    choices: tuple[Any, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "required"
    listed: bool = False
    length: int = 2

    @property
    def default(self) -> Any:
        """The declared default; the first choice of a combo that declares none; else None."""
        if "default" in self.options:
            return self.options["default"]
        return self.choices[0] if self.choices else None

    def spec(self) -> Any:
        """The input as INPUT_TYPES has it, with lists where that has tuples."""
        head = list(self.choices or ()) if self.listed else self.type
        if self.length == 0:
            return head
        return [head] if self.length == 1 else [head, dict(self.options)]


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """One output. A combo output has the type `COMBO` and its `choices`."""

    type: str
    name: str
    is_list: bool = False
    tooltip: str | None = None
    choices: tuple[Any, ...] | None = None

    def spec(self) -> Any:
        return self.type if self.choices is None else list(self.choices)


@dataclass(frozen=True, slots=True)
class NodeSchema:
    """A node type: its sockets in their order, and what is said about it."""

    type: str
    inputs: tuple[InputSchema, ...] = ()
    outputs: tuple[OutputSchema, ...] = ()
    display_name: str | None = None
    category: str = "sd"
    description: str = ""
    python_module: str = ""
    output_node: bool = False
    deprecated: bool = False
    experimental: bool = False
    api_node: bool = False
    function: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    sections: tuple[Kind, ...] = ("required",)
    """Which of required/optional/hidden the class declares, even when empty."""

    def input(self, name: str) -> InputSchema | None:
        return next((i for i in self.inputs if i.name == name), None)

    def of_kind(self, *kinds: Kind) -> Iterator[InputSchema]:
        return (i for kind in kinds for i in self.inputs if i.kind == kind)

    def to_object_info(self) -> dict[str, Any]:
        """The entry that GET /object_info serves for this type."""
        entry: dict[str, Any] = {
            "input": {k: {i.name: i.spec() for i in self.of_kind(k)} for k in self.sections},
            "input_order": {k: [i.name for i in self.of_kind(k)] for k in self.sections},
            "output": [o.spec() for o in self.outputs],
            "output_is_list": [o.is_list for o in self.outputs],
            "output_name": [o.name for o in self.outputs],
            "name": self.type,
            "display_name": self.display_name,
            "description": self.description,
            "python_module": self.python_module,
            "category": self.category,
            "output_node": self.output_node,
        }
        if any(o.tooltip is not None for o in self.outputs):
            entry["output_tooltips"] = [o.tooltip for o in self.outputs]
        for flag in ("deprecated", "experimental", "api_node"):
            if getattr(self, flag):
                entry[flag] = True
        return {**entry, **self.extra}


_OWN = frozenset(
    (
        *(
            "input",
            "input_order",
            "output",
            "output_is_list",
            "output_name",
            "output_tooltips",
            "output_node",
        ),
        *("name", "display_name", "description", "category", "python_module"),
        *("deprecated", "experimental", "api_node"),
    )
)


def input_from_spec(name: str, spec: Any, kind: Kind = "required") -> InputSchema:
    """One input as INPUT_TYPES or /object_info writes it: `("INT", {...})`, `[["a", "b"]]`, `"PROMPT"`."""
    if not isinstance(spec, (list, tuple)):
        return InputSchema(name, spec if isinstance(spec, str) else str(spec), kind=kind, length=0)
    head = spec[0] if spec else "*"
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    length = min(len(spec), 2)
    if isinstance(head, (list, tuple)):
        return InputSchema(name, COMBO, tuple(head), options, kind, listed=True, length=length)
    choices = options.get("options") if head == COMBO else None
    listed_choices = tuple(choices) if isinstance(choices, (list, tuple)) else None
    return InputSchema(
        name, head if isinstance(head, str) else str(head), listed_choices, options, kind, length=length
    )


def inputs_from_types(
    input_types: Mapping[str, Any], order: Mapping[str, Sequence[str]] | None = None
) -> tuple[InputSchema, ...]:
    """What INPUT_TYPES() gave (or `input` of an entry), in the declared order."""
    found: list[InputSchema] = []
    for kind in KINDS:
        section = input_types.get(kind)
        if isinstance(section, Mapping):
            names = _ordered(section, (order or {}).get(kind))
            found.extend(input_from_spec(str(name), section[name], kind) for name in names)
    return tuple(found)


def _ordered(section: Mapping[str, Any], order: Sequence[str] | None) -> list[str]:
    first = [name for name in order or () if isinstance(name, str) and name in section]
    return list(dict.fromkeys([*first, *section]))


def from_object_info(type_name: str, entry: Mapping[str, Any]) -> NodeSchema:
    """Read one entry of /object_info. Missing keys get the defaults that hosts use; raises SchemaError."""
    inputs = entry.get("input", {})
    if not isinstance(inputs, Mapping):
        raise SchemaError(
            f"{type_name}: input is {type(inputs).__name__}, expected an object; ask the host again"
        )
    order = entry.get("input_order")
    return NodeSchema(
        type=type_name,
        inputs=inputs_from_types(inputs, order if isinstance(order, Mapping) else None),
        outputs=tuple(_outputs(type_name, entry)),
        display_name=entry.get("display_name"),
        category=entry.get("category", "sd"),
        description=entry.get("description", ""),
        python_module=entry.get("python_module", ""),
        output_node=bool(entry.get("output_node", False)),
        deprecated=bool(entry.get("deprecated", False)),
        experimental=bool(entry.get("experimental", False)),
        api_node=bool(entry.get("api_node", False)),
        extra={key: value for key, value in entry.items() if key not in _OWN},
        sections=tuple(kind for kind in KINDS if kind in inputs),
    )


def _outputs(type_name: str, entry: Mapping[str, Any]) -> Iterable[OutputSchema]:
    types = entry.get("output") or ()
    if not isinstance(types, (list, tuple)):
        raise SchemaError(
            f"{type_name}: output is {type(types).__name__}, expected a list; ask the host again"
        )
    names, lists, tips = (entry.get(k) or () for k in ("output_name", "output_is_list", "output_tooltips"))
    for at, kind in enumerate(types):
        combo = tuple(kind) if isinstance(kind, (list, tuple)) else None
        name = names[at] if at < len(names) else (COMBO if combo is not None else kind)
        yield OutputSchema(
            type=COMBO if combo is not None else kind if isinstance(kind, str) else str(kind),
            name=str(name),
            is_list=bool(lists[at]) if at < len(lists) else False,
            tooltip=tips[at] if at < len(tips) else None,
            choices=combo,
        )


def schemas_from_object_info(entries: Mapping[str, Any]) -> dict[str, NodeSchema]:
    """All entries of an /object_info answer; those that are not objects are skipped, as editors do."""
    return {
        name: from_object_info(name, entry) for name, entry in entries.items() if isinstance(entry, Mapping)
    }


def read_schemas(path: Path) -> dict[str, NodeSchema]:
    """Read a saved /object_info answer. Raises SchemaError with the path, OSError if it will not open."""
    try:
        entries = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise SchemaError(f"{path}: not JSON ({cause}); expected a saved /object_info answer") from cause
    if not isinstance(entries, Mapping):
        raise SchemaError(f"{path}: expected an object of node types, found {type(entries).__name__}")
    if entries and not any(isinstance(entry, Mapping) and "input" in entry for entry in entries.values()):
        raise SchemaError(f"{path}: no entry has an `input`; expected a saved /object_info answer")
    return schemas_from_object_info(entries)
