"""Batches and standard output of `nodes run`, with pictures that the built-in nodes make."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from noderack_cli.main import run
from noderack_host.folder import Host, HostConfig
from PIL import Image

PICTURE = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 16, "height": 8, "batch_size": 1, "color": 0},
        "_meta": {"title": "The paper"},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host that runs in this environment, with a workflow that writes a plain picture."""
    made = Host(tmp_path / "host", HostConfig())
    made.save()
    made.env.symlink_to(sys.prefix)
    (made.root / "wf.json").write_text(json.dumps(PICTURE), encoding="utf-8")
    return made


def nodes(host: Host, *words: str) -> int:
    return run(["run", str(host.root / "wf.json"), "--host", str(host.root), *words])


def colours(folder: Path) -> list[Any]:
    found = []
    for file in sorted(folder.glob("p_*.png")):
        with Image.open(file) as picture:
            found.append((picture.size, picture.getpixel((0, 0))))
    return found


def test_a_batch_by_title_is_copied_shown_on_a_sheet_and_resumed(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    table = tmp_path / "sizes.csv"
    table.write_text("The paper.width\n16\n24\n", encoding="utf-8")
    words = ("--inputs", str(table), "--grid", "The paper.color=255,65280", "-o", str(out))
    assert nodes(host, *words, "--sheet", str(out / "sheet.png")) == 0
    blue, green = (0, 0, 255), (0, 255, 0)
    made = [((16, 8), blue), ((16, 8), green), ((24, 8), blue), ((24, 8), green)]
    assert colours(out) == colours(host.output) == made
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (2 * 264 + 8, 2 * 300 + 8)
    said = capsys.readouterr().out
    assert "Job 1 of 4: The paper.width=16  The paper.color=255" in said and "Contact sheet:" in said
    (host.output / "p_00003_.png").unlink()
    assert nodes(host, *words, "--sheet", "none", "--resume", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["type"] for line in lines]
    assert (kinds.count("noderack.job_skipped"), kinds.count("noderack.job")) == (3, 1)
    jobs = [line["data"]["job"] for line in lines if line["type"] == "noderack.job"]
    assert jobs == [{"The paper.width": "24", "The paper.color": "255"}]


def test_standard_output_is_the_picture_and_nothing_else(host: Host) -> None:
    command = [
        sys.executable,
        "-m",
        "noderack_cli",
        "run",
        "wf.json",
        "--set",
        "EmptyImage.color=255",
        "-o",
        "-",
    ]
    done = subprocess.run(command, cwd=host.root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.getpixel((3, 3))) == ("PNG", (0, 0, 255))
        assert json.loads(picture.text["prompt"])["1"]["inputs"]["color"] == 255


def test_standard_output_cannot_be_both(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert nodes(host, "-o", "-", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_a_workflow_that_writes_nothing_has_nothing_for_standard_output(
    host: Host, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}
    (host.root / "wf.json").write_text(json.dumps(text), encoding="utf-8")
    assert nodes(host, "-o", "-") == 3
    said = capfdbinary.readouterr()
    assert said.out == b"" and b"wrote no file" in said.err


@pytest.mark.slow
def test_node_types_as_json(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--host", str(host.root), "--json")
    assert run(["node", "list", "--category", "image", *place]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert "SaveImage" in listed and "PreviewAny" not in listed
    assert run(["node", "search", "invert", "mask", *place]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["InvertMask"]
    assert run(["node", "show", "SaveImage", *place]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["input"]["required"]["images"][0] == "IMAGE" and shown["output_node"] is True
    assert run(["node", "search", "nothing-is-called-like-this", *place]) == 4
