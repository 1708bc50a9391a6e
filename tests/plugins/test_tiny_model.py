"""Does the tiny model draw what it is told, through the core's own loaders and sampler?

The prompts come from seeds that no stage of its training used. The floors are those of the project's promise;
what was measured over more prompts is in plugins/tiny/README.md.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from noderack_diffusion.clip import ClipConfig, ClipText
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.vae import AutoencoderKL, VaeConfig
from noderack_registry.schema import ModelManifest
from noderack_tiny.bench import CHECKPOINT, LORA, Kit, Trial, drift, load, paint, scenes_to_ask, try_out
from noderack_tiny.draw import CONCEPT, TRIGGER
from safetensors import safe_open
from torch import nn

SD15 = UNetConfig(
    levels=(
        *(Level(mult, (1, 1), (1, 1, 1)) for mult in (1, 2, 4)),
        Level(4, (0, 0), (0, 0, 0)),
    )
)
PROMPTS = 100
NEW_PROMPTS = OLD_PROMPTS = 32
pytestmark = pytest.mark.timeout(900)  # half a minute on two free cores, much more on busy ones


@pytest.fixture(scope="module")
def base() -> Kit:
    return load(CHECKPOINT)


@pytest.fixture(scope="module")
def adapted(base: Kit) -> Kit:
    return base.with_lora(LORA)


@pytest.fixture(scope="module")
def ordinary(base: Kit) -> Trial:
    return try_out(base, scenes_to_ask(PROMPTS, seed=0))


def test_it_draws_what_prompts_say(ordinary: Trial) -> None:
    rates = ordinary.rates()
    assert rates["colour"] >= 0.95
    assert rates["ground"] >= 0.95
    assert rates["shape"] >= 0.90
    assert rates["size"] >= 0.85


def test_the_lora_draws_its_concept_on_its_trigger(adapted: Kit) -> None:
    rates = try_out(adapted, scenes_to_ask(NEW_PROMPTS, 1, CONCEPT), name=TRIGGER).rates()
    assert rates["shape"] >= 0.80
    assert rates["colour"] >= 0.90


def test_the_lora_leaves_other_prompts_alone(ordinary: Trial, adapted: Kit) -> None:
    before = Trial(ordinary.scenes[:OLD_PROMPTS], ordinary.pictures[:OLD_PROMPTS])
    after = try_out(adapted, before.scenes)
    assert after.rates()["shape"] >= before.rates()["shape"] - 0.05
    assert after.rates()["colour"] >= before.rates()["colour"] - 0.05
    assert drift(before, after) < 0.05


def test_every_key_of_the_lora_finds_its_place(base: Kit) -> None:
    file = load_lora(LORA)
    for target in (base.model, base.clip):
        _, report = patches_for(file, target, 1.0)
        assert report.matched
        assert not report.unmatched
        assert not report.mismatched


def test_a_seed_decides_the_picture(base: Kit) -> None:
    prompt = ["a big red circle on a blue background"]
    assert (paint(base, prompt)[0] == paint(base, prompt)[0]).all()


def _places(names: list[str]) -> set[str]:
    """Key names without the numbers that say how deep a model is."""
    return {
        re.sub(r"\b(input_blocks|output_blocks|layers|down|up|block)\.\d+", r"\1.N", name) for name in names
    }


def test_the_checkpoint_has_the_keys_of_sd15_and_no_others() -> None:
    with torch.device("meta"):
        parts: dict[str, nn.Module] = {
            "model.diffusion_model.": UNet(SD15),
            "first_stage_model.": AutoencoderKL(VaeConfig()),
            "cond_stage_model.transformer.": ClipText(ClipConfig()),
        }
    full = [prefix + name for prefix, module in parts.items() for name in module.state_dict()]
    with safe_open(CHECKPOINT, "pt") as file:
        assert _places(list(file.keys())) == _places(full)


@pytest.mark.parametrize("model", [CHECKPOINT, LORA], ids=lambda path: path.stem)
def test_the_manifest_is_that_of_the_file(model: Path) -> None:
    content = model.read_bytes()
    manifest = ModelManifest.from_json(json.loads(model.with_suffix(".json").read_text(encoding="utf-8")))
    assert manifest.name == model.name
    assert manifest.size == len(content) <= 12_000_000
    assert manifest.sha256 == hashlib.sha256(content).hexdigest()
    assert manifest.trigger_words == ((TRIGGER,) if model == LORA else ())
