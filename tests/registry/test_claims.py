"""The rank of claims to a type, and the reason that each claim gives for where it stands."""

from __future__ import annotations

import pytest
from noderack_registry.server.claims import Claimant, rank

MUCH = "at least 10 times as popular as the next claim"
ORIGINAL = f"{MUCH}, so taken for the original of the types that it shares with other packs"
COLLECTION = "most of its types are also in other packs"
COPIES, OWN = 800, 100  # of 1000 types, how many others have as well

# name; first and second as changes of a claim; what the first says, and does not; is it a toss-up
CASES = [
    ("copied", {"shared": COPIES, "stars": 50}, {"shared": COPIES, "stars": 5}, ORIGINAL, COLLECTION, False),
    (
        "copied, close",
        {"shared": COPIES, "stars": 49},
        {"shared": COPIES, "stars": 5},
        COLLECTION,
        MUCH,
        True,
    ),
    ("collection", {"stars": 2}, {"shared": COPIES, "stars": 90}, "2 stars", MUCH, True),
    ("popular", {"shared": OWN, "downloads": 2000}, {"stars": 10}, MUCH, "original", False),
    ("nobody uses the other", {"downloads": 10}, {}, MUCH, "original", False),
    ("chosen", {"preferred": True, "stars": 50}, {"stars": 1}, "its editors chose this pack", MUCH, False),
    ("had it first", {"stars": 50}, {"newcomer": True, "stars": 1}, "one of 2 claims", MUCH, False),
    (
        "listed first, hardly used",
        {"stars": 1},
        {"newcomer": True, "origin": "declared"},
        "1 stars",
        MUCH,
        True,
    ),
    ("trusted more", {"origin": "declared", "stars": 50}, {"stars": 1}, "declared by the pack", MUCH, False),
]


def claimant(key: str, **changes: object) -> Claimant:
    plain = Claimant(
        "Grain", None, "catalogue", False, False, 0, "2026-01-01", key, key, None, "active", 0, 0
    )
    return plain._replace(**changes)


@pytest.mark.parametrize(
    ("first", "second", "says", "never", "doubtful"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_first_says_which_rule_put_it_there(first, second, says, never, doubtful):
    best, other = rank([claimant("other", **second), claimant("best", **first)])
    assert (best.pack, best.ambiguous, other.ambiguous) == ("best", doubtful, False)
    assert says in best.reason
    assert never not in best.reason
    assert MUCH not in other.reason


def test_a_copy_says_that_it_shares_its_types():
    _, copy = rank([claimant("best", shared=COPIES, stars=50), claimant("copy", shared=COPIES, stars=5)])
    assert copy.reason == f"listed in the public catalogue; one of 2 claims; {COLLECTION}; 5 stars"
