"""PhotoMaker: the network as ComfyUI 0.33 has it (photomaker.json), files, and words in prompts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_diffusion.errors import MismatchError, UnknownModelError
from noderack_diffusion.photomaker import IdEncoder, PhotoMaker, load_photomaker
from noderack_diffusion.prompt import Token
from noderack_diffusion.vision import VisionConfig
from safetensors.torch import save_file
from torch import Tensor

CASE = json.loads((Path(__file__).parents[1] / "cases/diffusion/photomaker.json").read_text(encoding="utf-8"))
CONFIG = VisionConfig(width=64, layers=2, heads=1, inner=96, patch=14, size=28, projection=6, quick_gelu=True)
WIDTH = 16


def state() -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in IdEncoder(CONFIG, 10, WIDTH).state_dict().items()}
    names = sorted(shapes)
    assert names == CASE["names"]
    return {
        name: torch.randn(shapes[name], generator=torch.Generator().manual_seed(i)) * 0.3
        for i, name in enumerate(names)
    }


def saved(path: Path) -> PhotoMaker:
    if path.suffix == ".bin":
        torch.save({"id_encoder": state(), "lora_weights": {"x": torch.zeros(1)}}, path)
    else:
        save_file({f"id_encoder.{name}": value for name, value in state().items()}, path)
    return load_photomaker(path)


@torch.no_grad()
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_word_and_a_person_are_fused_as_elsewhere(suffix: str, tmp_path: Path) -> None:
    network = saved(tmp_path / f"photomaker{suffix}").network
    chance = torch.Generator().manual_seed(99)
    pixels = torch.randn(1, 1, 3, 28, 28, generator=chance)[0]
    words = torch.randn(1, 77, WIDTH, generator=chance)
    out = network.fuse_module(words[:, 3], network.person(pixels))
    assert torch.allclose(out[0], torch.tensor(CASE["out"]), atol=2e-4)


class Words:
    """A text encoder whose states tell the tokens."""

    def __init__(self, width: int = WIDTH) -> None:
        self.width = width

    def tokenize(self, text: str) -> dict[str, Any]:
        return {"l": [[Token(i, 1.0, i) for i in range(6)]]}

    def encode_tokens(self, tokens: Any) -> tuple[Tensor, Tensor]:
        rows = torch.tensor([[float(t.value) for t in chunk] for chunk in tokens["l"]])
        return rows[..., None].expand(1, 6, self.width), torch.ones(1, 4)


def test_words_in_prompts(tmp_path: Path) -> None:
    made, image = saved(tmp_path / "photomaker.bin"), torch.rand(2, 40, 30, 3)
    plain, _ = made.encode(Words(), image, "a man")  # type: ignore[arg-type]
    assert plain[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    states, pooled = made.encode(Words(), image, "a man photomaker")  # type: ignore[arg-type]
    assert states[0, [0, 1, 3, 4, 5], 0].tolist() == [0, 1, 4, 5, 5], "the group of that number is left out"
    assert not states[0, 2].equal(plain[0, 2]) and pooled is not None
    with pytest.raises(MismatchError, match="is for SDXL"):
        made.encode(Words(8), image, "a man photomaker")  # type: ignore[arg-type]


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UnknownModelError, match="no PhotoMaker of the first version"):
        load_photomaker(tmp_path / "x.safetensors")
    part = {k: v for k, v in state().items() if "mlp1.fc1" not in k}
    save_file(part, tmp_path / "part.safetensors")
    with pytest.raises(UnknownModelError, match=r"lacks the weight fuse_module\.mlp1\.fc1\.bias"):
        load_photomaker(tmp_path / "part.safetensors")
