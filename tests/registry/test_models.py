"""Models: one content is one model, however it is called, found by whatever is known of it."""

from __future__ import annotations

import pytest
from noderack_registry.schema import ModelManifest, ModelQuery, Source

SHA, OTHER = "ab" * 32, "cd" * 32
FULL = ModelManifest(
    "ann_style.safetensors",
    "loras",
    SHA,
    5_000,
    sources=(Source("hf", "https://huggingface.co/ann/style/resolve/main/a.safetensors", repo="ann/style"),),
    licence="CreativeML-OpenRAIL-M",
    base="SD 1.5",
    kind="lora",
    trigger_words=("annstyle", "soft light"),
    gated="accept",
    title="Ann's watercolours",
    description="Pictures as with a wet brush",
    aliases=("style-v2.safetensors",),
    tags=("watercolour",),
)


@pytest.fixture
def stocked(bench):
    client = bench.client(bench.token())
    client.put_model(FULL)
    client.put_model(ModelManifest("other.safetensors", "checkpoints", OTHER, 7))
    return bench


@pytest.mark.parametrize("hash_", [SHA, SHA.upper(), SHA[:10], SHA[:10].upper()])
def test_by_hash_long_and_short(stocked, hash_):
    (found,) = stocked.http.get(f"/api/v1/models?sha256={hash_}").json()["models"]
    assert ModelManifest.from_json(found) == FULL


@pytest.mark.parametrize(
    "name", ["ann_style.safetensors", "ANN_STYLE.safetensors", "sub\\style-v2.safetensors"]
)
def test_by_file_name_and_alias(stocked, name):
    assert stocked.client().find_models(name) == (FULL,)
    found = stocked.client().resolve((), [ModelQuery(name, "loras")])
    assert found.models[name] == (FULL,)


@pytest.mark.parametrize(
    "query", ["watercolours", "wet brush", "annstyle", "SD 1.5", "watercolor", "ann style"]
)
def test_by_text(stocked, query):
    hit = stocked.client().search(query).hits[0]
    assert (hit.kind, hit.sha256) == ("model", SHA)


def test_two_manifests_of_one_content_are_one_with_what_both_know(stocked):
    bob = stocked.client(stocked.token("bob"))
    more = ModelManifest(
        "bobs_name.safetensors",
        "loras",
        SHA,
        5_000,
        sources=(Source("url", "https://example.org/a.safetensors"),),
        tags=("paper",),
        nsfw=True,
        page="https://example.org/a",
        licence="other",
    )
    kept = bob.put_model(more)
    assert (kept.name, kept.licence, kept.gated) == (FULL.name, FULL.licence, "accept")
    assert kept.aliases == ("style-v2.safetensors", "bobs_name.safetensors")
    assert [source.kind for source in kept.sources] == ["hf", "url"]
    assert (kept.nsfw, kept.page, kept.tags) == (True, "https://example.org/a", ("watercolour", "paper"))
    assert bob.find_models("bobs_name.safetensors") == (kept,)


def test_another_size_of_the_same_content_is_refused(stocked):
    answer = stocked.http.put(
        "/api/v1/models",
        json={"name": "x.bin", "folder": "loras", "sha256": SHA, "size": 1},
        headers={"Authorization": f"Bearer {stocked.token('bob')}"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad-value")


def test_a_small_file_lives_here_and_is_the_first_source(stocked, tmp_path):
    import hashlib

    file = tmp_path / "embed.pt"
    file.write_bytes(b"tiny" * 64)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    kept = stocked.client(stocked.token()).put_model(
        ModelManifest("embed.pt", "embeddings", digest, 256, unsafe_format=True), file
    )
    assert (kept.sources[0].kind, kept.verified, kept.unsafe_format) == ("registry", True, True)
    assert stocked.http.get(kept.sources[0].url).content == file.read_bytes()
    answer = stocked.http.put(
        f"/api/v1/blobs/{SHA}", content=b"no", headers={"Authorization": f"Bearer {stocked.token()}"}
    )
    assert answer.json()["error"]["code"] == "wrong-hash"
