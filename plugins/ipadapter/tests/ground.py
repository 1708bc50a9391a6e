"""What both sides of the comparison with the pack ComfyUI_IPAdapter_plus are made from; the same anywhere."""

import torch

SEEN, WIDTH, WEIGHT = 32, 64, 0.7
LAYERS = {
    "sd1": [
        *(("input", i) for i in (1, 2, 4, 5, 7, 8)),
        ("middle", 0),
        *(("output", i) for i in range(3, 12)),
    ],
    "sdxl": [*(("input", i) for i in (4, 5, 7, 8)), ("middle", 0), *(("output", i) for i in range(6))],
}
"""Spatial transformers in the order of a pass."""
DEPTH = {("input", 4): 2, ("input", 5): 2, ("input", 7): 10, ("input", 8): 10, ("middle", 0): 10}
DEPTH |= {("output", i): 10 if i < 3 else 2 for i in range(6)}


def made(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def file_order(family):
    """(half, block, transformer block) of every attention to the text, as adapter files have them."""
    order = {"input": 0, "output": 1, "middle": 2}
    depth = DEPTH if family == "sdxl" else {}
    groups = sorted(LAYERS[family], key=lambda group: (order[group[0]], group[1]))
    return [(*group, i) for group in groups for i in range(depth.get(group, 1))]


def adapter(family):
    """Tensors of a basic adapter, by part."""
    context = 2048 if family == "sdxl" else 768
    image = {
        "proj.weight": made((4 * context, SEEN), 1) * 0.1,
        "proj.bias": made((4 * context,), 2) * 0.1,
        "norm.weight": torch.ones(context),
        "norm.bias": torch.zeros(context),
    }
    ip = {}
    for i, _ in enumerate(file_order(family)):
        for kind, seed in (("k", 100), ("v", 1000)):
            ip[f"{2 * i + 1}.to_{kind}_ip.weight"] = made((WIDTH, context), seed + i) * 0.05
    return {"image_proj": image, "ip_adapter": ip}


def asked():
    """q of 16 places, k and v of 7 tokens of text."""
    return made((1, 16, WIDTH), 11), made((1, 7, WIDTH), 12), made((1, 7, WIDTH), 13)


def seen():
    """What CLIP saw in the wanted and the unwanted picture."""
    return made((1, SEEN), 21), made((1, SEEN), 22)


def mask():
    return torch.linspace(0, 1, 64).reshape(1, 8, 8)


def told(place, index, side):
    return {
        "n_heads": 4, "cond_or_uncond": [side], "sigmas": torch.tensor([5.0]), "block": place[:2],
        "block_index": place[2], "transformer_index": index, "original_shape": [1, 4, 8, 8],
        "activations_shape": [1, WIDTH, 4, 4],
    }  # fmt: skip
