"""Latents with latents: batches, sums, one laid over another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from noderack_nodes.sockets import (
    LATENT,
    MASK,
    MAX_RESOLUTION,
    Inputs,
    Latent,
    Mappings,
    Node,
    combo,
    flag,
    integer,
    number,
    pixels,
)

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor


def indices(latent: Latent) -> list[int]:
    """Which noise each image of the batch draws: `batch_index`, or its place."""
    return list(latent.get("batch_index", range(latent["samples"].shape[0])))


def place_in(size: int, index: int) -> int:
    """A position in a batch: below 0 from the end, and never outside."""
    return max(0, min(size - 1, index + size if index < 0 else index))


class LatentFromBatch(Node):
    """Some latents of a batch; they draw the same noise as before."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples": LATENT,
            "batch_index": integer(0, -MAX_RESOLUTION, MAX_RESOLUTION),
            "length": integer(1, 1, 64),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/batch"
    FUNCTION = "frombatch"

    def frombatch(self, samples: Latent, batch_index: int, length: int) -> tuple[Latent]:
        """Positions below 0 count from the end, those past an end mean the latent there."""
        from noderack_nodes.batches import to_batch

        cells: Tensor = samples["samples"]
        start = place_in(len(cells), batch_index)
        part = slice(start, start + length)
        picked: Latent = {**samples, "samples": cells[part].clone(), "batch_index": indices(samples)[part]}
        if "noise_mask" in samples:
            mask = samples["noise_mask"]
            picked["noise_mask"] = mask if mask.shape[0] == 1 else to_batch(mask, cells.shape[0])[part]
        return (picked,)


class RepeatLatentBatch(Node):
    """A batch several times over; each repetition draws noise of its own."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "amount": integer(1, 1, 64)}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/batch"
    FUNCTION = "repeat"

    def repeat(self, samples: Latent, amount: int) -> tuple[Latent]:
        """[B * amount, C, h, w]."""
        from noderack_nodes.batches import to_batch

        cells: Tensor = samples["samples"]
        size = cells.shape[0] * amount
        repeated: Latent = {**samples, "samples": to_batch(cells, size)}
        mask = samples.get("noise_mask")
        if mask is not None and mask.shape[0] > 1:
            repeated["noise_mask"] = to_batch(to_batch(mask, cells.shape[0]), size)
        if "batch_index" in samples:
            have = samples["batch_index"]
            offset = max(have) - min(have) + 1
            repeated["batch_index"] = [index + turn * offset for turn in range(amount) for index in have]
        return (repeated,)


class LatentBatch(Node):
    """Two batches as one; the second takes the size of the first."""

    DEPRECATED = True
    INPUTS: ClassVar[Inputs] = {"required": {"samples1": LATENT, "samples2": LATENT}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/batch"

    def run(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        """[B1 + B2, C, h, w]."""
        import torch

        from noderack_nodes.batches import like

        first: Tensor = samples1["samples"]
        both = torch.cat((first, like(samples2["samples"], first, batch=False)))
        return ({**samples1, "samples": both, "batch_index": indices(samples1) + indices(samples2)},)


class LatentBatchSeedBehavior(Node):
    """Whether the images of a batch draw the same noise."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"samples": LATENT, "seed_behavior": combo("random", "fixed", default="fixed")}
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"

    def run(self, samples: Latent, seed_behavior: str) -> tuple[Latent]:
        """`fixed` gives each the noise of the first."""
        rest = {key: value for key, value in samples.items() if key != "batch_index"}
        if seed_behavior == "fixed":
            rest["batch_index"] = [indices(samples)[0]] * samples["samples"].shape[0]
        return (rest,)


class LatentAdd(Node):
    """The sum."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples1": LATENT, "samples2": LATENT}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"
    sign: ClassVar[float] = 1.0

    def run(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        """The second takes the shape of the first."""
        from noderack_nodes.batches import like

        first: Tensor = samples1["samples"]
        return ({**samples1, "samples": first + self.sign * like(samples2["samples"], first)},)


class LatentSubtract(LatentAdd):
    """The difference."""

    sign = -1.0


class LatentMultiply(Node):
    """A latent times a number."""

    INPUTS: ClassVar[Inputs] = {"required": {"samples": LATENT, "multiplier": number(1.0, -10.0, 10.0)}}
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"

    def run(self, samples: Latent, multiplier: float) -> tuple[Latent]:
        """Each value times `multiplier`."""
        return ({**samples, "samples": samples["samples"] * multiplier},)


class LatentInterpolate(Node):
    """Between two latents, length and direction of the channel vectors apart."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"samples1": LATENT, "samples2": LATENT, "ratio": number(1.0, 0.0, 1.0)}
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent/advanced"

    def run(self, samples1: Latent, samples2: Latent, ratio: float) -> tuple[Latent]:
        """`ratio` of the first."""
        from noderack_nodes.batches import like

        first: Tensor = samples1["samples"]
        second = like(samples2["samples"], first)
        length1, length2 = first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True)
        mixed = (first / length1).nan_to_num() * ratio + (second / length2).nan_to_num() * (1.0 - ratio)
        unit = (mixed / mixed.norm(dim=1, keepdim=True)).nan_to_num()
        return ({**samples1, "samples": unit * (length1 * ratio + length2 * (1.0 - ratio))},)


