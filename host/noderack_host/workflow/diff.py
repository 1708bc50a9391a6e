"""What is different between two workflows, told by nodes and inputs, not by lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from noderack_host.workflow.layout import is_link

if TYPE_CHECKING:
    from noderack_host.schema import NodeSchema
    from noderack_host.workflow.convert import Prompt
    from noderack_host.workflow.model import Workflow

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `input` is None for whole nodes; `before` and `after` are JSON values or None."""

    kind: Literal["added", "removed", "changed", "renumbered"]
    node_id: str
    type: str
    input: str | None = None
    before: Any = None
    after: Any = None

    def as_dict(self) -> dict[str, Any]:
        return {
            **{"kind": self.kind, "node": self.node_id, "type": self.type, "input": self.input},
            **{"before": self.before, "after": self.after},
        }

    def __str__(self) -> str:
        name = f"{self.node_id} {self.type}"
        if self.kind == "renumbered":
            return f"= {name}: node {self.before} there"
        if self.kind != "changed":
            return f"{'+' if self.kind == 'added' else '-'} {name}"
        return f"~ {name}.{self.input}: {_show(self.before)} -> {_show(self.after)}"


def _show(value: Any) -> str:
    if is_link(value):
        return f"output {value[1]} of {value[0]}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"


def compare(one: Workflow, other: Workflow, schemas: Mapping[str, NodeSchema]) -> tuple[Change, ...]:
    """The changes that make `one` into `other`. Nodes match by id and type, else by what they compute."""
    before, after = one.prompt(schemas).prompt, other.prompt(schemas).prompt
    pairs = {k: k for k in before if k in after and before[k]["class_type"] == after[k]["class_type"]}
    moved = _moved(before, after, pairs)
    pairs.update(moved)
    back = {new: old for old, new in pairs.items()}
    changes = [Change("removed", k, n["class_type"]) for k, n in before.items() if k not in pairs]
    changes += [Change("added", k, n["class_type"]) for k, n in after.items() if k not in back]
    changes += [Change("renumbered", new, after[new]["class_type"], before=old) for old, new in moved.items()]
    for old, new in pairs.items():
        changes.extend(_inputs(new, before[old], after[new], pairs))
    return tuple(changes)


def _moved(before: Prompt, after: Prompt, pairs: Mapping[str, str]) -> dict[str, str]:
    """Nodes that were given another id but are fed the same: matched by type, values and sources."""
    mine, theirs = _signatures(before), _signatures(after)
    taken = set(pairs.values())
    free: dict[str, list[str]] = {}
    for key in after:
        if key not in taken:
            free.setdefault(theirs[key], []).append(key)
    waiting = [key for key in before if key not in pairs]
    return {key: free[mine[key]].pop(0) for key in waiting if free.get(mine[key])}


def _signatures(prompt: Prompt) -> dict[str, str]:
    """What each node computes, ids left out; refined from values to values with sources in a few rounds."""
    found = {key: node["class_type"] for key, node in prompt.items()}
    for _ in range(4):
        found = {key: _digest(node, found) for key, node in prompt.items()}
    return found


def _digest(node: Mapping[str, Any], known: Mapping[str, str]) -> str:
    from hashlib import blake2b

    inputs = {
        name: ["link", known.get(str(value[0])), value[1]] if is_link(value) else value
        for name, value in node["inputs"].items()
    }
    text = json.dumps([node["class_type"], inputs], sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _inputs(
    key: str, old: Mapping[str, Any], new: Mapping[str, Any], pairs: Mapping[str, str]
) -> Iterator[Change]:
    before, after = old["inputs"], new["inputs"]
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name, _ABSENT), after.get(name, _ABSENT)
        renamed = [pairs.get(str(was[0]), was[0]), was[1]] if is_link(was) else was
        if renamed != now:
            yield Change("changed", key, new["class_type"], name, _value(was), _value(now))


def _value(value: Any) -> Any:
    return None if value is _ABSENT else value
