"""What a run says, on its way to clients: pictures are made only where they are wanted, and not too often."""

from typing import Any

import pytest
from noderack_host.events import Progress
from noderack_host.outlet import Outlet
from PIL import Image

SHOWN = ("JPEG", Image.new("RGB", (4, 4)), None)


def heard(extra: dict[str, Any], previews: list[Any]) -> list[bool]:
    """For each progress that came through, whether it had a picture."""
    found: list[bool] = []
    outlet = Outlet(lambda message, picture: found.append(picture is not None), extra)
    for step, preview in enumerate(previews):
        outlet(Progress("p", "1", step, len(previews) - 1, preview))
    return found


def test_a_node_that_leaves_pictures_to_us_makes_few() -> None:
    made: list[int] = []

    def preview() -> Any:
        made.append(1)
        return SHOWN

    first, *rest = heard({}, [preview] * 50)
    assert first and not any(rest) and len(made) == 1


@pytest.mark.parametrize(
    ("extra", "preview", "pictures"),
    [
        ({}, SHOWN, [True, True]),
        ({"preview_method": "auto"}, SHOWN, [True, True]),
        ({"preview_method": "none"}, SHOWN, [False, False]),
        ({"preview_method": "none"}, lambda: 1 / 0, [False, False]),
        ({}, lambda: 1 / 0, [False, False]),
        ({}, None, [False, False]),
    ],
)
def test_pictures_can_be_switched_off_and_may_fail(extra: Any, preview: Any, pictures: list[bool]) -> None:
    assert heard(extra, [preview, preview]) == pictures
