"""The nodes, as typed functions: signature and docstring are all that a host needs."""

from typing import Annotated, Literal

import torch
from noderack_host.native import Image, Range, Text, node

from . import grid

GROUND = "#16181d"
CATEGORY = "image/sheet"


@node(name="NoderackContactSheet", title="Contact Sheet", category=CATEGORY, search=("grid", "collage"))
def contact_sheet(
    images: list[Image],
    columns: Annotated[int, Range(0, 64)] = 0,
    labels: Annotated[str, Text(placeholder="one line a picture, or: seed {n}")] = "",
    title: str = "",
    gap: Annotated[int, Range(0, 256)] = 8,
    margin: Annotated[int, Range(0, 512)] = 8,
    text_size: Annotated[int, Range(6, 256)] = 14,
    background: str = GROUND,
) -> Image:
    """Lays all pictures out on one sheet, row by row, each with its label.

    images: batches, or a list of pictures of any sizes
    columns: pictures in a row; 0 makes the sheet as square as it gets
    labels: one line a picture; a single line with {n} in it numbers them
    title: a line at the top
    gap: pixels between pictures
    margin: pixels around the sheet
    text_size: height of the letters in pixels
    background: as #rrggbb; the letters are black or white, whichever reads better
    """
    pictures = [picture for batch in images for picture in batch]
    sheet = grid.contact_sheet(
        pictures,
        columns=columns,
        gap=gap,
        margin=margin,
        labels=grid.labels_for(labels, len(pictures)),
        title=title,
        text_size=text_size,
        ground=grid.colour_of(background),
    )
    return sheet[None]


@node(name="NoderackSideBySide", title="Side by Side", category=CATEGORY, search=("compare", "before after"))
def side_by_side(
    first: Image,
    second: Image,
    direction: Literal["right", "down"] = "right",
    first_label: str = "",
    second_label: str = "",
    line: Annotated[int, Range(0, 128)] = 4,
    text_size: Annotated[int, Range(6, 256)] = 14,
    background: str = GROUND,
) -> Image:
    """Puts two pictures next to each other; the second takes on the first one's height (or width).

    direction: where the second picture goes
    line: pixels between the two
    text_size: height of the letters in pixels
    background: colour of the line and behind the labels, as #rrggbb
    """
    ground = grid.colour_of(background)
    pairs = []
    for index in range(max(len(first), len(second))):
        parts = first[min(index, len(first) - 1)], second[min(index, len(second) - 1)]
        texts = first_label, second_label
        one, other = (
            grid.labelled(part, text, place="above", size=text_size, ground=ground) if any(texts) else part
            for part, text in zip(parts, texts, strict=True)
        )
        pairs.append(grid.side_by_side(one, other, stacked=direction == "down", line=line, ground=ground))
    return torch.stack(pairs)


@node(name="NoderackLabelImage", title="Label Image", category=CATEGORY, search=("caption", "text"))
def label_image(
    images: Image,
    text: Annotated[str, Text(placeholder="one line a picture, or: seed {n}")],
    place: Literal["below", "above", "on"] = "below",
    text_size: Annotated[int, Range(6, 256)] = 14,
    background: str = GROUND,
) -> Image:
    """Writes a line of text below, above or on each picture of a batch.

    text: one line a picture; a single line with {n} in it numbers them
    place: on writes over the lower edge, with a shadow
    text_size: height of the letters in pixels
    background: behind the text, as #rrggbb
    """
    ground = grid.colour_of(background)
    labels = grid.labels_for(text, len(images))
    return torch.stack(
        [
            grid.labelled(image, label, place=place, size=text_size, ground=ground)
            for image, label in zip(images, labels, strict=True)
        ]
    )
