"""What stays in a device's memory, what goes, what is streamed: one pure function, testable without a device.

``plan`` knows no torch and no clock. It gets the device, what is loaded, and what is wanted next, and says
what to keep, what to evict, which blocks of the wanted model stay resident and which are streamed in while
it runs, how long it expects to stand still for that, and why.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

SLOTS = 3
"""Streamed blocks that are there at once: one is computed with, perhaps inside of another, while the next
arrives."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a model that can be resident or streamed on its own."""

    name: str
    bytes: int
    flops: float = 0.0
    fixed: bool = False
    """It is never streamed, as it is small or used from everywhere."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that has weights in the device's memory. ``resident`` names the blocks that are there."""

    key: str
    blocks: tuple[Block, ...]
    resident: frozenset[str]
    last_use: int = 0
    pinned: bool = False

    @property
    def bytes(self) -> int:
        """Bytes in the device's memory."""
        return sum(b.bytes for b in self.blocks if b.name in self.resident)


@dataclass(frozen=True, slots=True)
class Device:
    """A device: bytes of memory, bytes kept free, bytes per second to it, operations per second on it."""

    capacity: int
    reserve: int = 0
    link: float = 12e9
    flops: float = 25e12


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted next: a model (its blocks in forward order), room for activations, and models used
    beside it.
    """

    key: str
    blocks: tuple[Block, ...]
    activations: int = 0
    also: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. ``evict`` maps a loaded model's key to the blocks that leave."""

    resident: frozenset[str]
    stream: tuple[str, ...]
    evict: tuple[tuple[str, frozenset[str]], ...]
    slots: int
    stall: float
    """Seconds per run through the model in which it waits for weights."""
    fits: bool
    """Whether even this plan stays within the device (False: the activations alone are too large)."""
    why: tuple[str, ...]


def plan(device: Device, loaded: Sequence[Loaded], demand: Demand, slots: int = SLOTS) -> Plan:
    """The plan for the next run. Deterministic; evicts no more than it must, and nothing that is used
    beside it. ``slots`` streamed blocks are there at once.
    """
    room = device.capacity - device.reserve - demand.activations
    others = [m for m in loaded if m.key != demand.key]
    kept = sum(m.bytes for m in others)
    wanted = sum(b.bytes for b in demand.blocks)
    need = size_text(demand.activations)
    why = [f"{demand.key} wants {size_text(wanted)} of weights and {need} for activations"]
    evict, freed = _evictions(others, demand, kept + wanted - room, device)
    why += [f"{key} gives back {size_text(size)}: {reason}" for key, size, reason in freed]
    left = room - kept + sum(size for _, size, _ in freed)
    if wanted <= left:
        return Plan(frozenset(b.name for b in demand.blocks), (), evict, 0, 0.0, True, tuple(why))
    return _streamed(device, demand, left, evict, why, slots)


def together(device: Device, loaded: Sequence[Loaded], demands: Sequence[Demand]) -> dict[str, Plan]:
    """Plans for models that are used in turns within one step (a network and what steers it), by key.

    They share the memory: were each planned for on its own, every step would load both anew.
    """
    if len(demands) == 1:
        return {demands[0].key: plan(device, loaded, demands[0])}
    names = {f"{d.key}/{b.name}": (d.key, b.name) for d in demands for b in d.blocks}
    blocks = tuple(replace(b, name=f"{d.key}/{b.name}") for d in demands for b in d.blocks)
    need, also = max(d.activations for d in demands), frozenset[str]().union(*(d.also for d in demands))
    others = [m for m in loaded if m.key not in {d.key for d in demands}]
    joint = Demand(" and ".join(d.key for d in demands), blocks, need, also)
    made = plan(device, others, joint, SLOTS + len(demands) - 1)

    def own(key: str, found: Iterable[str]) -> tuple[str, ...]:
        return tuple(names[name][1] for name in found if names[name][0] == key)

    return {
        d.key: replace(made, resident=frozenset(own(d.key, made.resident)), stream=own(d.key, made.stream))
        for d in demands
    }


