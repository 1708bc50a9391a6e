import asyncio
import enum
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from noderack_host.contract import schema_of
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.native import (
    File,
    Image,
    Lazy,
    Mask,
    NodeDefinitionError,
    Progress,
    Range,
    Seed,
    Show,
    class_of,
    node,
    result_of,
)
from noderack_host.running import Running, use
from noderack_host.testing import run_prompt, simple_node


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"


class Split(NamedTuple):
    image: Image
    mask: Annotated[Mask, "what was cut out"]


@dataclass
class Palette:
    colours: list[str]


@node(category="image/film")
def film_grain(
    image: Image,
    amount: Annotated[float, Range(0, 1, step=0.05)] = 0.2,
    kind: Literal["fine", "coarse"] = "fine",
    mode: Mode = Mode.HARD,
    seed: Seed = 0,
    mask: Mask | None = None,
) -> Image:
    """Adds grain.

    amount: how much,
      from none to all
    """
    return (image, amount, kind, mode, seed, mask)


def test_a_signature_becomes_sockets_widgets_and_help() -> None:
    entry = schema_of("FilmGrain", class_of(film_grain)).to_object_info()
    required = entry["input"]["required"]
    assert list(required) == ["image", "amount", "kind", "mode", "seed"]
    assert required["image"] == ["IMAGE", {}]
    amount = {"min": 0, "max": 1, "step": 0.05, "tooltip": "how much, from none to all", "default": 0.2}
    assert required["amount"] == ["FLOAT", amount]
    assert required["kind"] == [["fine", "coarse"], {"default": "fine"}]
    assert required["mode"] == [["soft", "hard"], {"default": "hard"}]
    assert required["seed"][1]["control_after_generate"] is True
    assert entry["input"]["optional"] == {"mask": ["MASK", {}]}
    assert (entry["output"], entry["category"]) == (["IMAGE"], "image/film")
    assert (entry["display_name"], entry["description"]) == ("Film grain", "Adds grain.")


def test_the_function_stays_a_function_and_the_class_calls_it() -> None:
    plain = film_grain("picture", mode=Mode.SOFT)  # type: ignore[arg-type]
    assert plain == ("picture", 0.2, "fine", Mode.SOFT, 0, None)
    called = class_of(film_grain)().run(image="picture", mode="soft")
    assert called == (plain,)


def test_several_outputs_have_names_and_help() -> None:
    @node
    def split(image: Image) -> Split:
        return Split(image, image)

    cls: Any = class_of(split)
    assert (cls.RETURN_TYPES, cls.RETURN_NAMES) == (("IMAGE", "MASK"), ("image", "mask"))
    assert cls.OUTPUT_TOOLTIPS == ("", "what was cut out")
    assert cls().run(image=1) == (1, 1)


def test_own_classes_and_lists_travel() -> None:
    @node
    def colours(images: list[Image], count: int = 3) -> tuple[list[str], int]:
        return [str(image) for image in images], count

    cls: Any = class_of(colours)
    assert (cls.INPUT_IS_LIST, cls.OUTPUT_IS_LIST, cls.RETURN_TYPES) == (
        True,
        (True, False),
        ("STRING", "INT"),
    )
    assert cls().run(images=[1, 2], count=[7]) == (["1", "2"], 7)


def test_a_generator_reports_and_returns() -> None:
    @node
    def slow(steps: int) -> Generator[Progress, None, int]:
        for at in range(steps):
            yield Progress(at + 1, steps)
        return steps

    heard: list[Any] = []
    with use(Running(node_id="1", report=lambda *told: heard.append(told[1:3]))):
        assert class_of(slow)().run(steps=2) == (2,)
    assert heard == [(1, 2), (2, 2)]
    assert result_of(slow(3)) == 3


async def test_async_and_output_nodes() -> None:
    @node
    async def say(text: str) -> Show:
        return Show({"text": [text]})

    cls: Any = class_of(say)
    assert (cls.OUTPUT_NODE, cls.RETURN_TYPES) == (True, ())
    assert await cls().run(text="hi") == {"ui": {"text": ["hi"]}, "result": ()}


