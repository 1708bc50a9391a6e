"""The memory plan: never over budget, everything present when it runs, no thrash, reasons given."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noderack_diffusion.memory import SLOTS, Block, Demand, Device, Loaded, after, plan

sizes = st.integers(1, 500)
models = st.lists(sizes, min_size=1, max_size=12).map(
    lambda bytes_: tuple(Block(f"b{i}", n, n * 10.0) for i, n in enumerate(bytes_))
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Device, list[Loaded], Demand]:
    loaded = []
    for i, blocks in enumerate(draw(st.lists(models, max_size=5))):
        there = frozenset(b.name for b in blocks if draw(st.booleans()))
        loaded.append(Loaded(f"m{i}", blocks, there, draw(st.integers(0, 9)), draw(st.booleans())))
    used = sum(m.bytes for m in loaded)
    device = Device(used + draw(st.integers(0, 3000)), draw(st.integers(0, 50)), 1e3, 1e3)
    also = frozenset(m.key for m in loaded if draw(st.booleans()))
    return device, loaded, Demand(draw(st.sampled_from(["m0", "new"])), draw(models), draw(sizes), also)


def held(device: Device, loaded: list[Loaded], demand: Demand) -> tuple[int, object]:
    made = plan(device, loaded, demand)
    rest = sum(m.bytes for m in after(loaded, demand, made, 10) if m.key != demand.key)
    own = sum(b.bytes for b in demand.blocks if b.name in made.resident)
    largest = max((b.bytes for b in demand.blocks if b.name in made.stream), default=0)
    return rest + own + largest * min(SLOTS, len(made.stream)) + demand.activations + device.reserve, made


def promises_hold(case: tuple[Device, list[Loaded], Demand]) -> None:
    device, loaded, demand = case
    total, made = held(device, loaded, demand)
    assert not made.fits or total <= device.capacity
    assert made.resident | set(made.stream) == {b.name for b in demand.blocks}
    assert not made.resident & set(made.stream)
    untouchable = demand.also | {m.key for m in loaded if m.pinned}
    assert not untouchable & {key for key, _ in made.evict}
    assert plan(device, loaded, demand) == made
    assert made.why and made.stall >= 0


@settings(max_examples=300, deadline=None)
@given(cases())
def test_promises(case: tuple[Device, list[Loaded], Demand]) -> None:
    promises_hold(case)


@pytest.mark.slow
def test_promises_in_ten_thousand_cases() -> None:
    dice = random.Random(7)
    for _ in range(10_000):
        promises_hold(drawn(dice))


def drawn(dice: random.Random) -> tuple[Device, list[Loaded], Demand]:
    """A case as ``cases`` has it, by chance alone and larger."""

    def blocks() -> tuple[Block, ...]:
        sizes = [dice.randint(1, 500) for _ in range(dice.randint(1, 40))]
        return tuple(Block(f"b{i}", n, n * 10.0) for i, n in enumerate(sizes))

    loaded = []
    for i in range(dice.randint(0, 8)):
        own = blocks()
        there = frozenset(b.name for b in own if dice.random() < 0.5)
        loaded.append(Loaded(f"m{i}", own, there, dice.randint(0, 9), dice.random() < 0.3))
    room = sum(m.bytes for m in loaded) + dice.randint(0, 9000)
    also = frozenset(m.key for m in loaded if dice.random() < 0.3)
    demand = Demand(dice.choice(["m0", "new"]), blocks(), dice.randint(1, 500), also)
    return Device(room, dice.randint(0, 50), 1e3, 1e3), loaded, demand


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(0, 2000))
def test_more_memory_never_waits_longer(case: tuple[Device, list[Loaded], Demand], more: int) -> None:
    device, loaded, demand = case
    larger = Device(device.capacity + more, device.reserve, device.link, device.flops)
    assert len(plan(larger, loaded, demand).stream) <= len(plan(device, loaded, demand).stream)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_the_same_demand_again_changes_nothing(case: tuple[Device, list[Loaded], Demand]) -> None:
    device, loaded, demand = case
    first = plan(device, loaded, demand)
    again = plan(device, after(loaded, demand, first, 10), demand)
    assert not again.evict or not first.fits
    assert again.resident >= first.resident or not first.fits


def test_the_oldest_and_cheapest_goes_first_and_only_as_far_as_needed() -> None:
    blocks = tuple(Block(f"b{i}", 100) for i in range(4))
    every = frozenset(b.name for b in blocks)
    loaded = [Loaded("old", blocks, every, 1), Loaded("fresh", blocks, every, 8)]
    made = plan(Device(1000, link=1e3), loaded, Demand("new", blocks[:3]))
    assert made.evict == (("old", frozenset({"b3"})),) and made.stream == ()
    assert "old gives back 100 B: last used 8 runs ago" in made.why


def test_streams_evenly_and_says_how_long_it_waits() -> None:
    blocks = tuple(Block(f"b{i}", 100, 100.0) for i in range(8))
    made = plan(Device(700, link=1e3, flops=1e3), [], Demand("big", blocks))
    assert made.stream == ("b2", "b5", "b7") or len(made.stream) <= 4
    assert made.slots == SLOTS and "streamed on each run" in made.why[-1]
    assert plan(Device(700, link=1e9, flops=1e3), [], Demand("big", blocks)).stall < made.stall + 1e-9


def test_what_cannot_fit_says_so() -> None:
    made = plan(Device(100), [], Demand("big", (Block("a", 90), Block("b", 90)), activations=80))
    assert not made.fits and "use a smaller picture" in made.why[-1]


def test_planning_is_quick() -> None:
    blocks = tuple(Block(f"b{i}", 10_000_000 + i, 1e9) for i in range(100))
    start = time.perf_counter()
    plan(Device(500_000_000), [], Demand("big", blocks))
    assert time.perf_counter() - start < 0.2
