"""Blocks of a network whose weights are on the device only while they are computed with.

While one block computes, the weights of the next are on their way. On a GPU they go through two pinned
buffers and a stream of their own, so that the copy hides behind the computing; elsewhere a thread derives
them.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from noderack_diffusion.narrow import Scaled, parameter_of

Weights = Mapping[str, Tensor]
Source = Callable[[str], Weights]
"""A block's name -> its parameters as they lie in the computer's memory, by their names."""
Use = Callable[[str, Tensor], Tensor]
"""A parameter's name and it on the device -> as it is used there."""


class Lane(Protocol):
    """A way for weights to the device. ``send`` is called from one thread."""

    def send(self, home: Weights) -> Weights:
        """Put them on their way."""

    def arrived(self, sent: Weights) -> None:
        """Have the computing that is asked for from now on wait until they are there."""

    def left(self) -> None:
        """All computing with the weights that arrived last has been asked for."""


class Direct:
    """For a device that computes from the computer's own memory."""

    def __init__(self, use: Use) -> None:
        self._use = use

    def send(self, home: Weights) -> Weights:
        return {name: self._use(name, value) for name, value in home.items()}

    def arrived(self, sent: Weights) -> None:
        return None

    def left(self) -> None:
        return None


class Pinned:
    """For a GPU: through pinned buffers, on a stream of its own.

    Computing is asked for long before it is done, so blocks would arrive much earlier than they are wanted,
    and fill the device. A block is sent when all but ``slots - 2`` of those before the present one are done
    with. ``cuda`` is torch's module of that name, or what does as it does.
    """

    def __init__(self, device: torch.device, use: Use, slots: int = 2, cuda: Any = torch.cuda) -> None:
        self._device, self._use, self._next, self._cuda = device, use, 0, cuda
        self._stream = cuda.Stream(device)
        self._buffers = [torch.empty(0, dtype=torch.uint8) for _ in range(slots)]
        self._free = [cuda.Event() for _ in range(slots)]
        self._done: deque[Any] = deque()

    def send(self, home: Weights) -> Weights:
        """Copies into the next buffer once the device has read what was in it, and from there on."""
        while len(self._done) > len(self._buffers) - 2:
            self._done.popleft().synchronize()
        which = self._next
        self._next = (which + 1) % len(self._buffers)
        self._free[which].synchronize()
        buffer, found, place = self._buffer(which, sum(map(_aligned, home.values()))), {}, 0
        with self._cuda.stream(self._stream):
            for name, value in home.items():
                size = value.numel() * value.element_size()
                staged = buffer[place : place + size].view(value.dtype).view(value.shape).copy_(value)
                there = staged.to(self._device, non_blocking=True)
                if isinstance(value, Scaled):
                    there = value.on(self._device, there)
                found[name] = self._use(name, there)
                place += _aligned(value)
            self._free[which].record(self._stream)
        return found

    def arrived(self, sent: Weights) -> None:
        now = self._cuda.current_stream(self._device)
        now.wait_stream(self._stream)
        for value in sent.values():
            value.record_stream(now)
            if isinstance(value, Scaled):
                value.scale.record_stream(now)

    def left(self) -> None:
        event = self._cuda.Event()
        event.record(self._cuda.current_stream(self._device))
        self._done.append(event)

    def _buffer(self, which: int, size: int) -> Tensor:
        """One of the buffers, large enough: what lies in a file may be wider than what is kept of it."""
        if self._buffers[which].numel() < size:
            pinned = self._cuda.is_available()
            self._buffers[which] = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        return self._buffers[which]


def _aligned(value: Tensor) -> int:
    """Bytes of a tensor, up to where the next may begin."""
    return -(-value.numel() * value.element_size() // 64) * 64


def lane_to(device: torch.device, use: Use) -> Lane:
    """The way to a device."""
    return Pinned(device, use) if device.type == "cuda" else Direct(use)


class Streamer:
    """Brings each of ``blocks`` (modules by name) its weights before it runs and takes them away after it."""

    def __init__(
        self,
        blocks: Mapping[str, nn.Module],
        source: Source,
        lane: Lane,
        left: Callable[[str], None] = lambda name: None,
        own: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """``left`` is told of each block whose weights are no longer wanted. ``own`` names the parameters of
        each block that are brought with it, where not all are: blocks inside of it may be blocks, too.
        """
        self._own = own or {name: [n for n, _ in m.named_parameters()] for name, m in blocks.items()}
        self._blocks, self._source, self._lane, self._left = dict(blocks), source, lane, left
        self._order, self._moved = list(self._blocks), 0
        self._coming: dict[str, Future[Weights]] = {}
        self._thread = ThreadPoolExecutor(1, "noderack-weights")
        self._hooks: list[RemovableHandle] = []
        for name, module in self._blocks.items():
            self._leave(name)
            self._hooks.append(module.register_forward_pre_hook(self._before(name)))
            self._hooks.append(module.register_forward_hook(self._after(name), always_call=True))

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks that it brings."""
        return tuple(self._blocks)

    @property
    def moved(self) -> int:
        """Bytes that were brought so far."""
        return self._moved

    def renew(self) -> None:
        """Weights are to be others from now on: forget those that are on their way."""
        self._coming = {}

    def close(self) -> None:
        """Stop; the blocks are left without weights."""
        for hook in self._hooks:
            hook.remove()
        self._thread.shutdown()
        self._coming = {}

    def _before(self, name: str) -> Callable[[nn.Module, object], None]:
        def bring(module: nn.Module, given: object) -> None:
            weights = self._take(name)
            for path, value in weights.items():
                _put(module, path, parameter_of(value))
            self._moved += sum(v.numel() * v.element_size() for v in weights.values())
            if self._following(name) != name:
                self._ask(self._following(name))

        return bring

    def _after(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def leave(module: nn.Module, given: object, out: object) -> None:
            self._lane.left()
            self._leave(name)
            if self._following(name) == name and name not in self._coming:
                self._ask(name)  # not before: it would be there twice

        return leave

    def _take(self, name: str) -> Weights:
        self._ask(name)
        weights = self._coming.pop(name).result()
        self._coming = {}  # what was expected and is not wanted is let go
        self._lane.arrived(weights)
        return weights

    def _ask(self, name: str) -> None:
        if name not in self._coming:
            self._coming[name] = self._thread.submit(lambda: self._lane.send(self._source(name)))

    def _following(self, name: str) -> str:
        place = self._order.index(name)
        return self._order[(place + 1) % len(self._order)]

    def _leave(self, name: str) -> None:
        module = self._blocks[name]
        for path in self._own[name]:
            value = module.get_parameter(path)
            _put(module, path, nn.Parameter(value.to("meta"), requires_grad=False))
        self._left(name)


def _put(module: nn.Module, path: str, value: nn.Parameter) -> None:
    owner, _, leaf = path.rpartition(".")
    module.get_submodule(owner)._parameters[leaf] = value
