"""First publishes under names that are somebody else's in all but a letter."""

from __future__ import annotations

import pytest
from noderack_registry import names
from noderack_registry.client import Refused
from noderack_registry.server.tables import Pack
from sqlmodel import select
from wheels import write_wheel


@pytest.fixture
def known(bench, tmp_path):
    """film-grain, which many know; lens-dirt, which nobody does."""
    for name in ("film-grain", "lens-dirt"):
        bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, name))

    def famous(session):
        from noderack_registry.server import findable

        pack = session.exec(select(Pack).where(Pack.key == "film-grain")).one()
        pack.stars = 50
        session.add(pack)
        session.flush()
        findable.refresh(session, pack)

    bench.registry.database.writing(famous)
    return bench


TABLE = [
    ("film-grain2", "similar-name"),  # a letter more
    ("film-grai", "similar-name"),  # one less
    ("film-brain", "similar-name"),  # another one
    ("flim-grain", "similar-name"),  # two swapped
    ("fi1m-grain", "similar-name"),  # looks the same
    ("filmgrain", "similar-name"),
    ("film_grain_", "file-name"),
    ("film-grainier", None),
    ("lens-dart", None),  # near a name that nobody knows
    ("torchvisoin", "similar-name"),  # near a reserved one
    ("torchvision", "reserved-name"),
    ("comfyui", "reserved-name"),
    ("asyncio", "reserved-name"),
    ("lens-d1rt", "similar-name"),
]


@pytest.mark.parametrize(("name", "code"), TABLE)
def test_names_of_a_first_publish(known, tmp_path, name, code):
    bob = known.client(known.token("bob"))
    # the file lies in a folder of another name, so that the name alone is judged
    wheel = write_wheel(tmp_path, name, files={}, facts={"library": True})
    if code is None:
        assert bob.upload_wheel(wheel).pack == names.key(name)
        return
    with pytest.raises(Refused) as caught:
        bob.upload_wheel(wheel)
    assert caught.value.code in (code, "foreign-module")


def test_ones_own_names_may_be_near_each_other(known, tmp_path):
    assert known.client(known.token("ann")).upload_wheel(write_wheel(tmp_path, "film-grain2"))


def test_an_admin_can_let_somebody_have_a_name(known, tmp_path):
    wheel = write_wheel(tmp_path, "film-brain")
    said = {"account": "bob"}
    answer = known.http.put("/api/v1/allowed/film-brain", json=said, headers=known.admin())
    assert answer.json() == {"allowed": [{"name": "film-brain", "account": "bob"}]}
    with pytest.raises(Refused, match="one slip away"):
        known.client(known.token("eve")).upload_wheel(wheel)
    assert known.client(known.token("bob")).upload_wheel(wheel).pack == "film-brain"
    assert known.http.delete("/api/v1/allowed/film-brain", headers=known.admin()).json() == {"allowed": []}
    assert known.http.delete("/api/v1/allowed/film-brain", headers=known.admin()).status_code == 404
    stranger = {"Authorization": f"Bearer {known.token('eve')}"}
    assert known.http.put("/api/v1/allowed/x-y", json=said, headers=stranger).status_code == 403


def test_an_archived_pack_takes_no_version(known, tmp_path):
    body = {"status": "archived", "reason": "done"}
    known.http.put("/api/v1/packs/lens-dirt/status", json=body, headers=known.admin())
    with pytest.raises(Refused, match="archived: done"):
        known.client(known.token("ann")).upload_wheel(write_wheel(tmp_path, "lens-dirt", "1.1"))
