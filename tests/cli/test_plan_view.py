"""Plans as people read them: like things said once, and no sum that is not known yet."""

from dataclasses import replace

import pytest
from noderack_cli.plan import PackChoice, Plan, Unknown
from noderack_cli.plan_view import lines

GRAIN = PackChoice("film-grain", "1.0", ("FilmGrain",), "declared by the pack", size=1000)


def nowhere(name: str, hint: str = "nodes install URL") -> Unknown:
    return Unknown("node type", name, "no pack has it", hint)


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        ([nowhere("A")], ["Not found: node type A: no pack has it.", "      nodes install URL"]),
        (
            [nowhere("A"), nowhere("B")],
            ["Not found: 2 node types, of each: no pack has it.", "      A, B", "      nodes install URL"],
        ),
        (
            [nowhere("A", ""), nowhere("B", "Near names: Bee.")],
            [
                "Not found: node type A: no pack has it.",
                "Not found: node type B: no pack has it.",
                "      Near names: Bee.",
            ],
        ),
    ],
)
def test_types_of_which_the_same_is_to_be_said_stand_together(
    unknown: list[Unknown], told: list[str]
) -> None:
    assert list(lines(Plan(unknown=tuple(unknown)))) == told


def test_how_much_the_disk_fills_is_told_once_dependencies_are_known() -> None:
    guessed = Plan(packs=(GRAIN,))
    assert not any(line.startswith("On disk") for line in lines(guessed))
    assert any(line.startswith("On disk") for line in lines(replace(guessed, solved=True)))
