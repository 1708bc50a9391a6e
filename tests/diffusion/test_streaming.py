"""Streamed blocks: never more on the device than there are slots, whole buffers, and nothing left by errors.

The lane of a GPU runs here over a card that is played: its events are done only when somebody waits for them,
and its memory is the pinned buffers', so a buffer that is written over too early changes the answer.
"""

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from noderack_diffusion.streaming import Direct, Pinned, Streamer
from torch import Tensor, nn

WIDTH, CPU = 24, torch.device("cpu")


class Sent(Tensor):
    """A tensor on the card."""

    def record_stream(self, stream: Any) -> None: ...


@dataclass
class Event:
    card: "Card"
    of_computing: bool = False

    def record(self, stream: Any) -> None:
        self.of_computing = stream == "computing" or not isinstance(stream, str)
        if self.of_computing:
            self.card.computing.append(self)

    def synchronize(self) -> None:
        while self in self.card.computing:
            self.card.computing.pop(0)  # what was asked for before is done before


@dataclass
class Card:
    """What ``torch.cuda`` has, of a card that computes only when it is waited for."""

    computing: list[Event] = field(default_factory=list)

    def Stream(self, device: Any) -> str:
        return "copying"

    def Event(self) -> Event:
        return Event(self)

    def stream(self, stream: Any) -> Any:
        return nullcontext()

    def current_stream(self, device: Any) -> Any:
        class Now:
            def wait_stream(self, other: Any) -> None: ...

        return Now()

    def is_available(self) -> bool:
        return False


class Watched(Pinned):
    """Notes how many blocks are computed with, unfinished, whenever another one has been sent."""

    unfinished: list[int]

    def send(self, home: Any) -> Any:
        found = super().send(home)
        self.unfinished.append(len(self._cuda.computing))
        return found


def network(blocks: int) -> tuple[nn.Sequential, dict[str, dict[str, Tensor]]]:
    torch.manual_seed(blocks)
    made = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(blocks))).requires_grad_(False)
    return made, {n: {k: v.clone() for k, v in m.named_parameters()} for n, m in made.named_children()}


@pytest.mark.parametrize("blocks", [1, 2, 3, 7])
@pytest.mark.parametrize("slots", [2, 3])
def test_no_more_blocks_are_there_than_slots(blocks: int, slots: int) -> None:
    whole, weights = network(blocks)
    x, card = torch.randn(5, WIDTH), Card()
    wanted = [whole(x), whole(whole(x))]
    lane = Watched(CPU, lambda name, there: there.as_subclass(Sent), slots, card)
    lane.unfinished = []
    streamer = Streamer(dict(whole.named_children()), weights.__getitem__, lane)
    got = whole(x)
    assert torch.equal(got, wanted[0]) and torch.equal(whole(got), wanted[1])
    streamer.close()
    assert max(lane.unfinished) <= slots - 1, "one is computed with or arrives, the others are done"
    assert all(p.is_meta for p in whole.parameters())


def test_a_file_may_be_wider_than_what_is_kept_of_it() -> None:
    whole, weights = network(2)
    whole, x = whole.to(torch.bfloat16), torch.randn(5, WIDTH, dtype=torch.bfloat16)
    wanted = whole(x)
    wide = {n: {k: v.to(torch.float64) for k, v in w.items()} for n, w in weights.items()}
    lane = Pinned(CPU, lambda name, there: there.to(torch.bfloat16).as_subclass(Sent), 2, Card())
    streamer = Streamer(dict(whole.named_children()), wide.__getitem__, lane)
    assert torch.equal(whole(x), wanted)
    streamer.close()


def test_what_fails_on_the_way_is_raised_and_the_next_pass_is_whole() -> None:
    whole, weights = network(4)
    x, broken = torch.randn(5, WIDTH), {"2"}
    wanted = whole(x)

    def source(name: str) -> dict[str, Tensor]:
        if name in broken:
            broken.clear()
            raise torch.OutOfMemoryError("no room")
        return weights[name]

    before = set(threading.enumerate())  # models that other tests left at work have threads as well
    streamer = Streamer(dict(whole.named_children()), source, Direct(lambda name, value: value))
    with pytest.raises(torch.OutOfMemoryError):
        whole(x)
    assert all(p.is_meta for p in whole.parameters())
    assert torch.equal(whole(x), wanted)
    streamer.renew()
    assert torch.equal(whole(x), wanted)
    streamer.close()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("noderack-weights")]


def test_a_pass_that_is_stopped_inside_a_block_leaves_nothing_behind() -> None:
    whole, weights = network(3)
    x = torch.randn(5, WIDTH)
    wanted = whole(x)
    streamer = Streamer(dict(whole.named_children()), weights.__getitem__, Direct(lambda name, value: value))

    def stop(module: nn.Module, given: Any, out: Tensor) -> None:
        raise InterruptedError

    hook = whole[1].register_forward_hook(stop, prepend=True)
    with pytest.raises(InterruptedError):
        whole(x)
    hook.remove()
    assert all(p.is_meta for p in whole.parameters())
    assert torch.equal(whole(x), wanted)
    streamer.close()


class Nested(nn.Module):
    """A block with blocks in it, as a stage of a U-Net has transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(self.inner(self.before(x)))
        return out


def test_blocks_inside_of_blocks_come_and_go_by_themselves() -> None:
    torch.manual_seed(3)
    whole, x = nn.Sequential(Nested(), Nested()).requires_grad_(False), torch.randn(5, WIDTH)
    wanted, seen = whole(x), list[int]()
    blocks = {n: whole.get_submodule(n) for n in ("0", "0.inner.1", "0.inner.2", "1.inner.0")}
    own = {n: [p for p, _ in m.named_parameters() if not p.startswith("inner")] for n, m in blocks.items()}
    weights = {n: {p: blocks[n].get_parameter(p).clone() for p in paths} for n, paths in own.items()}
    streamer = Streamer(blocks, weights.__getitem__, Direct(lambda name, value: value), own=own)
    for module in blocks.values():
        module.register_forward_hook(lambda *_: seen.append(sum(b.weight.is_meta for b in linears)))
    linears = [m for m in whole.modules() if isinstance(m, nn.Linear)]
    assert torch.equal(whole(x), wanted) and torch.equal(whole(x), wanted)
    assert sum(b.weight.is_meta for b in linears) == 5 and not whole[1].before.weight.is_meta
    streamer.close()
