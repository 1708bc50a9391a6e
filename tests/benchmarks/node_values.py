"""Values for the inputs of nodes, made of a number: the same under any host. See bench_nodes.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

PLAIN = {"IMAGE", "MASK", "LATENT", "CONDITIONING", "SIGMAS", "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
PLAIN |= {"*", "FLOAT,INT,BOOLEAN", "INT,FLOAT,STRING,BOOLEAN", "BOUNDING_BOX", "IMAGE,MASK"}
PLAIN |= {"COMFY_MATCHTYPE_V3", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3", "COLOR"}
MOST = 40
WORDS = ("a red cat, (sat:1.2)", "Über 12 bananas", "", "x", "{a} and {b}", "  padded\n", '{"key": {"a": 1}}')
NAMED: dict[str, tuple[Any, ...]] = {
    "regex_pattern": ("[a-z]+", "(\\w+) (\\d+)", "(", "a|b", "^\\s*"),
    "expression": ("a + b", "max(a, b) / 2", "a // 2 * 8", "round(a * 1.5, 1)", "a > b", "floor(a) % 3"),
    "key": ("key", "none"),
    "f_string": ("{a}", "{a}-{b}", "{{x}} {a}"),
    "color": (0, 255, 0xFF8000, 16777215),
    "megapixels": (0.001, 0.0025),
    "scale_by": (0.5, 1.3, 2.0),
    "width": (8, 24, 33),
    "height": (8, 16, 40),
    "kernel_size": (3, 4, 7),
    "blur_radius": (1, 2, 5),
    "sharpen_radius": (1, 3),
    "amount": (1, 3),
    "columns": (1, 2, 3),
    "cell_width": (32, 40),
    "cell_height": (32, 48),
    "padding": (0, 3),
    "min_prompts": (1,),
}


def picture(draw: random.Random, channels: int = 3) -> torch.Tensor:
    """[B, H, W, C]: shapes with edges, and noise."""
    batch, height, width = draw.choice((1, 1, 2, 3)), draw.choice((16, 20, 33)), draw.choice((16, 28, 41))
    made = torch.Generator().manual_seed(draw.randrange(2**31))
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    disc = ((y - draw.random()) ** 2 + (x - draw.random()) ** 2 < 0.1).float()
    noise = torch.rand(batch, height, width, channels, generator=made)
    return (0.5 * disc[None, :, :, None] + 0.2 * x[None, :, :, None] + 0.3 * noise).clamp(0, 1)


def latent(draw: random.Random) -> dict[str, torch.Tensor]:
    """[B, 4, h, w], at times with a mask."""
    made = torch.Generator().manual_seed(draw.randrange(2**31))
    batch, height, width = draw.choice((1, 2, 3)), draw.choice((8, 12)), draw.choice((8, 10))
    found = {"samples": torch.randn(batch, 4, height, width, generator=made)}
    if draw.random() < 0.3:
        found["noise_mask"] = torch.rand(batch, height * 8, width * 8, generator=made)
    return found


def conditioning(draw: random.Random) -> list[list[Any]]:
    made = torch.Generator().manual_seed(draw.randrange(2**31))
    tokens = draw.choice((77, 154))
    return [
        [torch.randn(1, tokens, 8, generator=made), {"pooled_output": torch.randn(1, 8, generator=made)}]
        for _ in range(draw.choice((1, 1, 2)))
    ]


def _number(draw: random.Random, options: dict[str, Any], whole: bool) -> Any:
    low, high = options.get("min", 0), options.get("max", MOST)
    default = options.get("default", low)
    if draw.random() < 0.3:
        return default
    top = max(low, min(high, MOST if whole else 4.0))
    low = max(low, -MOST)
    if not whole:
        return round(draw.uniform(low, top), 2)
    step = max(1, int(options.get("step", 1)))
    return low + step * draw.randint(0, max(0, int(top - low) // step))


def _sigmas(draw: random.Random) -> torch.Tensor:
    return torch.cat([torch.linspace(14.6, 0.03, draw.choice((3, 8))), torch.zeros(1)])


def _box(draw: random.Random) -> dict[str, int]:
    return {"x": draw.randint(0, 12), "y": draw.randint(0, 12), "width": 8, "height": 9}


MADE: dict[str, Callable[[random.Random], Any]] = {
    "IMAGE": picture,
    "MASK": lambda draw: picture(draw)[..., 0],
    "IMAGE,MASK": lambda draw: draw.choice((picture(draw), picture(draw)[..., 0])),
    "LATENT": latent,
    "CONDITIONING": conditioning,
    "SIGMAS": _sigmas,
    "STRING": lambda draw: draw.choice(WORDS),
    "BOOLEAN": lambda draw: draw.random() < 0.5,
    "COLOR": lambda draw: draw.choice(("#ff8000", "#00ff00", "#102030")),
    "BOUNDING_BOX": _box,
    "FLOAT,INT,BOOLEAN": lambda draw: draw.choice((1, 0, 2.5, True, False, -3)),
    "INT,FLOAT,STRING,BOOLEAN": lambda draw: draw.choice((1, 0, 2.5, True, "12", "")),
    "*": lambda draw: draw.choice((1, 0, 2.5, True, "12", "")),
}


def value(draw: random.Random, name: str, kind: Any, options: dict[str, Any], shared: dict[str, Any]) -> Any:
    """One value of an input's kind; inputs of one template share their kind."""
    choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    if choices is not None:
        return draw.choice(choices or WORDS)
    if name in NAMED and kind in ("INT", "FLOAT", "STRING"):
        return draw.choice(NAMED[name])
    if kind == "IMAGE" and "alpha" in name:
        return picture(draw, draw.choice((3, 4)))
    if kind in MADE:
        return MADE[kind](draw)
    if kind in ("INT", "FLOAT"):
        return _number(draw, options, kind == "INT")
    return _dynamic(draw, name, kind, options, shared)


