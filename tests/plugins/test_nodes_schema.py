"""Every built-in node says what the reference host says: names, sockets, defaults, ranges, categories."""

import json
import subprocess
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest
from noderack_host.check import check
from noderack_host.contract import schema_of
from noderack_nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

REFERENCE = Path(__file__).parents[2].parent / "shared/data/object_info.json"
# Types of a later version (0.33), without its words.
LATER = Path(__file__).parents[1] / "cases/nodes/later.json"
# What a host of ours lists is what it can do and what lies in its folders.
OURS_MAY_BE_FEWER = {
    *("sampler_name", "scheduler", "vae_name", "image", "ckpt_name", "lora_name", "unet_name", "clip_name"),
    *("clip_name1", "clip_name2", "control_net_name", "model_path", "latent"),
    *("hypernetwork_name", "photomaker_model_name"),
}
# Types of ours, and of packs that other hosts come with.
NOT_THERE = frozenset(
    {
        *("NoderackLoraBlocks", "NoderackClipWeighting", "NoderackDepthConditioning"),
        *("ConditioningAverage ", "SaveLoRANode", "SaveImageWebsocket"),
    }
)
# Inputs and choices that ours have beside the reference's: always the last.
OURS_ADDS: dict[tuple[str, str], set[str]] = {
    ("VAEDecodeTiled", "mode"): set(),
    ("VAEEncodeTiled", "mode"): set(),
    ("UNETLoader", "weight_dtype"): {"int8"},
    ("ImageScaleToTotalPixels", "resolution_steps"): set(),
    ("CFGNorm", "pre_cfg"): set(),
    ("LoraModelLoader", "bypass"): set(),
}
# Later versions of the reference take more values here.
WIDER = {("ImageFromBatch", "batch_index"), ("LatentFromBatch", "batch_index")}
# Later versions hand on what they show or save.
HANDS_ON = {
    **dict.fromkeys(
        ("SaveImage", "PreviewImage", "SaveAnimatedWEBP", "SaveAnimatedPNG"), ("IMAGE", "images")
    ),
    **{"MaskPreview": ("MASK", "mask"), "SaveLatent": ("LATENT", "samples")},
    "PreviewAny": ("STRING", "STRING"),
}
# Later types that stand in the menu beside their older kin.
AMONG_KIN = frozenset(
    {
        *("LoraLoaderBypass", "LoraLoaderBypassModelOnly", "CFGOverride", "ManualSigmas", "SamplerLCM"),
        *("SamplerSEEDS2", "TemporalScoreRescaling"),
    }
)
SHOWN = ("tooltip", "placeholder", "advanced")
KNOWN = sorted(NODE_CLASS_MAPPINGS.keys() - NOT_THERE)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    if not REFERENCE.exists():
        pytest.skip(f"the reference schemas are not at {REFERENCE}")
    later = json.loads(LATER.read_text(encoding="utf-8"))
    return {**json.loads(REFERENCE.read_text(encoding="utf-8")), **later}  # two of them changed their form


def plain(spec: Any) -> Any:
    """(type, options) with tooltips and empty option tables taken away: what is left decides behaviour."""
    kind, options = spec[0], dict(spec[1]) if len(spec) > 1 else {}
    return json.loads(json.dumps([kind, {k: v for k, v in options.items() if k not in SHOWN}]))


def comparable(name: str, spec: Any, added: Set[str] = frozenset()) -> Any:
    kind, options = plain(spec)
    kind = [choice for choice in kind if choice not in added] if isinstance(kind, list) else kind
    return ["COMBO", options] if name in OURS_MAY_BE_FEWER and isinstance(kind, list) else [kind, options]


@pytest.mark.parametrize("name", KNOWN)
def test_sockets(name: str, reference: dict[str, Any]) -> None:
    node, entry = NODE_CLASS_MAPPINGS[name], reference[name]
    inputs = node.INPUT_TYPES()
    for section in ("required", "optional"):
        own = {key: OURS_ADDS.get((name, key), set()) for key in inputs.get(section, {})}
        wanted = entry["input_order"].get(section, [])
        ours = {key: comparable(key, inputs[section][key], own[key]) for key in own}
        ours = {key: spec for key, spec in ours.items() if key in wanted or (name, key) not in OURS_ADDS}
        theirs = {key: comparable(key, entry["input"][section][key]) for key in wanted}
        theirs = {key: ours.get(key) if (name, key) in WIDER else spec for key, spec in theirs.items()}
        assert ours == theirs
        assert list(ours) == list(theirs), "the order is what saved widget values rely on"
    more = HANDS_ON.get(name)
    assert list(node.RETURN_TYPES) == entry["output"] + ([more[0]] if more else [])
    assert list(getattr(node, "RETURN_NAMES", node.RETURN_TYPES)) == entry["output_name"] + (
        [more[1]] if more else []
    )


@pytest.mark.parametrize("name", sorted(set(KNOWN) - AMONG_KIN))
def test_labels(name: str, reference: dict[str, Any]) -> None:
    node, entry = NODE_CLASS_MAPPINGS[name], reference[name]
    assert entry["category"] == node.CATEGORY
    assert NODE_DISPLAY_NAME_MAPPINGS.get(name, name) == (entry["display_name"] or name)
    assert getattr(node, "OUTPUT_NODE", False) is entry["output_node"]


@pytest.mark.parametrize("name", ["sampler_name", "scheduler"])
def test_samplers_are_all_there_in_the_reference_order(name: str, reference: dict[str, Any]) -> None:
    (ours,) = NODE_CLASS_MAPPINGS["KSampler"].INPUT_TYPES()["required"][name]
    theirs = reference["KSampler"]["input"]["required"][name][0]
    assert [choice for choice in ours if choice in theirs] == theirs, "newer ones may stand between"


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_a_node_can_be_called(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    assert callable(getattr(node(), node.FUNCTION))
    assert node.__doc__ and getattr(node, node.FUNCTION).__doc__


def test_listing_the_nodes_loads_no_torch() -> None:
    code = "import sys, noderack_nodes; assert not {'torch', 'PIL', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["CheckpointLoaderSimple", "CLIPTextEncode", "ImageScale", "CaseConverter"])
def test_the_host_serves_the_reference_entry(name: str, reference: dict[str, Any]) -> None:
    served = schema_of(name, NODE_CLASS_MAPPINGS[name], NODE_DISPLAY_NAME_MAPPINGS.get(name)).to_object_info()
    expected = {key: reference[name][key] for key in reference[name] if key != "input"}
    assert {key: served[key] for key in expected} == expected


def test_an_address_as_a_file_name() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "https://a.example/m.ckpt"}}
    shown = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    (problem,) = check({"1": loader, "2": shown}, NODE_CLASS_MAPPINGS)
    assert "`nodes models get 'https://a.example/m.ckpt'`" in problem.hint
