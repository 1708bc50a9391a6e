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


@pytest.fixture(scope="session")
def data() -> SiteData:
    """The same, with some built-in nodes."""
    export = json.loads((CASES / "export.json").read_text(encoding="utf-8"))
    return with_built_in(from_export(export), json.loads((CASES / "built_in.json").read_bytes()))


@pytest.fixture(scope="session")
def site(data: SiteData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written site, to be read only."""
    out = tmp_path_factory.mktemp("site") / "site"
    build(data, out)
    return out
