"""The search index and the look-up shards, read as the browser reads them; names of pages; the catalogue."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noderack_site.data import SiteData, read
from noderack_site.names import checksum, page_names, slug
from noderack_site.search_index import words_of
from noderack_site.shelf import arrange

CATALOGUE = Path(__file__).parents[2].parent / "shared/data/catalogue"


def found(site: Path, word: str) -> set[tuple[str, str]]:
    """(kind, name) of the entries of one exact word."""
    head = json.loads((site / "search/words.json").read_bytes())
    position, part = head["w"].split("\n").index(word), 0
    while position >= head["c"][part]:
        position, part = position - head["c"][part], part + 1
    gaps = json.loads((site / f"search/w-{part}.json").read_bytes())[position]
    numbers, last = [], 0
    for gap in gaps:
        last += gap
        numbers.append(last >> 4)
    size = head["e"]
    rows = [json.loads((site / f"search/d-{n // size}.json").read_bytes())[n % size] for n in numbers]
    return {(row[0], row[1]) for row in rows}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("grain", {("n", "FilmGrain"), ("p", "Film looks")}),
        ("sampler", {("n", "KSampler")}),
        ("zqstar", {("m", "Stars, a LoRA")}),
        ("photographed", {("w", "Shapes, photographed")}),
    ],
)
def test_words_lead_to_entries(word: str, expected: set[tuple[str, str]], site: Path) -> None:
    assert expected <= found(site, word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("KSamplerAdvanced", ("k", "sampler", "advanced", "ksampler")),
        ("CLIPTextEncodeSDXL", ("clip", "text", "encode", "sdxl")),
        ("IPAdapter_plus v2", ("ip", "adapter", "plus", "v", "2", "ipadapter", "v2")),
        ("画像 Loader", ("画像", "loader")),
        ("", ()),
    ],
)
def test_words_of_names(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


def test_a_type_is_looked_up_by_its_checksum(site: Path) -> None:
    shard = json.loads((site / f"lookup/{checksum('FilmGrain') % 256:02x}.json").read_bytes())
    page, claims = shard["t"]["FilmGrain"]
    assert page == "FilmGrain" and [claim[0] for claim in claims] == ["film-looks", "old-upscaler"]
    shard = json.loads((site / f"lookup/{checksum('stars.safetensors') % 256:02x}.json").read_bytes())
    assert shard["m"]["stars.safetensors"] == ["stars-safetensors", "loras"]


@given(st.lists(st.text(max_size=30), unique=True, max_size=20))
def test_no_two_names_share_a_page_on_any_file_system(names: list[str]) -> None:
    pages = page_names(names)
    assert len({page.casefold() for page in pages.values()}) == len(names)
    assert all(set(page) <= set(string.ascii_letters + string.digits + "_-~") for page in pages.values())


@given(st.text())
def test_slugs_are_file_names(text: str) -> None:
    assert slug(text) and slug(text).isascii() and not set(slug(text)) & set("/\\. ")


def test_what_connects_to_a_socket(data: SiteData) -> None:
    shelf = arrange(data)
    assert "VAEDecode" in shelf.makers["IMAGE"] and "SaveImage" in shelf.takers["IMAGE"]
    assert shelf.used_in["FilmGrain"] == ("photographed-shapes",)
    assert shelf.model_users["shapes-tiny-safetensors"] == ("photographed-shapes",)


def test_the_public_catalogue_is_read_whole() -> None:
    if not CATALOGUE.exists():
        pytest.skip(f"the public catalogue is not at {CATALOGUE}")
    data = read(CATALOGUE)
    assert len(data.claims) == 40_160 and len(data.models) == 562 and len(data.packs) >= 5_896
