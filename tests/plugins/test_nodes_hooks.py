"""Nodes for hooks, on the small checkpoint of the demo: what acts on one conditioning only, and when."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host
from noderack_nodes import NODE_CLASS_MAPPINGS

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"
HEART = TINY.with_name("noderack-shapes-heart.safetensors")


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    result = getattr(node, node.FUNCTION)(*args, **inputs)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


@pytest.fixture
def whole(host: Host) -> tuple[Any, Any, Any]:
    for folder, file in (("checkpoints", TINY), ("loras", HEART)):
        (host.models / folder).mkdir(parents=True)
        shutil.copy(file, host.models / folder / file.name)
    return run("CheckpointLoaderSimple", TINY.name)


def draw(model: Any, yes: Any, no: Any, steps: int = 3) -> torch.Tensor:
    latent = run("EmptyLatentImage", 64, 64, 1)
    return run("KSampler", model, 1, steps, 3.0, "euler", "normal", yes, no, latent)["samples"]


def hooked(hooks: Any, *texts: Any) -> list[Any]:
    return [run("ConditioningSetProperties", text, 1.0, "default", hooks=hooks) for text in texts]


def test_on_both_sides_it_is_the_lora_itself(whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    hooks = run("CreateHookLora", HEART.name, 0.8, 0.6)
    both = run("SetClipHooks", clip, True, False, hooks=hooks)
    texts = [run("CLIPTextEncode", both, words) for words in ("a red heart", "")]
    lora, its_clip = run("LoraLoader", model, clip, HEART.name, 0.8, 0.6)
    plain = [run("CLIPTextEncode", its_clip, words) for words in ("a red heart", "")]
    assert torch.allclose(texts[0][0][0], plain[0][0][0], atol=1e-6)
    assert torch.allclose(draw(model, *texts), draw(lora, *plain), atol=1e-4)
    without = run("SetClipHooks", clip, False, False, hooks=hooks)
    (entry,) = run("CLIPTextEncode", without, "a red heart")
    assert "hooks" not in entry[1] and torch.allclose(entry[0], plain[0][0][0], atol=1e-6)


def test_keyframes_turn_it_on_and_off(whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    yes, no = (run("CLIPTextEncode", clip, words) for words in ("a red heart", ""))
    hooks = run("CreateHookLoraModelOnly", HEART.name, 1.0)
    never = run("SetHookKeyframes", hooks, run("CreateHookKeyframe", 0.0, 0.0))
    plain, on = draw(model, yes, no), draw(model, *hooked(hooks, yes, no))
    assert torch.equal(draw(model, *hooked(never, yes, no)), plain) and not torch.allclose(on, plain)
    late = run("CreateHookKeyframe", 1.0, 0.5, prev_hook_kf=run("CreateHookKeyframe", 0.0, 0.0))
    half = draw(model, *hooked(run("SetHookKeyframes", hooks, late), yes, no))
    assert not torch.allclose(half, plain) and not torch.allclose(half, on)


def test_a_schedule_encodes_the_text_anew_for_each_part(whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    frames = run("CreateHookKeyframesFromFloats", [1.0, 0.5], 0.0, 0.6)
    hooks = run("SetHookKeyframes", run("CreateHookLora", HEART.name, 1.0, 1.0), frames)
    texts = run("CLIPTextEncode", run("SetClipHooks", clip, True, True, hooks=hooks), "a red heart")
    told = [(t["clip_start_percent"], t["clip_end_percent"]) for _, t in texts]
    assert told == [(0.0, 0.6), (0.6, 1.0)] and not torch.equal(texts[0][0], texts[1][0])
    assert torch.isfinite(draw(model, texts, run("CLIPTextEncode", clip, ""))).all()


def test_another_checkpoint_in_part(whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    yes, no = (run("CLIPTextEncode", clip, words) for words in ("a red circle", ""))
    same = run("CreateHookModelAsLora", TINY.name, 1.0, 1.0)
    assert torch.allclose(draw(model, *hooked(same, yes, no)), draw(model, yes, no), atol=1e-3)


@pytest.mark.parametrize(
    ("way", "strengths"),
    [
        ("linear", [0.0, 1.0, 2.0]),
        ("ease_in", [0.0, 0.5, 2.0]),
        ("ease_out", [0.0, 1.5, 2.0]),
        ("ease_in_out", [0.0, 1.0, 2.0]),
    ],
)
def test_strengths_between(way: str, strengths: list[float]) -> None:
    made = run("CreateHookKeyframesInterpolated", 0.0, 2.0, way, 0.4, 0.9, 3)
    assert [frame.strength for frame in made] == pytest.approx(strengths)
    assert [frame.start for frame in made] == pytest.approx([0.4, 0.65, 0.9])
    assert [frame.steps for frame in made] == [1, 0, 0]


def test_properties_and_pairs() -> None:
    text, mask = [[torch.ones(1, 3, 4), {"a": 1}]], torch.ones(4, 4)
    assert run("ConditioningSetProperties", text, 0.5, "default") == text, "the strength is the mask's"
    within, before, after = run("ConditioningTimestepsRange", 0.2, 0.7)
    assert (within, before, after) == ((0.2, 0.7), (0.0, 0.2), (0.7, 1.0))
    more = {"strength": 0.5, "set_cond_area": "mask bounds", "mask": mask, "timesteps": within}
    (old, (_, told)) = run("ConditioningSetPropertiesAndCombine", text, text, **more)
    assert old == text[0] and told["mask"].shape == (1, 4, 4) and told["set_area_to_bounds"]
    assert (told["mask_strength"], told["start_percent"], told["end_percent"]) == (0.5, 0.2, 0.7)
    yes, no = run("PairConditioningSetPropertiesAndCombine", text, text, text, text, **more)
    assert len(yes) == len(no) == 2 and [
        len(side) for side in run("PairConditioningCombine", yes, no, yes, no)
    ]


def test_groups_join_each_hook_once(whole: tuple[Any, Any, Any]) -> None:
    one = run("CreateHookLoraModelOnly", HEART.name, 1.0)
    two = run("CreateHookLoraModelOnly", HEART.name, 0.5, prev_hooks=one)
    assert len(run("CombineHooks4", hooks_A=one, hooks_C=two).hooks) == 2
    assert run("CreateHookLora", HEART.name, 0.0, 0.0, prev_hooks=two) is two


def test_defaults_take_hooks_along(whole: tuple[Any, Any, Any]) -> None:
    hooks, more = (run("CreateHookLoraModelOnly", HEART.name, s) for s in (1.0, 0.5))
    text = [[torch.ones(1, 3, 4), {"hooks": hooks}]]
    both = run("ConditioningSetDefaultCombine", text, text, hooks=more)
    yes, no = run("PairConditioningSetDefaultCombine", text, text, text, text, hooks=more)
    for found in (both, yes, no):
        assert [told.get("default") for _, told in found] == [None, True]
        assert [len(told["hooks"].hooks) for _, told in found] == [1, 2]
