"""The prompt's grammar and its chunks, against the reference."""

import pytest
from noderack_diffusion import prompt
from noderack_diffusion.tokens import clip_tokenizer
from torch import Tensor


def compact(chunk: list[prompt.Token], rows: Tensor) -> list:
    """The reference's form: [[value, weight, group], repeats]."""
    out: list = []
    for t in chunk:
        value = t.value
        if isinstance(value, Tensor):
            row = next(i for i in range(len(rows)) if value.equal(rows[i]))
            value = {"embedding": "bench_emb", "row": row}
        entry = [value, t.weight, t.group]
        if out and out[-1][0] == entry:
            out[-1][1] += 1
        else:
            out.append([entry, 1])
    return out


@pytest.mark.parametrize("number", range(52))
def test_chunks(number: int, golden) -> None:
    case = golden.index["tokens"][f"p{number:02}"]
    rows = golden.tensor(golden.index["tokens"]["format"]["embedding"])
    known = {"bench_emb": rows, "bench_emb.safetensors": rows}

    def laid(**options) -> list:
        return [compact(c, rows) for c in prompt.tokenize(case["text"], clip_tokenizer(), **options)]

    assert laid(lookup=known.get) == case["l"]
    if "sdxl_g" in case:
        assert laid(lookup=known.get, pad=0) == case["sdxl_g"]
    if case.get("disable_weights"):
        assert laid(lookup=known.get, weights=False) == case["disable_weights"]
    if "no_embedding_directory" in case:
        assert laid() == case["no_embedding_directory"]


def test_segments(golden) -> None:
    for text, want in golden.index["tokens"]["parser"]["rows"]:
        plain = [[s.replace("\0\1", ")").replace("\0\2", "("), w] for s, w in want]
        assert [list(s) for s in prompt.segments(text)] == plain


@pytest.mark.parametrize(
    "text",
    [
        *("(a:nan)", "(a:inf)", "(a:)", "a) (b) (", "embedding:", "((((((", "\\", "(:)"),
        *("a \ud800 b", "\0", "\u202e abc", "cat " * 5000),
    ],
)
def test_odd_text_is_still_text(text: str) -> None:
    assert all(abs(weight) < 10 for _, weight in prompt.segments(text))
    assert prompt.tokenize(text, clip_tokenizer(), lambda name: None)


def test_parentheses_without_end_are_text_at_last() -> None:
    found = prompt.segments("(" * 5000 + "a" + ")" * 5000)
    assert len(found) == 1 and found[0][1] == pytest.approx(1.1**prompt.DEEPEST)
    assert prompt.tokenize("(" * 5000 + "a" + ")" * 5000, clip_tokenizer())
