"""What the registry has of packs is asked in one question; an older registry is asked for each."""

import json
from dataclasses import replace

import httpx
import pytest
from noderack_cli.pack_facts import versions_of, wheels_here, with_facts
from noderack_cli.plan import PackChoice
from noderack_registry.client import NotFound, RegistryClient
from noderack_registry.schema import PackFile, PackVersion

FILE = PackFile("film-1.0-py3-none-any.whl", "http://shop/film.whl", "a" * 64, 7)
FILM = PackVersion("film", "1.0", dependencies=("numpy",), files=(FILE,), yanked=True, yanked_reason="old")
CHOICES = [PackChoice("film", "1.0", (), "test"), PackChoice("grain", "2.0", (), "test")]


def shop(*packs: PackVersion, old: bool = False) -> tuple[RegistryClient, list[str]]:
    """A client of a registry with these versions, and the list of what it is asked."""
    asked: list[str] = []
    has = {f"{pack.pack}=={pack.version}": pack.to_json() for pack in packs}

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/api/v1/resolve":
            wanted = [] if old else json.loads(request.read())["packs"]
            return httpx.Response(200, json={"packs": {name: has[name] for name in wanted if name in has}})
        _, _, _, _, name, _, version = request.url.path.split("/")
        found = has.get(f"{name}=={version}")
        return httpx.Response(200, json=found) if found else httpx.Response(404)

    return RegistryClient("http://shop", http=httpx.Client(transport=httpx.MockTransport(answer))), asked


@pytest.mark.parametrize(("old", "questions"), [(False, 1), (True, 3)])
def test_facts_of_all_packs_come_by_one_question(old: bool, questions: int) -> None:
    client, asked = shop(FILM, replace(FILM, pack="grain", version="2.0", yanked=False), old=old)
    film, grain = with_facts(client, CHOICES)
    assert (film.sha256, film.size, film.dependencies) == ("a" * 64, 7, ("numpy",))
    assert (film.risks, grain.risks) == (("yanked: old",), ())
    assert len(asked) == questions


def test_a_version_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        with_facts(shop(FILM)[0], CHOICES)


def test_many_packs_are_asked_in_parts() -> None:
    client, asked = shop(FILM)
    assert list(versions_of(client, [*(f"p{n}==1" for n in range(1200)), "film==1.0"])) == ["film==1.0"]
    assert len(asked) == 3


def test_wheels_are_those_that_uv_may_take() -> None:
    hidden = replace(FILM, pack="grain", version="2.0", status="quarantined")
    found = wheels_here(shop(FILM, hidden)[0], {"film": "1.0", "grain": "2.0", "numpy": "2.1"})
    assert [(name, wheel.url, wheel.sha256) for name, (wheel,) in found.items()] == [
        ("film", FILE.url, FILE.sha256)
    ]
