"""Groups of hooks and their keyframes as packs build them: made empty, added to, combined."""

import functools
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from noderack_diffusion.weight_hooks import HookGroup, Keyframe, WeightHook


class Grouped:
    """The methods that packs call on a group of hooks. A group that is added to is the pack's own."""

    if TYPE_CHECKING:
        hooks: tuple[WeightHook, ...]

    @property
    def _own(self) -> "HookGroup":
        return cast("HookGroup", self)

    def __len__(self) -> int:
        return len(self.hooks)

    def __bool__(self) -> bool:
        return True

    def clone(self) -> "HookGroup":
        """The same hooks, to be added to apart."""
        return type(self._own)(self.hooks)

    def add(self, hook: "WeightHook") -> None:
        """Another hook, unless it is there already."""
        if not any(one is hook for one in self.hooks):
            object.__setattr__(self, "hooks", (*self.hooks, hook))
            self._own._sets.clear()

    def contains(self, hook: "WeightHook") -> bool:
        return any(one is hook for one in self.hooks)

    def clone_and_combine(self, other: "HookGroup | None") -> "HookGroup":
        """Both groups' hooks."""
        return self._own | other

    def set_keyframes_on_hooks(self, hook_kf: "Iterable[Keyframe] | None") -> None:
        """The strength of all hooks over the run."""
        frames = tuple(sorted(hook_kf or (), key=lambda frame: frame.start))
        object.__setattr__(self, "hooks", self._own.with_keyframes(frames).hooks)
        self._own._sets.clear()

    def get_hooks_for_clip_schedule(self) -> list[tuple[float, float]]:
        """The parts of a run in which no strength changes."""
        return self._own.spans()

    def reset(self) -> None:
        """Nothing to do: hooks hold no place in a run."""

    @staticmethod
    def combine_all_hooks(
        hooks_list: "Iterable[HookGroup | None]", require_count: int = 0
    ) -> "HookGroup | None":
        """All groups as one; None if there are none; raises ValueError for fewer than so many."""
        groups = [group for group in hooks_list if group is not None]
        if len(groups) < require_count:
            raise ValueError(f"{require_count} groups of hooks are needed, {len(groups)} were given")
        return functools.reduce(operator.or_, groups) if groups else None
