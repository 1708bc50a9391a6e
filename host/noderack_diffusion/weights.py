"""From tensors in files to a network that runs, and back: parameters are derived, never edited.

``Live`` is the one place where the weights of a running network change.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from noderack_diffusion.allocation import give_back, keep_pages
from noderack_diffusion.bypass import attach
from noderack_diffusion.errors import MismatchError, OutOfMemory, lacks_memory
from noderack_diffusion.memory import Block
from noderack_diffusion.narrow import Scaled, narrowed, parameter_of
from noderack_diffusion.packed import PackedConv2d, unpack
from noderack_diffusion.parts import REST, part_of, parts_of
from noderack_diffusion.patch import Patch, PatchSet, apply
from noderack_diffusion.rooms import room_of
from noderack_diffusion.store import Store
from noderack_diffusion.stored import narrows, widen_on_use
from noderack_diffusion.streaming import Streamer, lane_to

_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_HALVES = (torch.float16, torch.bfloat16)
_TABLES = ("token_embedding.weight",)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one parameter lies: a tensor of a file, some of its rows, or its transpose."""

    store: Store
    key: str
    rows: tuple[int, int] | None = None
    transposed: bool = False
    scale: str | None = None
    shape: tuple[int, ...] | None = None

    def dims(self) -> tuple[int, ...]:
        """The parameter's shape, told from the header."""
        if self.shape is not None:
            return self.shape
        dims = self.store.header[self.key].shape
        dims = dims if self.rows is None else (self.rows[1], *dims[1:])
        return dims[::-1] if self.transposed else dims

    def dtype(self) -> torch.dtype:
        """The dtype of what ``read`` gives."""
        return torch.float32 if self.scale is not None else self.store.header[self.key].dtype

    def forget(self) -> None:
        """What was read of the file need not stay in memory."""
        self.store.forget(self.key)

    def read(self) -> Tensor:
        """The parameter's tensor; a view of the mapped file unless it is stored scaled."""
        tensor = self.store.tensor(self.key)
        if self.rows is not None:
            tensor = tensor.narrow(0, *self.rows)
        if self.transposed:
            tensor = tensor.t()
        if self.shape is not None:
            tensor = tensor.reshape(self.shape)
        if self.scale is not None:
            tensor = tensor.to(torch.float32) * self.store.tensor(self.scale).to(torch.float32)
        return tensor


Pieces = Mapping[str, Piece]


def pieces_below(store: Store, prefix: str) -> dict[str, Piece]:
    """Every tensor under ``prefix``, keyed without it; those stored as scaled fp8 with their scale."""
    names = [name for name in store.header if name.startswith(prefix)]
    return {n.removeprefix(prefix): Piece(store, n, scale=_scale(store, n)) for n in names}