def test_a_model_file_is_chosen_by_name_and_comes_as_a_path(tmp_path: Path) -> None:
    @node
    def load(model: Annotated[Path, File("upscale_models")]) -> None:
        seen.append(model)

    seen: list[Path] = []
    file = tmp_path / "models/upscale_models/x.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    with use(Running(folders=ModelFolders.of(Host(tmp_path, HostConfig())))):
        cls: Any = class_of(load)
        assert cls.INPUT_TYPES()["required"]["model"][0] == ["x.pth"]
        cls().run(model="x.pth")
        with pytest.raises(FileNotFoundError, match=r"no upscale_models file 'y\.pth'"):
            cls().run(model="y.pth")
    assert seen == [file]


def no_type(amount) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_return(amount: int):  # type: ignore[no-untyped-def]
    return 1


def many(*amounts: int) -> int:
    return 1


def unreadable(a: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


def bare(a: int) -> Generator:  # type: ignore[type-arg]
    yield 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (no_type, "parameter amount has no type"),
        (no_return, "does not say what it gives"),
        (many, "cannot be an input"),
        (unreadable, "its types cannot be read"),
        (bare, r"Generator\[Progress, None, Image\]"),
    ],
)
def test_a_function_that_cannot_be_a_node_says_why(function: Any, says: str) -> None:
    with pytest.raises(NodeDefinitionError, match=says):
        class_of(node(function))


def switched(nodes: list[Any], **inputs: Any) -> tuple[Any, list[str]]:
    """What a Show sees of node 1, of the type of `nodes[0]`, and which of the sources a and b ran."""
    ran: list[str] = []

    def source(name: str) -> Any:
        ran.append(name)
        return (None if name == "b" else [name, name.upper()],)

    classes: dict[str, Any] = {item.__name__.capitalize(): class_of(item) for item in nodes}
    classes["Source"] = simple_node(source, {"name": ("STRING",)}, OUTPUT_IS_LIST=(False,))
    classes["Many"] = simple_node(lambda: ([True, False, True],), {}, OUTPUT_IS_LIST=(True,))
    classes["Show"] = simple_node(lambda v: {"ui": {"v": [v]}}, {"v": ("*",)}, (), OUTPUT_NODE=True)
    prompt = {name: {"class_type": "Source", "inputs": {"name": name}} for name in "ab"}
    prompt |= {"many": {"class_type": "Many", "inputs": {}}}
    prompt |= {"1": {"class_type": nodes[0].__name__.capitalize(), "inputs": inputs}}
    prompt |= {"s": {"class_type": "Show", "inputs": {"v": ["1", 0]}}}
    return run_prompt(classes, prompt).result.outputs["s"]["v"], ran


calls: list[str] = []


@node
def switch(on: bool, a: Lazy[Any], b: Lazy[Any]) -> Any:
    calls.append("on" if on else "off")
    return a() if on else b()


@node
async def later(on: bool, a: Lazy[Any], b: Lazy[Any]) -> Any:
    await asyncio.sleep(0)
    return a() if on else b()


@node
def stepwise(on: bool, a: Lazy[Any], b: Lazy[Any]) -> Generator[Progress, None, Any]:
    yield Progress(1, 2)
    return a() if on else b()


@pytest.mark.parametrize("function", [switch, later, stepwise])
@pytest.mark.parametrize(("on", "seen", "ran"), [(True, [["a", "A"]], ["a"]), (False, [None], ["b"])])
def test_a_lazy_input_is_worked_out_when_it_is_called(function: Any, on: bool, seen: Any, ran: Any) -> None:
    assert switched([function], on=on, a=["a", 0], b=["b", 0]) == (seen, ran)


def test_calls_of_a_list_that_need_nothing_more_are_not_made_again() -> None:
    calls.clear()
    seen, ran = switched([switch], on=["many", 0], a=["a", 0], b=["b", 0])
    assert seen == [["a", "A"], None, ["a", "A"]] and sorted(ran) == ["a", "b"]
    assert calls.count("off") == 2  # once to ask, once to answer


def test_a_function_with_lazy_inputs_is_still_a_plain_function() -> None:
    assert switch(True, lambda: 1, lambda: 1 / 0) == 1
    assert class_of(switch)().run(on=False, a=1, b=2) == (2,)
