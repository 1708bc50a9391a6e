"""Rooms: networks warm while there is room, evicted with reasons, streamed where they do not fit; always the
same answers.
"""

import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from noderack_diffusion import activations, rooms
from noderack_diffusion.checkpoint import load_checkpoint, load_model
from noderack_diffusion.errors import FileError, OutOfMemory
from noderack_diffusion.lora import load_lora, patches_for
from noderack_diffusion.memory import SLOTS, Block, Device
from noderack_diffusion.parts import REST, parts_of
from noderack_diffusion.rooms import Room, room, size_of
from torch import Tensor

MODELS = Path(__file__).parents[2] / "plugins" / "tiny" / "models"
TINY, LORA = MODELS / "noderack-shapes.safetensors", MODELS / "noderack-shapes-heart.safetensors"


@pytest.fixture(autouse=True)
def _own_rooms() -> Iterator[None]:
    rooms.rooms.cache_clear()
    yield
    rooms.rooms.cache_clear()


@dataclass
class Fake:
    title: str
    sizes: tuple[int, ...]
    there: set[str] = field(default_factory=set)
    at_work: int = 0

    def __hash__(self) -> int:
        return id(self)

    def blocks(self) -> tuple[Block, ...]:
        return tuple(Block(f"b{i}", size) for i, size in enumerate(self.sizes))

    def resident(self) -> frozenset[str]:
        return frozenset(self.there)

    def leave(self, names: frozenset[str]) -> None:
        self.there -= names

    def idle(self) -> None: ...


def admit(place: Room, one: Fake, activations: int = 0, *beside: Fake) -> None:
    one.there = set(place.admit(one, activations, beside).resident)


def test_models_stay_warm_until_room_is_wanted_and_it_is_said_why() -> None:
    place = Room(Device(100))
    first, second, third = (Fake(name, (20, 20)) for name in ("first", "second", "third"))
    admit(place, first)
    admit(place, second)
    assert len(first.there) == len(second.there) == 2
    admit(place, third, 10, second)
    assert third.there and len(second.there) == 2 and len(first.there) < 2
    said = place.report()
    assert [m["name"] for m in said["models"]] == ["third", "second", "first"]
    assert any("first gave up" in h["what"] for h in said["happened"])
    assert any("last used" in line for h in said["happened"] for line in h["why"])


def test_models_that_nobody_holds_are_forgotten() -> None:
    place = Room(Device(100))
    admit(place, one := Fake("one", (60,)))
    del one
    gc.collect()
    admit(place, two := Fake("two", (60,)))
    assert two.there == {"b0"} and len(place.report()["models"]) == 1


def ask(model: object) -> Tensor:
    torch.manual_seed(0)
    x, context = torch.randn(2, 4, 8, 8), torch.randn(2, 77, model.spec.unet.context)
    with torch.no_grad():
        return model.predict(x, torch.full((2,), 3.0), context)


@pytest.mark.parametrize("stored", [None, "e4m3fn", "int8"])
def test_a_network_that_does_not_fit_is_streamed_and_answers_alike(
    monkeypatch: pytest.MonkeyPatch, stored: str | None
) -> None:
    whole = load_model(TINY, device="cpu", stored=stored)
    patches, _ = patches_for(load_lora(LORA), whole, 1.0)
    wanted, patched = ask(whole), ask(whole.with_patches(patches))
    size = sum(b.bytes for b in whole.live.blocks())
    rooms.rooms.cache_clear()
    monkeypatch.setenv(rooms.VARIABLE, str(int(size * 0.7) + 24 * 2 * 64 * 4 * whole.spec.unet.width))
    small = load_model(TINY, device="cpu", stored=stored)
    assert torch.allclose(ask(small), wanted, atol=1e-5)
    assert torch.allclose(ask(small.with_patches(patches)), patched, atol=1e-5)
    assert torch.allclose(ask(small), wanted, atol=1e-5)
    assert small.live.loaded_bytes() < size and small.live._streamer is not None
    assert small.live._streamer.moved > 0
    assert "streamed" in " ".join(room("cpu").report()["models"][0]["why"])
    rooms.rooms.cache_clear()
    monkeypatch.delenv(rooms.VARIABLE)
    assert torch.allclose(ask(small), wanted, atol=1e-5) and small.live._streamer is None


def test_text_and_network_take_turns_where_both_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_checkpoint(TINY, device="cpu")
    assert found.clip is not None
    before, answer = found.clip.encode("a red circle")[0], ask(found.model)
    both = found.model.live, found.clip.towers[0].live
    unet, text = (sum(b.bytes for b in live.blocks()) for live in both)
    rooms.rooms.cache_clear()
    monkeypatch.setenv(rooms.VARIABLE, str(max(unet, text) + 24 * 2 * 64 * 4 * found.spec.unet.width + 1000))
    for _ in range(2):
        assert found.clip.encode("a red circle")[0].equal(before)
        assert torch.allclose(ask(found.model), answer, atol=1e-5)


def test_blocks_are_in_the_order_in_which_they_run() -> None:
    names = [f"input_blocks.{i}.0.weight" for i in (10, 2, 0)] + [
        "out.2.weight",
        "middle_block.0.x",
        "time.w",
    ]
    assert list(parts_of(names)) == [
        *(REST, "input_blocks.0", "input_blocks.2", "input_blocks.10", "middle_block.0"),
    ]


@pytest.mark.parametrize(("text", "size"), [("10GB", 10**10), ("512 mb", 512 * 10**6), ("1000", 1000)])
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size
    with pytest.raises(ValueError, match=rooms.VARIABLE):
        size_of("much")


