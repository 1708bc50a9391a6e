"""Text towers as files hold them -> pieces under the one layout that ``clip.ClipText`` has."""

import re

from noderack_diffusion.store import Store
from noderack_diffusion.weights import Piece, pieces_below

_ENDS = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_LEAVES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def hf_pieces(store: Store, prefix: str) -> dict[str, Piece]:
    """A tower in the layout of Hugging Face."""
    return pieces_below(store, prefix)


def bare_pieces(store: Store, prefix: str) -> dict[str, Piece]:
    """A tower in the layout of Hugging Face that lacks its first word, as early fine-tunes have it."""
    return {f"text_model.{name}": piece for name, piece in pieces_below(store, prefix).items()}


def open_clip_pieces(store: Store, prefix: str) -> dict[str, Piece]:
    """A tower in the layout of OpenCLIP: q, k and v in one matrix, the projection transposed."""
    pieces: dict[str, Piece] = {}
    for name, piece in pieces_below(store, prefix).items():
        if name in _ENDS:
            pieces[_ENDS[name]] = piece
        elif name == "text_projection":
            pieces["text_projection.weight"] = Piece(store, piece.key, transposed=True)
        elif name == "text_projection.weight":
            pieces[name] = piece
        elif match := _BLOCK.fullmatch(name):
            pieces.update(block_pieces(store, piece, "text_model", *match.groups()))
    return pieces


def block_pieces(
    store: Store, piece: Piece, model: str, number: str, leaf: str, kind: str
) -> dict[str, Piece]:
    """One tensor of OpenCLIP's layer ``number`` as those of a ``model`` here."""
    layer = f"{model}.encoder.layers.{number}"
    if leaf == "attn.in_proj":
        third = store.header[piece.key].shape[0] // 3
        return {
            f"{layer}.self_attn.{letter}_proj.{kind}": Piece(store, piece.key, rows=(third * i, third))
            for i, letter in enumerate("qkv")
        }
    return {f"{layer}.{_LEAVES[leaf]}.{kind}": piece} if leaf in _LEAVES else {}
