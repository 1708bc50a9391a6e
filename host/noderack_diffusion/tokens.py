"""CLIP's tokenizer: byte-level BPE over lower-cased words, ids as every CLIP text tower expects them."""

import gzip
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

START = 49406
END = 49407
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_MERGES = slice(1, 48895)


def byte_alphabet() -> list[str]:
    """The 256 printable characters that stand for bytes, in the order of the vocabulary (GPT-2's table)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = len([b for b in range(256) if b not in set(plain)])
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(others)]


def _read_merges() -> list[tuple[str, str]]:
    packed = files("noderack_diffusion").joinpath("data/bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[_MERGES]
    pairs = (line.split() for line in lines)
    return [(left, right) for left, right in pairs]


def _build() -> Tokenizer:
    merges = _read_merges()
    letters = byte_alphabet()
    words = letters + [c + "</w>" for c in letters] + [a + b for a, b in merges]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = Tokenizer(BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(s, special=True, normalized=False) for s in ("<|startoftext|>", "<|endoftext|>")]
    )
    return tokenizer


class ClipTokenizer:
    """Text -> ids. Building one reads the vocabulary (0.1 s); ``clip_tokenizer()`` keeps one per process."""

    def __init__(self) -> None:
        self._bpe = _build()

    def ids(self, text: str) -> list[int]:
        """The ids of ``text``, without start, end and padding; halves of characters count as unknown ones."""
        text = text.encode("utf-8", "replace").decode("utf-8") if not text.isprintable() else text
        found: list[int] = self._bpe.encode(text, add_special_tokens=False).ids
        return found

    def ends_word(self, number: int) -> bool:
        """Whether a word ends with this id."""
        return (self._bpe.id_to_token(number) or "</w>").endswith("</w>")

    def padded(self, text: str, length: int = 77, pad: int = END) -> list[int]:
        """Start, at most ``length - 2`` ids, end, padding: ``length`` ids, as training wants them."""
        ids = [START, *self.ids(text)[: length - 2], END]
        return ids + [pad] * (length - len(ids))

    def text(self, ids: Sequence[int]) -> str:
        """The words of ``ids`` with blanks between, no special tokens (for messages, not an exact
        inverse).
        """
        pieces = [self._bpe.id_to_token(i) or "?" for i in ids if i < START]
        letters = dict(zip(byte_alphabet(), _byte_order(), strict=True))
        raw = "".join(pieces).replace("</w>", " ")
        return bytes(letters.get(c, ord(" ")) for c in raw).decode("utf-8", "replace").strip()


def _byte_order() -> list[int]:
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return plain + [b for b in range(256) if b not in set(plain)]


@cache
def clip_tokenizer() -> ClipTokenizer:
    """The tokenizer, built once per process."""
    return ClipTokenizer()
