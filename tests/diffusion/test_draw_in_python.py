"""The page that draws in Python is true: its blocks run as they stand, and draw what they say."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "site/docs/draw-in-python.md"
SEEN = {
    "circle": ("circle", "red", "blue"),
    "heart": ("heart", "yellow", "purple"),
    "green": ("circle", "green", "blue"),
    "ring": ("ring", "white", "green"),
    "square": ("square", "blue", "orange"),
}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "plugins/tiny"))
    from noderack_tiny.look import look

    yield look
    for name in [name for name in sys.modules if name.startswith("noderack_tiny")]:
        monkeypatch.delitem(sys.modules, name)


def test_every_block_runs_and_draws_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look
) -> None:
    script = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    (tmp_path / "plugins").symlink_to(ROOT / "plugins")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(script, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    drawn = {file.stem: np.asarray(Image.open(file)) for file in tmp_path.glob("*.png")}
    sights = {name: look(drawn[name]) for name in SEEN}
    assert {name: (s.shape, s.colour, s.ground) for name, s in sights.items()} == SEEN
    apart = np.abs(drawn["half"].astype(float) - drawn["circle"])
    assert apart[:, :24].mean() < 10 and apart[:, 40:].mean() > 50  # of 255: kept, drawn anew
