"""What the editor does when a prompt is queued: choices, comments, names, seeds."""

from __future__ import annotations

import json
import random
import time
from datetime import datetime
from pathlib import Path

import pytest
from noderack_host.schema import read_schemas
from noderack_host.workflow import read_workflow
from noderack_host.workflow.browser import (
    SEED_LIMIT,
    advance,
    as_queued,
    choose,
    format_date,
    next_run,
    script_text,
)

CASES = Path(__file__).parents[1] / "cases/workflows"
SCHEMAS = read_schemas(CASES / "object_info.json")
NOW = datetime(2026, 3, 4, 15, 6, 7)


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("plain", {"plain"}),
        ("a {red|blue} hat", {"a red hat", "a blue hat"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        (r"\{a\|b\}", {"{a|b}"}),
        ("a // comment", {"a "}),
        ("a /* x\ny */b", {"a b"}),
        ("see http://x", {"see http:"}),
        ("{a|}", {"a", ""}),
        ("{a", {"a"}),
        ("a} | b", {"a} | b"}),
        ("(x:1.2) \\(y\\)", {"(x:1.2) \\(y\\)"}),
    ],
)
def test_choices(text: str, readings: set[str]) -> None:
    assert {choose(text, random.Random(seed)) for seed in range(40)} == readings


@pytest.mark.parametrize("text", ["/*" * 200_000, "//" * 200_000, "{" * 200_000, "/ " * 200_000])
def test_long_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    choose(text, random.Random(0))
    assert time.process_time() - began < 1.0


def test_the_same_seed_chooses_the_same() -> None:
    workflow = read_workflow(
        (CASES / "txt2img.ui.json").read_text().replace("a red circle", "a {red|blue|green} circle")
    )
    texts = [
        as_queued(workflow, SCHEMAS, seed=n, now=NOW).prompt["6"]["inputs"]["text"] for n in (1, 1, 2, 3, 4)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "2026-03-04"),
        ("yy.M.d", "26.3.4"),
        ("hhmmss", "150607"),
        ("h:m:s", "15:6:7"),
        ("yyy", "yyy"),
    ],
)
def test_dates(pattern: str, text: str) -> None:
    assert format_date(pattern, NOW) == text


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%date:yyyy%/x", "2026/x"),
        ("%KSampler.steps%-%KSampler.cfg%", "20-8"),
        ("%CheckpointLoaderSimple.ckpt_name%", "tiny-shapes.safetensors"),
        ("%CLIPTextEncode.text%", "a red circle on blue"),
        ("%width%x%nothing.here%", "%width%x%nothing.here%"),
        ("100%", "100%"),
    ],
)
def test_names(prefix: str, name: str) -> None:
    workflow = read_workflow((CASES / "txt2img.ui.json").read_text().replace('"ComfyUI"', json.dumps(prefix)))
    assert as_queued(workflow, SCHEMAS, seed=0, now=NOW).prompt["9"]["inputs"]["filename_prefix"] == name


@pytest.mark.parametrize(
    ("value", "text"), [(8.0, "8"), (8.5, "8.5"), (True, "true"), (None, ""), ("a", "a"), (2**60, str(2**60))]
)
def test_values_as_the_browser_prints_them(value: object, text: str) -> None:
    assert script_text(value) == text


@pytest.mark.parametrize(
    ("mode", "value", "after"),
    [
        ("fixed", 5, 5),
        ("increment", 5, 6),
        ("increment", 9, 9),
        ("decrement", 0, 0),
        ("increment-wrap", 9, 0),
    ],
)
def test_control_words(mode: str, value: int, after: int) -> None:
    assert advance(value, mode, rng=random.Random(0), low=0, high=9) == after


def test_next_run_draws_a_seed_that_editors_can_hold() -> None:
    workflow = read_workflow(CASES / "txt2img.ui.json")
    ui, notes = next_run(workflow, SCHEMAS, seed=3)
    sampler = next(node for node in ui["nodes"] if node["type"] == "KSampler")
    assert 0 <= sampler["widgets_values"][0] <= SEED_LIMIT
    assert [note.code for note in notes] == ["advanced"]
    assert (ui, notes) == next_run(workflow, SCHEMAS, seed=3)
    assert workflow.ui != ui, "the workflow itself stays"