class LatentBlend(Node):
    """Two latents mixed."""

    INPUTS: ClassVar[Inputs] = {
        "required": {"samples1": LATENT, "samples2": LATENT, "blend_factor": number(0.5, 0, 1)}
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "_for_testing"
    FUNCTION = "blend"

    def blend(self, samples1: Latent, samples2: Latent, blend_factor: float) -> tuple[Latent]:
        """`blend_factor` of the first."""
        from noderack_nodes.resize import resize

        first: Tensor = samples1["samples"]
        second: Tensor = samples2["samples"]
        if first.shape != second.shape:
            second = resize(second, first.shape[3], first.shape[2], "bicubic", "center")
        return ({**samples1, "samples": first * blend_factor + second * (1 - blend_factor)},)


class LatentComposite(Node):
    """One latent laid over another; inner edges fade over `feather` pixels."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "samples_to": LATENT,
            "samples_from": LATENT,
            "x": pixels(0, 0, 8),
            "y": pixels(0, 0, 8),
            "feather": pixels(0, 0, 8),
        }
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"
    FUNCTION = "composite"

    def composite(
        self, samples_to: Latent, samples_from: Latent, x: int, y: int, feather: int
    ) -> tuple[Latent]:
        """Positions in pixels."""
        from noderack_nodes.batches import paste

        x, y, feather = x // 8, y // 8, feather // 8
        under: Tensor = samples_to["samples"]
        above = samples_from["samples"][:, :, : under.shape[2] - y, : under.shape[3] - x]
        mask = _feathered(above, feather, x, y, under) if feather else None
        return ({**samples_to, "samples": paste(under, above, x, y, mask)},)


def _feathered(above: Tensor, feather: int, x: int, y: int, under: Tensor) -> Tensor:
    """A mask [1, h, w] that ramps at each edge which does not lie on an edge of what is under it."""
    import torch

    height, width = above.shape[2:]
    ramp = torch.arange(1, feather + 1, dtype=torch.float32) / feather
    rows, columns = torch.ones(height), torch.ones(width)
    for line, start, end in ((rows, y, under.shape[2]), (columns, x, under.shape[3])):
        reach = min(feather, len(line))
        if start:
            line[:reach] *= ramp[:reach]
        if start + len(line) < end:
            line[len(line) - reach :] *= ramp[:reach].flip(0)
    return (rows[:, None] * columns[None, :]).unsqueeze(0)


class LatentCompositeMasked(Node):
    """One latent laid over another, through a mask."""

    INPUTS: ClassVar[Inputs] = {
        "required": {
            "destination": LATENT,
            "source": LATENT,
            "x": pixels(0, 0, 8),
            "y": pixels(0, 0, 8),
            "resize_source": flag(False),
        },
        "optional": {"mask": MASK},
    }
    RETURN_TYPES = ("LATENT",)
    CATEGORY = "latent"

    def run(
        self,
        destination: Latent,
        source: Latent,
        x: int,
        y: int,
        resize_source: bool,
        mask: Tensor | None = None,
    ) -> tuple[Latent]:
        """Where the mask is 1 the source shows; positions in pixels."""
        from noderack_nodes.batches import paste
        from noderack_nodes.resize import resize

        under: Tensor = destination["samples"]
        above: Tensor = source["samples"]
        if resize_source:
            above = resize(above, under.shape[3], under.shape[2], "bilinear")
        return ({**destination, "samples": paste(under, above, x // 8, y // 8, mask)},)


_ALL: tuple[Any, ...] = (
    LatentFromBatch,
    RepeatLatentBatch,
    LatentBatch,
    LatentBatchSeedBehavior,
    LatentAdd,
    LatentSubtract,
    LatentMultiply,
    LatentInterpolate,
    LatentBlend,
    LatentComposite,
    LatentCompositeMasked,
)
NODES: Mappings = {node.__name__: node for node in _ALL}
NAMES = {
    "LatentFromBatch": "Latent From Batch",
    "RepeatLatentBatch": "Repeat Latent Batch",
    "LatentBlend": "Latent Blend",
    "LatentComposite": "Latent Composite",
}
