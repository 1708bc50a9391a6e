"""What packs call on CLIP, VAE, nodes and samplings gives what it gives under ComfyUI.

tests/cases/patching/calls.py is what packs write; calls.json there is what ComfyUI made of it, with the small
checkpoint of the golden cases.
"""

# ruff: noqa: E501 - code of packs in strings

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parents[1] / "cases" / "patching"
SHARED = Path(__file__).parents[2].parent / "shared"
MINI = "models/checkpoints/sd15_mini_fp16.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint: a ready one, or made."""
    if ready := os.environ.get("NODERACK_GOLDEN"):
        return Path(ready) / MINI
    if not (SHARED / "tools" / "make_checkpoints.py").exists():
        pytest.skip(f"the maker of checkpoints is not in {SHARED / 'tools'}")
    root = tmp_path_factory.mktemp("golden")
    command = [sys.executable, "make_checkpoints.py", "sd15_mini"]
    subprocess.run(command, cwd=SHARED / "tools", env={**os.environ, "OUT_DIR": str(root)}, check=True)
    return root / MINI


def close(mine: Any, theirs: Any) -> bool:
    """Equal, numbers within what single precision leaves open."""
    if isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(close, mine, theirs))
    if isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(close(mine[key], theirs[key]) for key in theirs)
    if isinstance(theirs, int | float) and not isinstance(theirs, bool):
        return abs(mine - theirs) <= 3e-3 * max(1.0, abs(mine), abs(theirs))
    return bool(mine == theirs)


@pytest.mark.slow
def test_calls_of_packs_give_what_they_give_under_comfyui(ask: Any, checkpoint: Path, tmp_path: Path) -> None:
    mine = ask(
        f"sys.path.insert(0, {str(CASES)!r})\nfrom calls import calls\n"
        "from noderack_host.running import Running, use\n"
        f"with use(Running()): answer = calls({str(checkpoint)!r})",
        tmp_path,
    )
    expected = json.loads((CASES / "calls.json").read_text("utf-8"))
    assert [name for name in expected if not close(mine.get(name), expected[name])] == []


def test_nodes_of_comfy_extras_are_called_as_packs_call_them(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import torch, nodes\nfrom comfy_extras.nodes_mask import GrowMask, SolidMask, composite\n"
        "from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel, UpscaleModelLoader\n"
        "from comfy_extras.nodes_custom_sampler import SplitSigmas\n"
        "mask = torch.zeros(1, 9, 9); mask[:, 4, 4] = 1\n"
        "ways = [GrowMask().expand_mask(mask, 1, False), GrowMask.execute(mask, 1, False),\n"
        " GrowMask().execute(mask=mask, expand=1, tapered_corners=False), nodes.NODE_CLASS_MAPPINGS['GrowMask']().expand_mask(mask, 1, False)]\n"
        "class Own(SolidMask): pass\n"
        "(half,) = Own().solid(0.5, 8, 4)\n"
        "try: GrowMask.execute(1, 2, 3, 4)\nexcept TypeError as error: said = str(error)\n"
        "put = composite(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 4, 4), -2, 6, multiplier=1)\n"
        "answer = [[float(way[0].sum()) for way in ways], list(half.shape), said, float(put.sum()),\n"
        " [len(part) for part in SplitSigmas.execute(torch.linspace(4, 0, 5), 2)], ImageUpscaleWithModel.FUNCTION,\n"
        " nodes.NODE_CLASS_MAPPINGS['GrowMask'] is GrowMask, UpscaleModelLoader.__module__]",
        tmp_path,
    )
    assert answer[0] == [9.0] * 4 and answer[1] == [1, 4, 8] and "GrowMask takes 3 values" in answer[2]
    assert answer[3] == 3 * 2 * 2 and answer[4] == [3, 3] and answer[5] == "upscale" and answer[6] is True
    assert answer[7] == "comfy_extras.nodes_upscale_model"


def test_a_pack_finds_the_nodes_of_others_in_the_table(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import nodes\nfrom noderack_host.packs import Building, Contents\n"
        "from importlib.metadata import EntryPoint\n"
        "class A: pass\n"
        "class B: pass\n"
        "made = {'one': Contents({'Theirs': A}, {'Theirs': 'A thing'}, None, 'one'), 'two': Contents({'KSampler': B}, {}, None, 'two')}\n"
        "building = Building(lambda point: made[point.name])\n"
        "grow = nodes.NODE_CLASS_MAPPINGS['GrowMask']\n"
        "for name in made: building.load(EntryPoint(name, name, 'noderack.packs'))\n"
        "building.done()\n"
        "answer = [nodes.NODE_CLASS_MAPPINGS['Theirs'] is A, nodes.NODE_DISPLAY_NAME_MAPPINGS['Theirs'],\n"
        " nodes.NODE_CLASS_MAPPINGS['GrowMask'] is grow]",
        tmp_path,
    )
    assert answer == [True, "A thing", True]


