"""site/docs/errors.md shows the table of exits.py, word for word."""

import re
from pathlib import Path

from noderack_cli.exits import MEANING

PAGE = Path(__file__).parents[2] / "site/docs/errors.md"


def test_the_page_has_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(str(int(code)), meaning) for code, meaning in MEANING.items()]
