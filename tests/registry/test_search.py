"""The search box: words within names, prefixes, misspelt words, facets."""

from __future__ import annotations

import pytest
from noderack_registry.server import search
from noderack_registry.server.search import Found, distance, words

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
