"""One device's memory: which networks have weights in it, which must go for the next, and why.

``memory.plan`` decides; a ``Room`` knows what is loaded, asks, has the networks carry it out, and keeps the
reasons. Networks stay until room is wanted: a second prompt finds them warm.
"""

import os
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from typing import Any, Protocol

import torch

from noderack_diffusion.memory import Block, Demand, Device, Loaded, Plan, plan, size_text, together

VARIABLE = "NODERACK_MEMORY"
"""Environment variable: how much memory of the device is to be used, as "10GB" (powers of ten)."""
RESERVES = {"cuda": 800_000_000, "cpu": 1_000_000_000}
"""Bytes left to others, by kind of device."""
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "b": 1, "": 1}
KEPT = 50
MORE_EACH, MORE_AT_MOST = 1.5, 5.0
"""How room for activations grows each time that a device ran out of memory, and where that ends."""
_NUMBER = re.compile(r"\b\d{6,}\b")
"""How tenants are named in plans."""


class Tenant(Protocol):
    """A network whose weights can be in a room."""

    at_work: int
    """Passes that are under way: while there are any it keeps its weights."""

    @property
    def title(self) -> str:
        """What people call it."""

    def blocks(self) -> tuple[Block, ...]:
        """Its parts in forward order."""

    def resident(self) -> frozenset[str]:
        """The parts that are there."""

    def leave(self, names: frozenset[str]) -> None:
        """Give up the memory of these parts."""

    def idle(self) -> None:
        """Another one's turn: give up what is on its way to the device."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something a room did, and why."""

    number: int
    what: str
    why: tuple[str, ...]


@dataclass(slots=True)
class _Guest:
    """What a room knows of one tenant."""

    tenant: weakref.ref[Any]
    last_use: int = 0
    need: int = 0
    """Bytes beside its weights, as it said last."""
    more: float = 1.0
    """How many times as many, as the device ran out of memory before."""
    plan: Plan | None = None


