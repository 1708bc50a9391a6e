"""A pack under development is taken in anew; what fails leaves the old one in use."""

import sys
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from noderack_host.packs import Packs, load_packs
from noderack_host.reload import changes, package_of, reload_packs, tell_change

CODE = """
from .words import WORD
from pathlib import Path
class Say:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    INPUT_TYPES = classmethod(lambda cls: {{"required": {{}}}})
    def run(self): return (WORD,)
NODE_CLASS_MAPPINGS = {{"{type}": Say}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packs that can be imported, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("live_")]:
        del sys.modules[name]


def pack(folder: Path, name: str, word: str, node_type: str = "") -> EntryPoint:
    (folder / f"live_{name}").mkdir(exist_ok=True)
    write(folder, name, "words", f"WORD = {word!r}\n")
    write(folder, name, "__init__", CODE.format(type=node_type or name.title()))
    return EntryPoint(name, f"live_{name}", "noderack.packs")


def write(folder: Path, name: str, file: str, text: str) -> None:
    (folder / f"live_{name}" / f"{file}.py").write_text(text, "utf-8")


def said(packs: Packs, node_type: str) -> str:
    return str(packs.nodes[node_type]().run()[0])


def test_a_change_anywhere_in_the_pack_is_used_at_once_and_others_are_left_alone(folder: Path) -> None:
    points = [pack(folder, "one", "old"), pack(folder, "two", "same")]
    packs = load_packs(points)
    write(folder, "one", "words", "WORD = 'new'\n")  # same size, same second: byte code would not notice
    done = reload_packs(packs, ["One"], points)
    assert said(done.packs, "One") == "new" and done.reloaded == ("one",)
    assert done.packs.nodes["Two"] is packs.nodes["Two"]
    assert done.node_types == {"One"} and done.failures == ()
    assert done.seconds < 1


def test_what_fails_leaves_the_old_pack_in_use_and_is_told(folder: Path) -> None:
    points = [pack(folder, "one", "old")]
    packs = load_packs(points)
    before = sys.modules["live_one.words"]
    write(folder, "one", "words", "WORD = oops\n")
    broken = reload_packs(packs, ["one"], points)
    assert said(broken.packs, "One") == "old" and broken.reloaded == ()
    assert "NameError" in broken.failures[0].cause and broken.packs.failures == broken.failures
    assert sys.modules["live_one.words"] is before
    write(folder, "one", "words", "WORD = 'mended'\n")
    mended = reload_packs(broken.packs, ["one"], points)
    assert said(mended.packs, "One") == "mended" and mended.packs.failures == ()


def test_node_types_come_and_go(folder: Path) -> None:
    points = [pack(folder, "one", "x"), pack(folder, "two", "y")]
    packs = load_packs(points)
    pack(folder, "one", "x", "Other")
    done = reload_packs(packs, ["one"], points)
    assert set(done.packs.nodes) == {"Other", "Two"} and done.node_types == {"One", "Other"}


def test_a_new_pack_is_loaded_and_one_that_is_gone_goes(folder: Path) -> None:
    one = pack(folder, "one", "x")
    packs = load_packs([one])
    two = pack(folder, "two", "y")
    both = reload_packs(packs, ["two"], [one, two])
    assert set(both.packs.nodes) == {"One", "Two"}
    left = reload_packs(both.packs, ["two"], [one])
    assert set(left.packs.nodes) == {"One"} and left.node_types == {"Two"}


def test_a_nodes_type_that_another_pack_lost_comes_back_with_its_owner_gone(folder: Path) -> None:
    points = [pack(folder, "one", "first", "Same"), pack(folder, "two", "second", "Same")]
    packs = load_packs(points)
    assert said(packs, "Same") == "second"
    done = reload_packs(packs, ["two"], points[:1])
    assert said(done.packs, "Same") == "first" and done.packs.conflicts == ()


@pytest.mark.parametrize(
    ("module", "package"),
    [("noderack_film.nodes", "noderack_film"), ("custom_nodes.rgthree.py.a", "custom_nodes.rgthree")],
)
def test_which_package_is_a_packs_own(module: str, package: str) -> None:
    assert package_of(module) == package


def test_changes_are_told_once_each(tmp_path: Path) -> None:
    file = tmp_path / "user" / "packs-changed"
    assert changes(file, 0) == ((), 0)
    for name in ("a", "b", "a"):
        tell_change(file, name)
    names, position = changes(file, 0)
    assert names == ("a", "b") and changes(file, position) == ((), position)
    with file.open("a") as lines:
        lines.write('{"pack": "half')
    assert changes(file, position) == ((), position)
    file.unlink()
    tell_change(file, "c")
    assert changes(file, position)[0] == ("c",)


def test_reloading_a_pack_of_a_hundred_files_takes_less_than_a_second(folder: Path) -> None:
    points = [pack(folder, "big", "x")]
    for number in range(100):
        write(folder, "big", f"part{number}", "class Part:\n" + "    a = 1\n" * 200)
    parts = "".join(f"from . import part{number}\n" for number in range(100))
    (folder / "live_big" / "__init__.py").write_text(parts + CODE.format(type="Big"))
    packs = load_packs(points)
    start = time.process_time()
    reload_packs(packs, ["big"], points)
    assert time.process_time() - start < 1
