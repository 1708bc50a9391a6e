"""The page that teaches writing a node is true: its pack loads and runs."""

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from noderack_host.packs import load_packs

PAGE = Path(__file__).parents[2] / "site/docs/write-a-node.md"


def test_the_pack_of_the_page_is_a_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    source = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len([line for line in source.splitlines() if line.strip()]) <= 22
    (tmp_path / "film_looks_page.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    packs = load_packs([EntryPoint("film-looks", "film_looks_page", "noderack.packs")])
    del sys.modules["film_looks_page"]
    assert packs.failures == ()
    schema = packs.schema("FilmGrain")
    assert [item.name for item in schema.inputs] == ["image", "amount", "look", "seed"]
    cls: Any = packs.nodes["FilmGrain"]
    picture = torch.full((1, 9, 7, 3), 0.5)
    for look in ("fine", "coarse"):
        (grainy,) = cls().run(image=picture, amount=0.5, look=look, seed=1)
        assert grainy.shape == picture.shape and 0 <= grainy.min() < grainy.max() <= 1
