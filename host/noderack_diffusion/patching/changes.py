"""What packs have put on one handle."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from noderack_diffusion.patch import PatchSet

Options = dict[str, Any]
By = dict[str, dict[Any, list[Callable[..., Any]]]]
"""Functions by kind, then by the key under which a pack put them."""


def copied(value: Any) -> Any:
    """Nested dicts and lists anew, what is in them as it is."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def merged(one: Options, other: Options) -> Options:
    """Both, dicts joined, lists one after the other; of single values ``other``'s counts."""
    found: Options = copied(one)
    for key, value in other.items():
        old = found.get(key)
        if isinstance(value, dict):
            found[key] = merged(old if isinstance(old, dict) else {}, value)
        elif isinstance(value, list):
            found[key] = [*(old or []), *value]
        else:
            found[key] = value
    return found


@dataclass(slots=True)
class Changes:
    """See above. A handle's clone has its own, equal ones."""

    options: Options = field(default_factory=lambda: {"transformer_options": {}})
    objects: dict[str, Any] = field(default_factory=dict)
    """Replaced parts of the model, by dotted name."""
    wrappers: By = field(default_factory=dict)
    callbacks: By = field(default_factory=dict)
    attachments: dict[str, Any] = field(default_factory=dict)
    injections: dict[str, list[Any]] = field(default_factory=dict)
    additional: dict[str, list[Any]] = field(default_factory=dict)
    weights: PatchSet = field(default_factory=PatchSet)
    raw: dict[str, list[Any]] = field(default_factory=dict)
    """Weight patches as packs gave them, by parameter."""

    def copy(self) -> "Changes":
        """The same, to be changed apart."""
        return Changes(**{f.name: copied(getattr(self, f.name)) for f in fields(self)})

    def __bool__(self) -> bool:
        """Whether there is anything that concerns more than weights."""
        return bool(self.steers or self.objects or self.callbacks or self.injections)

    @property
    def steers(self) -> bool:
        """Whether there are options or wrappers."""
        return self.options != {"transformer_options": {}} or bool(self.wrappers)

    def sampling_options(self, options: Options | None = None) -> Options:
        """The options (the handle's own, unless given) with the wrappers and callbacks that it has."""
        found: Options = copied(self.options if options is None else options)
        inner = found.setdefault("transformer_options", {})
        for name, own in (("wrappers", self.wrappers), ("callbacks", self.callbacks)):
            if own:
                inner[name] = merged(inner.get(name, {}), own)
        return found


def listed(by: By, kind: str) -> list[Callable[..., Any]]:
    """All functions of one kind."""
    return [function for functions in by.get(kind, {}).values() for function in functions]
