"""Sockets and widgets of a node type, read from its /object_info entry; the colour class of a socket type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from noderack_site.data import Raw
from noderack_site.names import checksum, slug

WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
NAMED_COLOURS = frozenset(
    {
        "model",
        "clip",
        "vae",
        "conditioning",
        "latent",
        "image",
        "mask",
        "int",
        "float",
        "string",
        "boolean",
        "combo",
        "control-net",
        "clip-vision",
        "audio",
        "video",
        "sampler",
        "sigmas",
        "noise",
        "guider",
        "upscale-model",
        "any",
    }
)
OTHER_COLOURS = 8
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Field:
    """One input: name, type, whether it may stay empty, and for a widget its default and limits as text."""

    name: str
    type: str
    optional: bool
    widget: bool
    default: str = ""
    limits: str = ""
    choices: tuple[str, ...] = ()
    tooltip: str = ""


def fields(entry: Raw) -> Iterator[Field]:
    """Required inputs, then optional ones, in their order; hidden ones are the host's business."""
    inputs, order = entry.get("input") or {}, entry.get("input_order") or {}
    for section in ("required", "optional"):
        specs = inputs.get(section) or {}
        for name in order.get(section, specs):
            if name in specs:
                yield _field(str(name), specs[name], section == "optional")


def input_sockets(entry: Raw) -> Iterator[Field]:
    """The inputs that are drawn as sockets."""
    return (field for field in fields(entry) if not field.widget)


def output_types(entry: Raw) -> list[str]:
    """The socket types of the outputs."""
    return [type_name(output) for output in entry.get("output") or ()]


def output_names(entry: Raw) -> list[str]:
    """Their labels; an output without one is called by its type."""
    types, names = output_types(entry), list(entry.get("output_name") or ())
    return [str(names[i]) if i < len(names) and names[i] else types[i] for i in range(len(types))]


def type_name(kind: Any) -> str:
    """A socket type as text; a list of choices is a COMBO."""
    return "COMBO" if isinstance(kind, list) else str(kind)


def colour_class(kind: str) -> str:
    """The CSS class of a socket type: well-known types have their own colour, others one by their name."""
    name = "any" if kind == "*" else slug(kind)
    return f"t-{name}" if name in NAMED_COLOURS else f"t-{checksum(kind) % OTHER_COLOURS}"


def _field(name: str, spec: Any, optional: bool) -> Field:
    if not isinstance(spec, list) or not spec:
        return Field(name, type_name(spec), optional, widget=False)
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    kind = type_name(spec[0])
    listed = spec[0] if isinstance(spec[0], list) else options.get("options") or ()
    choices = tuple(str(choice) for choice in listed) if isinstance(listed, list) else ()
    return Field(
        name=name,
        type=kind,
        optional=optional,
        widget=kind in WIDGETS and not options.get("forceInput"),
        default=_short(options.get("default", choices[0] if choices else "")),
        limits=_limits(options),
        choices=choices,
        tooltip=str(options.get("tooltip") or ""),
    )


def _limits(options: Raw) -> str:
    low, high, step = options.get("min"), options.get("max"), options.get("step")
    span = f"{_short(low)} to {_short(high)}" if low is not None and high is not None else ""
    return f"{span}, step {step}" if span and step not in (None, 1) else span


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
