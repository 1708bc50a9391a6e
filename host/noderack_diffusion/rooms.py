"""One device's memory: which networks have weights in it, which must go for the next, and why.

``memory.plan`` decides; a ``Room`` knows what is loaded, asks, has the networks carry it out, and keeps the
reasons. Networks stay until room is wanted: a second prompt finds them warm.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Protocol

import torch

from noderack_diffusion.memory import Block, Demand, Device, Loaded, Plan, plan

VARIABLE = "NODERACK_MEMORY"
"""Environment variable: how much memory of the device is to be used, as "10GB" (powers of ten)."""
RESERVES = {"cuda": 800_000_000, "cpu": 1_000_000_000}
"""Bytes left to others, by kind of device."""
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "b": 1, "": 1}
KEPT = 50


class Tenant(Protocol):
    """A network whose weights can be in a room."""

    key: str

    def blocks(self) -> tuple[Block, ...]:
        """Its parts in forward order."""

    def resident(self) -> frozenset[str]:
        """The parts that are there."""

    def leave(self, names: frozenset[str]) -> None:
        """Give up the memory of these parts."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something a room did, and why."""

    number: int
    what: str
    why: tuple[str, ...]


class Room:
    """The memory of one device."""

    def __init__(self, device: Device, name: str = "cpu") -> None:
        self.device, self.name = device, name
        self.history: deque[Happening] = deque(maxlen=KEPT)
        self._tenants: dict[int, weakref.ref[Any]] = {}
        self._uses: dict[int, int] = {}
        self._plans: dict[int, tuple[int, Plan]] = {}
        self._clock, self._lock = count(1), threading.RLock()

    def admit(self, tenant: Tenant, activations: int = 0, beside: Iterable[Tenant] = ()) -> Plan:
        """Make room for a run of ``tenant``; what is said in the plan of others is done when this returns.

        The tenant itself carries out ``resident`` and ``stream``. ``activations`` counts bytes.
        """
        with self._lock:
            mine, others = id(tenant), self._others(tenant)
            demand = Demand(
                str(mine), tenant.blocks(), activations, frozenset(str(id(other)) for other in beside)
            )
            made = plan(self.device, [self._loaded(number, other) for number, other in others], demand)
            for key, names in made.evict:
                by_key = dict(others)
                by_key[int(key)].leave(names)
                self._tell(f"{by_key[int(key)].key} gave up {len(names)} blocks", made, by_key)
            before = self._plans.get(mine)
            if before is None or (before[1].resident, before[1].stream) != (made.resident, made.stream):
                self._tell(f"{tenant.key} is placed", made, {mine: tenant, **dict(others)})
            self._tenants[mine] = weakref.ref(tenant)
            self._uses[mine], self._plans[mine] = next(self._clock), (activations, made)
            return made

    def report(self) -> dict[str, Any]:
        """What is where, and what happened lately, for people."""
        with self._lock:
            rows = []
            for number, tenant in self._living():
                blocks, there = tenant.blocks(), tenant.resident()
                made = self._plans[number][1] if number in self._plans else None
                rows.append(
                    {
                        "name": tenant.key,
                        "bytes": sum(b.bytes for b in blocks),
                        "here": sum(b.bytes for b in blocks if b.name in there),
                        "streamed": list(made.stream) if made else [],
                        "last_use": self._uses.get(number, 0),
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
        found = [(number, ref()) for number, ref in self._tenants.items()]
        for number, tenant in found:
            if tenant is None:
                for table in (self._tenants, self._uses, self._plans):
                    table.pop(number, None)
        return [(number, tenant) for number, tenant in found if tenant is not None]

    def _others(self, tenant: Tenant) -> list[tuple[int, Any]]:
        return [(number, other) for number, other in self._living() if other is not tenant]

    def _loaded(self, number: int, tenant: Tenant) -> Loaded:
        return Loaded(str(number), tenant.blocks(), tenant.resident(), self._uses.get(number, 0))

    def _tell(self, what: str, made: Plan, names: dict[int, Any]) -> None:
        why = []
        for line in made.why:
            first, _, rest = line.partition(" ")
            known = first.isdigit() and int(first) in names
            why.append(f"{names[int(first)].key} {rest}" if known else line)
        self.history.append(Happening(next(self._clock), what, tuple(why)))


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
    return Room(Device(capacity, 0 if told else RESERVES.get(kind, 0)), f"{kind}:{index}" if index else kind)


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
