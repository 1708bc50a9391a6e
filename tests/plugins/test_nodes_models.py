"""Nodes that load, change, join and write models, on the small checkpoint of the demo."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import NodeInputError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"
HEART = TINY.with_name("noderack-shapes-heart.safetensors")


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    result = getattr(node, node.FUNCTION)(*args, **inputs)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


@pytest.fixture
def whole(host: Host) -> tuple[Any, Any, Any]:
    folder = host.models / "checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(TINY, folder / "tiny.safetensors")
    return run("CheckpointLoaderSimple", "tiny.safetensors")


def words(clip: Any, text: str) -> Any:
    return run("CLIPTextEncode", clip, text)


def draw(model: Any, clip: Any, *, cfg: float = 3.0, steps: int = 2) -> torch.Tensor:
    latent = run("EmptyLatentImage", 64, 64, 1)
    yes, no = words(clip, "a red circle"), words(clip, "")
    return run("KSampler", model, 1, steps, cfg, "euler", "normal", yes, no, latent)["samples"]


def parts(host: Host) -> dict[str, Path]:
    """The checkpoint's three parts, each in a file of its own, as people keep them."""
    with safe_open(TINY, "pt") as file:
        metadata = file.metadata()
    tensors, made = load_file(TINY), {}
    for folder, prefix in (
        ("diffusion_models", "model.diffusion_model."),
        ("text_encoders", "cond_stage_model.transformer."),
        ("vae", "first_stage_model."),
    ):
        path = host.models / folder / "part.safetensors"
        path.parent.mkdir(parents=True)
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        save_file(own, path, metadata)
        made[folder] = path
    return made


def test_three_files_are_one_checkpoint(host: Host, whole: tuple[Any, Any, Any]) -> None:
    parts(host)
    model, clip, vae = whole
    alone = run("UNETLoader", "part.safetensors", "default")
    text = run("CLIPLoader", "part.safetensors", "stable_diffusion")
    decoder = run("VAELoader", "part.safetensors")
    latent = draw(model, clip)
    assert draw(alone, text).equal(latent)
    assert run("VAEDecode", decoder, {"samples": latent}).equal(run("VAEDecode", vae, {"samples": latent}))


@pytest.mark.parametrize(
    ("name", "told", "kind", "layer"),
    [
        ("v1-inference.yaml", None, "eps", None),
        ("anything_v3.yaml", None, "eps", -2),
        ("v2-inference-v.yaml", None, "v", None),
        ("own.yaml", 'model:\n  params:\n    parameterization: "v"\n    layer_idx: -3\n', "v", -3),
    ],
)
def test_a_checkpoint_with_the_name_of_a_config(
    host: Host, whole: tuple[Any, Any, Any], name: str, told: str | None, kind: str, layer: int | None
) -> None:
    if told is not None:
        (host.models / "configs").mkdir()
        (host.models / "configs" / name).write_text(told)
        assert name in NODE_CLASS_MAPPINGS["CheckpointLoader"].INPUT_TYPES()["required"]["config_name"][0]
    model, clip, _ = run("CheckpointLoader", name, "tiny.safetensors")
    assert model.param.kind == kind
    wanted = whole[1] if layer is None else run("CLIPSetLastLayer", whole[1], layer)
    assert words(clip, "a red circle")[0][0].equal(words(wanted, "a red circle")[0][0])


@pytest.mark.parametrize("kept", ["fp8_e4m3fn", "fp8_e5m2", "int8"])
def test_weights_kept_in_eight_bits(host: Host, whole: tuple[Any, Any, Any], kept: str) -> None:
    parts(host)
    narrow = run("UNETLoader", "part.safetensors", kept)
    latent, near = draw(whole[0], whole[1]), draw(narrow, whole[1])
    assert narrow.live.loaded_bytes() < 0.6 * whole[0].live.loaded_bytes()
    assert not near.equal(latent)
    assert torch.nn.functional.cosine_similarity(near.flatten(), latent.flatten(), dim=0) > 0.97


@pytest.mark.parametrize(
    ("node", "inputs", "tensors", "said"),
    [
        ("CLIPLoader", ("t5.safetensors", "sd3"), "encoder.block.0.layer.0.SelfAttention.q.weight", "a T5"),
        ("CLIPLoader", ("other.safetensors", "sd3"), "something.weight", "no text encoder that is known"),
    ],
)
def test_text_encoders_that_serve_nothing_here(
    host: Host, node: str, inputs: tuple[str, str], tensors: str, said: str
) -> None:
    folder = host.models / "text_encoders"
    folder.mkdir(parents=True)
    save_file({tensors: torch.zeros(1)}, folder / inputs[0])
    with pytest.raises(Exception, match=said):
        run(node, *inputs)


