"""The search box: words within names, prefixes, misspelt words, facets."""

from __future__ import annotations

import pytest
from noderack_registry.server import search
from noderack_registry.server.search import Found, distance, words
from sqlalchemy import event
from sqlmodel import Session

THINGS = [
    Found("pack", "film-grain", "Film Grain", "Grain and grading", texts=("Grain and grading", "ann")),
    Found("pack", "comfyui-kjnodes", "KJNodes", "Various nodes", popularity=60_000),
    Found("pack", "copy-nodes", "Copy of KJNodes", "kjnodes again"),
    Found("node-type", "ImageScaleBy", "ImageScaleBy", pack="core", popularity=500),
    Found("node-type", "KSampler", "KSampler", pack="core", popularity=500),
    Found("model", "sd_xl_base.safetensors\n1", "SDXL base", texts=("checkpoint",), pack="ab" * 32),
]


@pytest.fixture
def stocked(bench):
    bench.registry.database.writing(search.put, THINGS)
    return bench


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("kjnodes", "comfyui-kjnodes"),
        ("KJNode", "comfyui-kjnodes"),
        ("kjnoeds", "comfyui-kjnodes"),
        ("image scale", "ImageScaleBy"),
        ("imagescaleby", "ImageScaleBy"),
        ("ksampler", "KSampler"),
        ("ksmpler", "KSampler"),
        ("grading", "film-grain"),
        ("film-grain", "film-grain"),
        ("sdxl", "sd_xl_base.safetensors"),
        ("sd_xl_base.safetensors", "sd_xl_base.safetensors"),
    ],
)
def test_what_is_found_first(stocked, query, first):
    assert stocked.client().search(query).hits[0].name == first


@pytest.mark.parametrize("query", ["", "   ", "***", '"', "NEAR(", "zzzzzzzzz", "{names}:", "'; --"])
def test_odd_questions_are_answered(stocked, query):
    assert stocked.client().search(query).hits == ()


def test_kinds_and_facets(stocked):
    page = stocked.client().search("kjnodes", kind="pack")
    assert page.facets == {"pack": 2}
    assert stocked.client().search("kjnodes", kind="model").hits == ()


@pytest.mark.parametrize("number", ["0", "1", "2"])
def test_the_number_of_a_kind_is_nobodys_name(stocked, number):
    assert "KSampler" not in [hit.name for hit in stocked.client().search(number).hits]


def test_no_question_reads_all_documents(stocked):
    """What grows with the registry is looked up, never scanned."""
    with stocked.registry.database.engine.connect() as connection:
        seen: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *call: seen.append((call[2], call[3])))
        search.search(Session(connection), "image scale", None, 1, 20)
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {line}", bound) for line, bound in list(seen)
        ]
        steps = [row[3] for plan in plans for row in plan]
    assert any("search_doc" in step or step.startswith("SEARCH d ") for step in steps)
    scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE INDEX" not in step]
    assert set(scans) <= {"SCAN found"}  # the rows of an inner query that has a limit


def test_pages_do_not_overlap(stocked):
    one, two = (stocked.client().search("kjnodes", page=page, limit=1).hits for page in (1, 2))
    assert {one[0].name, two[0].name} == {"comfyui-kjnodes", "copy-nodes"}


def test_what_was_removed_is_gone(stocked):
    stocked.registry.database.writing(search.remove, [("pack", "film-grain")])
    assert stocked.client().search("film").hits == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ImageScaleBy", ["imagescaleby", "image", "scale", "by"]),
        ("VAEDecode", ["vaedecode", "vae", "decode"]),
        ("film_grain-2", ["filmgrain", "film", "grain", "2"]),
        ("", []),
    ],
)
def test_words(name, found):
    assert words(name) == found


@pytest.mark.parametrize(
    ("one", "other", "edits"), [("", "", 0), ("abc", "acb", 1), ("abc", "abd", 1), ("kitten", "sitting", 3)]
)
def test_distance(one, other, edits):
    assert distance(one, other) == distance(other, one) == edits