def test_a_network_and_what_steers_it_share_the_room_and_stay() -> None:
    """Neither takes the other's place at every step, and both stay within the device."""
    place = Room(Device(100))
    unet, control, text = Fake("unet", (10,) * 8), Fake("control", (10,) * 4), Fake("text", (20,))
    admit(place, text)
    moved = 0
    for step in range(6):
        for one, need in ((control, 5), (unet, 15)):
            before = {*unet.there}, {*control.there}
            admit(place, one, need, control, unet)
            moved += bool(step > 1 and before != ({*unet.there}, {*control.there}))
            assert 10 * (len(unet.there) + len(control.there) + SLOTS + 1) + need <= 100
    assert moved == 0 and not text.there and len(unet.there) + len(control.there) == 4
    assert place.report()["models"][0]["streamed"] or place.report()["models"][1]["streamed"]


def test_a_card_that_others_use_too_is_planned_for_as_far_as_it_is_free() -> None:
    free = [100]
    place = Room(Device(100, 4), "cuda", lambda: free[0])
    admit(place, one := Fake("one", (20, 20, 20)))
    assert len(one.there) == 3
    free[0] = 58
    admit(place, one)
    assert len(one.there) == 0 or 20 * len(one.there) + 40 <= 58
    assert "others take 40 B of cuda" in place.report()["happened"][-1]["why"][0]


def test_room_is_made_for_what_is_no_tenant() -> None:
    place = Room(Device(100))
    admit(place, one := Fake("one", (40, 40)))
    one.at_work = 1
    place.make_way(50, "an upscale model")
    assert one.there == {"b0", "b1"}, "nothing is taken from a pass that is under way"
    one.at_work = 0
    place.make_way(50, "an upscale model")
    assert one.there == {"b0"}
    assert "an upscale model wants 0 B of weights and 50 B" in place.report()["happened"][-1]["why"][0]


def test_when_memory_runs_out_the_plan_is_tightened_and_at_last_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = load_checkpoint(TINY, device="cpu")
    assert found.clip is not None
    found.clip.encode("a red circle")
    answer, live, tries = ask(found.model), found.model.live, []
    size = sum(b.bytes for b in live.blocks())
    rooms.rooms.cache_clear()
    monkeypatch.setenv(rooms.VARIABLE, str(int(size * 1.5)))
    network = live.use(found.model.patches)

    def full(*_: object) -> None:
        tries.append(live.loaded_bytes())
        if len(tries) < most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    hook, most = network.register_forward_pre_hook(full), 3
    assert torch.allclose(ask(found.model), answer, atol=1e-5)
    assert len(tries) == 3 and tries[2] <= tries[0]
    told = room("cpu").report()["happened"]
    assert any("ran out of memory" in h["what"] for h in told)
    assert any("2.25 times the room" in line for h in told for line in h["why"])
    most = 99
    with pytest.raises(OutOfMemory, match=r"noderack-shapes.*unet.*smaller picture.*NODERACK_WEIGHTS"):
        ask(found.model)
    assert len(tries) < 12
    hook.remove()
    assert torch.allclose(ask(found.model), answer, atol=1e-5)


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    model = load_model(TINY, device="cpu")
    live, tries = model.live, []

    def fail(*_: object) -> None:
        tries.append(1)
        raise RuntimeError("shapes do not fit")

    live.use(model.patches).register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        ask(model)
    assert len(tries) == 1


@pytest.mark.parametrize("change", ["cut", "written over", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_in_use(tmp_path: Path, change: str) -> None:
    """A page of a mapped file that is gone ends a process, so it is looked at before."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(TINY.read_bytes())
    model = load_model(path, device="cpu")
    answer, key = ask(model), model.key
    content = path.read_bytes()
    if change == "cut":
        os.truncate(path, len(content) // 2)
    elif change == "written over":
        path.write_bytes(content[:-8] + bytes(8))
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        beside = tmp_path / "new"
        beside.write_bytes(content[:-8] + bytes(8))
        beside.replace(path)
    else:
        path.unlink()
    if change in ("cut", "written over"):
        with pytest.raises(FileError, match="cut or written over while it is in use"):
            ask(model)
    else:
        assert torch.equal(ask(model), answer)
    if change in ("replaced", "written over"):
        assert load_model(path, device="cpu").key != key


def test_weights_that_are_there_are_counted_within_the_budget_at_every_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sampling and decoding on a budget for which streaming is needed; what is on its way counts."""
    found = load_checkpoint(TINY, device="cpu")
    assert found.vae is not None
    lives = found.model.live, found.vae.live
    size, need = (sum(b.bytes for b in lives[0].blocks()) * 7 // 10, activations_of(found.model, 8))
    rooms.rooms.cache_clear()
    monkeypatch.setenv(rooms.VARIABLE, str(size + need))
    most = []

    def count(*_: object) -> None:
        coming = [live._streamer._coming for live in lives if live._streamer is not None]
        on_way = sum(
            v.numel() * v.element_size() for c in coming for f in c.values() for v in f.result().values()
        )
        most.append(sum(live.loaded_bytes() for live in lives) + on_way)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        for _ in range(2):
            ask(found.model)
            found.vae.decode(torch.randn(1, 4, 8, 8))
    finally:
        hook.remove()
    assert lives[0].loaded_bytes() < sum(b.bytes for b in lives[0].blocks())
    assert max(most) <= size + need


def activations_of(model: object, side: int) -> int:
    return 4 * activations.unet(model.spec.unet, 2, (side, side), 77)
