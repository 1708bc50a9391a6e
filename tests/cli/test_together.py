"""Packs that import alone and fail beside each other: the later one is left out, and the other is named."""

from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host
from pack_wheels import nodes_source

# What the first and the second do when they are imported.
CLASHES = {
    "one does not import": ("import sys; sys.s = 1", "import sys; assert not hasattr(sys, 's')"),
    "the process ends": ("import sys; sys.s = 1", "import os, sys\nif hasattr(sys, 's'): os._exit(3)"),
    "whoever comes later": ("import sys; assert not hasattr(sys, 's'); sys.s = 1",) * 2,
}


@pytest.mark.parametrize("before", [False, True], ids=["of one plan", "one is here already"])
@pytest.mark.parametrize("name", CLASHES)
def test_packs_that_only_fail_together_are_told_by_name(
    name: str, before: bool, shop: Any, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    for pack, type_, extra in zip(("first", "second"), ("One", "Two"), CLASHES[name], strict=True):
        shop.sell(pack, types=[type_], source=nodes_source([type_], extra))
    shop.sell("third", types=["Three"])
    assert not before or run(["install", "first", "--yes"]) == 0
    assert run(["install", "first", "second", "third", "--yes"]) == Exit.INSTALL_FAILED
    assert "second 1.0 imports alone, but not together with first: " in capsys.readouterr().err
    assert set(generations.current(rack).packs) == {"noderack", "first", "third"}


def test_all_or_nothing_tells_it_too(shop: Any, rack: Host, tmp_path: Path) -> None:
    clash = CLASHES["whoever comes later"]
    for pack, type_, extra in zip(("first", "second"), ("One", "Two"), clash, strict=True):
        shop.sell(pack, types=[type_], source=nodes_source([type_], extra))
    flow = tmp_path / "flow.json"
    flow.write_text('{"1": {"class_type": "One", "inputs": {}}, "2": {"class_type": "Two", "inputs": {}}}')
    assert run(["install-missing", str(flow), "--yes", "--all-or-nothing"]) == Exit.INSTALL_FAILED
    assert generations.current(rack).number == 1


def test_a_pack_that_was_broken_before_keeps_no_other_out(shop: Any, rack: Host, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    extra = f"import os\nif os.path.exists({str(flag)!r}): raise OSError('no device')"
    shop.sell("first", types=["One"], source=nodes_source(["One"], extra))
    shop.sell("second", types=["Two"])
    assert run(["install", "first", "--yes"]) == 0
    flag.touch()
    assert run(["install", "second", "--yes"]) == 0
