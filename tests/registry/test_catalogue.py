"""The public catalogue as seed: everything is taken in, marked as such, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from noderack_registry.client import Refused
from noderack_registry.errors import Malformed
from noderack_registry.server import catalogue, seeding
from noderack_registry.server.catalogue import source
from wheels import write_wheel

CATALOGUE = Path(__file__).parents[2].parent / "shared/data/catalogue"
OWNER = "https://github.com/ann/ComfyUI-Grain"


@pytest.fixture
def small(tmp_path):
    """A catalogue of three packs, one a copy of another, and one model."""
    packs = [
        {
            "title": "Grain",
            "reference": OWNER,
            "files": [OWNER],
            "author": "ann",
            "description": "Film grain",
        },
        {"title": "Copy", "reference": "https://github.com/bob/all", "files": ["https://github.com/bob/all"]},
        {
            "title": "File",
            "id": "one",
            "reference": "https://x.org/a/b",
            "files": ["https://x.org/a/b/raw/one.py"],
        },
    ]
    types = {OWNER: [["Grain", "GrainStrength"], {}], "https://github.com/bob/all": [["Grain"], {}]}
    types["https://x.org/a/b/raw/one.py"] = [["One"], {"nodename_pattern": " \\(one\\)$"}]
    url = "https://huggingface.co/a/b/resolve/main/x/y.safetensors"
    model = {"name": "Y", "type": "lora", "base": "SDXL", "save_path": "loras/y", "filename": "y.safetensors"}
    files = {
        "custom-node-list.json": {"custom_nodes": packs},
        "extension-node-map.json": types,
        "github-stats.json": {OWNER: {"stars": 50}},
        "model-list.json": {"models": [{**model, "url": url, "size": "1GB"}]},
    }
    for name, data in files.items():
        (tmp_path / name).write_text(json.dumps(data))
    return tmp_path


def take_in(bench, folder):
    return bench.registry.database.writing(seeding.store, catalogue.read(folder), bench.settings.now())


def test_all_of_it_is_found_and_marked(bench, small):
    assert take_in(bench, small) == seeding.Seeded(3, 0, 4, 0, 1)
    client = bench.client()
    first, second = client.node_type("Grain")
    assert (first.pack, first.origin, first.version, first.repository) == (
        "comfyui-grain",
        "catalogue",
        None,
        OWNER,
    )
    assert "50 stars" in first.reason
    assert second.pack == "all"
    assert client.node_type("Save (one)")[0].pack == "one"
    (model,) = client.find_models("y.safetensors")
    assert (model.sha256, model.verified, model.sources[0].revision) == (None, False, "main")
    assert client.search("film grain").hits[0].name == "comfyui-grain"


def test_a_second_time_only_what_changed(bench, small):
    take_in(bench, small)
    assert take_in(bench, small) == seeding.Seeded()
    (small / "extension-node-map.json").write_text(json.dumps({OWNER: [["Grain", "New"], {}]}))
    assert take_in(bench, small) == seeding.Seeded(0, 0, 1, 3, 0)
    assert bench.client().node_type("GrainStrength") == ()


def test_a_known_name_goes_to_its_own_repository(bench, small, tmp_path):
    take_in(bench, small)
    client = bench.client(bench.token())
    with pytest.raises(Refused) as caught:
        client.upload_wheel(write_wheel(tmp_path, "comfyui-grain"))
    assert caught.value.code == "catalogue-name"
    url = f"Project-URL: Repository, {OWNER}.git\n"
    assert client.upload_wheel(write_wheel(tmp_path, "comfyui-grain", extra=url)).version == "1.0"
    page = client.pack("comfyui-grain")
    assert (page.origin, page.publisher, page.stars) == ("declared", "ann", 50)
    assert [claim.pack for claim in client.node_type("Grain")] == ["comfyui-grain", "all"]
    assert client.node_type("GrainStrength") == ()
    assert take_in(bench, small).claims_added == 0


def test_packs_without_files_are_not_in_the_index(bench, small):
    take_in(bench, small)
    assert bench.http.get("/simple/").json()["projects"] == []
    assert bench.http.get("/simple/all/").status_code == 404


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_file_is_named(small, text):
    (small / "custom-node-list.json").write_text(text)
    with pytest.raises(Malformed, match="custom-node-list"):
        catalogue.read(small)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://huggingface.co/a/b/resolve/main/c.safetensors", "hf"),
        ("https://huggingface.co/a/b/blob/main/c.safetensors?download=true", "hf"),
        ("https://civitai.com/api/download/models/1", "civitai"),
        ("https://github.com/a/b/releases/c.pth", "url"),
    ],
)
def test_addresses_become_sources(url, kind):
    found = source(url)
    assert found.kind == kind
    assert "/blob/" not in found.url


@pytest.mark.skipif(not CATALOGUE.exists(), reason="the public catalogue is not beside this checkout")
def test_the_real_catalogue_is_taken_in_whole(bench):
    done = take_in(bench, CATALOGUE)
    assert done.packs_added >= 5896
    assert (done.claims_added, done.models) == (42_497, 562)
    client = bench.client()
    assert client.search("kjnodes").hits[0].name == "kjnodes"  # the id that the catalogue gives it
    assert client.search("kjnoeds", kind="pack").hits[0].name == "kjnodes"
    assert client.search("image scale", kind="node-type").total > 10
    assert client.node_type("WanVideoSampler")[0].pack == "comfyui-wanvideowrapper"


@pytest.mark.parametrize(("stars", "doubted"), [(0, True), (4, True), (5, False), (50, False)])
def test_a_catalogues_word_alone_for_a_pack_that_hardly_anyone_uses_is_doubted(bench, small, stars, doubted):
    (small / "github-stats.json").write_text(json.dumps({OWNER: {"stars": stars}}))
    take_in(bench, small)
    (only,) = bench.client().node_type("GrainStrength")
    assert only.ambiguous is doubted