class Room:
    """The memory of one device. ``free`` says how many bytes of it this process has or could have, where
    that can be asked.
    """

    def __init__(self, device: Device, name: str = "cpu", free: Callable[[], int] | None = None) -> None:
        self.device, self.name = device, name
        self.history: deque[Happening] = deque(maxlen=KEPT)
        self.lock = threading.RLock()
        """Held while anything moves; taken before the locks of tenants."""
        self._free = free
        self._guests: dict[int, _Guest] = {}
        self._clock = count(1)

    def admit(self, tenant: Tenant, activations: int | None = None, beside: Iterable[Tenant] = ()) -> Plan:
        """Make room for a run of ``tenant``; what is said in the plan of others is done when this returns.

        The tenant itself carries out ``resident`` and ``stream``. ``activations`` counts bytes; None: as many
        as it said last. ``beside`` are used in the same step: they are planned for together, and stay.
        """
        with self.lock:
            guest = self._guest(tenant)
            guest.need = guest.need if activations is None else activations
            group = {id(one): one for one in (tenant, *beside)}
            made = self._plans(group)
            names = {number: other.title for number, other in self._living()}
            for number, other in self._living():
                if number not in group:
                    other.idle()
                elif number != id(tenant) and (going := other.resident() - made[number].resident):
                    other.leave(going)
            mine, before = made[id(tenant)], guest.plan
            self._evict(mine, names)
            if before is None or (before.resident, before.stream) != (mine.resident, mine.stream):
                self._tell(f"{tenant.title} is placed", mine.why, names)
            guest.last_use, guest.plan = next(self._clock), mine
            return mine

    def fits(self, tenant: Tenant, activations: int) -> bool:
        """Whether a run with so many bytes of activations would stay within the device."""
        with self.lock:
            guest = self._guest(tenant)
            before, guest.need = guest.need, activations
            try:
                return self._plans({id(tenant): tenant})[id(tenant)].fits
            finally:
                guest.need = before

    def make_way(self, size: int, what: str) -> None:
        """Have models give back weights until ``size`` bytes are free, for something that is no tenant."""
        with self.lock:
            made = plan(self._device()[0], self._loaded({}), Demand(what, (), size))
            names = {number: other.title for number, other in self._living()}
            for other in [other for _, other in self._living()]:
                other.idle()
            self._evict(made, names)

    def tighten(self, tenant: Tenant) -> bool:
        """The device ran out of memory: from now on plan with more for what ``tenant`` computes. False if
        there is nothing more that a plan could do.
        """
        with self.lock:
            guest = self._guest(tenant)
            made, others = guest.plan, [other for number, other in self._living() if number != id(tenant)]
            spare = any(not b.fixed and b.name in made.resident for b in tenant.blocks()) if made else True
            if guest.more >= MORE_AT_MOST or not (spare or any(other.resident() for other in others)):
                return False
            guest.more *= MORE_EACH
            told = f"it is planned again with {guest.more:g} times the room that it counts on"
            self._tell(f"{tenant.title} ran out of memory", (told,), {})
            for other in others:
                other.idle()
        return True

    def _evict(self, made: Plan, names: dict[int, str]) -> None:
        by_key = dict(self._living())
        for key, parts in made.evict:
            by_key[int(key)].leave(parts)
            own = [line for line in made.why if " wants " in line or line.startswith(f"{key} ")]
            blocks = f"{len(parts)} block{'s'[: len(parts) - 1]}"
            self._tell(f"{by_key[int(key)].title} gave up {blocks}", own, names)

    def _plans(self, group: dict[int, Any]) -> dict[int, Plan]:
        device, taken = self._device()
        demands = [Demand(str(n), one.blocks(), self._room_for(one)) for n, one in sorted(group.items())]
        made = together(device, self._loaded(group), demands)
        why = (f"others take {size_text(taken)} of {self.name}",) if taken else ()
        return {int(key): replace(one, why=(*why, *one.why)) for key, one in made.items()}

    def _room_for(self, tenant: Tenant) -> int:
        guest = self._guest(tenant)
        return int(guest.need * guest.more)

    def _device(self) -> tuple[Device, int]:
        """The device as far as it is free for us, and how much of it others have of what we were to use. Half
        of the reserve is there for what a library has for itself.
        """
        own = self.device.reserve // 2
        taken = 0 if self._free is None else max(0, self.device.capacity - own - self._free())
        return replace(self.device, capacity=self.device.capacity - taken), taken

    def _guest(self, tenant: Tenant) -> _Guest:
        found = self._guests.get(id(tenant))
        if found is None or found.tenant() is not tenant:
            found = self._guests[id(tenant)] = _Guest(weakref.ref(tenant))
        return found

    def report(self) -> dict[str, Any]:
        """What is where, and what happened lately, for people."""
        with self.lock:
            rows = []
            for number, tenant in self._living():
                blocks, there = tenant.blocks(), tenant.resident()
                guest = self._guests[number]
                made = guest.plan
                rows.append(
                    {
                        "name": tenant.title,
                        "bytes": sum(b.bytes for b in blocks),
                        "here": sum(b.bytes for b in blocks if b.name in there),
                        "streamed": list(made.stream) if made else [],
                        "last_use": guest.last_use,
                        "activations": self._room_for(tenant),
                        "why": list(made.why[1:]) if made else [],
                    }
                )
            return {
                "device": self.name,
                "capacity": self.device.capacity,
                "reserve": self.device.reserve,
                "models": sorted(rows, key=lambda row: -int(row["last_use"])),
                "happened": [{"what": h.what, "why": list(h.why)} for h in self.history],
            }

    def _living(self) -> list[tuple[int, Any]]:
        found = [(number, guest.tenant()) for number, guest in self._guests.items()]
        for number in [number for number, tenant in found if tenant is None]:
            del self._guests[number]
        return [(number, tenant) for number, tenant in found if tenant is not None]

    def _loaded(self, group: dict[int, Any]) -> list[Loaded]:
        rows = [(str(n), t, self._guests[n].last_use) for n, t in self._living() if n not in group]
        return [Loaded(n, t.blocks(), t.resident(), used, bool(t.at_work)) for n, t, used in rows]

    def _tell(self, what: str, why: Iterable[str], names: dict[int, str]) -> None:
        told = tuple(_NUMBER.sub(lambda m: names.get(int(m.group()), m.group()), line) for line in why)
        self.history.append(Happening(next(self._clock), what, told))


@cache
def rooms() -> dict[tuple[str, int], Room]:
    """The rooms of this process, by kind and number of the device."""
    return {}


def room(kind: str, index: int = 0) -> Room:
    """The room of a device of this process."""
    known = rooms()
    return known.get((kind, index)) or known.setdefault((kind, index), _made(kind, index))


def reports() -> list[dict[str, Any]]:
    """What every room says of itself."""
    return [one.report() for one in rooms().values()]


def _made(kind: str, index: int) -> Room:
    told = os.environ.get(VARIABLE)
    capacity = size_of(told) if told else _capacity(kind, index)
    name = f"{kind}:{index}" if index else kind
    free = partial(_free, index) if kind == "cuda" else None
    return Room(Device(capacity, 0 if told else RESERVES.get(kind, 0)), name, free)


def room_of(device: torch.device) -> Room:
    """The room of a torch device."""
    return room(device.type, device.index or 0)


def size_of(text: str) -> int:
    """Bytes said as "10GB", "512 MB" or a number."""
    number = text.strip().lower().rstrip("bgkmt ")
    unit = text.strip().lower()[len(number) :].strip()
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, KeyError) as cause:
        raise ValueError(f"{VARIABLE} is {text!r}; say a size as 10GB or 800MB") from cause


def _capacity(kind: str, index: int) -> int:
    if kind == "cuda":
        return int(torch.cuda.get_device_properties(index).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * 10**9


def _free(index: int) -> int:
    """Bytes of a card that are free or this process's own already, whether in use or kept by torch."""
    return int(torch.cuda.mem_get_info(index)[0] + torch.cuda.memory_reserved(index))
