"""How diffusers names what the original checkpoints name otherwise: one table per network.

Each function yields (diffusers module path, original module path), both without ``.weight`` and ``.bias``.
Diffusers files, adapter files and the parity tests are all read through these.
"""

from collections.abc import Iterator

from noderack_diffusion.unet import UNetConfig
from noderack_diffusion.vae import VaeConfig

Pair = tuple[str, str]

_RES = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
_TRANSFORMER = ("norm", "proj_in", "proj_out")
_BLOCK = (
    *(
        f"{attention}.{leaf}"
        for attention in ("attn1", "attn2")
        for leaf in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    "ff.net.0.proj",
    "ff.net.2",
    "norm1",
    "norm2",
    "norm3",
)
_UNET_ENDS = (
    ("conv_in", "input_blocks.0.0"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("class_embedding", "label_emb"),
    ("class_embedding.linear_1", "label_emb.0.0"),
    ("class_embedding.linear_2", "label_emb.0.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)
_VAE_RES = (
    *((leaf, leaf) for leaf in ("norm1", "conv1", "norm2", "conv2")),
    ("conv_shortcut", "nin_shortcut"),
)
_VAE_ATTENTION = (
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
)


def unet_modules(config: UNetConfig) -> Iterator[Pair]:
    """Every module of a U-Net."""
    labels = {"label_emb": config.classes, "label_emb.0.0": config.adm, "label_emb.0.2": config.adm}
    yield from (pair for pair in _UNET_ENDS if labels.get(pair[1], True))
    place = 1
    for x, level in enumerate(config.levels):
        for i, depth in enumerate(level.down):
            yield from _place(f"down_blocks.{x}", i, f"input_blocks.{place}", depth)
            place += 1
        if x < len(config.levels) - 1:
            yield f"down_blocks.{x}.downsamplers.0.conv", f"input_blocks.{place}.0.op"
            place += 1
    if config.middle >= -1:
        yield from _res("mid_block.resnets.0", "middle_block.0")
    if config.middle >= 0:
        yield from _transformer("mid_block.attentions.0", "middle_block.1", config.middle)
        yield from _res("mid_block.resnets.1", "middle_block.2")
    place = 0
    for x, level in enumerate(reversed(config.levels)):
        for i, depth in enumerate(level.up):
            yield from _place(f"up_blocks.{x}", i, f"output_blocks.{place}", depth)
            if x < len(config.levels) - 1 and i == len(level.up) - 1:
                yield f"up_blocks.{x}.upsamplers.0.conv", f"output_blocks.{place}.{2 if depth else 1}.conv"
            place += 1


def _place(theirs: str, i: int, ours: str, depth: int) -> Iterator[Pair]:
    yield from _res(f"{theirs}.resnets.{i}", f"{ours}.0")
    if depth:
        yield from _transformer(f"{theirs}.attentions.{i}", f"{ours}.1", depth)


def _res(theirs: str, ours: str) -> Iterator[Pair]:
    return ((f"{theirs}.{a}", f"{ours}.{b}") for a, b in _RES)


def _transformer(theirs: str, ours: str, depth: int) -> Iterator[Pair]:
    leaves = [*_TRANSFORMER, *(f"transformer_blocks.{t}.{leaf}" for t in range(depth) for leaf in _BLOCK)]
    return ((f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in leaves)


def control_modules(config: UNetConfig) -> Iterator[Pair]:
    """Every module of a ControlNet: those of the U-Net's first half, the picture's head, the outputs."""
    halves = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block")
    yield from (pair for pair in unet_modules(config) if pair[0].startswith(halves))
    stages = 1 + sum(len(level.down) + 1 for level in config.levels) - 1
    yield from ((f"controlnet_down_blocks.{i}", f"zero_convs.{i}.0") for i in range(stages))
    yield "controlnet_mid_block", "middle_block_out.0"
    head = "controlnet_cond_embedding"
    yield f"{head}.conv_in", "input_hint_block.0"
    yield from ((f"{head}.blocks.{i}", f"input_hint_block.{2 * i + 2}") for i in range(6))
    yield f"{head}.conv_out", "input_hint_block.14"


def vae_modules(config: VaeConfig) -> Iterator[Pair]:
    """Every module of a KL autoencoder."""
    last = len(config.mults) - 1
    for side in ("encoder", "decoder"):
        yield from (
            (f"{side}.{a}", f"{side}.{b}") for a, b in (("conv_in", "conv_in"), ("conv_out", "conv_out"))
        )
        yield f"{side}.conv_norm_out", f"{side}.norm_out"
        for i in (0, 1):
            yield from _vae_res(f"{side}.mid_block.resnets.{i}", f"{side}.mid.block_{i + 1}")
        attention = f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1"
        yield from ((f"{attention[0]}.{a}", f"{attention[1]}.{b}") for a, b in _VAE_ATTENTION)
    for x in range(len(config.mults)):
        for i in range(config.encoder_blocks):
            yield from _vae_res(f"encoder.down_blocks.{x}.resnets.{i}", f"encoder.down.{x}.block.{i}")
        for i in range(config.decoder_blocks):
            yield from _vae_res(f"decoder.up_blocks.{x}.resnets.{i}", f"decoder.up.{last - x}.block.{i}")
        if x < last:
            yield f"encoder.down_blocks.{x}.downsamplers.0.conv", f"encoder.down.{x}.downsample.conv"
            yield f"decoder.up_blocks.{x}.upsamplers.0.conv", f"decoder.up.{last - x}.upsample.conv"
    if config.embed:
        yield from ((leaf, leaf) for leaf in ("quant_conv", "post_quant_conv"))


def _vae_res(theirs: str, ours: str) -> Iterator[Pair]:
    return ((f"{theirs}.{a}", f"{ours}.{b}") for a, b in _VAE_RES)