def _evictions(
    others: Sequence[Loaded], demand: Demand, lacking: int, device: Device
) -> tuple[tuple[tuple[str, frozenset[str]], ...], list[tuple[str, int, str]]]:
    """Blocks to give back until ``lacking`` bytes are freed, from the models that are cheapest to be
    without.
    """
    evict: list[tuple[str, frozenset[str]]] = []
    freed: list[tuple[str, int, str]] = []
    now = max((m.last_use for m in others), default=0) + 1
    for model in sorted(others, key=lambda m: (_worth(m, now, device), m.key)):
        if lacking <= 0:
            break
        if model.pinned or model.key in demand.also:
            continue
        going, size = _cheapest(model, lacking)
        if going:
            lacking -= size
            evict.append((model.key, going))
            ago = now - model.last_use
            freed.append((model.key, size, f"last used {ago} run{'s'[: ago - 1]} ago"))
    return tuple(evict), freed


def _worth(model: Loaded, now: int, device: Device) -> float:
    """Seconds that loading it again takes, over how long it has not been used."""
    return model.bytes / device.link / (now - model.last_use)


def _cheapest(model: Loaded, lacking: int) -> tuple[frozenset[str], int]:
    """The last blocks of a model, as few as free what is lacking; its first ones are wanted first again."""
    going: list[str] = []
    size = 0
    for block in reversed(model.blocks):
        if size >= lacking:
            break
        if block.name in model.resident:
            going.append(block.name)
            size += block.bytes
    return frozenset(going), size


def _streamed(
    device: Device,
    demand: Demand,
    left: int,
    evict: tuple[tuple[str, frozenset[str]], ...],
    why: list[str],
    slots: int,
) -> Plan:
    """Stream as few blocks as make the rest fit, spread evenly over the forward order."""
    blocks = demand.blocks
    movable = [b for b in blocks if not b.fixed]
    chosen: frozenset[str] = frozenset()
    for count in range(1, len(movable) + 1):
        chosen = frozenset(movable[i].name for i in _spread(len(movable), count))
        if _held(blocks, chosen, slots) <= left:
            break
    held = _held(blocks, chosen, slots)
    stall = _stall(device, blocks, chosen)
    moved = sum(b.bytes for b in blocks if b.name in chosen)
    if chosen:
        why.append(
            f"{len(chosen)} of {len(blocks)} blocks ({size_text(moved)}) are streamed on each run, as only "
            f"{size_text(max(0, left))} are left for weights; it waits {stall * 1000:.0f} ms for them at most"
        )
    if held > left:
        why.append(f"it still lacks {size_text(held - left)}: use a smaller picture or batch")
    resident = frozenset(b.name for b in blocks) - chosen
    stream = tuple(b.name for b in blocks if b.name in chosen)
    return Plan(resident, stream, evict, slots, stall, held <= left, tuple(why))


def _spread(length: int, count: int) -> list[int]:
    """``count`` places, evenly over ``length``, the last ones of equal stretches."""
    return [((i + 1) * length) // count - 1 for i in range(count)]


def _held(blocks: Iterable[Block], chosen: frozenset[str], slots: int) -> int:
    """Bytes that are in memory at once: what is resident, and the buffers for the largest streamed blocks."""
    rows = list(blocks)
    streamed = sorted((b.bytes for b in rows if b.name in chosen), reverse=True)
    return sum(b.bytes for b in rows if b.name not in chosen) + sum(streamed[:1]) * min(slots, len(streamed))


def _stall(device: Device, blocks: Sequence[Block], chosen: frozenset[str]) -> float:
    """Seconds of waiting when each transfer hides behind the compute since the one before it."""
    waited, hidden = 0.0, 0.0
    for block in blocks:
        if block.name in chosen:
            needs = block.bytes / device.link
            waited += max(0.0, needs - hidden)
            hidden = 0.0
        hidden += block.flops / device.flops
    return waited


def size_text(count: int) -> str:
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} B"


def after(loaded: Sequence[Loaded], demand: Demand, made: Plan, now: int) -> tuple[Loaded, ...]:
    """What is loaded once a plan was carried out at time ``now``."""
    gone = dict(made.evict)
    rest = [
        replace(m, resident=m.resident - gone.get(m.key, frozenset())) for m in loaded if m.key != demand.key
    ]
    return (*(m for m in rest if m.resident), Loaded(demand.key, demand.blocks, made.resident, now))
