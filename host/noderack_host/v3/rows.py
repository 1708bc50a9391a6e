"""A group of inputs in as many rows as the user adds, such as a stack of adapters: `io.DynamicGroup`.

In a prompt its fields have a row's number in their names (`adapters.0.name`, `adapters.1.name`); a node gets
a list with a dict for each row. Numbers may be left out: a row between two others that was not sent is there,
with None for its fields. Names that are no field of a row, and too few or too many rows, are faults.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from noderack_host.v3.dynamic import MOST, DynamicInput, sections
from noderack_host.v3.sockets import ABSENT, Input, Leaf, LeafOf, SocketType, WidgetInput, comfytype

_NUMBER = re.compile("0|[1-9][0-9]*", re.ASCII)


class _DynamicGroupInput(DynamicInput):
    io_type = "COMFY_DYNAMICGROUP_V3"

    def __init__(
        self,
        id: str,
        template: Sequence[Input],
        *words: Any,
        min: int = 0,
        max: int = 20,
        group_name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(id, *words, **options)
        _must_be_flat(id, template)
        if not (0 <= min <= max and 1 <= max <= MOST):
            raise ValueError(
                f"the group {id!r} has {min} to {max} rows; give min ≤ max, and 1 to {MOST} as max"
            )
        self.template = list(template)
        self.min, self.max = min, max
        self.group_name = group_name

    def as_dict(self) -> dict[str, Any]:
        own: dict[str, Any] = {"template": sections(self.template), "min": self.min, "max": self.max}
        named = {"group_name": self.group_name} if self.group_name is not None else {}
        return {**super().as_dict(), **own, **named}

    def get_all(self) -> list[Input]:
        return [self, *self.template]

    def leaves(self, values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Leaf]:
        own = prefix + self.id
        rows = range(MOST) if values is None else sorted(self._rows(values, own))
        return {
            f"{own}.{row}.{field.id}": Leaf(field.optional, field.get_io_type(), field.as_dict())
            for row in rows
            for field in self.template
        }

    def faults(self, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        own = prefix + self.id
        for key in values:
            if key.startswith(own + ".") and self._place(key, own) is None:
                fields = ", ".join(field.id for field in self.template)
                yield key, f"{own}.NUMBER.FIELD is meant, with a number below {MOST} and a field of: {fields}"
        count = len(self._rows(values, own))
        if not self.min <= count <= self.max:
            yield own, f"it has {count} rows; expected between {self.min} and {self.max}"

    def taken(self, flat: dict[str, Any], leaf: LeafOf, prefix: str = "") -> Any:
        """A list of a dict for each row."""
        own = prefix + self.id
        rows = self._rows(flat, own)
        return [
            {
                field.id: leaf(key := f"{own}.{row}.{field.id}", flat.pop(key, ABSENT))
                for field in self.template
            }
            for row in range(max(rows) + 1 if rows else 0)
        ]

    def _rows(self, values: Mapping[str, Any], own: str) -> set[int]:
        """The numbers of the rows that a field was sent for."""
        places = [self._place(key, own) for key in values if key.startswith(own + ".")]
        return {place[0] for place in places if place is not None}

    def _place(self, key: str, own: str) -> tuple[int, str] | None:
        """The row and the field that a flat name means, if it means one."""
        row, _, name = key[len(own) + 1 :].partition(".")
        known = any(field.id == name for field in self.template)
        return (int(row), name) if known and _NUMBER.fullmatch(row) and int(row) < MOST else None


@comfytype(io_type="COMFY_DYNAMICGROUP_V3")
class DynamicGroup(SocketType):
    """Rows of the same fields, as many as the user adds."""

    Type = list[dict[str, Any]]
    Input = _DynamicGroupInput


def _must_be_flat(id: str, template: Sequence[Input]) -> None:
    """Raises ValueError unless the group's fields are widgets under names of their own without dots."""
    names = [field.id for field in template]
    dotted = [name for name in (id, *names) if "." in name]
    bare = [field.id for field in template if not isinstance(field, WidgetInput) or field.force_input]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"the group {id!r} needs fields, each with an id of its own")
    if dotted:
        raise ValueError(f"{dotted[0]!r} has a dot: dots tell a group, its rows and their fields apart")
    if bare:
        raise ValueError(f"the field {bare[0]!r} of the group {id!r} must have a widget")
