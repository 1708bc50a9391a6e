"""Models named anywhere: on nodes, at the root, in widgets, in prompts; with the folder they belong in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from noderack_host.workflow import read_workflow
from noderack_host.workflow.models import folder_of, is_model_name

SHA = "c" * 64


def uses(*nodes: dict[str, Any], **more: Any) -> list[tuple[str, str | None, str | None]]:
    drawn = [{"id": at, **node} for at, node in enumerate(nodes, 1)]
    workflow = read_workflow(json.dumps({"nodes": drawn, "links": [], **more}))
    return [(use.name, use.folder, use.url) for use in workflow.model_uses()]


def loader(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "VAELoader", "widgets_values": [name], **more}


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": f"https://x.test/{name}", "directory": "vae", **more}


def test_an_address_beside_the_widget_belongs_to_it() -> None:
    assert uses(loader("a.safetensors", properties={"models": [entry("a.safetensors")]})) == [
        ("a.safetensors", "vae", "https://x.test/a.safetensors")
    ]


def test_an_address_at_the_root_or_elsewhere_counts() -> None:
    found = [("sub\\a.safetensors", "vae", "https://x.test/a.safetensors")]
    assert uses(loader("sub\\a.safetensors"), models=[entry("a.safetensors")]) == found


def test_listed_models_that_no_widget_names() -> None:
    assert uses(loader("b.pt"), models=[entry("a.pt")]) == [
        ("b.pt", "vae", None),
        ("a.pt", "vae", "https://x.test/a.pt"),
    ]


def test_hashes_are_taken_only_where_they_are_sha256() -> None:
    listed = [
        entry("a.pt", hash=SHA.upper(), hash_type="SHA256"),
        entry("b.pt", hash=SHA, hash_type="blake3"),
    ]
    workflow = read_workflow(json.dumps({"nodes": [{"id": 1, "type": "X"}], "models": listed}))
    assert [use.sha256 for use in workflow.model_uses()] == [SHA, None]


def test_muted_nodes_need_nothing() -> None:
    assert uses(loader("a.pt", mode=2), loader("b.pt", mode=4)) == []
    drawn = {"nodes": [{"id": 1, **loader("a.pt", mode=2)}]}
    assert [use.name for use in read_workflow(json.dumps(drawn)).model_uses(inactive=True)] == ["a.pt"]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("CLIPTextEncode", "a, (embedding:soft:1.2), embedding:dir/hard.pt", ["soft", "dir/hard.pt"]),
        ("CLIPTextEncode", "<lora:star:0.8>", []),
        ("ImpactWildcardEncode", "<lora:star:0.8> and <lora:moon>", ["star", "moon"]),
        ("CLIPTextEncode", "see https://x.test/a.safetensors", []),
        ("Any", "model.gguf", ["model.gguf"]),
    ],
)
def test_names_inside_texts(kind: str, text: str, found: list[str]) -> None:
    assert [name for name, _, _ in uses({"type": kind, "widgets_values": [text]})] == found


def test_values_by_name_and_inside_objects() -> None:
    values = {"lora_1": {"on": True, "lora": "a.safetensors", "strength": 1}, "ckpt_name": "b.ckpt"}
    api = {"1": {"class_type": "Power Lora Loader (rgthree)", "inputs": values}}
    found = read_workflow(json.dumps(api)).model_uses()
    assert [(use.name, use.folder, use.input) for use in found] == [
        ("a.safetensors", "loras", "lora"),
        ("b.ckpt", "checkpoints", "ckpt_name"),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "folder"),
    [
        ("CLIPVisionLoader", "clip_name", "clip_vision"),
        ("CLIPLoader", "clip_name", "text_encoders"),
        ("Any", "clip_name2", "text_encoders"),
        ("Any", "vae_name", "vae"),
        ("Any", "unet_name", "diffusion_models"),
        ("Any", "control_net_name", "controlnet"),
        ("NunchakuFluxLoraLoader", None, "loras"),
        ("WanVideoVAELoader", None, "vae"),
        ("VAE Lora Loader", None, None),
        ("Efficient Loader", None, None),
        ("KSampler", None, None),
    ],
)
def test_folders(kind: str, name: str | None, folder: str | None) -> None:
    assert folder_of(kind, name) == folder


@pytest.mark.parametrize(
    ("value", "model"),
    [
        ("a.safetensors", True),
        ("A.CKPT", True),
        ("a.txt", False),
        ("https://x/a.pt", False),
        ("a\nb.pt", False),
    ],
)
def test_model_names(value: str, model: bool) -> None:
    assert is_model_name(value) is model
