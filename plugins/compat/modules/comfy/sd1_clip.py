"""`comfy.sd1_clip`: text encoders and tokenizers, by the classes that packs ask for."""

from __future__ import annotations

from noderack_compat.missing import gap
from noderack_diffusion.patching.encoders import Encoder as SDClipModel
from noderack_diffusion.patching.encoders import PlainEncoders as SD1ClipModel
from noderack_diffusion.patching.encoders import Tokenizers as SD1Tokenizer
from noderack_diffusion.patching.encoders import TowerTokenizer as SDTokenizer
from noderack_diffusion.prompt import segments
from noderack_diffusion.tokens import END

__getattr__ = gap(__name__)
__all__ = ["SD1ClipModel", "SD1Tokenizer", "SDClipModel", "SDTokenizer"]

_HIDDEN = (("\\)", "\0\1"), ("\\(", "\0\2"))


def gen_empty_tokens(special_tokens: dict[str, int], length: int) -> list[int]:
    """The ids of an empty prompt: start, end, padding."""
    named = [special_tokens.get(name) for name in ("start", "end")]
    ids = [token for token in named if token is not None]
    return ids + [special_tokens.get("pad", END)] * (length - len(ids))


def escape_important(text: str) -> str:
    """Parentheses that are text, hidden from the reading of weights."""
    for shown, hidden in _HIDDEN:
        text = text.replace(shown, hidden)
    return text


def unescape_important(text: str) -> str:
    """Shown again, as plain parentheses."""
    for shown, hidden in _HIDDEN:
        text = text.replace(hidden, shown[1])
    return text


def token_weights(string: str, current_weight: float) -> list[tuple[str, float]]:
    """The stretches of a prompt that share a weight; hidden parentheses stay hidden."""
    return [(part, weight * current_weight) for part, weight in segments(string)]
