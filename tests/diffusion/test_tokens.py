"""CLIP's ids, against the tokenizer of transformers built from the same vocabulary."""

import json
import random
from pathlib import Path

import pytest
import transformers
from noderack_diffusion import tokens

TEXTS = [
    "a photo of a cat",
    "",
    "  Spaces\tand\nlines  ",
    "It's the DOG's 3rd day, isn't it?! (really:1.2)",
    "naïve café Ærøskøbing ﬁn",
    "日本語のテキスト と 한국어 и русский",
    "🐈‍⬛🔥 emoji 😀!",
    "100000 x 3.14159 = ½ Ⅷ ²",
    "a" * 200,
    "under_score-dash--and...dots",
    "e\u0301 vs \u00e9, \u00a0 nbsp \u200b zero",
    "<|endoftext|> in text",
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("clip")
    ours = tokens.clip_tokenizer()
    (folder / "vocab.json").write_text(json.dumps(ours._bpe.get_vocab()))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in tokens._read_merges())]
    (folder / "merges.txt").write_text("\n".join(lines))
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


@pytest.mark.parametrize("text", TEXTS)
def test_same_ids(text: str, reference) -> None:
    assert tokens.clip_tokenizer().ids(text) == reference(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_same_ids_on_noise(count: int, reference) -> None:
    dice = random.Random(count)
    blocks = [
        (32, 126),
        (0xA1, 0x17F),
        (0x370, 0x4FF),
        (0x3040, 0x30FF),
        (0x4E00, 0x4FFF),
        (0x1F300, 0x1F5FF),
    ]
    for _ in range(count):
        text = "".join(chr(dice.randint(*dice.choice(blocks))) for _ in range(dice.randint(1, 40)))
        assert tokens.clip_tokenizer().ids(text) == reference(text, add_special_tokens=False)["input_ids"]


def test_known_ids_and_padding() -> None:
    clip = tokens.clip_tokenizer()
    assert clip.ids("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert clip.padded("a cat", 6) == [49406, 320, 2368, 49407, 49407, 49407]
    assert len(clip.padded("cat " * 100)) == 77
    assert clip.text(clip.padded("A cat, naïve")) == "a cat , naïve"
