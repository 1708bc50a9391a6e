"""`nodes registry learn`, and what its evidence tells the one who needs a pack."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from noderack_cli.choose_packs import choose_packs
from noderack_cli.errors import BadInput
from noderack_cli.main import cli
from noderack_cli.missing import MissingType
from noderack_cli.plan import Claims
from noderack_registry.server import Settings, open_registry
from noderack_registry.server.claims import claims_for


@pytest.fixture
def folder(tmp_path):
    named = {"cnr_id": "film-grain", "aux_id": "ann/film-grain", "ver": "1.2.0"}
    files = {
        "a.json": {"nodes": [{"id": 1, "type": "Grain", "properties": named}], "links": []},
        "deeper/copy.json": {"nodes": [{"id": 7, "type": "Grain", "properties": named}], "links": []},
        "silent.json": {"nodes": [{"id": 1, "type": "Grain"}], "links": []},
        "package.json": {"name": "no workflow"},
        "broken.json": None,
    }
    for name, data in files.items():
        path = tmp_path / "workflows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data) if data else "{")
    return tmp_path / "workflows"


def run(*words):
    return CliRunner().invoke(cli, ["registry", "learn", *map(str, words)], catch_exceptions=False)


def test_workflows_teach_a_registry_and_it_can_forget(folder, tmp_path):
    data = ("--data", tmp_path / "registry")
    assert run(folder, *data).output == (
        "3 workflows read: 1 new that name packs, for 1 node type; 0 known, 1 name none.\n"
    )
    assert json.loads(run(folder / "a.json", *data, "--json").output)["known"] == 1
    registry = open_registry(Settings(data=tmp_path / "registry"))
    claims = registry.database.reading(claims_for, ["Grain"])
    registry.database.close()
    packs, tosses, (unknown,) = choose_packs([MissingType("Grain")], Claims(claims), {}, {})
    assert (packs, tosses, unknown.pack) == ((), (), "film-grain")
    assert unknown.why == "no pack here lists it; a workflow says that it is of film-grain 1.2.0"
    assert unknown.hint == "nodes install https://github.com/ann/film-grain"
    assert run("--forget", *data).output == "1 workflow forgotten.\n"


def test_it_says_what_to_give_it(tmp_path):
    with pytest.raises(BadInput, match="Say which workflows to learn from"):
        run("--data", tmp_path)
