"""The workers as the server sees them, and which of them a prompt goes to."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from noderack_host.cluster.files import Made

MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".gguf", ".pt", ".pth", ".bin", ".onnx")
STARTING, IDLE, BUSY, LOST = "starting", "idle", "busy", "lost"


@dataclass(slots=True, eq=False)
class Seat:
    """One worker. `models` are those of its last prompt: they are warm. `why` says what is wrong with it."""

    number: int
    state: str = STARTING
    actor: Any = None
    host: str = ""
    pid: int = 0
    actor_pid: int = 0
    shared: bool = True
    node_types: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    prompt: str | None = None
    runs: int = 0
    lost: int = 0
    why: str = ""
    site: int = -1
    names: dict[Made, Made] = field(default_factory=dict)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)

    def up(self, told: Mapping[str, Any], site: int) -> None:
        """It can take prompts; in a new process nothing is warm."""
        if told["pid"] != self.pid:
            self.models, self.names = frozenset(), {}
        self.host, self.pid, self.actor_pid = told["host"], told["pid"], told["actor"]
        self.node_types, self.shared = frozenset(told["node_types"]), told["shared"]
        failed = [f"{one['pack']} did not load: {one['cause']}" for one in told["failed"]]
        self.state, self.why, self.site, self.prompt = IDLE, "; ".join(failed), site, None

    def begin(self, prompt: str, models: frozenset[str]) -> None:
        """A prompt goes there."""
        self.state, self.prompt, self.models = BUSY, prompt, models
        self.runs += 1

    def end(self, prompt: str, lost: bool) -> None:
        """The prompt is over here; nothing is left to do where the worker was brought up anew meanwhile."""
        if self.prompt == prompt:
            self.prompt = None
            if self.state == BUSY:
                self.state = LOST if lost else IDLE

    def down(self, why: str) -> None:
        """It is gone."""
        self.state, self.why, self.models, self.pid = LOST, why, frozenset(), 0
        self.lost += 1

    def as_dict(self) -> dict[str, Any]:
        """What people see of it."""
        names = ("number", "state", "host", "pid", "actor_pid", "shared", "prompt", "runs", "lost", "why")
        return {**{name: getattr(self, name) for name in names}, "models": sorted(self.models)}


def models_of(prompt: Mapping[str, Any]) -> frozenset[str]:
    """The model files that a prompt's inputs name."""
    values = (value for node in prompt.values() for value in (node.get("inputs") or {}).values())
    return frozenset(v for v in values if isinstance(v, str) and v.lower().endswith(MODEL_FILES))


def types_of(prompt: Mapping[str, Any]) -> frozenset[str]:
    """The node types of a prompt."""
    return frozenset(str(node["class_type"]) for node in prompt.values())


def fitting(seats: Iterable[Seat], types: Collection[str]) -> list[Seat]:
    """The workers that have all of these node types."""
    return [seat for seat in seats if seat.node_types.issuperset(types)]


def choose(seats: Collection[Seat], idle: Collection[Seat], models: frozenset[str]) -> Seat:
    """The idle worker that has most of the models warm; else the one that has least to do.

    That is one on the machine where the fewest work, with nothing warm that another prompt may want, and
    the fewest prompts so far.
    """
    busy = [seat.host for seat in seats if seat.state == BUSY]

    def load(seat: Seat) -> tuple[int, int, int, int, int]:
        warm = len(models & seat.models)
        cold = len(models - seat.models)
        return -warm, cold if warm else 0, busy.count(seat.host), len(seat.models), seat.runs

    return min(idle, key=load)
