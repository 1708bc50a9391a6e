"""What an editor shows about the price of a paid node, worked out there from the node's widgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from noderack_host.v3.sockets import Input


class PriceError(ValueError):
    """A price badge that cannot be shown."""


@dataclass
class PriceBadgeDepends:
    """What the price depends on: names of widgets, of inputs, of groups of inputs."""

    widgets: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    input_groups: list[str] = field(default_factory=list)

    def as_dict(self, schema_inputs: Sequence[Input]) -> dict[str, Any]:
        """The wire form, with each widget's type; raises PriceError for a widget that is not there."""
        types = dict(_types(schema_inputs))
        absent = [name for name in self.widgets if name not in types]
        if absent:
            known = ", ".join(types)
            raise PriceError(f"the price depends on the widget {absent[0]!r}, but there are only {known}")
        widgets = [{"name": name, "type": types[name]} for name in self.widgets]
        return {"widgets": widgets, "inputs": self.inputs, "input_groups": self.input_groups}


@dataclass
class PriceBadge:
    """A price as a JSONata expression over what it depends on."""

    expr: str
    depends_on: PriceBadgeDepends = field(default_factory=PriceBadgeDepends)
    engine: str = "jsonata"

    def as_dict(self, schema_inputs: Sequence[Input]) -> dict[str, Any]:
        """The wire form; raises PriceError."""
        if self.engine != "jsonata" or not self.expr.strip():
            raise PriceError(f"a price is an expression in jsonata, not {self.expr!r} in {self.engine!r}")
        return {
            "engine": self.engine,
            "depends_on": self.depends_on.as_dict(schema_inputs),
            "expr": self.expr,
        }


def _types(inputs: Sequence[Input]) -> list[tuple[str, str]]:
    """(name, type) of every input, those that others bring under dotted names."""
    found: list[tuple[str, str]] = []
    for item in inputs:
        found.append((item.id, item.get_io_type()))
        found += [(f"{item.id}.{below.id}", below.get_io_type()) for below in item.get_all()[1:]]
    return found
