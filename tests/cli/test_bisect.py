"""The pack that broke a workflow is found by running it: over generations, over packs, by a command."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noderack_cli import generations
from noderack_cli.exits import Exit
from noderack_cli.halving import halve
from noderack_cli.main import run
from noderack_host.folder import Host

# A pack whose import breaks a node of another: what happens when packs replace each other's functions.
SABOTAGE = """
import sys
from noderack_host import execute
sys.modules["builtins"].SABOTAGED = True
NODE_CLASS_MAPPINGS = {}
"""
FRAGILE = """
class Fragile:
    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "t", "run", ("INT",), True
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 1})}}
    def run(self, value):
        import builtins
        if getattr(builtins, "SABOTAGED", False):
            raise RuntimeError("somebody replaced what I need")
        return {"ui": {}, "result": (value,)}
NODE_CLASS_MAPPINGS = {"Fragile": Fragile}
"""


@given(st.integers(0, 30), st.integers(1, 30), st.sets(st.integers(0, 60)))
def test_halving_finds_where_it_broke(good: int, more: int, skipped: set[int]) -> None:
    count, asked = good + 1 + more, list[int]()

    def verdict(at: int) -> Literal["good", "bad", "skip"]:
        asked.append(at)
        return "skip" if at in skipped else "good" if at <= good else "bad"

    found = halve(count, verdict)
    judged = [at for at in range(good + 1) if at not in skipped]
    assert len(asked) == len(set(asked)), "each is asked about once"
    if not judged:
        assert found is None
        return
    assert found and found.last_good == max(judged)
    assert found.first_bad == min(at for at in range(good + 1, count) if at not in skipped or at == count - 1)
    assert all(at in skipped for at in found.between)


@pytest.fixture
def broken(shop: Any, rack: Host, tmp_path: Path) -> Path:
    """A host where the third of four packs broke the first one's workflow, in generation 4."""
    shop.sell("fragile", source=FRAGILE, types=["Fragile"])
    shop.sell("calm", types=["Calm"])
    shop.sell("rude", source=SABOTAGE + "NODE_CLASS_MAPPINGS['Rude'] = type('Rude', (), {})\n", declared=[])
    shop.sell("late", types=["Late"])
    for pack in ("fragile", "calm", "rude", "late"):
        assert run(["install", pack, "--yes"]) == 0
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"1": {"class_type": "Fragile", "inputs": {"value": 2}}}))
    return flow


def untouched(rack: Host) -> tuple[str, list[str]]:
    names = sorted(str(p) for p in rack.root.iterdir()) + sorted(str(p) for p in rack.generations.iterdir())
    return str(rack.env.readlink()), [*names, *map(str, (rack.root / "temp").iterdir())]


@pytest.mark.slow
def test_the_generation_that_broke_it_is_found(
    broken: Path, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    before = untouched(rack)
    capsys.readouterr()
    assert run(["bisect", str(broken)]) == 0
    out = capsys.readouterr().out
    assert "rude broke it" in out and "somebody replaced what I need" in out
    assert "Generation 3 works, 4 (install rude 1.0) does not" in out
    assert "nodes rollback 3" in out and "nodes disable rude" in out and untouched(rack) == before


@pytest.mark.slow
def test_the_pack_is_found_where_only_one_generation_is_left(
    broken: Path, rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    generations.prune(rack, keep=0)
    before = untouched(rack)
    capsys.readouterr()
    assert run(["bisect", str(broken), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert said["found"]["packs"] == ["rude"] and untouched(rack) == before


@pytest.mark.parametrize("together", [False, True])
def test_a_command_may_judge(
    shop: Any, rack: Host, capsys: pytest.CaptureFixture[str], together: bool
) -> None:
    packs = ["one", "two", "three"]
    for pack in packs:
        shop.sell(pack, types=[pack.title()])
    for wanted in [packs] if together else [[pack] for pack in packs]:
        assert run(["install", *wanted, "--yes"]) == 0
    before = untouched(rack)
    capsys.readouterr()
    test = "! ls $NODERACK_HOST/env/lib/python*/site-packages/ | grep -q '^two-'"
    assert run(["bisect", "--test", test]) == 0
    assert "two broke it" in capsys.readouterr().out
    assert run(["bisect", "--test", test, "--packs"]) == 0
    assert "two broke it" in capsys.readouterr().out
    assert run(["bisect", "--test", test, "--bad", "3"]) == 0
    assert "Generation 2 works, 3 (install two 1.0) does not" in capsys.readouterr().out
    assert untouched(rack) == before


def test_what_works_is_said_to_work_and_what_cannot_be_blamed_too(
    rack: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bisect", "--test", "true"]) == 0
    assert "Generation 1 works" in capsys.readouterr().out
    assert run(["bisect", "--test", "false"]) == Exit.NOT_FOUND
    assert run(["bisect"]) == Exit.BAD_INPUT
