"""The page that teaches writing a node is true: its packs load, run, pass its test and a type check."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from noderack_host.packs import Packs, load_packs
from noderack_host.testing import run_prompt, simple_node

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "site/docs/write-a-node.md"
torch = pytest.importorskip("torch")
FILES = ("film_looks", "test_film_looks", "each_kind")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's Python blocks as files that can be imported."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, block in zip(FILES, blocks, strict=True):
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name, None)


def packs_of(module: str) -> Packs:
    packs = load_packs([EntryPoint(module, module, "noderack.packs")])
    assert packs.failures == ()
    return packs


def test_the_first_pack_is_complete_in_fifteen_lines(folder: Path) -> None:
    assert len((folder / "film_looks.py").read_text().splitlines()) <= 15
    packs = packs_of("film_looks")
    schema = packs.schema("FilmGrain")
    assert [item.name for item in schema.inputs] == ["image", "amount", "seed"]
    assert schema.description == "Adds grain, as film has it."
    picture = torch.full((1, 9, 7, 3), 0.5)
    (grainy,) = packs.nodes["FilmGrain"]().run(image=picture, amount=0.5, seed=1)
    assert grainy.shape == picture.shape and 0 <= grainy.min() < grainy.max() <= 1


def test_its_test_passes_without_a_host(folder: Path) -> None:
    import test_film_looks  # type: ignore[import-not-found]

    test_film_looks.test_the_same_seed_gives_the_same_grain()


def test_every_kind_of_node_runs(folder: Path) -> None:
    ran: list[str] = []

    def picture(name: str) -> tuple[object]:
        ran.append(name)
        return (torch.rand(1, 4, 6, 3),)

    nodes = {**packs_of("each_kind").nodes, "Picture": simple_node(picture, {"name": ("STRING",)})}
    prompt = {
        "a": {"class_type": "Picture", "inputs": {"name": "a"}},
        "b": {"class_type": "Picture", "inputs": {"name": "b"}},
        "either": {"class_type": "Either", "inputs": {"first": False, "one": ["a", 0], "other": ["b", 0]}},
        "soft": {"class_type": "Soften", "inputs": {"image": ["either", 0], "steps": 3}},
        "late": {"class_type": "Pause", "inputs": {"image": ["soft", 0], "seconds": 0.01}},
        "tell": {"class_type": "TellSize", "inputs": {"image": ["late", 0]}},
    }
    told = run_prompt(nodes, prompt)
    assert told.result.outputs == {"tell": {"text": ["6 x 4"]}} and ran == ["b"]
    assert [event.value for event in told.named("progress")] == [1, 2, 3]
    assert nodes["SplitLight"].RETURN_NAMES == ("dark", "light")


def test_the_packs_pass_a_strict_type_check(folder: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, *(str(folder / f"{name}.py") for name in FILES)],
        cwd=ROOT,
        env={"MYPYPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
