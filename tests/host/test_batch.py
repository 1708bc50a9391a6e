import json
from pathlib import Path
from typing import Any

import pytest
from noderack_host import batch
from noderack_host.contract import schema_of
from noderack_host.testing import simple_node

SAMPLER = simple_node(
    lambda **_: (1,),
    {
        "seed": ("INT", {}),
        "cfg": ("FLOAT", {}),
        "on": ("BOOLEAN", {}),
        "name": ("STRING", {}),
        "model": ("MODEL",),
    },
)
SCHEMAS = {"Sampler": schema_of("Sampler", SAMPLER)}
PROMPT: dict[str, Any] = {
    "3": {
        "class_type": "Sampler",
        "inputs": {"seed": 1, "cfg": 7.0, "on": True, "name": "x", "model": ["9", 0]},
        "_meta": {"title": "My. sampler"},
    },
    "9": {"class_type": "Load", "inputs": {"images.image0": ["3", 0]}},
}


def test_settings_multiply_and_the_last_varies_fastest(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\n\na dog\n", encoding="utf-8")
    jobs = batch.jobs_from([f"6.text=@{prompts}", "3.name=@@me"], ['3.cfg=4, 7, "1,5"'])
    assert [(job["6.text"], job["3.cfg"]) for job in jobs] == [
        ("a cat", "4"),
        ("a cat", "7"),
        ("a cat", "1,5"),
        ("a dog", "4"),
        ("a dog", "7"),
        ("a dog", "1,5"),
    ]
    assert {job["3.name"] for job in jobs} == {"@me"}
    assert batch.jobs_from() == ({},)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", '6.text,3.seed\n"a, cat",1\na dog,2\n'),
        ("rows.jsonl", '{"6.text": "a, cat", "3.seed": "1"}\n\n{"6.text": "a dog", "3.seed": "2"}\n'),
    ],
)
def test_tables_give_one_job_for_each_row(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows = ({"6.text": "a, cat", "3.seed": "1"}, {"6.text": "a dog", "3.seed": "2"})
    assert batch.jobs_from(inputs=tmp_path / name) == rows


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("3.cfg", ("3", "cfg")),
        ("My. sampler.cfg", ("3", "cfg")),
        ("Sampler.cfg", ("3", "cfg")),
        ("9.images.image0", ("9", "images.image0")),
    ],
)
def test_a_node_is_named_by_id_title_or_type(target: str, place: tuple[str, str]) -> None:
    found = batch.find(PROMPT, target, SCHEMAS)
    assert (found.node_id, found.input_name) == place


@pytest.mark.parametrize(
    ("target", "says", "hint"),
    [
        ("3.cgf", "has no input 'cgf'", "did you mean 'cfg'?"),
        ("Samplr.cfg", "names no node", "did you mean 'Sampler'?"),
        ("4.cfg", "names no node", "use one of"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(target: str, says: str, hint: str) -> None:
    twice = {**PROMPT, "4b": {"class_type": "Sampler", "inputs": {}}}
    with pytest.raises(batch.SettingError, match=says) as caught:
        batch.find(PROMPT, target, SCHEMAS)
    assert hint in caught.value.hint
    with pytest.raises(batch.SettingError, match="could be any of the nodes 3, 4b"):
        batch.find(twice, "Sampler.cfg", SCHEMAS)


def test_values_take_the_input_s_type_and_the_prompt_stays_as_it_was() -> None:
    before = json.dumps(PROMPT)
    job = {"3.seed": "12", "3.on": "false", "3.name": "true", "3.model": '["8", 1]'}
    inputs = batch.apply(PROMPT, job, SCHEMAS)["3"]["inputs"]
    assert inputs == {"seed": "12", "cfg": 7.0, "on": False, "name": "true", "model": ["8", 1]}
    assert batch.seeded(PROMPT, 5)["3"]["inputs"]["seed"] == 5
    assert json.dumps(PROMPT) == before


def test_a_batch_knows_what_is_done(tmp_path: Path) -> None:
    record, picture = tmp_path / "record.jsonl", tmp_path / "a.png"
    picture.touch()
    batch.note_done(record, {"3.cfg": "4"}, [str(picture)])
    batch.note_done(record, {"3.cfg": "7"}, [str(tmp_path / "gone.png")])
    with record.open("a") as stream:
        stream.write('{"job": {"3.c')
    assert batch.done_jobs(record) == {batch.job_key({"3.cfg": "4"}): [str(picture)]}
    assert batch.label({"3.cfg": "4", "6.text": "a\ncat"}) == "cfg=4  text=a cat"


@pytest.mark.parametrize("text", ["3", "3=4", ".=4", "3.seed=@nowhere.txt"])
def test_a_setting_that_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(batch.SettingError):
        batch.jobs_from([text])
