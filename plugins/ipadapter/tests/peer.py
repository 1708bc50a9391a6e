"""PYTHON peer.py COMFYUI FOLDER_ABOVE_THE_PACK PACK: what ComfyUI_IPAdapter_plus adds in each layer."""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], sys.argv[2], str(HERE)]
name = sys.argv[3]
sys.argv = ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_base  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.supported_models  # noqa: E402
import ground  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.modules.attention import optimized_attention  # noqa: E402

pack = importlib.import_module(name)
torch.set_grad_enabled(False)
CONFIG = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 4, "use_spatial_transformer": True, "context_dim": 16,
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1,
    "use_linear_in_transformer": False, "legacy": False, "dtype": torch.float32,
}  # fmt: skip
config = comfy.supported_models.SD15(CONFIG)
config.manual_cast_dtype = None
cpu = torch.device("cpu")
model = comfy.model_patcher.ModelPatcher(comfy.model_base.BaseModel(config, device="cpu"), cpu, cpu)
NODE = pack.NODE_CLASS_MAPPINGS["IPAdapterEmbeds"]
KINDS = NODE.INPUT_TYPES()["required"]["weight_type"][0]
SCALINGS = NODE.INPUT_TYPES()["required"]["embeds_scaling"][0]
q, k, v = ground.asked()
plain = optimized_attention(q, k, v, 4)


def patches(family, kind, scaling="V only", mask=None):
    yes, no = ground.seen()
    pipe = {"ipadapter": {"model": ground.adapter(family)}, "clipvision": {"model": "not used"}}
    made, *_ = NODE().apply_ipadapter(
        model.clone(),
        pipe,
        yes,
        ground.WEIGHT,
        kind,
        0.0,
        1.0,
        embeds_scaling=scaling,
        neg_embed=no,
        attn_mask=mask,
    )
    found = made.model_options["transformer_options"]["patches_replace"]["attn2"]
    # this pack puts the middle under ("middle", 1), where the network does not look
    fixed = {("middle", 0, *key[2:]) if key[0] == "middle" else key: value for key, value in found.items()}
    return {key if len(key) == 3 else (*key, 0): value for key, value in fixed.items()}


def added(found, family, side):
    rows = []
    for index, group in enumerate(ground.LAYERS[family]):
        place = (*group, 0)
        out = found[place](q, k, v, ground.told(place, index, side)) - plain if place in found else plain * 0
        rows.append([round(float(x), 4) for x in out.flatten()[:3]])
    return rows


result = {"kinds": {}, "scalings": {}}
for family in ground.LAYERS:
    for kind in KINDS:
        found = patches(family, kind)
        result["kinds"][f"{family}/{kind}"] = [added(found, family, side) for side in (0, 1)]
for scaling in SCALINGS:
    result["scalings"][scaling] = added(patches("sd1", "linear", scaling), "sd1", 0)[:3]
masked = patches("sd1", "linear", mask=ground.mask())
place = ("input", 1, 0)
out = masked[place](q, k, v, ground.told(place, 0, 0)) - plain
result["mask"] = [[round(float(x), 4) for x in row[:2]] for row in out[0]]
(HERE / "expected.json").write_text(json.dumps(result).replace("]], ", "]],\n") + "\n")
