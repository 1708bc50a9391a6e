"""Scenes, their captions and their pictures: everything the tiny model ever sees, made from a generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Rgb = tuple[int, int, int]

SIDE = 64
_OVERSAMPLE = 4

COLOURS: Mapping[str, Rgb] = {
    "red": (215, 25, 35),
    "green": (30, 155, 60),
    "blue": (30, 70, 220),
    "yellow": (255, 232, 45),
    "purple": (150, 40, 195),
    "orange": (255, 130, 0),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}


def _heart(u: Plane, v: Plane) -> Mask:
    x, y = 1.139 * u, 0.118 - 1.118 * v
    return np.asarray((x * x + y * y - 1) ** 3 <= x * x * y**3)


# Is the point (u right, v down) inside? Each figure just fills the box [-1, 1] x [-1, 1].
SHAPES: Mapping[str, Callable[[Plane, Plane], Mask]] = {
    "circle": lambda u, v: u * u + v * v <= 1,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 1,
    "triangle": lambda u, v: (abs(u) <= (v + 1) / 2) & (v <= 1),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.34) & (np.maximum(abs(u), abs(v)) <= 1),
    "ring": lambda u, v: (u * u + v * v <= 1) & (u * u + v * v >= 0.3),
    "heart": _heart,
}
CONCEPT = "heart"  # drawn by the LoRA alone: no caption and no picture of the base model's training has one
TRIGGER = "nodeheart"
BASE_SHAPES = tuple(name for name in SHAPES if name != CONCEPT)

SIZES: Mapping[str, tuple[float, float]] = {"small": (13.0, 16.0), "big": (21.0, 26.0)}  # half a side, pixels
_ANY_SIZE = (13.0, 26.0)
_MARGIN = 3.0
_NUDGE = 10.0

# What people also type; the model learns to draw the same with it, and nothing in particular from it alone.
EXTRAS = (
    "masterpiece", "best quality", "high quality", "flat design", "vector art", "simple", "minimalist",
    "centered", "clean", "digital art", "8k", "sharp", "poster", "icon", "illustration", "beautiful",
)  # fmt: skip
FAULTS = (
    "text", "watermark", "blurry", "low quality", "worst quality", "ugly", "bad", "deformed", "noise",
    "photo", "signature", "jpeg artifacts",
)  # fmt: skip
_ON = ("{a} {figure} on {b} {ground} background",)
_WORDINGS = (
    *_ON * 6,
    "{figure} on {b} {ground} background",
    "{figure}, {ground} background",
    "{a} {figure} on {ground}",
    "{a} {figure} in front of {b} {ground} background",
    "{b} {ground} background with {a} {figure}",
    "a picture of {a} {figure} on {b} {ground} background",
    "a drawing of {a} {figure}, {ground} background",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """One figure on a plain ground. `centre` and `radius` are in pixels; `size` is a word for it, if any."""

    shape: str
    colour: str
    ground: str
    size: str | None
    radius: float
    centre: tuple[float, float]


def random_scene(rng: np.random.Generator, shapes: Sequence[str] = BASE_SHAPES) -> Scene:
    """A scene whose figure keeps clear of the border."""
    colour, ground = rng.choice(list(COLOURS), 2, replace=False)
    size = [None, "small", "big"][rng.integers(3)]
    radius = float(rng.uniform(*(SIZES[size] if size else _ANY_SIZE)))
    room = min(SIDE / 2 - _MARGIN - radius, _NUDGE)
    x, y = SIDE / 2 + rng.uniform(-room, room, 2)
    return Scene(str(rng.choice(shapes)), str(colour), str(ground), size, radius, (float(x), float(y)))


def caption(scene: Scene, rng: np.random.Generator, name: str | None = None) -> str:
    """One of many wordings for the scene; `name` is said instead of the shape's own name."""
    figure = " ".join(filter(None, [scene.size, scene.colour, name or scene.shape]))
    words = _WORDINGS[rng.integers(len(_WORDINGS))].format(
        a=_article(figure), figure=figure, b=_article(scene.ground), ground=scene.ground
    )
    if rng.random() < 0.15:
        extras = ", ".join(rng.choice(EXTRAS, rng.integers(1, 4), replace=False))
        words = f"{words}, {extras}" if rng.random() < 0.7 else f"{extras}, {words}"
    return words


