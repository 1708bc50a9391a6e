"""Weights that change from frame to frame, for animations, with the pictures that they fade between."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_ipadapter.nodes import Inputs

if TYPE_CHECKING:
    from torch import Tensor

Strategy = dict[str, Any]
"""A WEIGHTS_STRATEGY: the values of the node that made it, and `frame_count`, how many pictures it had."""
CURVES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda at: at,
    "ease_in_out": lambda at: (1 - math.cos(at * math.pi)) / 2,
    "ease_in": lambda at: math.sin(at * math.pi / 2),
    "ease_out": lambda at: 1 - math.cos(at * math.pi / 2),
}
"""From 0..1 in time to 0..1 of the way from the first weight to the last."""
METHODS = ["full batch", "shift batches", "alternate batches"]
_FRAMES = {"min": 0, "max": 9999, "step": 1}


def weights_of(told: Strategy) -> list[float]:
    """The weights of one fade: as written, or `frames` of them from the first that is written to the last.

    Raises IPAdapterError for what is no number.
    """
    given = _written(told["weights"])
    if told["timing"] == "custom":
        return given or [0.0]
    start, end = (given[0], given[-1]) if given else (0.0, 1.0)
    frames = max(told["frames"], 2)
    first, last = told["start_frame"], min(told["end_frame"], frames)
    found = [start] * first + _faded(told["timing"], start, end, last - first)
    if found and told["timing"] != "random":
        found[-1] = end
    return found + [end] * (frames - last) or [0.0]


def _faded(timing: str, start: float, end: float, count: int) -> list[float]:
    if timing == "random":
        draw = random.Random(f"{start} {end} {count}")
        return [draw.uniform(start, end) for _ in range(count)]
    steps = max(count - 1, 1)
    return [start + (end - start) * CURVES[timing](at / steps) for at in range(count)]


def _written(text: str) -> list[float]:
    from noderack_ipadapter.files import IPAdapterError

    try:
        return [float(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    except ValueError as cause:
        raise IPAdapterError(f"{text!r} is no list of weights: write numbers with commas between") from cause


def dealt(image: Tensor, weights: list[float], method: str) -> tuple[list[float], Tensor, Tensor | None]:
    """The weights of all frames, and for each frame its picture and perhaps the one that it fades to."""
    frames = len(weights)
    if "shift" in method:
        count, one, two = len(image) - 1, image[:-1], image[1:]
        return weights * count, one.repeat_interleave(frames, 0), two.repeat_interleave(frames, 0)
    if "alternate" in method:
        back = [max(weights) - (weight - min(weights)) for weight in weights]
        one, two = image[::2].repeat_interleave(2, 0)[1:], image[1::2].repeat_interleave(2, 0)
        rounds = (weights + back) * (len(one) // 2)
        if len(image) % 2:
            one = one[:-1]
        else:
            two, rounds = two[:-1], rounds + weights
        return rounds, one.repeat_interleave(frames, 0), two.repeat_interleave(frames, 0)
    return weights * len(image), image.repeat_interleave(frames, 0), None


def _held(shown: Tensor | None, image: Tensor, before: int, after: int) -> Tensor | None:
    """With the first picture before, and the last after."""
    import torch

    if shown is None:
        return None
    return torch.cat([image[:1].repeat(before, 1, 1, 1), shown, image[-1:].repeat(after, 1, 1, 1)])


Found = tuple[list[float], list[float], int, Any, Any, Strategy]


def _given(told: Strategy, image: Tensor | None) -> Found:
    weights, one, two = weights_of(told), None, None
    if image is not None:
        before, after = told["add_starting_frames"], told["add_ending_frames"]
        weights, one, two = dealt(image, weights, told["method"])
        one, two = _held(one, image, before, after), _held(two, image, before, after)
        weights = [weights[0]] * before + weights + [weights[-1]] * after
    return weights, weights[::-1], len(weights), one, two, told


class IPAdapterWeights:
    """A fade as weights, frame by frame."""

    CATEGORY = "ipadapter/weights"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("FLOAT", "FLOAT", "INT", "IMAGE", "IMAGE", "WEIGHTS_STRATEGY")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = (
        *("weights", "weights_invert", "total_frames"),
        *("image_1", "image_2", "weights_strategy"),
    )
    FUNCTION = "weights"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Where the fade begins and ends, and how it goes."""
        return {
            "required": {
                "weights": ("STRING", {"default": "1.0, 0.0", "multiline": True}),
                "timing": (["custom", *CURVES, "random"], {"default": "linear"}),
                "frames": ("INT", {"default": 0, **_FRAMES}),
                "start_frame": ("INT", {"default": 0, **_FRAMES}),
                "end_frame": ("INT", {"default": 9999, **_FRAMES}),
                "add_starting_frames": ("INT", {"default": 0, **_FRAMES}),
                "add_ending_frames": ("INT", {"default": 0, **_FRAMES}),
                "method": (METHODS, {"default": "full batch"}),
            },
            "optional": {"image": ("IMAGE",)},
        }

    def weights(self, image: Tensor | None = None, **told: Any) -> Found:
        """With pictures one fade for each, or between each two; without, one fade."""
        return _given({**told, "frame_count": 0 if image is None else len(image)}, image)


class IPAdapterWeightsFromStrategy(IPAdapterWeights):
    """The same fade with other pictures."""

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What another node made."""
        return {"required": {"weights_strategy": ("WEIGHTS_STRATEGY",)}, "optional": {"image": ("IMAGE",)}}

    def weights(self, image: Tensor | None = None, **told: Any) -> Found:
        """As the node that made the strategy."""
        return _given(told["weights_strategy"], image)


class IPAdapterPromptScheduleFromWeightsStrategy:
    """A prompt for each picture of a fade, as schedules of prompts are written."""

    CATEGORY = "ipadapter/weights"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("STRING",)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("prompt_schedule",)
    FUNCTION = "prompt_schedule"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """A line for each picture."""
        prompt = ("STRING", {"default": "", "multiline": True})
        return {"required": {"weights_strategy": ("WEIGHTS_STRATEGY",), "prompt": prompt}}

    def prompt_schedule(self, weights_strategy: Strategy, prompt: str = "") -> tuple[str]:
        """`"frame": "prompt",` a line; the last prompt stands for those that are missing."""
        lines = [line for line in prompt.split("\n") if line.strip()]
        count, frames = weights_strategy["frame_count"], weights_strategy["frames"]
        if not lines or not count:
            return ("",)
        before = weights_strategy["add_starting_frames"]
        rows = [(at * frames + before, lines[min(at, len(lines) - 1)]) for at in range(count)]
        if before:
            rows.insert(0, (0, lines[0]))
        if weights_strategy["add_ending_frames"]:
            rows.append((count * frames + before, rows[-1][1]))
        return ("".join(f'"{frame}": "{line}",\n' for frame, line in rows),)


NODES: tuple[type, ...] = (
    IPAdapterWeights,
    IPAdapterWeightsFromStrategy,
    IPAdapterPromptScheduleFromWeightsStrategy,
)
NAMES = {
    "IPAdapterWeights": "IPAdapter Weights",
    "IPAdapterWeightsFromStrategy": "IPAdapter Weights From Strategy",
    "IPAdapterPromptScheduleFromWeightsStrategy": "Prompt Schedule From Weights Strategy",
}
