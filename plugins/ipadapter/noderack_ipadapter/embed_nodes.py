"""Nodes that keep what was seen, and that make pictures to be drawn away from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from noderack_host.running import current, current_or_none

from noderack_ipadapter.nodes import Inputs, IPAdapterEmbeds

if TYPE_CHECKING:
    from torch import Tensor

_KIND = ".ipadpt"


class IPAdapterNoise:
    """Noise to be given as the negative picture: of a picture, or of nothing."""

    CATEGORY = "ipadapter/utils"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    FUNCTION = "make_noise"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The kind, how much of it, and how blurred."""
        return {
            "required": {
                "type": (["fade", "dissolve", "gaussian", "shuffle"],),
                "strength": ("FLOAT", {"default": 1.0, "min": 0, "max": 1, "step": 0.05}),
                "blur": ("INT", {"default": 0, "min": 0, "max": 32, "step": 1}),
            },
            "optional": {"image_optional": ("IMAGE",)},
        }

    def make_noise(
        self, type: str, strength: float, blur: int, image_optional: Tensor | None = None
    ) -> tuple[Tensor]:
        """224 pixels each way; the same picture gives the same noise."""
        from noderack_ipadapter.prepare import noise_of

        return (noise_of(type, strength, blur, image_optional),)


class IPAdapterSaveEmbeds:
    """What was seen, into a file of the output folder."""

    CATEGORY = "ipadapter/embeds"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """What, and the start of its name."""
        return {"required": {"embeds": ("EMBEDS",), "filename_prefix": ("STRING", {"default": "IP_embeds"})}}

    def save(self, embeds: Tensor, filename_prefix: str) -> tuple[None]:
        """In the form that others read."""
        import torch

        path = _next(_output(), filename_prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            torch.save(embeds.detach().cpu(), file)
        return (None,)


class IPAdapterLoadEmbeds:
    """What was seen, from a file of the input folder."""

    CATEGORY = "ipadapter/embeds"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("EMBEDS",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files that are there now."""
        running = current_or_none()
        host = None if running is None else running.host
        if host is None:
            return {"required": {"embeds": ([],)}}
        found = [path.relative_to(host.input).as_posix() for path in sorted(host.input.rglob(f"*{_KIND}"))]
        return {"required": {"embeds": (found,)}}

    def load(self, embeds: str) -> tuple[Tensor]:
        """Read without running any code of it."""
        import torch

        from noderack_ipadapter.files import IPAdapterError

        host = current().host
        root = (Path() if host is None else host.input).resolve()
        path = (root / embeds).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise IPAdapterError(f"there is no file named {embeds!r} in the input folder")
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, torch.Tensor):
            raise IPAdapterError(f"{embeds} holds no embeds but a {type(found).__name__}")
        return (found,)


class IPAdapterEmbedsBatch(IPAdapterEmbeds):
    """For each picture of a batch what was seen in one."""

    EACH = True


class IPAdapterCombineWeights:
    """Two lists of weights as one."""

    CATEGORY = "ipadapter/utils"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("FLOAT", "INT")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("weights", "count")
    FUNCTION = "combine"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Lists or single weights."""
        one = ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05})
        return {"required": {"weights_1": one, "weights_2": one}}

    def combine(self, weights_1: Any, weights_2: Any) -> tuple[list[float], int]:
        """One after the other, and how many there are."""
        lists = (value if isinstance(value, list) else [value] for value in (weights_1, weights_2))
        joined = [weight for one in lists for weight in one]
        return joined, len(joined)


def _output() -> Path:
    host = current().host
    return Path() if host is None else host.output


def _next(root: Path, prefix: str) -> Path:
    """A new file's path below a folder; raises IPAdapterError for a prefix that leads out of it."""
    from noderack_ipadapter.files import IPAdapterError

    stem = (root / prefix).resolve()
    if not stem.is_relative_to(root.resolve()):
        raise IPAdapterError(f"{prefix!r} leads out of the output folder: give a name below it")
    number = 1
    while (path := stem.with_name(f"{stem.name}_{number:05}{_KIND}")).exists():
        number += 1
    return path


NODES: tuple[type, ...] = (
    *(IPAdapterNoise, IPAdapterSaveEmbeds, IPAdapterLoadEmbeds),
    *(IPAdapterEmbedsBatch, IPAdapterCombineWeights),
)
NAMES = {
    "IPAdapterNoise": "IPAdapter Noise",
    "IPAdapterSaveEmbeds": "IPAdapter Save Embeds",
    "IPAdapterLoadEmbeds": "IPAdapter Load Embeds",
    "IPAdapterEmbedsBatch": "IPAdapter Embeds Batch",
    "IPAdapterCombineWeights": "IPAdapter Combine Weights",
}
