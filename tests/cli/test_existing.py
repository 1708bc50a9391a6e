"""Snapshots and installations of other tools: read, never run, never changed."""

import json
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations
from noderack_cli.doctor import look
from noderack_cli.errors import BadInput
from noderack_cli.existing import Found, read_installation, read_snapshot
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from pack_wheels import nodes_source

SNAPSHOT = {
    "comfyui": "abc",
    "git_custom_nodes": {
        "https://example.org/o/Sheet-Pack.git": {"hash": "f00", "disabled": False},
        "https://example.org/o/off": {"hash": "f01", "disabled": True},
    },
    "cnr_custom_nodes": {"film": "1.0"},
    "file_custom_nodes": [{"filename": "mine.py"}, {"filename": "websocket_image_save.py"}],
    "pips": {"numpy==2.0": ""},
}


def test_a_snapshot_lists_its_packs() -> None:
    found = read_snapshot(json.dumps(SNAPSHOT), "s")
    assert found.packs == (
        Found("film", "1.0"),
        Found("Sheet-Pack", None, "https://example.org/o/Sheet-Pack.git", "f00"),
    )
    disabled, single, pips = found.notes  # what is not taken is told
    assert "off" in disabled and "mine.py" in single and "websocket" not in single and "1 Python" in pips


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": []}', "[" * 100_000])
def test_other_files_are_no_snapshots(text: str) -> None:
    with pytest.raises(BadInput):
        read_snapshot(text, "s.json")


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    root = tmp_path / "ComfyUI"
    film = root / "custom_nodes/ComfyUI-Film"
    film.mkdir(parents=True)
    (film / "pyproject.toml").write_text('[project]\nname = "film"\nversion = "1.0"\n')
    other = root / "custom_nodes/other/.git"
    other.mkdir(parents=True)
    (other / "config").write_text('[remote "origin"]\n\turl = https://example.org/o/other\n')
    (root / "models/loras").mkdir(parents=True)
    (root / "models/loras/old.safetensors").write_bytes(b"x")
    (root / "more/models/vae").mkdir(parents=True)
    (root / "more/models/vae/shared.safetensors").write_bytes(b"y")
    extra = "a111:\n    base_path: more/models  # here\n    vae: vae\n    custom_nodes: ../nodes\n"
    (root / "extra_model_paths.yaml").write_text(extra)
    (root / "more/nodes/shared pack").mkdir(parents=True)
    (root / "more/nodes/shared pack/__init__.py").write_text(nodes_source(["Shared"]))
    (root / "custom_nodes/single.py").write_text(nodes_source(["Single"]))
    (root / "custom_nodes/Off.disabled").mkdir()
    (root / "custom_nodes/.disabled/gone").mkdir(parents=True)
    (root / "custom_nodes/empty").mkdir()
    return root


def listing(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))


def test_an_installation_is_read(installation: Path) -> None:
    found = read_installation(installation)
    film, other = installation / "custom_nodes/ComfyUI-Film", installation / "custom_nodes/other"
    assert found.packs == (
        Found("film", "1.0", folder=film),
        Found("other", None, "https://example.org/o/other", folder=other),
        Found("single", folder=installation / "custom_nodes/single.py"),
        Found("shared pack", folder=installation / "more/nodes/shared pack"),
    )
    disabled, none = found.notes
    assert disabled.endswith("Off.disabled, gone") and none.endswith("empty")
    assert found.models == (installation / "models", installation / "extra_model_paths.yaml")


def test_adopt_takes_packs_and_leaves_models(
    shop: Any, rack: Host, installation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", "1.0", types=["FilmGrain"])
    shop.sell("film", "2.0", types=["FilmGrain"])
    before = listing(installation)
    assert run(["adopt", str(installation), "--yes"]) == 0
    assert generations.current(rack).packs["film"].version == "1.0"
    assert f'nodes install "{installation}/more/nodes/shared pack"' in capsys.readouterr().out
    assert run(["models", "list", "loras"]) == 0
    assert "old.safetensors" in capsys.readouterr().out
    assert ModelFolders.of(Host.open(rack.root)).find("vae", "shared.safetensors") is not None
    assert "folder" not in [ill.code for ill in look(Host.open(rack.root))]
    bundle = rack.root.parent / "bundle"
    assert run(["lock"]) == 0 and "2 models" in capsys.readouterr().out
    assert run(["bundle", "create", str(bundle)]) == 0
    models = sorted(p.relative_to(bundle).as_posix() for p in (bundle / "models").rglob("*.safetensors"))
    assert models == ["models/loras/old.safetensors", "models/vae/shared.safetensors"]
    assert listing(installation) == before


def test_adopt_builds_what_the_registry_does_not_have(
    shop: Any, rack: Host, installation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", "1.0", types=["FilmGrain"])
    before, host = listing(installation), listing(rack.root)
    words = ["adopt", str(installation), "--build", "--without", "film"]
    assert run([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[0])["plan"]
    assert [pack["pack"] for pack in plan["packs"]] == ["single", "shared-pack"]
    assert "it cannot be built" in plan["unknown"][0]["why"] and "film is left out" in plan["notes"][-1]
    assert listing(rack.root) == host  # a dry run makes nothing, the wheels that it looked into included
    assert run([*words, "--yes"]) == 0
    packs = generations.current(rack).packs
    assert packs["single"].node_types == ("Single",) and packs["shared-pack"].node_types == ("Shared",)
    assert Path(packs["single"].origin).is_file() and listing(installation) == before
    assert run(["disable", "single"]) == 0 and run(["enable", "single"]) == 0


def test_adopt_names_the_models_even_if_a_pack_fails(
    shop: Any, rack: Host, installation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sell("film", "1.0", source="import nobody_has_this", declared=["FilmGrain"])
    (installation / "custom_nodes/Mine").mkdir()
    (installation / "custom_nodes/Mine/__init__.py").touch()
    assert run(["adopt", str(installation), "--dry-run"]) == 0
    assert Host.open(rack.root).config.model_paths == ()
    assert run(["adopt", str(installation), "--yes"]) == Exit.INSTALL_FAILED
    assert len(Host.open(rack.root).config.model_paths) == 2
    assert f"nodes install {installation}/custom_nodes/Mine" in capsys.readouterr().out


def test_a_pack_that_a_snapshot_lists_twice_counts_once(
    shop: Any, rack: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1.0", "2.0"):
        shop.sell("film", version, types=["FilmGrain"])
    twice = {**SNAPSHOT, "git_custom_nodes": {"https://example.org/o/Film": {"hash": "f00"}}}
    (tmp_path / "s.json").write_text(json.dumps(twice))
    assert run(["snapshot", "import", str(tmp_path / "s.json"), "--yes"]) == 0
    assert generations.current(rack).packs["film"].version == "1.0"
    assert run(["snapshot", "import", str(tmp_path / "s.json")]) == 0
    assert "No pack is there that is not here as well." in capsys.readouterr().out


def test_a_folder_that_is_no_installation(rack: Host, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["adopt", str(tmp_path / "empty")]) == Exit.BAD_INPUT
