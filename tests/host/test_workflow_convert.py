"""UI graphs become the prompts that editors would send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noderack_host.schema import read_schemas
from noderack_host.workflow import read_workflow

CASES = Path(__file__).parents[1] / "cases/workflows"
SCHEMAS = read_schemas(CASES / "object_info.json")


def bare(prompt: dict[str, Any]) -> dict[str, Any]:
    return {key: {k: v for k, v in node.items() if k != "_meta"} for key, node in prompt.items()}


def test_default_workflow_becomes_its_prompt() -> None:
    workflow = read_workflow(CASES / "txt2img.ui.json")
    conversion = workflow.prompt(SCHEMAS)
    assert bare(conversion.prompt) == json.loads((CASES / "txt2img.api.json").read_text())
    assert conversion.notes == ()
    assert conversion.prompt["9"]["_meta"] == {"title": "Save Image"}


def test_node_and_model_uses() -> None:
    workflow = read_workflow(CASES / "txt2img.ui.json")
    uses = {use.type: use for use in workflow.node_uses()}
    assert uses["CLIPTextEncode"].ids == ("6", "7")
    loader = uses["CheckpointLoaderSimple"]
    assert (loader.pack_id, loader.version) == ("comfy-core", "0.3.64")
    checkpoint, embedding = workflow.model_uses()
    assert (checkpoint.name, checkpoint.folder) == ("tiny-shapes.safetensors", "checkpoints")
    assert (checkpoint.input, checkpoint.sha256) == ("ckpt_name", "ab" * 32)
    assert (embedding.name, embedding.folder, embedding.node_id) == ("blurry", "embeddings", "7")


def test_api_form_passes_through() -> None:
    workflow = read_workflow(CASES / "txt2img.api.json")
    assert bare(workflow.prompt({}).prompt) == json.loads((CASES / "txt2img.api.json").read_text())
    assert next(use.type for use in workflow.node_uses()) == "CheckpointLoaderSimple"


def test_a_prompt_of_an_older_host_gets_the_younger_widgets_but_no_model_file() -> None:
    raw = json.loads((CASES / "txt2img.api.json").read_text())
    sampler = next(key for key, node in raw.items() if node["class_type"] == "KSampler")
    loader = next(key for key, node in raw.items() if node["class_type"] == "CheckpointLoaderSimple")
    del raw[sampler]["inputs"]["denoise"], raw[loader]["inputs"]["ckpt_name"]
    conversion = read_workflow(json.dumps(raw)).prompt(SCHEMAS)
    assert conversion.prompt[sampler]["inputs"]["denoise"] == 1.0
    assert "ckpt_name" not in conversion.prompt[loader]["inputs"]
    assert [(note.code, note.where) for note in conversion.notes] == [("default-used", sampler)]