def test_two_encoders_in_either_order(host: Host) -> None:
    from noderack_diffusion.clip import ClipConfig, ClipText

    folder = host.models / "text_encoders"
    folder.mkdir(parents=True)
    for name, width in (("l", 768), ("g", 1280)):
        config = ClipConfig(width, 2, width // 64, 64, 49408, 77, 0 if name == "l" else width, name == "l")
        torch.manual_seed(width)
        save_file(ClipText(config).state_dict(), folder / f"{name}.safetensors")
    one = words(run("DualCLIPLoader", "l.safetensors", "g.safetensors", "sdxl"), "x")
    other = words(run("DualCLIPLoader", "g.safetensors", "l.safetensors", "sdxl"), "x")
    assert one[0][0].shape == (1, 77, 2048) and one[0][1]["pooled_output"].shape == (1, 1280)
    assert one[0][0].equal(other[0][0])
    clip = run("DualCLIPLoader", "l.safetensors", "g.safetensors", "sdxl")
    long = " ".join(["word"] * 100)
    ((text, told),) = run(
        "CLIPTextEncodeSDXL",
        clip=clip,
        width=640,
        height=512,
        crop_w=8,
        crop_h=0,
        target_width=1024,
        target_height=1024,
        text_g=long,
        text_l="short",
    )
    assert text.shape == (1, 154, 2048), "the shorter text is filled up"
    assert (told["width"], told["crop_w"], told["target_height"]) == (640, 8, 1024)
    with pytest.raises(Exception, match="CLIP-L and CLIP-L"):
        run("DualCLIPLoader", "l.safetensors", "l.safetensors", "sdxl")


def test_merged_saved_and_loaded_again(host: Host, whole: tuple[Any, Any, Any]) -> None:
    model, clip, vae = whole
    folder = host.models / "loras"
    folder.mkdir(parents=True)
    shutil.copy(HEART, folder / "heart.safetensors")
    changed, changed_clip = run("LoraLoader", model, clip, "heart.safetensors", 1.0, 1.0)
    half = run("ModelMergeSimple", model, changed, 0.5)
    weaker = run("LoraLoaderModelOnly", model, "heart.safetensors", 0.5)
    assert torch.allclose(draw(half, clip), draw(weaker, clip), atol=1e-3)
    assert run("CheckpointSave", half, changed_clip, vae, "checkpoints/merged", prompt={"1": {}}) == {}
    assert (
        run("VAESave", vae, "vae/one")
        == run("CLIPSave", clip, "clip/one")
        == run("ModelSave", half, "m")
        == {}
    )
    saved = host.output / "checkpoints/merged_00001_.safetensors"
    with safe_open(saved, "pt") as file:
        assert file.metadata()["prompt"] == '{"1": {}}'
    again = run("CheckpointLoaderSimple", saved.name)
    assert torch.allclose(draw(again[0], again[1]), draw(half, changed_clip), atol=2e-2), "half precision"
    assert (host.output / "clip/one_clip_l_00001_.safetensors").is_file()


def test_a_difference_becomes_a_lora(host: Host, whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    folder = host.models / "loras"
    folder.mkdir(parents=True)
    shutil.copy(HEART, folder / "heart.safetensors")
    changed, changed_clip = run("LoraLoader", model, clip, "heart.safetensors", 1.0, 1.0)
    change = run("ModelMergeSubtract", changed, model, 1.0)
    text = run("CLIPMergeSubtract", changed_clip, clip, 1.0)
    run("LoraSave", "loras/again", 64, "standard", True, change, text)
    shutil.copy(next((host.output / "loras").glob("*.safetensors")), folder / "again.safetensors")
    again = run("LoraLoader", model, clip, "again.safetensors", 1.0, 1.0)
    assert torch.allclose(draw(*again), draw(changed, changed_clip), atol=2e-2)
    with pytest.raises(Exception, match="no difference to save"):
        run("LoraSave", "loras/none", 8, "standard", True)


@pytest.mark.parametrize(
    ("node", "values"),
    [
        ("FreeU", (1.3, 1.4, 0.9, 0.2)),
        ("FreeU_V2", (1.3, 1.4, 0.9, 0.2)),
        ("RescaleCFG", (0.7,)),
        ("ModelSamplingDiscrete", ("lcm", False)),
        ("ModelSamplingDiscrete", ("eps", True)),
        ("ModelSamplingContinuousEDM", ("eps", 120.0, 0.002)),
        ("ModelSamplingContinuousEDM", ("edm_playground_v2.5", 80.0, 0.002)),
    ],
)
def test_changes_change_a_copy(whole: tuple[Any, Any, Any], node: str, values: tuple[Any, ...]) -> None:
    model, clip, _ = whole
    before = draw(model, clip)
    after = draw(run(node, model, *values), clip)
    assert after.isfinite().all() and not after.equal(before)
    assert draw(model, clip).equal(before)


def test_what_belongs_to_other_families_is_refused(whole: tuple[Any, Any, Any]) -> None:
    with pytest.raises(NodeInputError, match="a family that is not here yet"):
        run("ModelSamplingContinuousEDM", whole[0], "cosmos_rflow", 80.0, 0.002)


def test_tiles(whole: tuple[Any, Any, Any]) -> None:
    image = torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(1))
    latent = run("VAEEncodeTiled", whole[2], image, 64, 16)
    picture = run("VAEDecodeTiled", whole[2], latent, 64, 64)
    assert latent["samples"].shape == (1, 4, 12, 16) and picture.shape == image.shape
    one = run("VAEDecodeTiled", whole[2], latent, 4096, 64)
    assert torch.allclose(one, run("VAEDecode", whole[2], latent), atol=1e-5), "one tile is the whole"
    exact = run("VAEDecodeTiled", whole[2], latent, 64, 64, 64, 8, "exact")
    assert torch.allclose(exact, one, atol=1e-5) and not torch.allclose(picture, one, atol=1e-5)
    exact = run("VAEEncodeTiled", whole[2], image, 64, 16, 64, 8, "exact")["samples"]
    assert torch.allclose(exact, run("VAEEncode", whole[2], image)["samples"], atol=1e-5)


def test_latents_in_files(host: Host) -> None:
    latent = {"samples": torch.randn(1, 4, 8, 8)}
    saved = run("SaveLatent", latent, "latents/mine", {"1": {}})["ui"]["latents"][0]
    name = f"{saved['subfolder']}/{saved['filename']} [output]"
    assert run("LoadLatent", name)["samples"].equal(latent["samples"])
    save_file({"latent_tensor": latent["samples"] * 0.18215}, host.input / "old.latent")
    assert torch.allclose(run("LoadLatent", "old.latent")["samples"], latent["samples"], atol=1e-6)
    check = NODE_CLASS_MAPPINGS["LoadLatent"].VALIDATE_INPUTS  # type: ignore[attr-defined]
    assert check("old.latent") is True and "no latent named" in check("../x.latent")


def test_instructions_see_the_picture(whole: tuple[Any, Any, Any]) -> None:
    _, clip, vae = whole
    image = torch.rand(1, 64, 64, 3)
    yes, no, latent = run(
        "InstructPixToPixConditioning", words(clip, "x"), words(clip, ""), pixels=image, vae=vae
    )
    assert yes[0][1]["concat_latent_image"].equal(no[0][1]["concat_latent_image"])
    assert latent["samples"].shape == (1, 4, 8, 8) and not latent["samples"].any()


def test_a_controlnet_steers(host: Host, whole: tuple[Any, Any, Any]) -> None:
    from noderack_diffusion.control import ControlNet

    model, clip, _ = whole
    torch.manual_seed(0)
    network = ControlNet(model.spec.unet)
    with safe_open(TINY, "pt") as file:
        metadata = file.metadata()
    folder = host.models / "controlnet"
    folder.mkdir(parents=True)
    save_file(
        {f"control_model.{k}": v for k, v in network.state_dict().items()}, folder / "c.safetensors", metadata
    )
    control, hint = run("ControlNetLoader", "c.safetensors"), torch.rand(1, 64, 64, 3)
    yes, no, latent = words(clip, "a red circle"), words(clip, ""), run("EmptyLatentImage", 64, 64, 1)

    def drawn(yes: Any, no: Any) -> torch.Tensor:
        return run("KSampler", model, 1, 2, 3.0, "euler", "normal", yes, no, latent)["samples"]

    plain = drawn(yes, no)
    old = drawn(run("ControlNetApply", yes, control, hint, 1.0), no)
    both = drawn(*run("ControlNetApplyAdvanced", yes, no, control, hint, 1.0, 0.0, 1.0))
    early = drawn(*run("ControlNetApplyAdvanced", yes, no, control, hint, 1.0, 0.0, 0.3))
    assert old.equal(both), "the older node steers the negative side too"
    assert not plain.equal(both) and not early.equal(both)
    assert drawn(*run("ControlNetApplyAdvanced", yes, no, control, hint, 0.0, 0.0, 1.0)).equal(plain)


def test_a_lora_beside_the_weights_by_block_and_what_is_said_of_it(
    host: Host, whole: tuple[Any, Any, Any]
) -> None:
    model, clip, _ = whole
    folder = host.models / "loras"
    folder.mkdir(parents=True)
    shutil.copy(HEART, folder / "heart.safetensors")
    inside = run("LoraLoader", model, clip, "heart.safetensors", 1.0, 1.0)
    beside = run("LoraLoaderBypass", model, clip, "heart.safetensors", 1.0, 1.0)
    assert torch.allclose(draw(*inside), draw(*beside), atol=1e-2), "merged texts are rounded to the file"
    alone = run("LoraLoaderBypassModelOnly", model, "heart.safetensors", 1.0)
    assert torch.allclose(draw(alone, clip), draw(inside[0], clip), atol=1e-3)
    none, its_clip, said = run(
        "NoderackLoraBlocks", model, clip, "heart.safetensors", 1.0, 1.0, "IN:0, MID:0, OUT:0", True
    )
    assert torch.equal(draw(none, clip), draw(model, clip)) and its_clip is not clip
    assert "changes apply" in said and "beside their layers" in said
    other = {
        "lora_unet_nothing.lora_up.weight": torch.ones(2, 1),
        "lora_unet_nothing.lora_down.weight": torch.ones(1, 2),
    }
    save_file(other, folder / "other.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"})
    with pytest.raises(NodeInputError, match=r"changes nothing here.*other.*sdxl_base_v1-0"):
        run("LoraLoaderModelOnly", model, "other.safetensors", 1.0)


