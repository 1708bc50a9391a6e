"""Pictures in and out: what is in the file, what it is called, and what a bad name says."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from noderack_host.folder import Host
from noderack_host.save_names import OutsideFolder, fill_tokens, save_name, write_new
from noderack_nodes import NODE_CLASS_MAPPINGS
from noderack_nodes.errors import ImageNotFound
from PIL import Image


def run(name: str, /, *args: Any, **inputs: Any) -> Any:
    node = NODE_CLASS_MAPPINGS[name]()
    return getattr(node, node.FUNCTION)(*args, **inputs)


def test_a_saved_picture_holds_its_workflow(host: Host) -> None:
    prompt, workflow = {"1": {"class_type": "SaveImage", "inputs": {}}}, {"nodes": [], "title": "hö"}
    image = torch.linspace(0, 1, 2 * 8 * 6 * 3).reshape(2, 8, 6, 3)
    result = run("SaveImage", image, "a/pic_%width%x%height%", prompt, {"workflow": workflow})
    assert result["ui"]["images"] == [
        {"filename": f"pic_6x8_0000{n}_.png", "subfolder": "a", "type": "output"} for n in (1, 2)
    ]
    with Image.open(host.output / "a/pic_6x8_00001_.png") as file:
        assert (file.size, json.loads(file.text["prompt"]), json.loads(file.text["workflow"])) == (
            (6, 8),
            prompt,
            workflow,
        )
    assert not list((host.output / "a").glob("*.part"))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_channels_survive(host: Host, channels: int, mode: str) -> None:
    run("SaveImage", torch.rand(1, 4, 4, channels), "x")
    with Image.open(host.output / "x_00001_.png") as file:
        assert file.mode == mode


def test_values_outside_0_to_1_are_clipped(host: Host) -> None:
    run("SaveImage", torch.tensor([-1.0, 0.5, 2.0]).expand(1, 1, 1, 3), "x")
    with Image.open(host.output / "x_00001_.png") as file:
        assert file.getpixel((0, 0)) == (0, 127, 255)


def test_a_preview_goes_to_temp_under_a_name_of_its_own(host: Host) -> None:
    (entry,) = run("PreviewImage", torch.rand(1, 4, 4, 3))["ui"]["images"]
    assert entry["type"] == "temp" and "_temp_" in entry["filename"]
    assert (host.temp / entry["filename"]).is_file()


@pytest.mark.parametrize("parent", ["SaveImage", "PreviewImage"])
def test_a_pack_makes_a_preview_of_it(parent: str, host: Host, tmp_path: Path) -> None:
    class Preview(NODE_CLASS_MAPPINGS[parent]):  # type: ignore[misc]
        def __init__(self) -> None:
            self.output_dir, self.type, self.prefix_append = str(tmp_path), "temp", "_mine"

    (entry,) = Preview().save_images(torch.rand(1, 4, 4, 3))["ui"]["images"]
    assert (entry["filename"], entry["type"]) == ("ComfyUI_mine_00001_.png", "temp")
    assert (tmp_path / entry["filename"]).is_file()
    assert NODE_CLASS_MAPPINGS[parent]().output_dir in (str(host.output), str(host.temp))


@pytest.mark.parametrize("prefix", ["../out", "/etc/x", "a/../../b", "..", "a\\..\\..\\b"])
def test_a_prefix_that_leaves_the_folder_is_refused(prefix: str, host: Host) -> None:
    with pytest.raises(OutsideFolder, match="outside the output folder"):
        run("SaveImage", torch.rand(1, 2, 2, 3), prefix)


def test_a_link_out_of_the_folder_is_refused(host: Host, tmp_path_factory: pytest.TempPathFactory) -> None:
    (host.output / "way").symlink_to(tmp_path_factory.mktemp("elsewhere"), target_is_directory=True)
    with pytest.raises(OutsideFolder):
        run("SaveImage", torch.rand(1, 2, 2, 3), "way/x")


@pytest.mark.parametrize(
    ("taken", "counter"),
    [
        ([], 1),
        (["x_00001_.png", "x_00007_.png"], 8),
        (["x_00002.flac"], 3),
        (["xy_00009_.png", "x_notes.txt"], 1),
    ],
)
def test_the_counter_is_one_more_than_the_highest(taken: list[str], counter: int, tmp_path: Path) -> None:
    for name in taken:
        (tmp_path / name).touch()
    assert save_name("x", tmp_path, 1, 1).counter == counter


def test_tokens() -> None:
    now = datetime(2026, 3, 4, 5, 6, 7)
    assert fill_tokens("%year%-%month%-%day% %hour%%minute%%second%", 9, 8, now) == "2026-03-04 050607"
    assert fill_tokens("%width%_%date:yy%_%batch_num%", 9, 8, now) == "9_%date:yy%_%batch_num%"


def test_batch_num_counts_inside_a_batch(host: Host) -> None:
    entries = run("SaveImage", torch.rand(2, 2, 2, 3), "n%batch_num%")["ui"]["images"]
    assert [entry["filename"] for entry in entries] == ["n0_00001_.png", "n1_00002_.png"]


def test_two_savers_never_share_a_name(tmp_path: Path) -> None:
    place = save_name("a", tmp_path, 1, 1)
    names = [write_new(place, 0, ".png", lambda path: path.touch()) for _ in range(3)]
    assert names == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_loading_gives_pixels_and_the_inverse_of_alpha(host: Host) -> None:
    Image.new("RGBA", (5, 3), (255, 0, 51, 51)).save(host.input / "p.png")
    image, mask = run("LoadImage", "p.png")
    assert image.shape == (1, 3, 5, 3) and torch.allclose(image[0, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    assert mask.shape == (1, 3, 5) and torch.allclose(mask, torch.full_like(mask, 0.8))
    (alpha,), (blue,) = run("LoadImageMask", "p.png", "alpha"), run("LoadImageMask", "p.png", "blue")
    assert torch.allclose(alpha, mask) and torch.allclose(blue, torch.full_like(blue, 0.2))


def test_no_alpha_is_an_empty_mask_of_64(host: Host) -> None:
    Image.new("RGB", (5, 3)).save(host.input / "p.jpg")
    assert run("LoadImage", "p.jpg")[1].shape == (1, 64, 64)
    assert run("LoadImageMask", "p.jpg", "alpha")[0].sum() == 0


def test_frames_of_one_size_become_a_batch(host: Host) -> None:
    frames = [Image.new("RGB", (4, 4), (n, 0, 0)) for n in (10, 20, 30)]
    further = [*frames[1:], Image.new("RGB", (9, 9))]
    frames[0].save(host.input / "a.tiff", save_all=True, append_images=further)
    assert run("LoadImage", "a.tiff")[0].shape == (3, 4, 4, 3)


def test_a_picture_knows_which_way_is_up(host: Host) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 2)).save(host.input / "t.jpg", exif=exif)
    assert run("LoadImage", "t.jpg")[0].shape == (1, 6, 2, 3)


def test_names_choose_folders_and_never_leave_them(host: Host) -> None:
    Image.new("RGB", (2, 2)).save(host.output / "o.png")
    node = NODE_CLASS_MAPPINGS["LoadImage"]
    assert node.VALIDATE_INPUTS("o.png [output]") is True
    for name in ("o.png", "../output/o.png", "missing.png", "o.png [temp]"):
        assert "no picture named" in str(node.VALIDATE_INPUTS(name))
    with pytest.raises(ImageNotFound):
        run("LoadImage", "../output/o.png")


def test_the_hash_follows_the_content(host: Host) -> None:
    node = NODE_CLASS_MAPPINGS["LoadImage"]
    hashes = []
    for colour in ("red", "blue"):
        Image.new("RGB", (2, 2), colour).save(host.input / "p.png")
        hashes.append(node.IS_CHANGED("p.png"))
    assert hashes[0] != hashes[1]


def test_the_input_folder_is_the_list_of_choices(host: Host) -> None:
    (host.input / "b.png").touch()
    (host.input / "notes.txt").touch()
    assert NODE_CLASS_MAPPINGS["LoadImage"].INPUT_TYPES()["required"]["image"][0] == ["b.png"]