def _dynamic(
    draw: random.Random, name: str, kind: str, options: dict[str, Any], shared: dict[str, Any]
) -> Any:
    template = options.get("template", {})
    if kind == "COMFY_MATCHTYPE_V3":
        allowed = template["allowed_types"]
        own = shared.setdefault(
            template["template_id"], draw.choice(("STRING" if allowed == "*" else allowed).split(","))
        )
        return value(draw, name, own, {}, shared)
    if kind == "COMFY_AUTOGROW_V3":
        (one,) = template["input"]["required"].values()
        names = template.get("names") or [f"{template['prefix']}{at}" for at in range(template["max"])]
        count = max(template["min"], draw.choice((1, 2, 3)))
        return {
            key: value(draw, key, one[0], one[1] if len(one) > 1 else {}, shared) for key in names[:count]
        }
    if kind == "COMFY_DYNAMICCOMBO_V3":
        option = draw.choice(options["options"])
        return {name: option["key"], **inputs(draw, option["inputs"], shared)}
    raise KeyError(kind)


def inputs(draw: random.Random, sections: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Values for the required inputs, and by chance for the optional ones."""
    found = {}
    for section in ("required", "optional"):
        for name, spec in sections.get(section, {}).items():
            if section == "required" or draw.random() < 0.5:
                found[name] = value(draw, name, spec[0], spec[1] if len(spec) > 1 else {}, shared)
    return found


def plain(sections: dict[str, Any]) -> bool:
    """Whether all inputs are of kinds that are made here."""
    for section in ("required", "optional"):
        for spec in sections.get(section, {}).values():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            if not isinstance(kind, list) and (
                kind not in PLAIN or (kind == "COMBO" and "options" not in options)
            ):
                return False
            if kind == "COMFY_AUTOGROW_V3" and not plain(options["template"]["input"]):
                return False
            if kind == "COMFY_DYNAMICCOMBO_V3" and not all(plain(o["inputs"]) for o in options["options"]):
                return False
    return True
