"""Sampling in parts gives what sampling in one node gives; what changes guidance does what its paper says."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host
from noderack_nodes import NODE_CLASS_MAPPINGS

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    result = getattr(node, node.FUNCTION)(*args, **inputs)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


class Scene:
    """A model, two prompts and a latent."""

    def __init__(self, host: Host) -> None:
        folder = host.models / "checkpoints"
        folder.mkdir(parents=True)
        shutil.copy(TINY, folder / "tiny.safetensors")
        self.model, self.clip, _ = run("CheckpointLoaderSimple", "tiny.safetensors")
        self.yes, self.no = self.words("a red circle"), self.words("")
        self.latent = run("EmptyLatentImage", 64, 64, 1)

    def words(self, text: str) -> Any:
        return run("CLIPTextEncode", self.clip, text)

    def whole(
        self, model: Any = None, cfg: float = 3.0, sampler: str = "euler", **latent: Any
    ) -> torch.Tensor:
        given = {**self.latent, **latent}
        model = model or self.model
        return run("KSampler", model, 7, 4, cfg, sampler, "karras", self.yes, self.no, given)["samples"]

    def parts(self, guider: Any, sampler: str = "euler", **latent: Any) -> Any:
        sigmas = run("BasicScheduler", self.model, "karras", 4, 1.0)
        given = {**self.latent, **latent}
        noise, solver = run("RandomNoise", 7), run("KSamplerSelect", sampler)
        return run("SamplerCustomAdvanced", noise, guider, solver, sigmas, given)

    def cfg(self, scale: float, model: Any = None) -> Any:
        return run("CFGGuider", model or self.model, self.yes, self.no, scale)


@pytest.fixture
def scene(host: Host) -> Scene:
    return Scene(host)


@pytest.mark.parametrize(
    "sampler", ["euler", "ddim", "euler_ancestral", "dpmpp_2m_sde", "euler_cfg_pp", "lcm"]
)
def test_parts_make_the_whole(scene: Scene, sampler: str) -> None:
    arrived, clean = scene.parts(scene.cfg(3.0), sampler)
    assert torch.allclose(arrived["samples"], scene.whole(sampler=sampler), atol=1e-4)
    assert torch.allclose(clean["samples"], arrived["samples"], atol=1e-4), "the last step ends clean"


@pytest.mark.parametrize("sampler", ["euler", "ddim"])
def test_masks_hold_in_parts_too(scene: Scene, sampler: str) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    given = {
        "samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)),
        "noise_mask": mask,
    }
    arrived, _ = scene.parts(scene.cfg(3.0), sampler, **given)
    assert torch.allclose(arrived["samples"], scene.whole(sampler=sampler, **given), atol=1e-4)


def test_the_node_in_between(scene: Scene) -> None:
    sigmas, solver = run("BasicScheduler", scene.model, "karras", 4, 1.0), run("KSamplerSelect", "euler")
    arrived, _ = run(
        "SamplerCustom", scene.model, True, 7, 3.0, scene.yes, scene.no, solver, sigmas, scene.latent
    )
    assert torch.allclose(arrived["samples"], scene.whole(), atol=1e-4)
    high, low = run("SplitSigmas", sigmas, 2)
    half, _ = run("SamplerCustom", scene.model, True, 7, 3.0, scene.yes, scene.no, solver, high, scene.latent)
    rest, _ = run("SamplerCustom", scene.model, False, 7, 3.0, scene.yes, scene.no, solver, low, half)
    assert torch.allclose(rest["samples"], arrived["samples"], atol=1e-3), "cut in two, it goes on"


def test_no_steps_give_the_latent_back(scene: Scene) -> None:
    nothing = run("BasicScheduler", scene.model, "karras", 4, 0.0)
    args = (run("RandomNoise", 7), scene.cfg(3.0), run("KSamplerSelect", "euler"), nothing, scene.latent)
    assert run("SamplerCustomAdvanced", *args)[0]["samples"].equal(scene.latent["samples"])


def test_guiders_that_come_to_the_same(scene: Scene) -> None:
    plain = scene.parts(scene.cfg(3.0))[0]["samples"]
    basic = scene.parts(run("BasicGuider", scene.model, scene.yes))[0]["samples"]
    assert torch.allclose(basic, scene.whole(cfg=1.0), atol=1e-4)
    for style in ("regular", "nested"):
        same = run("DualCFGGuider", scene.model, scene.yes, scene.no, scene.no, 3.0, 1.0, style)
        assert torch.allclose(scene.parts(same)[0]["samples"], plain, atol=1e-3), style
    alike = run("PerpNegGuider", scene.model, scene.yes, scene.no, scene.no, 3.0, 1.0)
    assert torch.allclose(scene.parts(alike)[0]["samples"], plain, atol=1e-3), "a negative that says nothing"


def test_noise_on_a_latent(scene: Scene) -> None:
    sigmas, noise = torch.tensor([2.0, 0.5]), run("RandomNoise", 7)
    noisy = run("AddNoise", scene.model, noise, sigmas, scene.latent)["samples"]
    assert torch.allclose(noisy * 0.18215, noise.generate_noise(scene.latent) * 1.5, atol=1e-5)
    silent = run("DisableNoise")
    assert not run("AddNoise", scene.model, silent, sigmas, scene.latent)["samples"].any()


CORRECTIONS: list[tuple[str, tuple[float, ...]]] = [
    ("CFGZeroStar", ()),
    ("CFGNorm", (1.0,)),
    ("CFGNorm", (1.0, True)),
    ("Mahiro", ()),
    ("TCFG", ()),
    ("APG", (0.5, 5.0, 0.2)),
    ("PerturbedAttentionGuidance", (3.0,)),
]


@pytest.mark.parametrize(("node", "values"), CORRECTIONS)
def test_corrections_work_in_both_kinds_of_node(scene: Scene, node: str, values: tuple[float, ...]) -> None:
    changed = run(node, scene.model, *values)
    whole = scene.whole(changed)
    assert whole.isfinite().all() and not whole.equal(scene.whole())
    again = run(node, scene.model, *values)
    assert torch.allclose(scene.parts(scene.cfg(3.0, again))[0]["samples"], whole, atol=1e-3)


def test_what_a_correction_leaves_alone(scene: Scene) -> None:
    assert run("PerturbedAttentionGuidance", scene.model, 0.0) is scene.model
    plain = scene.whole()
    assert torch.allclose(
        scene.whole(run("APG", scene.model, 1.0, 0.0, 0.0), 3.0), scene.whole(cfg=4.0), atol=1e-3
    )
    assert torch.allclose(scene.whole(run("RescaleCFG", scene.model, 0.0)), plain, atol=1e-4)


def test_a_grey_mask_opens_step_by_step(scene: Scene) -> None:
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    late, early = torch.full((1, 1, 64, 64), 0.2), torch.ones(1, 1, 64, 64)
    model = run("DifferentialDiffusion", scene.model)
    moved = [
        (scene.whole(model, samples=start, noise_mask=mask) - start).abs().mean() for mask in (late, early)
    ]
    assert moved[0] < moved[1], "a dark place begins late"
    assert torch.allclose(
        scene.whole(model, samples=start, noise_mask=early), scene.whole(samples=start), atol=1e-4
    )