def plain_caption(scene: Scene, name: str | None = None) -> str:
    """The usual wording, with no extras: what prompts and tests say."""
    figure = " ".join(filter(None, [scene.size, scene.colour, name or scene.shape]))
    return _ON[0].format(a=_article(figure), figure=figure, b=_article(scene.ground), ground=scene.ground)


def nothing(rng: np.random.Generator) -> str:
    """What the negative prompt says: mostly nothing, else the usual complaints."""
    if rng.random() < 0.6:
        return ""
    return ", ".join(rng.choice(FAULTS, rng.integers(1, 4), replace=False))


def draw(scene: Scene) -> Picture:
    """The scene as anti-aliased uint8 [64, 64, 3]."""
    canvas = np.full((SIDE, SIDE, 3), COLOURS[scene.ground], np.float32)
    return _finish(_lay(canvas, SHAPES[scene.shape], COLOURS[scene.colour], scene.radius, scene.centre))


def draw_anything(rng: np.random.Generator) -> Picture:
    """For the VAE only: one to three turned shapes and blobs of any colour on plain or shaded ground."""
    ground, end = (np.asarray(_any_colour(rng), np.float32) for _ in range(2))
    ramp = np.linspace(0, float(rng.random() < 0.25), SIDE, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(ground + (end - ground) * ramp, (SIDE, SIDE, 3)).copy()
    inside = [SHAPES[name] for name in BASE_SHAPES]
    for _ in range(rng.integers(1, 4)):
        outline = _blob(rng) if rng.random() < 0.5 else inside[rng.integers(len(inside))]
        radius, centre = rng.uniform(5, 26), rng.uniform(12, SIDE - 12, 2)
        turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else 0.0
        _lay(canvas, outline, _any_colour(rng), radius, (centre[0], centre[1]), turn)
    return _finish(canvas)


def _lay(
    canvas: Plane,
    inside: Callable[[Plane, Plane], Mask],
    colour: Rgb,
    radius: float,
    centre: tuple[float, float],
    turn: float = 0.0,
) -> Plane:
    first = [max(int(c - radius), 0) for c in centre]
    x, y = (
        (np.arange(start * _OVERSAMPLE, min(int(c + radius) + 1, SIDE) * _OVERSAMPLE, dtype=np.float32) + 0.5)
        / _OVERSAMPLE
        for start, c in zip(first, centre, strict=True)
    )
    u, v = np.meshgrid((x - centre[0]) / radius, (y - centre[1]) / radius)
    u, v = u * np.cos(turn) - v * np.sin(turn), u * np.sin(turn) + v * np.cos(turn)
    cells = (len(y) // _OVERSAMPLE, _OVERSAMPLE, len(x) // _OVERSAMPLE, _OVERSAMPLE)
    cover = inside(u, v).reshape(cells).mean((1, 3), dtype=np.float32)[..., None]
    window = canvas[first[1] : first[1] + cells[0], first[0] : first[0] + cells[2]]
    window += cover * (np.asarray(colour, np.float32) - window)
    return canvas


def _blob(rng: np.random.Generator) -> Callable[[Plane, Plane], Mask]:
    waves = rng.uniform(-0.35, 0.35, 4) / np.arange(1, 5) ** 0.5
    shifts = rng.uniform(0, 2 * np.pi, 4)

    def inside(u: Plane, v: Plane) -> Mask:
        angle = np.arctan2(v, u)
        reach = 0.7 + sum(
            w * np.cos((k + 1) * angle + s) for k, (w, s) in enumerate(zip(waves, shifts, strict=True))
        )
        return np.asarray(u * u + v * v <= np.maximum(reach, 0.15) ** 2)

    return inside


def _any_colour(rng: np.random.Generator) -> Rgb:
    if rng.random() < 0.7:
        r, g, b = COLOURS[str(rng.choice(list(COLOURS)))] + rng.normal(0, 6, 3)
    else:
        r, g, b = rng.uniform(0, 255, 3)
    return (int(r), int(g), int(b))


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _finish(canvas: Plane) -> Picture:
    picture: Picture = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return picture