def shapes(pieces: Pieces) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters, from headers alone."""
    return {name: piece.dims() for name, piece in pieces.items()}


def _scale(store: Store, name: str) -> str | None:
    if store.header[name].dtype not in _FLOAT8:
        return None
    stem = name.removesuffix(".weight")
    return next((s for s in (f"{stem}.scale_weight", f"{stem}.weight_scale") if s in store.header), None)


class Live:
    """A network whose parameters follow a patch set. Built when first used; ``key`` names its files."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        pieces: Pieces,
        *,
        key: str,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        rounds: bool = False,
        stored: torch.dtype | None = None,
    ) -> None:
        """``rounds``: patched weights are rounded to the file's dtype, as the reference host has its text
        towers. ``stored``: the dtype that matrices are kept in, if it is not the one of computing.
        """
        self.pieces, self.key, self.dtype, self.device = pieces, key, dtype, torch.device(device)
        self.rounds, self.stored = rounds, stored
        self.shared: dict[str, object] = {}  # what all handles over these weights have in common
        self._build = build
        self._module: nn.Module | None = None
        self._patches = PatchSet()
        self._lock = threading.RLock()
        self._branches: dict[str, tuple[tuple[Patch, ...], RemovableHandle]] = {}
        self._held = 0
        self._aside: dict[str, dict[tuple[Patch, ...], nn.Parameter]] = {}
        self._here: frozenset[str] = frozenset()
        self._streamer: Streamer | None = None
        self._parts = parts_of(pieces)
        self._sizes: tuple[Block, ...] | None = None
        self.at_work = 0  # passes that are under way
        self._stores = {piece.store for piece in pieces.values() if isinstance(piece, Piece)}

    def in_dtype(self, dtype: torch.dtype) -> "Live":
        """The same weights, computed with in another dtype; asked for again, the same network."""
        if dtype == self.dtype:
            return self
        named = cast("dict[torch.dtype, Live]", self.shared.setdefault("dtypes", {}))
        if dtype not in named:
            how: dict[str, Any] = {"device": self.device, "rounds": self.rounds, "stored": self.stored}
            named[dtype] = Live(self._build, self.pieces, key=f"{self.key}:{dtype}", dtype=dtype, **how)
        return named[dtype]

    @property
    def title(self) -> str:
        """As ``key``, with the names of the files."""
        told = self.key
        for store in self._stores:
            told = told.replace(store.key, store.path.name)
        return told.replace("torch.", "")

    def run(
        self,
        patches: PatchSet,
        activations: int,
        work: Callable[[nn.Module], Result],
        beside: Sequence["Live"] = (),
    ) -> Result:
        """What ``work`` gives of the network, as ``use`` has it; when the device runs out of memory, again
        with a tighter plan. Raises OutOfMemory when none is left.
        """
        place = room_of(self.device)
        while True:
            try:
                with self._at_work(place.lock):
                    return work(self.use(patches, activations, beside))
            except (RuntimeError, MemoryError) as cause:
                if not lacks_memory(cause):
                    raise
                told = str(cause).partition("\n")[0]
            give_back()  # outside of the handler, so that what failed is freed
            if not place.tighten(self):
                raise OutOfMemory(self.title, place.name, self.loaded_bytes(), activations, told)

    @contextmanager
    def _at_work(self, lock: threading.RLock) -> Iterator[None]:
        """Until it ends nothing takes weights away."""
        with lock:
            self.at_work += 1
        try:
            yield
        finally:
            with lock:
                self.at_work -= 1

    def has_room(self, activations: int) -> bool:
        """Whether the device could have these weights (some of them streamed) and so many bytes beside."""
        return room_of(self.device).fits(self, activations)

    def use(
        self, patches: PatchSet, activations: int | None = None, beside: Sequence["Live"] = ()
    ) -> nn.Module:
        """The network with exactly these patches on it; only parameters that they change are made anew.

        Its room sees to it that the weights, and ``activations`` bytes (None: as many as last time) beside
        them, fit into the device together with the networks ``beside``, which are used in the same step.
        """
        place = room_of(self.device)
        with place.lock, self._lock, torch.inference_mode(False), torch.no_grad():  # changes are to be seen
            for store in self._stores:
                store.check()
            made = place.admit(self, activations, beside)
            if self._module is None:
                self._module, self._patches = self._shell(), patches
            for name in self._patches.differs(patches):
                if part_of(name) in self._here:
                    owner, leaf = _owner(self._module, name)
                    owner._parameters[leaf] = self._switched(name, patches, owner._parameters[leaf])
                    self._mapped(owner, name, patches)
            if self._branches or patches.branches():
                self._attach(self._module, patches)
            if self._streamer is not None and self._patches.key != patches.key:
                self._streamer.renew()
            self._patches = patches
            self._arrange(made.resident, made.stream)
            return self._module

    def blocks(self) -> tuple[Block, ...]:
        """Its parts as they are kept, in about the order in which they run."""
        if self._sizes is None:
            sizes = {part: sum(map(self._size, names)) for part, names in self._parts.items()}
            self._sizes = tuple(Block(part, size, fixed=part == REST) for part, size in sizes.items())
        return self._sizes

    def resident(self) -> frozenset[str]:
        """The parts whose weights are on the device."""
        return self._here

    def leave(self, names: frozenset[str]) -> None:
        """Give up the weights of these parts; the next use brings them back."""
        with self._lock:
            if names >= self._here:
                return self.drop()
            for part in names & self._here:
                self._forget(part)
        give_back()

    def idle(self) -> None:
        """Weights that are on their way are not wanted soon."""
        if self._streamer is not None and not self.at_work:
            self._streamer.renew()

    def _size(self, name: str) -> int:
        piece = self.pieces[name]
        dtype = piece.dtype() if isinstance(piece, Piece) else self.dtype  # packs bring pieces of their own
        like = torch.empty(piece.dims(), dtype=dtype, device="meta")
        return like.numel() * self._kept(name, like, changed=False).itemsize

    def _arrange(self, wanted: frozenset[str], stream: tuple[str, ...]) -> None:
        """Have exactly the parts ``wanted`` on the device, and those of ``stream`` come when they run."""
        module = self._module
        assert module is not None
        if self._streamer is not None and self._streamer.names != stream:
            self._streamer.close()
            self._streamer = None
        for part in self._here - wanted:
            self._forget(part)
        for part in wanted - self._here:
            for name in self._parts.get(part, ()):
                self._fill(module, name)
        self._here = wanted
        if stream and self._streamer is None:
            lane = lane_to(self.device, lambda n, v: self._in_use(n, v, changed=False))
            blocks = {part: module.get_submodule(part) for part in stream}
            own = {part: [n.removeprefix(f"{part}.") for n in self._parts[part]] for part in stream}
            self._streamer = Streamer(blocks, self._home, lane, self._unmap, own)

    def _home(self, part: str) -> dict[str, Tensor]:
        """A part's weights in the computer's memory, patched, by their names in it."""
        return {n.removeprefix(f"{part}."): self._sent(n) for n in self._parts.get(part, ())}

    def _sent(self, name: str) -> Tensor:
        """One parameter as it is sent to the device: in eight bits if patches changed it, else as it lies."""
        tensor, changed = self._derived(name, self._patches)
        if changed and self.stored is not None and narrows(name, tensor):
            return narrowed(tensor, self.stored, name)
        return tensor

    def _fill(self, module: nn.Module, name: str) -> None:
        owner, leaf = _owner(module, name)
        place, made = owner._parameters[leaf], self._parameter(name, self._patches)
        if place is not None and made.shape != place.shape and not self._patches.on(name):
            raise MismatchError(
                f"the weight {name!r} is {tuple(made.shape)} in the file and {tuple(place.shape)} "
                f"in the {type(module).__name__} that the rest of the file describes"
            )
        owner._parameters[leaf] = made
        self._mapped(owner, name, self._patches)

    def _mapped(self, owner: nn.Module, name: str, patches: PatchSet) -> None:
        """Tell a convolution whether its weight lies in the mapped file, so that a packed copy takes its
        place in memory and does not come on top.
        """
        if isinstance(owner, PackedConv2d) and name.endswith(".weight"):
            piece = self.pieces[name]
            owner.unmap = piece.forget if isinstance(piece, Piece) and not patches.on(name) else None

    def _forget(self, part: str) -> None:
        """A part's weights go; what the file maps of them, too."""
        module = self._module
        assert module is not None
        for name in self._parts.get(part, ()):
            owner, leaf = _owner(module, name)
            value = owner._parameters[leaf]
            if value is not None:
                owner._parameters[leaf] = nn.Parameter(value.to("meta"), requires_grad=False)
            unpack(owner)
        self._unmap(part)
        self._here -= {part}

    def _unmap(self, part: str) -> None:
        """What was read of the file for a part need not stay in memory."""
        for name in self._parts.get(part, ()):
            if isinstance(piece := self.pieces[name], Piece):
                piece.forget()

    def _attach(self, module: nn.Module, patches: PatchSet) -> None:
        """Puts patches beside layers, and takes off those that are there no more."""
        for name in self._branches.keys() | patches.branches():
            wanted = patches.beside(name)
            if name in self._branches and self._branches[name][0] == wanted:
                continue
            if name in self._branches:
                self._branches.pop(name)[1].remove()
            if wanted:
                layer, read = _owner(module, name)[0], partial(self._plain, name, patches)
                self._branches[name] = wanted, attach(layer, wanted, read)

    def _plain(self, name: str, patches: PatchSet) -> Tensor:
        return apply(self.pieces[name].read(), patches.on(name))

    def hold(self, sets: int) -> None:
        """Until ``release``: keep weights that are switched away from, those of the last ``sets`` patch sets,
        because they are wanted again at once.
        """
        self._held = max(self._held, sets)

    def release(self) -> None:
        """Keep nothing but the weights in use."""
        with self._lock:
            self._held, self._aside = 0, {}

    def _switched(self, name: str, patches: PatchSet, now: nn.Parameter | None) -> nn.Parameter:
        """The weight under other patches; the one in use is put aside if it will be wanted again."""
        if self._held < 2 or now is None:
            return self._parameter(name, patches)
        kept = self._aside.setdefault(name, {})
        found = kept.pop(patches.on(name), None)
        kept[self._patches.on(name)] = now
        while len(kept) >= self._held:
            del kept[next(iter(kept))]
        return self._parameter(name, patches) if found is None else found

    def drop(self) -> None:
        """Give the memory back; the next use derives everything again."""
        with self._lock:
            if self._streamer is not None:
                self._streamer.close()
            if self._module is not None:
                for part in self._here:
                    self._forget(part)
            self._module, self._patches, self._streamer = None, PatchSet(), None
            self._branches.clear()
            self.release()
        give_back()

    def loaded_bytes(self) -> int:
        """How many bytes of weights are in memory now."""
        if self._module is None:
            return 0
        return sum(p.numel() * p.element_size() for p in self._module.parameters() if not p.is_meta)

    def weight(self, name: str, patches: PatchSet) -> Tensor:
        """One parameter as it is used: the file's tensor, patched, in the dtype and on the device of use."""
        tensor, changed = self._derived(name, patches)
        return self._in_use(name, tensor, changed=changed)

    def _in_use(self, name: str, tensor: Tensor, *, changed: bool) -> Tensor:
        """A parameter in the dtype and on the device of use; eight bits that patches made are drawn at home,
        so that they are the same for every device.
        """
        if isinstance(tensor, Scaled):
            return tensor.on(self.device)
        if self.stored is None or not narrows(name, tensor):
            return tensor.to(self.device, self._kept(name, tensor, changed=changed))
        if changed:
            made = narrowed(tensor, self.stored, name)
            return made.on(self.device) if isinstance(made, Scaled) else made.to(self.device)
        return narrowed(tensor.to(self.device), self.stored)

    def _derived(self, name: str, patches: PatchSet) -> tuple[Tensor, bool]:
        """One parameter in the computer's memory, and whether it is no longer the file's."""
        tensor, changes = self.pieces[name].read(), patches.on(name)
        if not changes:
            return tensor, False
        stored = tensor.dtype
        tensor = apply(tensor, changes)
        return tensor.to(stored) if self.rounds and stored in _HALVES else tensor, True

    def _kept(self, name: str, tensor: Tensor, *, changed: bool) -> torch.dtype:
        """The dtype that a parameter is kept in on the device."""
        if self.stored is not None and narrows(name, tensor):
            return self.stored
        table = name.endswith(_TABLES) and tensor.dtype in _HALVES
        return tensor.dtype if table or (not changed and self._stays(name, tensor)) else self.dtype

    def _stays(self, name: str, tensor: Tensor) -> bool:
        """Whether a matrix is used from the mapped file, in half precision, and widened when computed with: a
        CPU computes in fp32, and a widened copy of a model would be twice its file.
        """
        half = tensor.dtype in _HALVES and self.dtype == torch.float32
        return half and self.device.type == "cpu" and narrows(name, tensor)

    def _parameter(self, name: str, patches: PatchSet) -> nn.Parameter:
        return parameter_of(self.weight(name, patches))

    def _shell(self) -> nn.Module:
        """The network without weights."""
        with torch.device("meta"), _NoStart():
            module = self._build().eval()
        there = {name for name, _ in module.named_parameters()}
        lacking = next((name for name, _ in module.named_parameters() if name not in self.pieces), None)
        if lacking is not None:
            raise MismatchError(f"the file lacks the weight {lacking!r} of the {type(module).__name__}")
        self._parts, self._sizes = parts_of(there), None
        if self.device.type == "cpu":
            keep_pages()
            return widen_on_use(module, packs=True)
        return module if self.stored is None else widen_on_use(module)


class _NoStart(TorchFunctionMode):
    """Leaves out the starting values of parameters, which come from a file. Where there is no memory behind
    them torch would take them apart into simpler operations, and load its compiler for that: two seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf
