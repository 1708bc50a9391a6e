"""Names that outputs get where all land, in folders or in a bucket; which worker a prompt goes to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from noderack_host.cluster.bucket import Bucket
from noderack_host.cluster.files import Folder, Made, Outbox, Place, following
from noderack_host.cluster.seats import BUSY, IDLE, Seat, choose


@pytest.mark.parametrize(
    ("name", "after"),
    [("a_00001_.png", "a_00002_.png"), ("a_009.mp4", "a_010.mp4"), ("a.png", "a (1).png"), ("a", "a (1)")],
)
def test_the_name_after(name: str, after: str) -> None:
    assert following(name) == after


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "folder":
        yield Folder(tmp_path / "host")
        return
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="pictures")
    yield Bucket(f"s3://pictures/ours?endpoint={endpoint}")
    server.stop()


def test_two_workers_that_write_the_same_names_get_different_ones(place: Place, tmp_path: Path) -> None:
    boxes = [Outbox(tmp_path / worker, place) for worker in ("one", "two")]
    for worker in ("one", "two"):
        (tmp_path / worker / "output").mkdir(parents=True)
        for name in ("a_00001_.png", "a_00001_.png.txt", "fixed.png"):
            (tmp_path / worker / "output" / name).write_text(worker)
    item = {"filename": "a_00001_.png", "subfolder": "", "type": "output"}
    names = [box.sent({"images": [item]})["images"][0]["filename"] for box in boxes]
    for box in boxes:
        box.sweep()
    assert names == ["a_00001_.png", "a_00002_.png"]
    assert [box.names[Made("output", "", "a_00001_.png.txt")].name for box in boxes] == [
        "a_00001_.png.txt",
        "a_00002_.png.txt",
    ]
    assert [box.names[Made("output", "", "fixed.png")].name for box in boxes] == [
        "fixed.png",
        "fixed (1).png",
    ]


def test_a_name_that_another_took_in_the_meantime_is_left_to_it(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    wanted = Made("output", "sub", "a_00001_.png")
    before = {Made("output", "sub", "a_00001_.txt"): Made("output", "sub", "a_00001_.txt")}
    found = [place.put(wanted, file, before).name for _ in range(3)]
    assert found == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]


def test_a_prompt_goes_where_its_models_are_warm_else_where_least_is_done() -> None:
    warm, cold, other = (Seat(n, IDLE, host=h) for n, h in ((0, "x"), (1, "x"), (2, "y")))
    busy = Seat(3, BUSY, host="x")
    warm.models = frozenset({"a", "lora"})
    seats = [warm, cold, other, busy]
    assert choose(seats, [warm, cold, other], frozenset({"a"})) is warm
    assert choose(seats, [warm, cold, other], frozenset({"b"})) is other
    assert choose(seats, [warm, cold], frozenset({"b"})) is cold