def test_a_controlnet_of_the_core_is_set_up_chained_and_asked_as_packs_do(ask: Any, tmp_path: Path) -> None:
    answer = ask(
        "import torch, comfy.controlnet as cn\nfrom noderack_diffusion.control import Control, ControlNet as Net\n"
        "from noderack_diffusion.unet import Level, UNetConfig\nfrom noderack_diffusion.weights import Live\n"
        "from noderack_diffusion.sigma import standard\nfrom noderack_diffusion.patching.measure import seen\n"
        "config = UNetConfig(width=32, levels=(Level(1, (1,), (1, 1)),), context=16, heads=8)\n"
        "torch.manual_seed(0)\n"
        "class Piece:\n"
        "    def __init__(self, value): self.value = value\n"
        "    def dims(self): return tuple(self.value.shape)\n"
        "    def read(self): return self.value\n"
        "pieces = {n: Piece(torch.randn(v.shape) * 0.1) for n, v in Net(config).state_dict().items()}\n"
        "core = Control(live=Live(lambda: Net(config), pieces, key='c'))\n"
        "picture, x, t = torch.rand(1, 64, 64, 3), torch.randn(2, 4, 8, 8), torch.tensor([3.0, 3.0])\n"
        "param, context = standard(), torch.randn(2, 7, 16)\n"
        "own = core.given(picture, 0.7, 0.0, 0.9).residuals(param, param.input(x, t), t, context=context)\n"
        "class Model: model_sampling = seen(param)\n"
        "made = core.copy().set_cond_hint(picture.movedim(-1, 1), 0.7, (0.0, 0.9))\n"
        "made.pre_run(Model, Model.model_sampling.percent_to_sigma)\n"
        "theirs = made.get_control(x, t, {'c_crossattn': context}, 2, {})\n"
        "twice = core.copy().set_cond_hint(picture.movedim(-1, 1), 0.7).set_previous_controlnet(core.given(picture, 0.7))\n"
        "twice.pre_run(Model, Model.model_sampling.percent_to_sigma)\n"
        "both = twice.get_control(x, t, {'c_crossattn': context}, 2, {})\n"
        "late = made.get_control(x, t * 0 + 1e-3, {'c_crossattn': context}, 2, {})\n"
        "same = lambda a, b, k: all(torch.allclose(p * k, q, atol=1e-4) for n in ('middle', 'output') for p, q in zip(a[n], b[n]))\n"
        "answer = [type(made) is cn.ControlNet, isinstance(made, cn.ControlBase), same(own, theirs, 1), same(own, both, 2), late is None]",
        tmp_path,
    )
    assert answer == [True] * 5


def test_hooks_are_built_scheduled_combined_and_put_on_conditionings_as_packs_do(
    ask: Any, tmp_path: Path
) -> None:
    answer = ask(
        "import torch, comfy.hooks as h\n"
        "lora = {'lora_unet_a.lora_up.weight': torch.ones(4, 2), 'lora_unet_a.lora_down.weight': torch.ones(2, 4), 'lora_unet_a.alpha': torch.tensor(2.0)}\n"
        "one, other = h.create_hook_lora(lora, 0.5, 0.0), h.create_hook_lora(lora, 1.0, 1.0)\n"
        "frames = h.HookKeyframeGroup(); frames.add(h.HookKeyframe(1.0, 0.5)); frames.add(h.HookKeyframe(strength=0.0, start_percent=0.0))\n"
        "both = h.HookGroup.combine_all_hooks([one, None, other]); both.set_keyframes_on_hooks(hook_kf=frames)\n"
        "own = h.HookGroup(); own.add(one.hooks[0]); own.add(one.hooks[0])\n"
        "copy = own.clone(); copy.add(other.hooks[0])\n"
        "cond = [[torch.zeros(1, 1), {'a': 1}]]\n"
        "(made,) = h.set_conds_props([cond], 0.7, 'default', torch.ones(8, 8), own, (0.2, 0.9))\n"
        "(two,) = h.set_default_conds_and_combine([cond], [made], hooks=other)\n"
        "answer = [len(both), [f.start for f in both.hooks[0].keyframes], both.spans(), len(own), len(copy), h.HookGroup.combine_all_hooks([]),\n"
        " sorted(made[0][1]), made[0][1]['hooks'] is own, len(two), two[1][1]['default'], len(two[1][1]['hooks']), 'hooks' in cond[0][1]]",
        tmp_path,
    )
    assert answer[:6] == [2, [0.0, 0.5], [[0.0, 0.5], [0.5, 1.0]], 1, 2, None]
    keys = ["a", "end_percent", "hooks", "mask", "mask_strength", "set_area_to_bounds", "start_percent"]
    assert answer[6] == keys and answer[7:] == [True, 2, True, 2, False]
