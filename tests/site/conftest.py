"""The small registry that the site tests write pages of."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from noderack_site.build import build
from noderack_site.data import SiteData, from_export, with_built_in

sys.path.insert(0, str(Path(__file__).parent))  # for poison.py beside this file

CASES = Path(__file__).parents[1] / "cases/site"


@pytest.fixture
def export() -> dict[str, Any]:
    """A registry's export: four packs, three models, two workflows."""
    return json.loads((CASES / "export.json").read_text(encoding="utf-8"))


@pytest.fixture
def data(export: dict[str, Any]) -> SiteData:
    """The same, with some built-in nodes."""
    return with_built_in(from_export(export), json.loads((CASES / "built_in.json").read_bytes()))


@pytest.fixture
def site(data: SiteData, tmp_path: Path) -> Path:
    """The written site."""
    build(data, tmp_path / "site")
    return tmp_path / "site"
