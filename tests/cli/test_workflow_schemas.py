"""Where `nodes workflow` learns what node types take: a real registry, and the packs of a real host."""

from pathlib import Path
from typing import Any

import pytest
from noderack_cli.main import run
from noderack_cli.workflow_schemas import ask_registry, find_schemas
from noderack_host.folder import Host
from noderack_registry.packing import build_wheel

FILM = Path(__file__).parents[2] / "plugins" / "film"


def test_registry_and_host_describe_a_pack_alike(
    rack: Host, shop: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop.client as client:
        client.upload_wheel(build_wheel(FILM, tmp_path / "wheels").path)
        sold = ask_registry(client, ["NoderackFilmGrain", "Nobody's"])
    assert list(sold) == ["NoderackFilmGrain"]
    assert run(["install", "noderack-film", "--yes", "--host", str(rack.root)]) == 0, capsys.readouterr().err
    installed = find_schemas(None, rack.root)
    assert installed["NoderackFilmGrain"].inputs == sold["NoderackFilmGrain"].inputs
    assert find_schemas(None, rack.root) == installed
