"""The geometry of sheets, to the pixel, and the nodes as a host sees them."""

import pytest
import torch
from noderack_host.native import class_of
from noderack_sheet import grid, nodes
from torch import Tensor

RED, GREEN = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])


def flat(colour: Tensor, height: int = 10, width: int = 20, batch: int = 1) -> Tensor:
    return colour.expand(batch, height, width, 3).clone()


@pytest.mark.parametrize(
    ("count", "wanted", "columns"), [(1, 0, 1), (4, 0, 2), (5, 0, 3), (9, 0, 3), (3, 7, 3), (8, 2, 2)]
)
def test_columns(count: int, wanted: int, columns: int) -> None:
    assert grid.columns_for(count, wanted) == columns


@pytest.mark.parametrize(
    ("count", "columns", "gap", "margin", "size"),
    [(1, 0, 8, 8, (36, 26)), (4, 0, 2, 3, (48, 28)), (3, 3, 0, 0, (60, 10)), (5, 2, 1, 1, (43, 34))],
)
def test_size_of_a_sheet(count: int, columns: int, gap: int, margin: int, size: tuple[int, int]) -> None:
    sheet = nodes.contact_sheet([flat(RED, batch=count)], columns=columns, gap=gap, margin=margin)
    assert (sheet.shape[2], sheet.shape[1]) == size


def test_pictures_keep_their_order_and_their_pixels() -> None:
    pictures = torch.rand((5, 10, 20, 3))
    sheet = nodes.contact_sheet([pictures], columns=2, gap=3, margin=4)[0]
    for index, picture in enumerate(pictures):
        y, x = 4 + (index // 2) * 13, 4 + (index % 2) * 23
        assert torch.equal(sheet[y : y + 10, x : x + 20], picture)
    ground = torch.tensor(grid.colour_of(nodes.GROUND))
    assert torch.allclose(sheet[0, 0], ground) and torch.allclose(sheet[-5, -5], ground)


def test_pictures_of_other_sizes_are_fitted_not_distorted() -> None:
    sheet = nodes.contact_sheet([flat(RED, 40, 40), flat(GREEN, 10, 40)], columns=2, gap=0, margin=0)[0]
    right = sheet[:, 40:]
    green = (right[..., 1] > 0.9) & (right[..., 0] < 0.1)
    assert green.sum().item() == 10 * 40 and green[15:25].all()


def test_labels_and_title_take_their_strips_and_no_more() -> None:
    bare = nodes.contact_sheet([flat(RED, 30, 60, batch=2)], gap=0, margin=0, columns=2)
    full = nodes.contact_sheet(
        [flat(RED, 30, 60, batch=2)], gap=0, margin=0, columns=2, labels="a\nb", title="T"
    )
    strips = grid.strip_height(14) + grid.strip_height(21)
    assert full.shape[1] == bare.shape[1] + strips and full.shape[2] == bare.shape[2]
    title = grid.strip_height(21)
    assert torch.equal(full[0, title : title + 30], bare[0]), "letters stay out of the pictures"
    assert full[0, title + 30 :].max() > 0.8, "light letters on a dark ground"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", ["", "", ""]),
        ("seed {n}", ["seed 1", "seed 2", "seed 3"]),
        ("a\nb", ["a", "b", ""]),
        ("x", ["x", "", ""]),
    ],
)
def test_labels(text: str, labels: list[str]) -> None:
    assert grid.labels_for(text, 3) == labels


def test_colours() -> None:
    assert grid.colour_of("#ff8000") == pytest.approx((1.0, 0.50196, 0.0), abs=1e-4)
    assert grid.colour_of("fff") == (1.0, 1.0, 1.0)
    assert grid.ink_for((0.9, 0.9, 0.9)) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="write it as #rrggbb"):
        grid.colour_of("blue")


@pytest.mark.parametrize(("direction", "size"), [("right", (10, 20 + 4 + 5)), ("down", (10 + 4 + 40, 20))])
def test_side_by_side(direction: str, size: tuple[int, int]) -> None:
    result = nodes.side_by_side(flat(RED), flat(GREEN, 40, 20), direction=direction)  # type: ignore[arg-type]
    assert result.shape[1:3] == size
    assert torch.equal(result[0, :10, :20], flat(RED)[0]) and torch.allclose(result[0, -1, -1], GREEN)


def test_side_by_side_repeats_the_shorter_batch() -> None:
    assert nodes.side_by_side(flat(RED, batch=3), flat(GREEN)).shape[0] == 3


@pytest.mark.parametrize(("place", "grows"), [("above", True), ("below", True), ("on", False)])
def test_label_image(place: str, grows: bool) -> None:
    images = flat(GREEN, 40, 80, batch=2)
    result = nodes.label_image(images, "no {n}", place=place)  # type: ignore[arg-type]
    assert result.shape[1] == 40 + grows * grid.strip_height(14)
    assert not torch.equal(result[0], result[1])


@pytest.mark.parametrize("function", [nodes.contact_sheet, nodes.side_by_side, nodes.label_image])
def test_the_host_sees_nodes(function: object) -> None:
    cls = class_of(function)  # type: ignore[arg-type]
    assert cls.RETURN_TYPES == ("IMAGE",) and cls.CATEGORY == "image/sheet" and cls.DESCRIPTION  # type: ignore[attr-defined]
