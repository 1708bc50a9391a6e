"""From an uploaded wheel to what the API shows of it."""

from __future__ import annotations

import pytest
from noderack_registry.client import NotFound, Refused
from noderack_registry.schema import ModelManifest, ModelQuery
from wheels import write_wheel

SHA = "ab" * 32


def publish(bench, tmp_path, name="grain", version="1.0", token=None, **more):
    return bench.client(token or bench.token()).upload_wheel(write_wheel(tmp_path, name, version, **more))


def test_a_published_pack_is_shown(bench, tmp_path):
    extra = "Summary: Film grain\nRequires-Python: >=3.10\nRequires-Dist: numpy>=1\n"
    shown = publish(
        bench, tmp_path, extra=extra + "Description-Content-Type: text/markdown\n", readme="# Hi\n"
    )
    assert shown.requires_python == ">=3.10"
    assert shown.node_types == {"Grain": {"input": {}}}
    page = bench.client().pack("Grain")
    assert (page.latest, page.description, page.publisher) == ("1.0", "Film grain", "ann")
    assert page.readme_html == "<h1>Hi</h1>\n"
    assert page.dependencies == ("numpy>=1",)
    assert page.node_types == ("Grain",)


def test_versions_are_in_their_order_and_latest_is_final(bench, tmp_path):
    token = bench.token()
    for version in ("1.9.0", "1.10.0", "2.0rc1", "0.1"):
        publish(bench, tmp_path, version=version, token=token)
    page = bench.client().pack("grain")
    assert page.versions == ("2.0rc1", "1.10.0", "1.9.0", "0.1")
    assert page.latest == "1.10.0"


def test_same_bytes_again_is_fine_other_bytes_are_not(bench, tmp_path):
    token = bench.token()
    publish(bench, tmp_path, token=token)
    publish(bench, tmp_path, token=token)
    with pytest.raises(Refused) as caught:
        publish(bench, tmp_path, token=token, readme="other")
    assert (caught.value.status, caught.value.code) == (409, "version-exists")
    assert len(bench.client().versions("grain")) == 1


def test_a_pack_belongs_to_its_first_publisher(bench, tmp_path):
    publish(bench, tmp_path)
    with pytest.raises(Refused) as caught:
        publish(bench, tmp_path, version="2.0", token=bench.token("bob"))
    assert caught.value.code == "not-yours"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gra1n", "similar-name"),
        ("g-rain", "similar-name"),
        ("torch", "reserved-name"),
        ("json", "reserved-name"),
    ],
)
def test_names_that_mislead_are_refused(bench, tmp_path, name, code):
    publish(bench, tmp_path)
    with pytest.raises(Refused) as caught:
        publish(bench, tmp_path, name=name, files={f"{name.replace('-', '_')}/x.py": b""})
    assert caught.value.code in (code, "foreign-module")
    assert len(bench.leftovers()) == 2


@pytest.mark.parametrize(
    ("scopes", "code"),
    [(("models",), "out-of-scope"), (("publish:other",), "out-of-scope"), (("publish:grain",), None)],
)
def test_scopes_are_kept(bench, tmp_path, scopes, code):
    token = bench.token("ann", *scopes)
    if code is None:
        assert publish(bench, tmp_path, token=token).version == "1.0"
        return
    with pytest.raises(Refused) as caught:
        publish(bench, tmp_path, token=token)
    assert caught.value.code == code
    assert bench.leftovers() == []


def test_resolve_names_packs_and_models(bench, tmp_path):
    token = bench.token()
    publish(bench, tmp_path, token=token)
    publish(bench, tmp_path, name="other", token=bench.token("bob"), types=("Grain", "Other"))
    bench.client(token).put_model(ModelManifest("a.safetensors", "loras", SHA, 5, aliases=("b.safetensors",)))
    found = bench.client().resolve(["Grain", "Nope"], [ModelQuery("B.safetensors"), ModelQuery("x.bin")])
    assert [claim.pack for claim in found.node_types["Grain"]] == ["grain", "other"]
    assert "it had this type before the others" in found.node_types["Grain"][0].reason
    assert found.node_types["Grain"][1].reason.endswith("another pack had this type first")
    assert found.node_types["Nope"] == ()
    assert found.models["B.safetensors"][0].sha256 == SHA
    assert found.models["x.bin"] == ()


def test_resolve_names_the_versions_of_packs(bench, tmp_path):
    token = bench.token()
    for version in ("1.0", "1.1", "2.0a1"):
        publish(bench, tmp_path, version=version, token=token)
    publish(bench, tmp_path, name="other", token=token, types=("Other",))
    asked = ["Grain", "grain==1.0", "grain==2.0.a1", "grain==9", "other==1.0", "nope", "nope==1", "=="]
    found = bench.client().resolve([], packs=asked).packs
    assert {said: (one.pack, one.version) for said, one in found.items()} == {
        "Grain": ("grain", "1.1"),
        "grain==1.0": ("grain", "1.0"),
        "grain==2.0.a1": ("grain", "2.0a1"),
        "other==1.0": ("other", "1.0"),
    }
    alone = bench.client().version("grain", "1.0")
    assert found["grain==1.0"].files == alone.files
    assert found["grain==1.0"].dependencies == alone.dependencies


def test_what_is_not_there_is_not_found(bench):
    with pytest.raises(NotFound):
        bench.client().pack("nope")
    with pytest.raises(NotFound):
        bench.client().model(SHA)
    assert bench.client().node_type("Nope") == ()


def test_two_manifests_of_one_content_are_one_model(bench):
    ann, bob = bench.client(bench.token()), bench.client(bench.token("bob"))
    ann.put_model(ModelManifest("a.safetensors", "loras", SHA, 5, title="A", licence="MIT"))
    bob.put_model(ModelManifest("b.safetensors", "loras", SHA, 5, title="B", base="SD 1.5"))
    (model,) = ann.find_models("b.safetensors")
    assert (model.name, model.title, model.base, model.aliases) == (
        "a.safetensors",
        "A",
        "SD 1.5",
        ("b.safetensors",),
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a\\b", "x" * 300])
def test_model_names_that_leave_their_folder_are_refused(bench, name):
    with pytest.raises(Refused) as caught:
        bench.client(bench.token()).put_model(ModelManifest(name, "loras", SHA, 5))
    assert caught.value.code == "bad-value"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("License: mit", "MIT"),
        ("License: apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("License: MIT License\n        Copyright (c) somebody", "MIT License"),
        ("Summary: x", None),
    ],
)
def test_licences_are_spelt_as_spdx_does(bench, tmp_path, said, shown):
    assert publish(bench, tmp_path, extra=f"{said}\n").licence == shown
    assert any(one.rule == "licence" for one in bench.client().version("grain", "1.0").check) == (
        shown == "MIT License"
    )
