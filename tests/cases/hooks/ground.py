"""What both sides of the comparison are made from; the same bytes everywhere."""

import torch

HOOKS = {
    "a": (0, 0.8, ()),
    "b": (1, -0.6, ()),
    "late": (0, 1.0, ((0.0, 0.0), (0.4, 1.0), (0.8, 0.3))),
    "ramp": (0, 1.0, tuple((i / 9, i / 9) for i in range(10))),
}
"""Name -> number of the adapter, strength, keyframes (start, strength)."""
WHERE = (
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k",
    "middle_block.1.transformer_blocks.0.ff.net.2",
    "output_blocks.3.0.in_layers.2",
)


def made(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text(seed):
    return made((1, 9, 16), seed)


def adapter(number, shapes):
    """A small LoRA file over WHERE, for weights of these shapes."""
    found = {}
    for i, name in enumerate(WHERE):
        rows, *rest = shapes[name + ".weight"]
        ones = [1] * (len(rest) - 1)
        found[f"diffusion_model.{name}.lora_up.weight"] = made((rows, 4, *ones), 100 * number + i) * 0.2
        found[f"diffusion_model.{name}.lora_down.weight"] = made((4, *rest), 100 * number + i + 50) * 0.2
    return found
