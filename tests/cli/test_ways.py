"""What resolves a conflict: every command that is told works when it is pasted."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from flows import seed, workflow
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.main import run
from noderack_host.folder import Host

WAYS = {
    "choices are kept": ("install-missing FLOW --choose=Grain=film", 3),
    "all packs that were named": ("install one two", 3),
    "an update goes as far as it can": ("update --all", 3),
}


@pytest.mark.parametrize(
    "name", [next(iter(WAYS)), *(pytest.param(name, marks=pytest.mark.slow) for name in list(WAYS)[1:])]
)
def test_every_way_out_works_as_it_is_printed(
    name: str,
    shop: Any,
    rack: Host,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, least = WAYS[name]
    for version in ("1.0", "2.0"):
        shop.sell("lib", version, library=True)
    seed(shop, "film", "Grain")
    shop.sell("film", types=["Grain"])
    shop.sell("one", types=["One"], requires=["lib<2"])
    shop.sell("two", types=["Two"], requires=["lib<2"])
    if "update" in said:
        assert run(["install", "one", "two", "--yes"]) == 0
    shop.sell("two", "2.0", types=["Two"], requires=["lib>=2"])
    flow = workflow(tmp_path, ["Grain", "One", "Two"], name="a flow.json")
    first = generations.current(rack).number
    monkeypatch.delenv("NODERACK_HOST")
    words = [flow if word == "FLOW" else word for word in said.split()]
    assert run([*words, "--host", str(rack.root), "--yes"]) == Exit.UNRESOLVABLE
    ways = [line.strip() for line in capsys.readouterr().err.splitlines() if line.startswith("      nodes ")]
    assert len(ways) >= least, ways
    for way in ways:
        for command in way.split(" && "):
            assert run(shlex.split(command)[1:]) == 0, way
        run(["rollback", str(first), "--host", str(rack.root)])
        run(["free", "two", "--host", str(rack.root)])
