"""Every type, option and member of the newer node form, a line each: what hosts serve and what nodes get.

The wire forms in tests/cases/v3 are those of a real host.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from noderack_host.contract import contract_of, schema_of
from noderack_host.execute import Executor
from noderack_host.folder import Host, HostConfig
from noderack_host.graph import ExecutionBlocker
from noderack_host.running import Running, use
from noderack_host.testing import run_prompt, simple_node
from noderack_host.v3 import io, ui
from noderack_host.v3.price import PriceError
from noderack_host.v3.sound import SoundError

CASES = Path(__file__).parents[1] / "cases/v3"


def lines(name: str, by: str) -> list[tuple[str, str]]:
    text = (CASES / name).read_text(encoding="utf-8").splitlines()
    return [(a, b) for a, _, b in (line.partition(by) for line in text) if not a.startswith("#")]


@pytest.mark.parametrize(("expression", "wire"), lines("inputs.txt", " => "))
def test_an_input_as_it_is_served(expression: str, wire: str) -> None:
    made = eval(expression, {"io": io})  # noqa: S307 (our own cases)
    assert json.loads(json.dumps([made.get_io_type(), made.as_dict()])) == json.loads(wire)


@pytest.mark.parametrize(("name", "wire"), lines("types.txt", "="))
def test_a_type_has_its_name_an_input_and_a_place_for_values(name: str, wire: str) -> None:
    kind = getattr(io, name)
    assert kind.io_type == wire and hasattr(kind, "Type") and hasattr(kind, "Input")


@pytest.mark.parametrize(
    ("output", "wire", "label", "template"),
    [
        (io.Image.Output(), "IMAGE", "IMAGE", None),
        (io.Image.Output("picture"), "IMAGE", "picture", None),
        (io.Image.Output("picture", display_name="A picture"), "IMAGE", "A picture", None),
        (io.Combo.Output(options=["a"]), "COMBO", "COMBO", None),
        (io.Custom("X").Output(), "X", "X", None),
        (io.MatchType.Output(io.MatchType.Template("t")), "COMFY_MATCHTYPE_V3", "MATCHTYPE", "t"),
    ],
)
def test_an_output_as_it_is_served(output: Any, wire: str, label: str, template: str | None) -> None:
    entry = entry_of(outputs=[output])
    assert (entry["output"], entry["output_name"]) == ([wire], [label])
    assert entry.get("output_matchtypes") == (None if template is None else [template])


def made(execute: Any = None, **schema: Any) -> Any:
    """A V3 node of that schema."""
    members = {"define_schema": classmethod(lambda cls: io.Schema("Made", **schema))}
    members["execute"] = classmethod(execute or (lambda cls, **inputs: io.NodeOutput(inputs)))
    return type("Made", (io.ComfyNode,), members)


def entry_of(**schema: Any) -> dict[str, Any]:
    return schema_of("Made", made(**schema)).to_object_info()


BADGE = io.PriceBadge("0.1 * widgets.n", io.PriceBadgeDepends(widgets=["n"]))


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ({}, "category", "sd"),
        ({"display_name": "D"}, "display_name", "D"),
        ({"category": "c/d"}, "category", "c/d"),
        ({"description": "what"}, "description", "what"),
        ({"search_aliases": ["s"]}, "search_aliases", ["s"]),
        ({"is_input_list": True}, "is_input_list", True),
        ({"is_output_node": True}, "output_node", True),
        ({"is_deprecated": True}, "deprecated", True),
        ({"is_experimental": True}, "experimental", True),
        ({"is_dev_only": True}, "dev_only", True),
        ({"is_api_node": True}, "api_node", True),
        ({"essentials_category": "e"}, "essentials_category", "e"),
        ({"has_intermediate_output": True}, "has_intermediate_output", True),
        ({"outputs": [io.Mask.Output(tooltip="t", is_output_list=True)]}, "output_is_list", [True]),
        ({"outputs": [io.Mask.Output(tooltip="t")]}, "output_tooltips", ["t"]),
        (
            {"price_badge": BADGE, "inputs": [io.Int.Input("n")]},
            "price_badge",
            {
                "engine": "jsonata",
                "expr": "0.1 * widgets.n",
                "depends_on": {"widgets": [{"name": "n", "type": "INT"}], "inputs": [], "input_groups": []},
            },
        ),
    ],
)
def test_an_option_of_the_schema_as_it_is_served(option: dict[str, Any], key: str, value: Any) -> None:
    assert entry_of(**option)[key] == value


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({}, []),
        ({"hidden": list(io.Hidden)}, [item.name for item in io.Hidden]),
        ({"is_output_node": True}, ["prompt", "extra_pnginfo"]),
        ({"is_api_node": True}, ["auth_token_comfy_org", "api_key_comfy_org", "comfy_usage_source"]),
    ],
)
def test_hidden_values_are_declared(options: dict[str, Any], hidden: list[str]) -> None:
    entry = entry_of(**options)
    assert list(entry["input"].get("hidden", {})) == hidden
    assert all(entry["input"]["hidden"][name] == [io.Hidden[name].value] for name in hidden)


def test_hidden_values_are_given() -> None:
    def execute(cls: Any) -> Any:
        told = cls.hidden
        names = ("unique_id", "auth_token_comfy_org", "api_key_comfy_org", "comfy_usage_source", "other")
        values = [getattr(told, name) for name in names]
        return io.NodeOutput(ui={"text": [*values, sorted(told.prompt), told.dynprompt.has_node("1")]})

    node = made(execute, hidden=list(io.Hidden), is_output_node=True)
    extra = {"auth_token_comfy_org": "t", "api_key_comfy_org": "k", "comfy_usage_source": "us"}
    prompt = {"1": {"class_type": "Made", "inputs": {}}}
    outputs = Executor({"Made": node}).run_here(prompt, extra_data=extra).outputs
    assert outputs["1"]["text"] == ["1", "t", "k", "us", None, ["1"], True]


def test_a_price_of_an_unknown_widget_is_an_error() -> None:
    with pytest.raises(PriceError, match="'n', but there are only m"):
        BADGE.as_dict([io.Int.Input("m")])


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        (io.NodeOutput(7), [7]),
        ((7,), [7]),
        ({"result": (7,)}, [7]),
        (io.NodeOutput(7, ui=ui.PreviewText("x")), [7]),
        (io.NodeOutput(block_execution="no"), None),
        (ExecutionBlocker("no"), None),
        ({"result": ExecutionBlocker("no")}, None),
        (
            io.NodeOutput(["e", 0], expand={"e": {"class_type": "Seven", "inputs": {}}}),
            [7],
        ),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_what_execute_may_give(returned: Any, shown: Any, later: bool) -> None:
    async def execute_later(cls: Any) -> Any:
        await asyncio.sleep(0)
        return returned

    execute = execute_later if later else lambda cls: returned
    nodes = {
        "Made": made(execute, outputs=[io.AnyType.Output()], enable_expand=True),
        "Seven": simple_node(lambda: (7,), {}),
        "Show": simple_node(
            lambda value: {"ui": {"shown": [value]}}, {"value": ("*",)}, (), OUTPUT_NODE=True
        ),
    }
    prompt = {
        "1": {"class_type": "Made", "inputs": {}},
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
    }
    found = run_prompt(nodes, prompt).result.outputs.get("2")
    assert found == (None if shown is None else {"shown": shown})


def test_the_class_methods_that_a_node_may_have() -> None:
    calls: list[Any] = []

    class Full(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                "Full",
                inputs=[io.Int.Input("n"), io.AnyType.Input("late", lazy=True, optional=True)],
                outputs=[io.AnyType.Output()],
                not_idempotent=True,
                accept_all_inputs=True,
            )

        @classmethod
        def validate_inputs(cls, n: int) -> Any:
            return True

        @classmethod
        def fingerprint_inputs(cls, n: int, **more: Any) -> Any:
            calls.append(("fingerprint", n, more))
            return n

        @classmethod
        async def check_lazy_status(cls, n: int, late: Any = None, **more: Any) -> list[str]:
            return ["late"] if n and late is None else []

        @classmethod
        def execute(cls, n: int, late: Any = None, **more: Any) -> Any:
            calls.append(("execute", n, late, more))
            return (n,)

    contract = contract_of("Full", Full)
    assert (contract.validator, contract.fingerprint) == ("validate_inputs", "fingerprint_inputs")
    assert contract.lazy_status == "check_lazy_status" and contract.uses_own_id and contract.accepts_all
    nodes = {"Full": Full, "Show": simple_node(lambda v: (), {"v": ("*",)}, (), OUTPUT_NODE=True)}
    prompt = {
        "1": {"class_type": "Full", "inputs": {"n": 0, "other": "yes"}},
        "2": {"class_type": "Full", "inputs": {"n": 5, "late": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"v": ["2", 0]}},
    }
    run_prompt(nodes, prompt)
    assert ("execute", 0, None, {"other": "yes"}) in calls and ("execute", 5, 0, {}) in calls
    assert ("fingerprint", 5, {"late": None}) in calls
    plain = contract_of("Made", made())
    assert (plain.validator, plain.fingerprint, plain.lazy_status) == (None, None, None)


@pytest.mark.parametrize(
    ("helper", "wire"),
    [
        (ui.SavedImages([ui.SavedResult("a.png", "s", io.FolderType.output)]), {"images": ["a"]}),
        (ui.SavedImages([], is_animated=True), {"images": [], "animated": (True,)}),
        (ui.SavedAudios([ui.SavedResult("a.flac", "s", "temp")]), {"audio": ["a"]}),
        (ui.PreviewVideo([]), {"images": [], "animated": (True,)}),
        (ui.PreviewUI3D("m.glb", {"zoom": 1}), {"result": ["m.glb", {"zoom": 1}, None]}),
        (ui.PreviewUI3DAdvanced("m.glb", 1, 2), {"result": ["m.glb", 1, 2]}),
        (ui.PreviewText("hi"), {"text": ("hi",)}),
    ],
)
def test_what_a_node_shows(helper: Any, wire: dict[str, Any]) -> None:
    found = helper.as_dict()
    assert {key: [one["filename"][0] if isinstance(one, dict) and "filename" in one else one for one in value]
            if isinstance(value, list) else value for key, value in found.items()} == wire  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made_host = Host(tmp_path, HostConfig())
    with use(Running(host=made_host)):
        yield made_host


class Node:
    """Stands for a node whose workflow is known."""

    hidden = io.HiddenHolder({"prompt": {"1": {}}, "extra_pnginfo": {"workflow": {"nodes": []}}})


def test_pictures_carry_their_workflow(host: Host) -> None:
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    two = torch.rand(2, 6, 4, 3)
    helper = ui.ImageSaveHelper
    plain = helper.get_save_images_ui(two, "%width%x%height%", cls=Node)
    moving = helper.get_save_animated_png_ui(two, "m", cls=Node, fps=10.0, compress_level=1)
    webp = helper.get_save_animated_webp_ui(two, "w", Node, 10.0, True, 80, 0)
    assert [one.filename for one in plain.results] == ["4x6_00001_.png", "4x6_00002_.png"]
    assert plain.as_dict().keys() == {"images"} and moving.is_animated and webp.is_animated
    with image.open(host.output / plain.results[0].filename) as file:
        assert file.text == {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
    assert b'comfprompt\x00{"1": {}}' in (host.output / moving.results[0].filename).read_bytes()
    with image.open(host.output / webp.results[0].filename) as file:
        exif = file.getexif()
        assert (file.n_frames, exif[0x0110], exif[0x010F]) == (
            2,
            'prompt:{"1": {}}',
            'workflow:{"nodes": []}',
        )
    shown = ui.PreviewUI3D("m", None, bg_image=two).as_dict()["result"][2]
    assert shown.startswith("temp/") and (host.root / shown).is_file()
    assert ui.PreviewImage(two).as_dict()["animated"] == (False,)


@pytest.mark.parametrize(
    ("format", "quality", "rate"),
    [
        *(("wav", "", 44100), ("flac", "128k", 44100), ("mp3", "V0", 44100)),
        *(("mp3", "320k", 22050), ("opus", "64k", 44100), ("opus", "192k", 16000)),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_sounds_are_saved(host: Host, format: str, quality: str, rate: int, channels: int) -> None:
    torch = pytest.importorskip("torch")
    av = pytest.importorskip("av")
    tone = torch.sin(torch.arange(rate) * 440 * 6.2832 / rate).expand(1, channels, -1) * 0.5
    audio = {"waveform": tone, "sample_rate": rate}
    (saved,) = ui.AudioSaveHelper.get_save_audio_ui(audio, "a", Node, format, quality).results
    assert saved == {"filename": f"a_00001_.{format}", "subfolder": "", "type": "output"}
    with av.open(str(host.output / saved.filename)) as file:
        stream = file.streams.audio[0]
        seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
        assert (stream.channels, seconds) == (channels, pytest.approx(1, abs=0.1))
        if format != "wav":
            found = {key.lower(): value for key, value in {**file.metadata, **stream.metadata}.items()}
            assert found["prompt"] == '{"1": {}}'


@pytest.mark.parametrize(
    ("channels", "format", "says"),
    [(3, "flac", "3 channels"), (2, "ogg", "use flac, mp3, opus or wav")],
)
def test_a_sound_that_cannot_be_saved_says_so(host: Host, channels: int, format: str, says: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(SoundError, match=says):
        ui.AudioSaveHelper.save_audio(
            {"waveform": torch.zeros(1, channels, 9), "sample_rate": 8000}, "a", "temp", None, format
        )


def test_a_replacement_has_its_wire_form() -> None:
    found = io.NodeReplace(
        "New", "Old", ["n"], [{"new_id": "a", "old_id": "b"}], [{"new_idx": 0, "old_idx": 1}]
    )
    assert found.as_dict() == {
        "new_node_id": "New",
        "old_node_id": "Old",
        "old_widget_ids": ["n"],
        "input_mapping": [{"new_id": "a", "old_id": "b"}],
        "output_mapping": [{"new_idx": 0, "old_idx": 1}],
    }
