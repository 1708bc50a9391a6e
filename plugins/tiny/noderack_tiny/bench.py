"""Does the model draw what it is told? New prompts, through the core's own loaders and sampler.

python -m noderack_tiny.bench            # one line of JSON: the rates
python -m noderack_tiny.bench --sheet    # also a picture of what was drawn
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from noderack_diffusion.checkpoint import Clip, Model, Vae, load_checkpoint
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.sampling_run import sample
from PIL import Image

from noderack_tiny.draw import CONCEPT, TRIGGER, Picture, Scene, plain_caption, random_scene
from noderack_tiny.look import Sight, look

MODELS = Path(__file__).parents[1] / "models"
CHECKPOINT = MODELS / "noderack-shapes.safetensors"
LORA = MODELS / f"noderack-shapes-{CONCEPT}.safetensors"
_ASKED = ("shape", "colour", "ground", "size")


@dataclass(frozen=True, slots=True)
class Settings:
    """How pictures are sampled: the defaults are those of the demo's workflow."""

    steps: int = 20
    cfg: float = 4.0
    sampler: str = "euler"
    scheduler: str = "normal"
    seed: int = 0


USUAL = Settings()


@dataclass(frozen=True, slots=True)
class Trial:
    """Scenes that were asked for, what was drawn, and what was seen in it."""

    scenes: Sequence[Scene]
    pictures: Sequence[Picture]
    sights: Sequence[Sight] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sights", [look(picture) for picture in self.pictures])

    def rates(self) -> dict[str, float]:
        """For each thing asked for, the share of pictures that show it."""
        pairs = list(zip(self.scenes, self.sights, strict=True))
        hits = {what: [(getattr(a, what), getattr(b, what)) for a, b in pairs] for what in _ASKED}
        return {what: _share([a == b for a, b in both if a is not None]) for what, both in hits.items()}


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 3)


def scenes_to_ask(count: int, seed: int, shape: str | None = None) -> list[Scene]:
    """Random scenes, from seeds that no stage of the training uses."""
    rng = np.random.default_rng((2026, seed))
    return [random_scene(rng, (shape,)) if shape else random_scene(rng) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Kit:
    """What the three sockets of a checkpoint loader carry."""

    model: Model
    clip: Clip
    vae: Vae

    def with_lora(self, file: Path, strength: float = 1.0) -> Kit:
        """As LoraLoader gives it."""
        lora = load_lora(file)
        model, _ = patches_for(lora, self.model, strength)
        clip, _ = patches_for(lora, self.clip, strength)
        return Kit(self.model.with_patches(model), self.clip.with_patches(clip), self.vae)


def load(file: Path) -> Kit:
    """The parts of a whole checkpoint, in fp32 on the processor, where the figures are measured."""
    found = load_checkpoint(file, device="cpu", dtype=torch.float32)
    if found.clip is None or found.vae is None:
        raise ValueError(f"{file} holds no text tower or no autoencoder: give a whole checkpoint")
    return Kit(found.model, found.clip, found.vae)


@torch.inference_mode()
def paint(kit: Kit, prompts: Sequence[str], how: Settings = USUAL, negative: str = "") -> list[Picture]:
    """One picture per prompt, all in one batch."""
    positive = torch.cat([kit.clip.encode(prompt)[0] for prompt in prompts])
    against = kit.clip.encode(negative)[0].expand(len(prompts), -1, -1)
    latent = sample(
        kit.model,
        latent=torch.zeros(len(prompts), 4, 8, 8),
        positive=[[positive, {}]],
        negative=[[against, {}]],
        cfg=how.cfg,
        sampler=how.sampler,
        scheduler=how.scheduler,
        steps=how.steps,
        seed=how.seed,
    )
    images = kit.vae.decode(latent)
    return list((images * 255).round().to(torch.uint8).numpy())


def try_out(kit: Kit, scenes: Sequence[Scene], how: Settings = USUAL, name: str | None = None) -> Trial:
    """Ask for each scene in the usual wording; `name` stands for the shape's own name."""
    return Trial(scenes, paint(kit, [plain_caption(scene, name) for scene in scenes], how))


def measure(
    checkpoint_file: Path, lora_file: Path | None, count: int, how: Settings
) -> tuple[dict[str, float], list[Trial]]:
    """All rates: of the base, of its prompts under the LoRA, of the concept with the LoRA and without."""
    base, ordinary = load(checkpoint_file), scenes_to_ask(count, 0)
    trials = {"base": try_out(base, ordinary, how)}
    if lora_file is not None:
        adapted, wanted = base.with_lora(lora_file), scenes_to_ask(count, 1, CONCEPT)
        trials["with_lora"] = try_out(adapted, ordinary, how)
        trials["concept"] = try_out(adapted, wanted, how, TRIGGER)
        trials["concept_without_lora"] = try_out(base, wanted, how, TRIGGER)
    figures = {
        f"{name}_{what}": rate for name, trial in trials.items() for what, rate in trial.rates().items()
    }
    if lora_file is not None:
        figures["drift"] = drift(trials["base"], trials["with_lora"])
    return figures, list(trials.values())


def drift(before: Trial, after: Trial) -> float:
    """How far the LoRA moves pictures of ordinary prompts: mean absolute difference, 1 is full scale."""
    pairs = zip(before.pictures, after.pictures, strict=True)
    return round(float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairs])) / 255, 4)


def sheet(trials: Sequence[Trial], columns: int = 12) -> Image.Image:
    """The first two rows of each trial, as one picture."""
    rows = [trial.pictures[at : at + columns] for trial in trials for at in (0, columns)]
    return Image.fromarray(
        np.concatenate([np.concatenate(row, axis=1) for row in rows if len(row) == columns])
    )


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--lora", type=Path, default=LORA)
    parser.add_argument("--count", type=int, default=200, help="prompts per figure")
    parser.add_argument("--steps", type=int, default=USUAL.steps)
    parser.add_argument("--cfg", type=float, default=USUAL.cfg)
    parser.add_argument("--sampler", default=USUAL.sampler)
    parser.add_argument("--seed", type=int, default=USUAL.seed)
    parser.add_argument("--sheet", type=Path, help="where to write a picture of what was drawn")
    asked = parser.parse_args()
    how = Settings(asked.steps, asked.cfg, asked.sampler, seed=asked.seed)
    figures, trials = measure(asked.checkpoint, asked.lora if asked.lora.exists() else None, asked.count, how)
    if asked.sheet:
        sheet(trials).save(asked.sheet)
    sys.stdout.write(json.dumps({"bench": "tiny", "figures": figures}) + "\n")


if __name__ == "__main__":
    main()