def test_embeddings_of_every_form_and_those_in_a_lora(host: Host, whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    width = clip.towers[0].width
    vectors, folder = torch.randn(2, width), host.models / "embeddings" / "people"
    folder.mkdir(parents=True)
    save_file({"emb_params": vectors}, folder / "kohya.safetensors")
    torch.save({"string_to_param": {"*": vectors}, "name": "x"}, folder / "a1111.pt")
    torch.save({"<x>": vectors}, folder / "diffusers.bin")
    torch.save([{"a": vectors[:1]}, {"b": torch.zeros(1, 5)}, {"c": vectors[1:]}], folder / "listed.pt")
    said = [
        words(clip, f"a embedding:{name} cat")[0][0] for name in ("kohya", "a1111", "diffusers", "listed.pt")
    ]
    assert all(torch.equal(said[0], other) for other in said[1:])
    assert torch.equal(words(clip, "a embedding:people/kohya cat")[0][0], said[0])
    assert not torch.equal(words(clip, "a cat")[0][0], said[0])
    loras = host.models / "loras"
    loras.mkdir(parents=True)
    tensors = {**load_file(HEART), "bundle_emb.hearty.string_to_param.*": vectors}
    save_file(tensors, loras / "bundle.safetensors")
    _, knows = run("LoraLoader", model, clip, "bundle.safetensors", 0.0, 1e-9)
    there = words(knows, "a embedding:hearty cat")[0][0]
    assert torch.allclose(there, words(knows, "a embedding:kohya cat")[0][0])


def test_merging_takes_what_runs_beside_the_weights_along(host: Host, whole: tuple[Any, Any, Any]) -> None:
    model, clip, _ = whole
    (host.models / "loras").mkdir(parents=True)
    shutil.copy(HEART, host.models / "loras/heart.safetensors")
    beside = run("LoraLoaderBypassModelOnly", model, "heart.safetensors", 1.0)
    inside = run("LoraLoaderModelOnly", model, "heart.safetensors", 1.0)
    merged = run("ModelMergeSimple", model, beside, 0.0)
    assert torch.allclose(draw(merged, clip), draw(inside, clip), atol=1e-3)


@pytest.mark.parametrize(
    ("node", "name", "folder"),
    [
        ("CheckpointLoaderSimple", "ckpt_name", "checkpoints"),
        ("UNETLoader", "unet_name", "diffusion_models"),
        ("VAELoader", "vae_name", "vae"),
        ("CLIPLoader", "clip_name", "text_encoders"),
        ("LoraLoader", "lora_name", "loras"),
        ("LoraLoaderBypass", "lora_name", "loras"),
        ("ControlNetLoader", "control_net_name", "controlnet"),
    ],
)
def test_a_loader_runs_again_when_its_file_is_another(host: Host, node: str, name: str, folder: str) -> None:
    path = host.models / folder / "part.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"one")
    ask = NODE_CLASS_MAPPINGS[node].IS_CHANGED
    before = ask(**{name: path.name}, other=1)
    assert before and ask(**{name: path.name}) == before and ask(**{name: None}) == ""
    path.write_bytes(b"another")
    assert ask(**{name: path.name}) != before
    path.unlink()
    assert ask(**{name: path.name}) == ""
