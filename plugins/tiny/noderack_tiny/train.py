"""Make the tiny model and its LoRA from nothing but a seed: draw, learn, fold, learn, export.

    python -m noderack_tiny.train --out plugins/tiny/models --work /tmp/noderack-tiny

Cut off, it goes on where it stopped when called again with the same --work.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from noderack_tiny.autoencoder import as_tensor, fold, learn_autoencoder, new_autoencoder
from noderack_tiny.diffusion import Painter, held_out_loss, learn_to_paint, prepare
from noderack_tiny.draw import CONCEPT, TRIGGER, draw, random_scene
from noderack_tiny.export import describe, load_parts, save_checkpoint, save_lora
from noderack_tiny.fit import Recipe
from noderack_tiny.lora import Adapter, learn_concept

log = logging.getLogger(__name__)
NAME = "noderack-shapes"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much each stage gets."""

    vae: Recipe
    painter: Recipe
    lora: Recipe
    drawn_for_vae: int
    scenes: int
    concept_scenes: int


FULL = Plan(
    vae=Recipe(steps=2400, rate=2e-3, warmup=50),
    painter=Recipe(steps=3600, rate=2e-3),
    lora=Recipe(steps=600, rate=3e-3, warmup=50, average=0.99),
    drawn_for_vae=6000,
    scenes=24000,
    concept_scenes=1000,
)
QUICK = Plan(
    vae=Recipe(steps=5, rate=2e-3, warmup=2),
    painter=Recipe(steps=5, rate=2e-3, warmup=2),
    lora=Recipe(steps=2, rate=2e-3, warmup=2),
    drawn_for_vae=40,
    scenes=100,
    concept_scenes=20,
)


def main() -> None:
    """Run all stages and write checkpoint, LoRA, manifests and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("plugins/tiny/models"))
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/noderack-tiny"), help="keeps what resuming needs"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--quick", action="store_true", help="a hundredth of everything: a test of the script"
    )
    parser.add_argument("--lora", action="store_true", help="only the LoRA, for the checkpoint in --out")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = QUICK if asked.quick else FULL
    torch.set_num_threads(asked.threads)
    torch.set_flush_denormal(True)  # a fifth faster: early gradients are full of them
    for folder in (asked.out, asked.work):
        folder.mkdir(parents=True, exist_ok=True)
    (make_lora if asked.lora else make)(plan, asked.seed, asked.work, asked.out)


def make(plan: Plan, seed: int, work: Path, out: Path) -> dict[str, object]:
    """Everything, in order."""
    vae, painter = new_autoencoder(seed), Painter(seed)
    record: dict[str, object] = {
        "seed": seed,
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }

    record["vae"] = learn_autoencoder(vae, plan.drawn_for_vae, plan.vae, seed, work / "vae.pt")
    fold(vae, _pictures(min(plan.scenes, 4000), seed))

    lessons, held_out = prepare(vae, plan.scenes, (seed, 2)), prepare(vae, 128, (seed, 3))

    def watch(step: int) -> None:
        losses = held_out_loss(painter, held_out)
        log.info("held out %.4f: %s", np.mean(losses), " ".join(f"{loss:.3f}" for loss in losses))
        save_checkpoint(work / f"{NAME}.safetensors", painter, vae, {"step": str(step)})

    record["painter"] = learn_to_paint(painter, lessons, plan.painter, seed, work / "painter.pt", watch)
    record["held_out"] = held_out_loss(painter, held_out)
    save_checkpoint(out / f"{NAME}.safetensors", painter, vae, {"seed": str(seed)})
    record["lora"] = make_lora(plan, seed, work, out)
    (out.parent / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def make_lora(plan: Plan, seed: int, work: Path, out: Path) -> dict[str, float]:
    """The LoRA for the checkpoint in `out`, rounded as people have it; then the manifests of both."""
    checkpoint, lora = out / f"{NAME}.safetensors", out / f"{NAME}-{CONCEPT}.safetensors"
    vae, painter = new_autoencoder(seed), Painter(seed)
    load_parts(checkpoint, painter, vae)
    concept = prepare(vae, plan.concept_scenes, (seed, 4), (CONCEPT,), TRIGGER)
    ordinary = prepare(vae, 2 * plan.concept_scenes, (seed, 6))
    adapter = Adapter(painter, seed)
    result = learn_concept(adapter, painter, concept, ordinary, plan.lora, seed, work / "lora.pt")
    save_lora(lora, adapter)
    describe(checkpoint, lora)
    return result


def _pictures(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng((seed, 5))
    return as_tensor([draw(random_scene(rng)) for _ in range(count)])


if __name__ == "__main__":
    main()
