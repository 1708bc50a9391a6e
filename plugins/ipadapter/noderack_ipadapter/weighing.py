"""Where in a U-Net an adapter acts how strongly, by the names that workflows have for it.

Layers are counted as a pass of the network meets them: first half, middle, second half.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Place = tuple[str, int, int]
"""Half ("input", "middle", "output"), block, transformer block in it: how attention patches are addressed."""
_NAME = re.compile(
    r"(input_blocks|middle_block|output_blocks)\.(\d+)\.(?:1\.)?transformer_blocks\.(\d+)\.attn2\.to_k\.weight"
)
_HALVES = {"input_blocks": "input", "middle_block": "middle", "output_blocks": "output"}
_IN_FILES = {"input": 0, "output": 1, "middle": 2}
_IN_A_PASS = {"input": 0, "middle": 1, "output": 2}


def places(parameters: Iterable[str]) -> list[Place]:
    """Every attention to the text of a U-Net with these parameters, in the order of adapter files."""
    found = []
    for match in filter(None, map(_NAME.fullmatch, parameters)):
        half = _HALVES[match[1]]
        found.append((half, 0 if half == "middle" else int(match[2]), int(match[3])))
    return sorted(found, key=lambda place: (_IN_FILES[place[0]], *place[1:]))


@dataclass(frozen=True, slots=True)
class Layer:
    """One spatial transformer: its half, its number in a pass, and how many there are."""

    half: str
    index: int
    of: int

    @property
    def way(self) -> float:
        """How far into the pass it is, 0 to (nearly) 1."""
        return self.index / self.of


def layers(at: Iterable[Place]) -> dict[Place, Layer]:
    """The spatial transformer of each place."""
    places = list(at)
    groups = sorted({p[:2] for p in places}, key=lambda group: (_IN_A_PASS[group[0]], group[1]))
    return {place: Layer(place[0], groups.index(place[:2]), len(groups)) for place in places}


def _ramp(share: float) -> float:
    return 0.05 + 0.95 * share


def _outward(layer: Layer) -> float:
    """0 in the middle of the pass, 1 at its ends."""
    half = layer.of / 2
    return abs(layer.index - half) / half


def _weak(*halves: str) -> Callable[[Layer], float]:
    return lambda layer: 0.2 if layer.half in halves else 1.0


PLAIN: Mapping[str, Callable[[Layer], float]] = {
    "linear": lambda layer: 1.0,
    "ease in": lambda layer: _ramp(1 - layer.way),
    "ease out": lambda layer: _ramp(layer.way),
    "ease in-out": lambda layer: _ramp(1 - _outward(layer)),
    "reverse in-out": lambda layer: _ramp(_outward(layer)),
    "weak input": _weak("input"),
    "weak output": _weak("output"),
    "weak middle": _weak("middle"),
    "strong middle": _weak("input", "output"),
}
"""Types that weigh every layer: the factor of the weight."""
_DEEP = 11
"""Spatial transformers of SDXL; Stable Diffusion 1 has 16."""
_STYLE: Mapping[bool, frozenset[int]] = {True: frozenset({6}), False: frozenset({*range(4), *range(9, 16)})}
_COMPOSITION: Mapping[bool, Mapping[int, float]] = {True: {3: 1.0}, False: {4: 0.25, 5: 1.0}}
"""Which layers carry the style of a picture and which its composition, in SDXL (True) and before it.

For SDXL this is what InstantStyle (Wang et al., 2024) found; for Stable Diffusion 1 what practice has.
"""
STYLED = (
    *("style transfer", "composition", "strong style transfer", "style and composition"),
    *("style transfer precise", "composition precise"),
)
TYPES = (*PLAIN, *STYLED)


@dataclass(frozen=True, slots=True)
class Strength:
    """How strongly an adapter acts in one layer. ``against``: how strongly the wanted picture itself is what
    the side without the prompt is given there, in place of the unwanted one.
    """

    wanted: float
    against: float | None = None


def carries_composition(layer: Layer) -> bool:
    """Whether a layer carries how a picture is composed."""
    return layer.index in _COMPOSITION[layer.of == _DEEP]


def strength(
    kind: str, layer: Layer, weight: float, composition: float = 1.0, boost: float | None = None
) -> Strength:
    """The strength in a layer for a weight type and the weights asked for; ``boost`` takes the weight's place
    in what the precise types hold against the side without the prompt.
    """
    if kind in PLAIN:
        return Strength(weight * PLAIN[kind](layer))
    sdxl = layer.of == _DEEP
    carries = layer.index in _STYLE[sdxl]
    style, force = weight if carries else 0.0, weight if boost is None else boost
    layout = _COMPOSITION[sdxl].get(layer.index, 0.0)
    table = {
        "style transfer": Strength(style),
        "composition": Strength(weight * layout),
        "strong style transfer": Strength(0.0 if layout else weight),
        "style and composition": Strength(style + composition * layout),
        "strong style and composition": Strength(composition if layout else weight),
        "style transfer precise": Strength(style, None if style else force * layout),
        "composition precise": Strength(
            weight * layout, None if layout else force * (1.0 if carries else 0.1)
        ),
    }
    return table[kind]
