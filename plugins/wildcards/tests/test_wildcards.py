"""The template language as a table, and what a seed promises."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noderack_host.contract import schema_of
from noderack_wildcards import comfy_entrypoint
from noderack_wildcards.files import OWN, read_lists
from noderack_wildcards.fill import combinations, fill
from noderack_wildcards.nodes import AllCombinations, WildcardPrompt
from noderack_wildcards.template import TemplateError

LISTS = {
    "colour": ("red", "blue"),
    "weighted": ("9::often", "rarely"),
    "nested": ("{dark|light} __colour__",),
    "loop": ("__loop__",),
}


def lists(name: str) -> tuple[str, ...]:
    return LISTS.get(name, ())


ALL = [
    ("plain, text (1.2)", ["plain, text (1.2)"]),
    ("a {red|green} ball", ["a red ball", "a green ball"]),
    ("{a|}", ["a", ""]),
    ("{a|{b|c}}", ["a", "b", "c"]),
    ("{2$$a|b|c}", ["a, b", "a, c", "b, c"]),
    ("{1-2$$ + $$a|b}", ["a", "b", "a + b"]),
    ("{9$$a|b}", []),
    ("__colour__!", ["red!", "blue!"]),
    ("__nested__", ["dark red", "dark blue", "light red", "light blue"]),
    ("${x={a|b}}${x}${x}", ["aa", "bb"]),
    (r"\{a\|b\} \_\_x\_\_ \$\{y\}", ["{a|b} __x__ ${y}"]),
    ("{3::a|1.5::b}", ["a", "b"]),
    ("a|b", ["a|b"]),
    ("costs $5 and 1::2", ["costs $5 and 1::2"]),
]


@pytest.mark.parametrize(("template", "texts"), ALL)
def test_all_texts_of_a_template(template: str, texts: list[str]) -> None:
    assert list(combinations(template, lists)) == texts


@pytest.mark.parametrize(("template", "texts"), [case for case in ALL if case[1] and "$$" not in case[0]])
def test_filling_gives_each_of_them_and_nothing_else(template: str, texts: list[str]) -> None:
    assert {fill(template, lists, seed) for seed in range(60)} == set(texts)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a {b", "never closed at character 3"),
        ("a } b", "without its `{` at character 3"),
        ("__nowhere__", "no word list is called 'nowhere'"),
        ("${late} ${late=x}", "used before it is set"),
        ("__loop__", "in a circle"),
    ],
)
def test_bad_templates_say_where(template: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        fill(template, lists, 0)


def test_weights_are_obeyed() -> None:
    drawn = Counter(fill("__weighted__", lists, seed) for seed in range(1000))
    assert 850 < drawn["often"] < 950


@given(template=st.text(alphabet="ab{}|_$:1\\= ", max_size=30), seed=st.integers(0, 2**64 - 1))
def test_any_text_is_filled_in_or_refused_and_repeats(template: str, seed: int) -> None:
    def outcome() -> str:
        try:
            return fill(template, lists, seed)
        except TemplateError as error:
            return str(error)

    assert outcome() == outcome()


def test_lists_are_files_and_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    (folder / "animals").mkdir(parents=True)
    (folder / "animals" / "cats.txt").write_text("# big ones\nlion\n\ntiger\n")
    (folder / "animals" / "dogs.txt").write_text("wolf\n")
    (tmp_path / "secret.txt").write_text("hidden\n")
    find = read_lists(folder, OWN)
    assert find("animals/cats") == ("lion", "tiger")
    assert find("animals/*") == ("lion", "tiger", "wolf")
    assert find("../secret") == () and find(str(tmp_path / "secret")) == ()
    assert "otter" in find("animal"), "the pack's own lists come after the host's"


def test_prompt_node_writes_different_texts() -> None:
    texts = WildcardPrompt.execute(template="{a|b|c|d|e|f}", seed=1, count=4).args[0]
    assert len(texts) == 4 == len(set(texts))
    assert WildcardPrompt.execute(template="{a|b|c|d|e|f}", seed=1, count=4).args == (texts,)
    assert len(WildcardPrompt.execute(template="same", seed=1, count=3).args[0]) == 3


def test_combinations_node_pages_through() -> None:
    assert AllCombinations.execute(template="{a|b}{c|d}", limit=2, skip=1).args == (["ad", "bc"], 2)


async def test_the_host_sees_both_nodes() -> None:
    extension = await comfy_entrypoint()
    nodes = {cls.GET_SCHEMA().node_id: cls for cls in await extension.get_node_list()}
    shown = schema_of("NoderackWildcardPrompt", nodes["NoderackWildcardPrompt"])
    assert set(nodes) == {"NoderackWildcardPrompt", "NoderackAllCombinations"}
    assert [part.name for part in shown.inputs] == ["template", "seed", "count"] and shown.outputs[0].is_list
