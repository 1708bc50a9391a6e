"""Hypernetworks, number formats, LoRAs made on the way, steps left out, pictures over the socket."""

from typing import Any

import pytest
import torch
from noderack_diffusion.errors import AdapterError
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use
from noderack_nodes.errors import NodeInputError
from safetensors.torch import load_file

from .test_nodes_models import HEART, draw, parts, run, whole  # noqa: F401 - a fixture among them

Whole = tuple[Any, Any, Any]


def hypernetwork(width: int) -> dict[Any, Any]:
    torch.manual_seed(1)
    state = {"linear.0.weight": torch.randn(width, width) * 0.1, "linear.0.bias": torch.zeros(width)}
    return {width: (state, {k: v * 2 for k, v in state.items()}), "activation_func": "linear"}


def test_a_hypernetwork(host: Host, whole: Whole) -> None:  # noqa: F811
    model, clip, _ = whole
    (host.models / "hypernetworks").mkdir()
    torch.save(hypernetwork(model.spec.unet.context), host.models / "hypernetworks/style.pt")
    plain = draw(model, clip)
    styled = draw(run("HypernetworkLoader", model, "style.pt", 1.0), clip)
    assert styled.isfinite().all() and not torch.allclose(styled, plain, atol=1e-3)
    assert draw(run("HypernetworkLoader", model, "style.pt", 0.0), clip).allclose(plain, atol=1e-5)


def test_a_lora_without_a_file(host: Host, whole: Whole) -> None:  # noqa: F811
    model, clip, _ = whole
    (host.models / "loras").mkdir()
    (host.models / "loras/heart.safetensors").write_bytes(HEART.read_bytes())
    wanted = draw(run("LoraLoaderModelOnly", model, "heart.safetensors", 0.7), clip)
    tensors = load_file(HEART)
    assert draw(run("LoraModelLoader", model, tensors, 0.7), clip).allclose(wanted, atol=1e-5)
    assert run("LoraModelLoader", model, tensors, 0.0) is model
    with pytest.raises(AdapterError, match="no adapter that is known"):
        run("LoraModelLoader", model, {"x": torch.zeros(1)}, 1.0)
    lost = {"elsewhere.lora_up.weight": torch.ones(4, 2), "elsewhere.lora_down.weight": torch.ones(2, 4)}
    with pytest.raises(NodeInputError, match="changes nothing here"):
        run("LoraModelLoader", model, lost, 1.0)
    run("SaveLoRANode", tensors, "loras/mine", 40)
    (path,) = (host.output / "loras").iterdir()
    assert path.name == "mine_40_steps_00001_.safetensors" and load_file(path).keys() == tensors.keys()


def test_computing_in_another_format(whole: Whole) -> None:  # noqa: F811
    model, clip, _ = whole
    half = model.in_dtype(torch.bfloat16)  # fp32 where the processor has no bf16
    assert run("ModelComputeDtype", model, "default") is model
    assert run("ModelComputeDtype", model, "fp32").live is model.live
    assert run("ModelComputeDtype", model, "fp16").dtype == torch.float32, "no fp16 on a processor"
    assert (
        half.in_dtype(torch.float32).live.shared is not None
        and half.live is model.in_dtype(torch.bfloat16).live
    )
    near, plain = draw(half, clip), draw(model, clip)
    assert torch.nn.functional.cosine_similarity(near.flatten(), plain.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("node", ["EasyCache", "LazyCache"])
def test_steps_are_left_out_under_the_plain_sampler_too(whole: Whole, node: str) -> None:  # noqa: F811
    model, clip, _ = whole
    plain = draw(model, clip, steps=6)
    assert draw(run(node, model, 0.0, 0.0, 1.0), clip, steps=6).allclose(plain, atol=1e-3)
    fewer = draw(run(node, model, 3.0, 0.0, 1.0), clip, steps=6)
    assert fewer.isfinite().all() and not fewer.allclose(plain, atol=1e-3)


def test_another_scale_of_guidance_for_a_part(whole: Whole) -> None:  # noqa: F811
    model, clip, _ = whole
    plain, other = draw(model, clip, cfg=3.0), draw(model, clip, cfg=5.0)
    assert draw(run("CFGOverride", model, 5.0, 0.0, 1.0), clip, cfg=3.0).allclose(other, atol=1e-4)
    late = draw(run("CFGOverride", model, 5.0, 0.5, 1.0), clip, cfg=3.0)
    assert not late.allclose(plain, atol=1e-3) and not late.allclose(other, atol=1e-3)
    twice = run("CFGOverride", run("CFGOverride", model, 9.0, 0.0, 1.0), 5.0, 0.0, 1.0)
    assert draw(twice, clip, cfg=3.0).allclose(other, atol=1e-4), "the one nearest the sampler counts"


def test_small_pictures_and_depths_go_with_the_words() -> None:
    words, images = [[torch.zeros(1, 2, 4), {"a": 1}]], torch.rand(2, 64, 96, 3)
    yes, no, latent = run("SD_4XUpscale_Conditioning", images, words, words, 4.0, 0.2)
    assert latent["samples"].shape == (2, 4, 64, 96), "four pixels a cell, four times as large"
    for side in (yes, no):
        told = side[0][1]
        assert told["a"] == 1 and told["noise_augmentation"] == 0.2
        assert torch.allclose(told["concat_image"], images.movedim(-1, 1) * 2 - 1, atol=1e-5)
    assert words[0][1] == {"a": 1}, "what came in stays as it is"
    yes, no = run("NoderackDepthConditioning", words, words, images)
    assert torch.allclose(yes[0][1]["concat_depth"], images.mean(-1)[:, None], atol=1e-6)
    assert no[0][1]["concat_depth"].shape == (2, 1, 64, 96)


def test_sigmas_written_out() -> None:
    assert run("ManualSigmas", "14.6, 3 .5;0").tolist() == pytest.approx([14.6, 3.0, 0.5, 0.0])


def test_pictures_go_over_the_socket(host: Host) -> None:
    seen: list[Any] = []
    running = Running(host, ModelFolders.of(host), report=lambda *told: seen.append(told))
    with use(running):
        assert run("SaveImageWebsocket", torch.rand(2, 8, 6, 3)) == {}
    assert [(told[1], told[2], told[3][0], told[3][1].size) for told in seen] == [
        (1, 2, "PNG", (6, 8)),
        (2, 2, "PNG", (6, 8)),
    ]
