"""Untouched packs ask for noderack-compat, which no index has: it comes with Noderack itself."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, own_wheels
from noderack_cli.main import run
from noderack_host.folder import Host

PACK = """import folder_paths
class Where:
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, FUNCTION = ("STRING",), "go"
    def go(self):
        return (folder_paths.get_output_directory(),)
NODE_CLASS_MAPPINGS = {"Where": Where}
"""


@pytest.fixture
def alone(rack: Host) -> Host:
    """A host that knows no registry and no index at all."""
    made = replace(rack, config=replace(rack.config, registry=None))
    made.save()
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pack = tmp_path / "Where-Pack"
    pack.mkdir()
    (pack / "__init__.py").write_text(PACK)
    return pack


def test_an_untouched_folder_is_installed_where_no_registry_is_named(
    alone: Host, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["install", str(folder), "--yes"]) == 0
    assert "Where" in generations.current(alone).packs["where-pack"].node_types
    capsys.readouterr()
    assert run(["list", "--failed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["failures"] == []
    assert run(["uninstall", "where-pack", "--yes"]) == 0
    assert not list(generations.current(alone).path.glob("lib/*/site-packages/noderack_compat-*"))


def test_a_pack_by_name_still_wants_a_registry(alone: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["install", "film"]) == 3
    assert "No registry is named" in "".join(capsys.readouterr())


def test_with_a_registry_it_still_comes_from_here(rack: Host, folder: Path, shop: Any) -> None:
    assert run(["install", str(folder), "--yes"]) == 0
    assert "where-pack" in generations.current(rack).packs


def test_a_lock_is_carried_out_where_the_file_of_the_lock_is_not(alone: Host, folder: Path) -> None:
    assert run(["install", str(folder), "--yes"]) == 0 and run(["lock"]) == 0
    lock = alone.lockfile
    elsewhere = str(own_wheels.cache_folder())
    assert elsewhere in lock.read_text()
    lock.write_text(lock.read_text().replace(elsewhere, "/another/machine"))
    assert run(["rollback"]) == 0 and run(["sync", "--yes"]) == 0
    assert "where-pack" in generations.current(alone).packs


def test_the_wheel_holds_the_modules_under_their_names() -> None:
    made = own_wheels.own_wheel()
    assert made is not None
    names = set(zipfile.ZipFile(made).namelist())
    assert {"folder_paths.py", "comfy/utils.py", "noderack_compat/interface.txt"} <= names


def test_a_bundle_holds_it(alone: Host, folder: Path, tmp_path: Path) -> None:
    assert run(["install", str(folder), "--yes"]) == 0 and run(["lock"]) == 0
    assert run(["bundle", "create", str(tmp_path / "bundle")]) == 0
    assert list((tmp_path / "bundle").rglob("noderack_compat-*.whl"))
