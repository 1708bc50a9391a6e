"""From a node type to a pack and from a name to a file: the order of trust, and nothing chosen silently."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noderack_cli.choose_models import choose_models
from noderack_cli.choose_packs import choose_packs
from noderack_cli.missing import MissingModel, MissingType
from noderack_cli.plan import Claims
from noderack_cli.planning import file_address
from noderack_registry.schema import ModelManifest, Source, TypeClaim


def claim(type_: str, pack: str, rank: int = 1, **facts: Any) -> TypeClaim:
    base: dict[str, Any] = {"version": "1.0", "origin": "verified", "reason": f"rank {rank}"}
    return TypeClaim(type_, pack, rank=rank, **{**base, **facts})


def choose(wanted: list[MissingType], *claims: TypeClaim, chosen: dict[str, str] | None = None) -> Any:
    types: dict[str, tuple[TypeClaim, ...]] = {}
    for one in claims:
        types[one.type] = (*types.get(one.type, ()), one)
    return choose_packs(wanted, Claims(types, named={"named-pack": "2.0"}), chosen or {}, {"old": "0.9"})


A2 = (claim("T", "aaa", ambiguous=True), claim("T", "bbb", 2, ambiguous=True))

CASES = {
    "the only claimant": ([MissingType("T")], [claim("T", "aaa")], {"aaa": ("T",)}),
    "the pack that the workflow names": ([MissingType("T", pack_id="BBB")], A2, {"bbb": ("T",)}),
    "the pack under its other spelling": (
        [MissingType("T", pack_id="ComfyUI_BBB")],
        A2,
        {"bbb": ("T",)},
    ),
    "its repository": (
        [MissingType("T", aux_id="Owner/Repo")],
        [A2[0], claim("T", "bbb", 2, repository="https://example.org/owner/repo.git")],
        {"bbb": ("T",)},
    ),
    "a named pack that the index does not list": (
        [MissingType("T", pack_id="named_pack")],
        [],
        {"named-pack": ("T",)},
    ),
    "a clear first": ([MissingType("T")], [claim("T", "aaa"), claim("T", "bbb", 2)], {"aaa": ("T",)}),
    "a pack that is needed anyway": (
        [MissingType("T"), MissingType("U")],
        [*A2, claim("U", "bbb")],
        {"bbb": ("T", "U")},
    ),
    "the one that covers most": (
        [MissingType("T"), MissingType("U")],
        [*A2, claim("U", "ccc", ambiguous=True), claim("U", "bbb", 2, ambiguous=True)],
        {"bbb": ("T", "U")},
    ),
    "its repository under another owner": (
        [MissingType("T", aux_id="old-owner/Repo")],
        [A2[0], claim("T", "bbb", 2, repository="https://example.org/owner/repo.git")],
        {"bbb": ("T",)},
    ),
    "its id, where only the repository is called so": (
        [MissingType("T", pack_id="ComfyUI-Film-Tools")],
        [A2[0], claim("T", "bbb", 2, repository="https://example.org/owner/film_tools")],
        {"bbb": ("T",)},
    ),
    "the id of a proposed change to it": (
        [MissingType("T", pack_id="pr-bbb-0123abcd")],
        A2,
        {"bbb": ("T",)},
    ),
    "an update of what is there": ([MissingType("T")], [claim("T", "old")], {"old": ("T",)}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_chooses(name: str) -> None:
    wanted, claims, expected = CASES[name]
    packs, tosses, unknown = choose(wanted, *claims)
    assert {pack.pack: pack.node_types for pack in packs} == expected
    assert all(pack.reason for pack in packs) and not tosses and not unknown


def test_a_toss_up_is_listed_not_made() -> None:
    packs, tosses, _ = choose([MissingType("T")], *A2)
    assert packs == () and tosses[0].candidates == (("aaa", "rank 1"), ("bbb", "rank 2"))
    assert tosses[0].hint == "--choose T=aaa"


def test_a_pack_that_the_workflow_does_not_name_is_not_taken_in_its_place() -> None:
    wanted = [MissingType("T", pack_id="gone"), MissingType("U", pack_id="gone")]
    packs, tosses, _ = choose(wanted, claim("T", "aaa"), claim("U", "aaa"))
    assert packs == () and [toss.name for toss in tosses] == ["T", "U"] and "names gone" in tosses[0].why
    packs, tosses, _ = choose(wanted, claim("T", "aaa"), claim("U", "aaa"), chosen={"T": "aaa"})
    assert packs[0].node_types == ("T", "U") and not tosses  # one answer settles the whole pack


FAMILIES = [
    ("TurboMaxFastLoRA", "TurboMaxFastSampler"),
    ("Int-🔬", "String-🔬"),
    ("Seed (film)", "Size (film)"),
]


@pytest.mark.parametrize(("known", "lost"), FAMILIES)
def test_a_catalogues_word_for_one_of_a_lost_family_is_doubted(known: str, lost: str) -> None:
    one = claim(known, "aaa", origin="catalogue")
    packs, tosses, unknown = choose([MissingType(known), MissingType(lost)], one)
    assert (packs, tosses[0].name, unknown[0].name) == ((), known, lost) and lost in tosses[0].why
    packs, _, _ = choose([MissingType(known), MissingType("Other")], one)
    assert packs[0].pack == "aaa"  # nothing of its family is lost


def test_a_lone_claim_that_the_registry_doubts_is_asked_about() -> None:
    packs, tosses, _ = choose([MissingType("T")], claim("T", "aaa", origin="catalogue", ambiguous=True))
    assert packs == () and tosses[0].hint == "--choose T=aaa"


@pytest.mark.parametrize(("said", "pack", "version"), [("bbb", "bbb", "1.0"), ("bbb@0.5", "bbb", "0.5")])
def test_the_user_settles_it(said: str, pack: str, version: str) -> None:
    packs, tosses, _ = choose([MissingType("T")], *A2, chosen={"T": said})
    assert (packs[0].pack, packs[0].version, tosses) == (pack, version, ())


def test_packs_that_several_workflows_name_for_one_type_are_asked_about() -> None:
    want = MissingType("T", pack_id="aaa", others=(("bbb", None),))
    packs, (toss,), _ = choose([want], *A2)
    assert packs == () and [pack for pack, _ in toss.candidates] == ["aaa", "bbb"] and "several" in toss.why
    packs, tosses, _ = choose([want], *A2, chosen={"T": "bbb"})
    assert packs[0].pack == "bbb" and not tosses
    packs, tosses, _ = choose([replace(want, pack_id="gone")], *A2)  # only one of the two is here
    assert packs[0].pack == "bbb" and not tosses


def test_a_version_that_was_chosen_holds_for_all_types_of_its_pack() -> None:
    wanted = [MissingType("T"), MissingType("U")]
    packs, _, _ = choose(wanted, *A2, claim("U", "bbb"), chosen={"T": "bbb", "U": "bbb@0.5"})
    assert [(pack.version, pack.node_types) for pack in packs] == [("0.5", ("T", "U"))]


def test_the_version_that_a_workflow_was_saved_with_is_told() -> None:
    packs, _, _ = choose([MissingType("T", pack_id="bbb", version="0.7")], *A2)
    assert packs[0].version == "1.0" and packs[0].reason == "the workflow names this pack, saved with 0.7"


def test_what_only_a_catalogue_knows_comes_with_the_command_to_build_it() -> None:
    one = claim("T", "aaa", version=None, origin="catalogue", repository="https://example.org/o/r")
    packs, _, unknown = choose([MissingType("T")], one)
    assert packs == () and unknown[0].hint == "nodes install https://example.org/o/r"


def test_a_type_that_no_pack_lists_leads_to_the_repository_of_the_pack_that_the_workflow_names() -> None:
    known = Claims(places={"named-pack": "https://example.org/o/named"})
    _, _, unknown = choose_packs([MissingType("T", pack_id="Named_Pack")], known, {}, {})
    assert unknown[0].hint == "nodes install https://example.org/o/named"


def test_an_update_says_what_it_replaces() -> None:
    packs, _, _ = choose([MissingType("T")], claim("T", "old"))
    assert packs[0].replaces == "0.9"


@pytest.mark.parametrize(
    ("want", "said"),
    [
        (MissingType("T"), "no pack has it"),
        (MissingType("T", pack_id="comfy-core"), "core node"),
        (MissingType("T", pack_id="gone", version="1.2"), "pack gone, version 1.2"),
        (MissingType("T", aux_id="o/r"), "repository o/r"),
    ],
)
def test_what_is_not_found_tells_what_the_workflow_says(want: MissingType, said: str) -> None:
    assert said in choose([want])[2][0].why


@given(st.lists(st.tuples(st.sampled_from("TUVW"), st.sampled_from("abcd"), st.booleans()), max_size=12))
def test_every_type_ends_in_exactly_one_place(rows: list[tuple[str, str, bool]]) -> None:
    wanted = [MissingType(t) for t in "TUVW"]
    packs, tosses, unknown = choose(
        wanted, *(claim(t, p, i, ambiguous=a) for i, (t, p, a) in enumerate(rows, 1))
    )
    places = [t for pack in packs for t in pack.node_types] + [x.name for x in (*tosses, *unknown)]
    assert sorted(places) == list("TUVW")


ONE = ModelManifest("m.safetensors", "loras", "1" * 64, 10, (Source("url", "https://example.org/a/m"),))
TWO = ModelManifest("m.safetensors", "vae", "2" * 64, 20, (Source("url", "https://example.org/b/m"),))

MODELS = {
    "the only one of that name": (MissingModel("m.safetensors"), [ONE], "1" * 64),
    "by hash": (MissingModel("m.safetensors", sha256="2" * 64), [ONE, TWO], "2" * 64),
    "by address": (
        MissingModel("m.safetensors", url="https://example.org/b/m?download=true"),
        [ONE, TWO],
        "2" * 64,
    ),
    "by folder": (MissingModel("m.safetensors", "vae"), [ONE, TWO], "2" * 64),
    "an address before a name that is known for another file": (
        MissingModel("m.safetensors", "vae", "https://example.org/c"),
        [ONE, TWO],
        None,
    ),
    "only an address": (MissingModel("m.safetensors", "vae", "https://example.org/c"), [], None),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_finds_the_model(name: str) -> None:
    want, known, sha256 = MODELS[name]
    models, tosses, unknown = choose_models([want], Claims(models={want.name: tuple(known)}), {})
    assert models[0].manifest.sha256 == sha256 and not tosses and not unknown


def test_two_contents_of_one_name_are_listed() -> None:
    want = MissingModel("m.safetensors")
    models, tosses, _ = choose_models([want], Claims(models={want.name: (ONE, TWO)}), {})
    assert not models and [c[0] for c in tosses[0].candidates] == ["1" * 12, "2" * 12]
    models, _, _ = choose_models([want], Claims(models={want.name: (ONE, TWO)}), {want.name: "2" * 12})
    assert models[0].manifest == TWO


def test_files_that_several_workflows_mean_by_one_name_are_asked_about() -> None:
    want = MissingModel("m.safetensors", sha256="1" * 64, others=((None, "2" * 64),))
    models, (toss,), _ = choose_models([want], Claims(models={want.name: (ONE, TWO)}), {})
    assert not models and [c[0] for c in toss.candidates] == ["1" * 12, "2" * 12]
    other = "https://example.org/c"
    want = MissingModel("m.safetensors", sha256="1" * 64, others=((other, None),))
    models, _, _ = choose_models([want], Claims(models={want.name: (ONE,)}), {want.name: other})
    assert models[0].manifest.sources[0].url == other


def test_an_unknown_model_tells_the_next_command() -> None:
    _, _, unknown = choose_models([MissingModel("m.safetensors", "loras")], Claims(), {})
    assert (unknown[0].name, unknown[0].hint) == (
        "loras/m.safetensors",
        "nodes models get URL --folder loras",
    )


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("https://github.com/o/r/blob/main/a/b.json", "https://github.com/o/r/raw/main/a/b.json"),
        ("https://huggingface.co/o/r/blob/main/a.png", "https://huggingface.co/o/r/resolve/main/a.png"),
        (
            "https://huggingface.co/datasets/o/r/blob/x/a.json",
            "https://huggingface.co/datasets/o/r/resolve/x/a.json",
        ),
        ("https://example.org/blob/a.json", "https://example.org/blob/a.json"),
    ],
)
def test_a_page_that_shows_a_workflow_leads_to_the_file(url: str, file: str) -> None:
    assert file_address(url) == file


def test_a_chosen_pack_that_is_not_here_is_told_with_those_that_are() -> None:
    claims = Claims({"Grain": (claim("Grain", "film"), claim("Grain", "other", 2))})
    packs, tosses, (unknown,) = choose_packs([MissingType("Grain")], claims, {"Grain": "nonesuch@2"}, {})
    assert (packs, tosses, unknown.pack) == ((), (), "")
    assert unknown.why == "you chose a pack that this registry does not have"
    assert unknown.hint == "These have it: film, other."
