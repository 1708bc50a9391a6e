"""JSON in all its states, graphs wrapped in other things, and files that hold none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from noderack_host.workflow import WorkflowError, read_workflow, read_workflows

CASES = Path(__file__).parents[1] / "cases/workflows"
UI = json.loads((CASES / "txt2img.ui.json").read_text())
API = json.loads((CASES / "txt2img.api.json").read_text())
TEXT = json.dumps(UI)


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode() + b"\0\r\n",
        b"  \n" + TEXT.encode(),
    ],
    ids=["plain", "bom", "utf-16", "utf-16-le", "utf-16-be", "trailing", "leading"],
)
def test_encodings(data: bytes) -> None:
    assert read_workflow(data).ui == UI


def test_text_and_paths() -> None:
    assert read_workflow(TEXT).ui == UI
    assert read_workflow(str(CASES / "txt2img.ui.json")).ui == UI


def test_numbers_that_json_does_not_have() -> None:
    workflow = read_workflow(
        '{"1": {"class_type": "A", "inputs": {"x": NaN, "y": -Infinity}, "is_changed": [NaN]}}'
    )
    assert workflow.prompt({}).prompt["1"]["inputs"]["y"] == float("-inf")
    workflow = read_workflow('{"1": {"class_type": "A", "inputs": {"seed": 18446744073709552001}}}')
    assert workflow.prompt({}).prompt["1"]["inputs"]["seed"] == 18446744073709552001


WRAPPED: list[tuple[str, Any, str]] = [
    ("runpod body", {"input": {"workflow": API, "images": []}}, "$.input.workflow"),
    (
        "queue body",
        {"client_id": "x", "prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}},
        "$.prompt",
    ),
    (
        "history",
        {"uuid": {"prompt": [1, "uuid", API, {"extra_pnginfo": {"workflow": UI}}, ["9"]]}},
        "$.uuid.prompt[2]",
    ),
    ("workflow key", {"name": "x", "workflow": UI}, "$.workflow"),
    ("text", {"data": TEXT}, "$.data(text)"),
    ("text of text", json.dumps(TEXT), "$(text)(text)"),
    (
        "chat log",
        [{"role": "user", "content": f"here:\n```json\n{json.dumps(API)}\n```"}],
        "$[0].content(text)",
    ),
]


@pytest.mark.parametrize(("name", "value", "where"), WRAPPED, ids=[w[0] for w in WRAPPED])
def test_wrapped(name: str, value: Any, where: str) -> None:
    workflow = read_workflow(json.dumps(value))
    assert workflow.where == where
    assert (workflow.ui == UI) or (workflow.api == API)


def test_a_prompt_and_the_graph_beside_it_are_one_workflow() -> None:
    body = {"prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}}
    workflow = read_workflow(json.dumps(body))
    assert (workflow.form, workflow.ui, workflow.api) == ("ui", UI, API)


def test_several_workflows() -> None:
    text = json.dumps({"templates": [{"name": "a", "data": TEXT}, {"name": "b", "data": json.dumps(API)}]})
    assert [w.form for w in read_workflows(text)] == ["ui", "api"]
    assert read_workflow(text).notes[-1].code == "more-workflows"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b'{"nodes": [}', "line 1, column 12"),
        (TEXT.encode() + b" x", "more text after the end"),
        (b"[1, 2]", "a workflow is an object"),
        (b'{"last_name": 1}', "keys 'last_name'"),
        (b"\xff\x80{}", "byte 0"),
        (b"[" * 100_000, "deeper"),
        (b'{"nodes": [{"type": "A", "id": ' + b"9" * 10_000 + b"}]}", "digits"),
        (b'{"1": {"inputs": {}}}', "no graph"),
    ],
)
def test_refused_with_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        read_workflow(data)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, Path("nul\0")):
        with pytest.raises(WorkflowError) as caught:
            read_workflow(path)
        assert caught.value.where


def test_the_file_stands_at_the_left_of_the_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{,}")
    with pytest.raises(WorkflowError, match=r"broken\.json: line 1, column 2: not JSON"):
        read_workflow(path)
