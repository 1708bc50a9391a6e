"""What may come out of a pack's process, and that nothing else is made of its answers."""

import collections
import datetime
import io
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noderack_host.crossing import Refused, Sender, received
from noderack_host.graph import ExecutionBlocker
from noderack_host.isolated import Described
from PIL import Image


def sent(value: Any) -> bytes:
    buffer = io.BytesIO()
    Sender(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def nobody(reference: Any) -> Any:
    raise AssertionError(reference)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 3, 2.5, 1j, "text", b"bytes", bytearray(b"more"), range(3), slice(1, 2)),
        *([1, (2, {"a": {3}})], frozenset({1}), collections.OrderedDict(a=1)),
        *(Path("a/b"), datetime.datetime(2026, 1, 2, 3, 4), datetime.timedelta(seconds=3)),
        *(np.float32(1.5), np.dtype("int16"), Described({}, "run", False, None, None)),
    ],
)
def test_plain_values_cross(value: Any) -> None:
    assert received(sent(value), nobody) == value


def test_arrays_pictures_and_blockers_cross() -> None:
    array = received(sent(np.arange(6).reshape(2, 3)), nobody)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert received(sent(np.array([1, "a"], object)), nobody).tolist() == [1, "a"]
    assert received(sent(Image.new("RGB", (2, 3), "red")), nobody).getpixel((1, 2)) == (255, 0, 0)
    assert received(sent(ExecutionBlocker("no")), nobody).message == "no"


class Own:
    pass


@pytest.mark.parametrize("value", [Own(), Own, print, threading.Thread, io.BytesIO, collections.Counter("a")])
def test_other_values_stay(value: Any) -> None:
    with pytest.raises((pickle.PicklingError, TypeError)):
        sent(value)


class Trap:
    def __init__(self, function: Any, *words: Any) -> None:
        self.reduced = function, words

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    "trap",
    [
        *(Trap(eval, "1 + 1"), Trap(exec, "x = 1"), Trap(getattr, "", "join"), Trap(__import__, "os")),
        *(Trap(open, "/etc/passwd"), Trap(Path.unlink, "a"), Trap(Image.open, "a"), Own()),
    ],
)
def test_an_answer_that_wants_more_is_refused(trap: Any) -> None:
    with pytest.raises(Refused, match="may not come out"):
        received(pickle.dumps(["before", trap]), nobody)


def test_a_path_of_names_below_one_that_may_cross_is_refused() -> None:
    with pytest.raises(Refused, match=r"Image\.__init__"):
        received(b"\x80\x04\x8c\tPIL.Image\x8c\x0eImage.__init__\x93.", nobody)
