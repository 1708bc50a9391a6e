"""What workflows say of where node types are from: counted once each, never trusted alone."""

from __future__ import annotations

import pytest
from noderack_registry.server import sightings
from noderack_registry.server.claims import Claimant, rank
from noderack_registry.server.sightings import Named, named
from wheels import write_wheel

STANDS = {"stars": 50}

# what workflows and people say of the first and of the second; who is first, and is it a toss-up
CASES = {
    "several name it": ({"seen": 2, "stars": 3}, {"stars": 2}, False),
    "one names it, hardly anyone uses it": ({"seen": 1, "stars": 3}, {"stars": 2}, True),
    "one names it, and it is in use": ({"seen": 1, "stars": 9}, {"stars": 2}, False),
    "both are named": ({"seen": 9, "stars": 9}, {"seen": 1, "stars": 2}, True),
    "more name the other": ({"stars": 900}, {"seen": 2}, True),
    "one names the other": ({"stars": 900}, {"seen": 1}, False),
    "the pack says so itself": ({"origin": "declared"}, {"seen": 99, "origin": "seen"}, False),
    "editors chose it": ({"preferred": True}, {"seen": 99}, False),
}


def claimant(key: str, **changes: object) -> Claimant:
    plain = Claimant("Grain", None, "catalogue", False, False, 0, "2026", key, key, None, "active", 0, 0)
    return plain._replace(**changes)


@pytest.mark.parametrize(("first", "second", "doubtful"), CASES.values(), ids=CASES)
def test_workflows_settle_what_hearsay_leaves_open_and_open_what_they_contradict(first, second, doubtful):
    best, other = rank([claimant("other", **second), claimant("best", **first)])
    assert (best.pack, best.ambiguous, other.ambiguous) == ("best", doubtful, False)


def learn(bench, *workflows):
    return bench.registry.database.writing(sightings.learn, workflows)


def test_a_pack_that_only_workflows_name_is_told_with_its_place_and_no_version(bench):
    one = Named("Grain", "film-grain", "ann/comfyui-film-grain", "1.2.0")
    other = Named("Grain", "", "ann/comfyui-film-grain", "")
    done = learn(bench, [one], [other], [one, Named("Blur", "film-grain")], [])
    assert (done.workflows, done.types) == (3, 2)
    (claim,) = bench.client().node_type("Grain")
    assert (claim.pack, claim.version, claim.origin, claim.ambiguous) == ("film-grain", None, "seen", False)
    assert claim.repository == "https://github.com/ann/comfyui-film-grain"
    assert claim.reason == "no pack here lists it; 3 workflows say that it is of film-grain 1.2.0"


def test_copies_count_once_and_what_was_learned_can_be_forgotten(bench):
    one, renamed = [Named("Grain", "Film_Grain")], [Named("Grain", "film-grain", "", "2")]
    assert learn(bench, one).workflows == 1
    assert learn(bench, one, renamed) == sightings.Learned(0, 1, 0)
    assert bench.registry.database.writing(sightings.forget) == 1
    assert bench.client().resolve(["Grain"], []).node_types["Grain"] == ()


def test_a_pack_that_was_published_speaks_for_itself(bench, tmp_path):
    token = bench.token()
    bench.client(token).upload_wheel(write_wheel(tmp_path, "film-grain", types={"Grain": {}}))
    learn(bench, [Named("Grain", "comfyui-film-grain")], [Named("Grain", "other", "bob/other")])
    learn(bench, [Named("Grain", "other", "bob/other"), Named("Blur", "film-grain")])
    first, second = bench.client().node_type("Grain")
    assert (first.pack, first.origin, first.ambiguous) == ("film-grain", "declared", False)
    assert "a workflow says that it is of comfyui-film-grain" in first.reason
    assert (second.pack, second.origin, second.version) == ("other", "seen", None)
    (gone,) = bench.client().node_type("Blur")  # the pack is here, but has no such type (any more)
    assert (gone.pack, gone.version) == ("film-grain", None)


def test_a_quarantined_pack_is_not_told_because_workflows_name_it(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, "film-grain", types={"Grain": {}}))
    learn(bench, [Named("Blur", "film-grain")])
    place = "/api/v1/packs/film-grain/status"
    answer = bench.http.put(place, json={"status": "quarantined", "reason": "x"}, headers=bench.admin())
    assert answer.is_success, answer.text
    assert bench.client().resolve(["Blur", "Grain"], []).node_types == {"Blur": (), "Grain": ()}


@pytest.mark.parametrize(
    ("pack", "place", "version", "expected"),
    [
        ("film-grain", None, "1.0", Named("T", "film-grain", "", "1.0")),
        (None, "Ann/Film.Grain", None, Named("T", "", "ann/film.grain", "")),
        ("comfy-core", None, "0.3", None),
        (None, None, "1.0", None),
        ("../x", "https://evil.example/a/b", "1", None),
        ("a b", "ann/x --upload", "1", None),
        ("ok", "-o/x y", "$(id)", Named("T", "ok", "", "")),
    ],
)
def test_only_names_are_taken_from_workflows(pack, place, version, expected):
    assert named("T", pack, place, version) == expected
