"""Where a run's random numbers come from: which generator, in which order, on which device.

The rules are those of the host that most workflows were made with, so a seed gives the same picture here:

* the initial noise is one draw of the whole batch from a CPU generator seeded with the run's seed;
* samplers that draw "from the stream" go on drawing from that same generator;
* ancestral and kindred samplers have a generator of their own, on the latent's device, with the same seed.
  Since December 2025 that host adds 1 to the seed on a CPU (``RULES["2025-12"]``), because there the first
  draw would otherwise equal the initial noise. The default is the older rule, "2025-10".
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from noderack_diffusion.brownian import BrownianNoise
from noderack_diffusion.errors import MismatchError, UnknownNameError

RULES: dict[str, int] = {"2025-10": 0, "2025-12": 1}
"""What is added to the seed of ancestral noise on a CPU, by rule."""


class Noise:
    """The random numbers of one run; ``strength`` scales those that a sampler adds on its way."""

    def __init__(self, seed: int, rule: str = "2025-10", strength: float = 1.0) -> None:
        if rule not in RULES:
            raise UnknownNameError("noise rule", rule, tuple(RULES))
        self.seed, self.rule, self.strength = seed, rule, strength
        self._stream = torch.Generator().manual_seed(seed)

    def initial(self, latent: Tensor, batch_index: Sequence[int] | None = None) -> Tensor:
        """Noise like ``latent``, on the CPU. With ``batch_index``: the draws of those places of a longer
        batch.
        """
        if batch_index is None:
            return self._draw(latent.shape, latent.dtype)
        if len(batch_index) != latent.shape[0]:
            raise MismatchError(
                f"batch_index names {len(batch_index)} images, the latent holds {latent.shape[0]}"
            )
        if min(batch_index, default=0) < 0:
            raise MismatchError(f"batch_index names the image {min(batch_index)}; the first is 0")
        one = (1, *latent.shape[1:])
        draws = [self._draw(one, latent.dtype) for _ in range(max(batch_index) + 1)]
        return torch.cat([draws[i] for i in batch_index])

    def _draw(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.randn(tuple(shape), dtype=dtype, generator=self._stream)

    def stream(self, like: Tensor) -> Tensor:
        """The next draw after the initial noise."""
        return self._draw(like.shape, like.dtype).to(like.device)

    def fresh(self, like: Tensor) -> Tensor:
        """Noise of the seed that follows this run's, as ddim's masked area has it."""
        generator = torch.Generator().manual_seed((self.seed + 1) % 2**64)
        return torch.randn(like.shape, dtype=like.dtype, generator=generator).to(like.device)

    def ancestral(self, like: Tensor) -> Callable[[], Tensor]:
        """A source that draws noise like ``like``, again and again."""
        shift = RULES[self.rule] if like.device.type == "cpu" else 0
        generator = torch.Generator(like.device).manual_seed((self.seed + shift) % 2**64)

        def draw() -> Tensor:
            drawn = torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)
            return drawn if self.strength == 1.0 else drawn * self.strength

        return draw

    def brownian(
        self, like: Tensor, low: float, high: float, *, on_cpu: bool
    ) -> Callable[[float, float], Tensor]:
        """A source of noise for the steps between two sigmas: the same for a step however the run is cut."""
        walk = BrownianNoise(like, low, high, self.seed, on_cpu=on_cpu)
        return walk if self.strength == 1.0 else lambda now, then: walk(now, then) * self.strength
