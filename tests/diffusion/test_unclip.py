"""What CLIP saw as a label vector: noise and its level against diffusers, several pictures, the seed."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from noderack_diffusion.errors import MismatchError
from noderack_diffusion.guide import prepare
from noderack_diffusion.labels import LABELS
from noderack_diffusion.sigma import squared_cosine, standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unclip import SEED_SHIFT, Seen, label
from noderack_diffusion.unet import UNetConfig
from torch import Tensor

WIDTH, SEED = 32, 7


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(seed: int, strength: float = 1.0, noise: float = 0.0) -> dict[str, Any]:
    seen = SimpleNamespace(image_embeds=drawn(seed, 1, WIDTH))
    return {"clip_vision_output": seen, "strength": strength, "noise_augmentation": noise}


SEEN = Seen(drawn(1, 1, WIDTH) * 0.3, drawn(2, 1, WIDTH).abs() + 0.5)


def theirs(vector: Tensor, level: int, noise: Tensor) -> Tensor:
    """As diffusers' StableUnCLIPPipeline.noise_image_embeds has it, with its own parts."""
    normalizer = StableUnCLIPImageNormalizer(WIDTH)
    normalizer.mean.data, normalizer.std.data = SEEN.mean, SEEN.spread
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000)
    mixed = scheduler.add_noise(normalizer.scale(vector), noise, torch.tensor([level]))
    told = get_timestep_embedding(torch.tensor([level]), WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0)
    return torch.cat([normalizer.unscale(mixed), told], dim=1).detach()


def test_the_process_is_theirs() -> None:
    wanted = DDPMScheduler(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000).alphas_cumprod
    assert torch.allclose(squared_cosine(1000), wanted, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.7, 1.0])
def test_noise_and_its_level(noise: float) -> None:
    level, vector = round(999 * noise), drawn(3, 1, WIDTH)
    wanted = theirs(vector, level, drawn(SEED + SEED_SHIFT, 1, WIDTH))
    assert torch.allclose(label([picture(3, noise=noise)], SEEN, SEED), wanted, atol=1e-4)


def test_pictures_add_up_and_get_a_little_noise() -> None:
    pictures = [picture(3, 0.8), picture(4, 0.5, 0.2)]
    alone = [label([one], SEEN, SEED) for one in pictures]
    generator = torch.Generator().manual_seed(SEED + SEED_SHIFT)
    torch.randn(1, WIDTH, generator=generator)  # what the last picture drew
    noise = torch.randn(1, WIDTH, generator=generator)
    wanted = theirs((alone[0] + alone[1])[:, :WIDTH], 50, noise)
    out = label(pictures, SEEN, SEED)
    assert out.shape == (1, 2 * WIDTH)
    assert not torch.allclose(out, alone[0] + alone[1])
    # ours draws the second noise from the stream of the first
    assert torch.allclose(out[:, WIDTH:], wanted[:, WIDTH:], atol=1e-5)
    assert torch.allclose(out, wanted, atol=1e-4)


def spec(family: str, adm: int, seen: Seen | None = None) -> ModelSpec:
    row = next(f for f in FAMILIES if f.name == family)
    return ModelSpec(row, UNetConfig(adm=adm), None, "", seen=seen)


def test_models_take_it_as_their_label() -> None:
    entry = {"unclip_conditioning": [picture(3, noise=0.3)], "seed": SEED}
    made = spec("sd2_unclip", 2 * WIDTH, SEEN)
    out = LABELS["unclip"](entry, torch.zeros(1, 4, 8, 8), True, made)
    assert out is not None and out.equal(label(entry["unclip_conditioning"], SEEN, SEED))
    none = LABELS["unclip"]({}, torch.zeros(1, 4, 8, 8), True, made)
    assert none is not None and none.equal(torch.zeros(1, 2 * WIDTH))
    with pytest.raises(MismatchError, match="use the image tower that belongs"):
        LABELS["unclip"](entry, torch.zeros(1, 4, 8, 8), True, spec("sd2_unclip", 4 * WIDTH))


def test_sdxl_takes_a_picture_in_place_of_the_pooled_text() -> None:
    made, latent = spec("sdxl", WIDTH + 6 * 256), torch.zeros(1, 4, 8, 8)
    words = {"pooled_output": torch.ones(1, WIDTH)}
    out = LABELS["size"]({**words, "unclip_conditioning": [picture(3)], "seed": 0}, latent, True, made)
    plain = LABELS["size"](words, latent, True, made)
    assert out is not None and plain is not None
    assert out[:, WIDTH:].equal(plain[:, WIDTH:])
    assert torch.allclose(out[:, :WIDTH], drawn(3, 1, WIDTH), atol=0.1)


def test_the_seed_of_the_run_decides_the_noise() -> None:
    class Told:
        param, seeds = standard(), []

        def extras(self, entry: dict[str, Any], latent: Tensor, **_: Any) -> dict[str, Tensor]:
            self.seeds.append(entry["seed"])
            return {}

    row = [torch.zeros(1, 1, 1), {}]
    prepare(Told(), [[row], [row]], torch.zeros(1, 4, 8, 8), seed=5)
    assert Told.seeds == [5, 5]
