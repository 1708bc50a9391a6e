"""LoRAs on one condition only: the same latents as under ComfyUI, and what is switched, kept and given back.

tests/cases/hooks/peer.py made expected.json under ComfyUI 0.33 from cases.json and ground.py.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from noderack_diffusion.lora import LoraFile, group
from noderack_diffusion.model import Model
from noderack_diffusion.sampling_run import sample
from noderack_diffusion.sigma import standard
from noderack_diffusion.spec import FAMILIES, ModelSpec
from noderack_diffusion.unet import Level, UNet, UNetConfig
from noderack_diffusion.weight_hooks import HookGroup, Keyframe, LoraChange, ModelChange, WeightHook
from noderack_diffusion.weights import Live
from torch import Tensor

CASES = Path(__file__).parents[1] / "cases"
TABLE = json.loads((CASES / "hooks/cases.json").read_text())
EXPECTED = json.loads((CASES / "hooks/expected.json").read_text())
CONFIG = UNetConfig(width=32, levels=(Level(1, (1,), (1, 1)), Level(2, (1,), (1, 1))), context=16, heads=8)


class Piece:
    """A weight that is at hand."""

    def __init__(self, value: Tensor) -> None:
        self.value, self.reads = value, 0

    def dims(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def read(self) -> Tensor:
        self.reads += 1
        return self.value


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hooks_{name}", CASES / "hooks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ground = _loaded("ground")


def weights() -> dict[str, Tensor]:
    found = {}
    shapes = {name: tuple(value.shape) for name, value in UNet(CONFIG).state_dict().items()}
    for place, name in enumerate(sorted(shapes)):
        spread = ground.made(shapes[name], 1000 + place)
        if len(shapes[name]) == 1:
            centred = "norm" in name or name.endswith("0.weight")
            found[name] = 1 + 0.1 * spread if centred else 0.1 * spread
        else:
            found[name] = spread * (2.0 / max(1, spread[0].numel())) ** 0.5
    return found


def model_of(state: dict[str, Tensor], key: str) -> Model:
    family = next(family for family in FAMILIES if family.name == "sd1")
    pieces: Any = {name: Piece(value) for name, value in state.items()}
    live = Live(lambda: UNet(CONFIG), pieces, key=key)
    return Model(ModelSpec(family, CONFIG, None, "made for the test"), live, standard())


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(weights(), "hooks")


def change(number: int) -> LoraChange:
    shapes = {name: tuple(value.shape) for name, value in UNet(CONFIG).state_dict().items()}
    stems = group(ground.adapter(number, shapes))
    return LoraChange(LoraFile(Path(f"{number}.safetensors"), str(number), {}, stems))


def hook(name: str) -> WeightHook:
    number, strength, frames = ground.HOOKS[name]
    return WeightHook(change(number), strength, 0.0, tuple(Keyframe(*frame) for frame in frames))


def entries(rows: list[dict[str, Any]], made: dict[str, WeightHook]) -> list[list[Any]]:
    found = []
    for row in rows:
        told: dict[str, Any] = {}
        if "hooks" in row:
            told["hooks"] = HookGroup(tuple(made.setdefault(name, hook(name)) for name in row["hooks"]))
        if "range" in row:
            told["start_percent"], told["end_percent"] = row["range"]
        found.append([ground.text(row["text"]), told])
    return found


def draw(model: Model, positive: Any, negative: Any, *, steps: int = 4, sampler: str = "euler") -> Tensor:
    return sample(
        model,
        latent=torch.zeros(1, 4, 8, 8),
        positive=positive,
        negative=negative,
        cfg=5.0,
        sampler=sampler,
        scheduler="normal",
        steps=steps,
        seed=7,
    )


@pytest.mark.parametrize("name", TABLE)
def test_the_same_latent_as_under_comfyui(name: str, model: Model) -> None:
    case, made = TABLE[name], dict[str, WeightHook]()
    if "model" in case:
        own = hook(case["model"])
        model = model.with_patches(own.patches(model, 1.0))
    if case.get("wrapped"):
        model = model.clone()
        model.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * 1.0)
    yes, no = (entries(case[side], made) for side in ("positive", "negative"))
    got = draw(model, yes, no, steps=case.get("steps", 4), sampler=case.get("sampler", "euler"))
    wanted = torch.tensor(EXPECTED[name])
    assert torch.allclose(got.flatten(), wanted, rtol=2e-3, atol=2e-2), (got.flatten() - wanted).abs().max()


def test_weights_are_made_once_for_a_run_and_given_back_after_it() -> None:
    model = model_of(weights(), "counted")
    plain = draw(model, [[ground.text(1), {}]], [[ground.text(2), {}]])
    name = f"{ground.WHERE[0]}.weight"
    piece: Any = model.live.pieces[name]
    before = piece.reads
    on = [[ground.text(1), {"hooks": HookGroup((hook("a"),))}]]
    hooked = draw(model, on, [[ground.text(2), {}]], steps=6)
    assert piece.reads == before + 1, "once with the hook on; the plain one was at hand"
    assert not model.live._aside and not torch.equal(plain, hooked)
    assert torch.equal(draw(model, [[ground.text(1), {}]], [[ground.text(2), {}]]), plain)


def test_conditions_whose_hooks_say_the_same_run_together(model: Model) -> None:
    calls: list[int] = []
    counted = model.clone()
    counted.set_model_unet_function_wrapper(
        lambda run, told: (
            calls.append(len(told["input"])) or run(told["input"], told["timestep"], **told["c"])
        )
    )
    group = HookGroup((hook("a"),))
    same = HookGroup(group.hooks)
    draw(counted, [[ground.text(1), {"hooks": group}]], [[ground.text(2), {"hooks": same}]], steps=2)
    assert calls == [2, 2]
    calls.clear()
    draw(counted, [[ground.text(1), {"hooks": group}]], [[ground.text(2), {}]], steps=2)
    assert calls == [1, 1, 1, 1]


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_another_checkpoint_as_an_adapter(strength: float, model: Model) -> None:
    theirs = {name: value * 1.01 for name, value in weights().items()}
    other = model_of(theirs, "other")
    patches = WeightHook(ModelChange(other), strength).patches(model, 1.0)
    network = model.with_patches(patches).network()
    name = f"{ground.WHERE[2]}.weight"
    mine = weights()[name]
    got = network.get_parameter(name)
    assert torch.allclose(got, mine + strength * (theirs[name] - mine), atol=1e-6)


def test_a_text_is_encoded_for_each_part_of_a_schedule() -> None:
    frames = (Keyframe(0.0, 1.0), Keyframe(0.5, 0.25))
    group = HookGroup((WeightHook(change(0), 1.0, 2.0, frames), WeightHook(change(1), 1.0, 1.0)))
    assert group.spans() == [(0.0, 0.5), (0.5, 1.0)]
    other = group.with_keyframes((Keyframe(0.3, 0.5),))
    assert other.spans() == [(0.0, 0.3), (0.3, 1.0)] and other.hooks[0].change is group.hooks[0].change
    assert len((group | HookGroup(group.hooks[:1])).hooks) == 2, "a hook counts once"
