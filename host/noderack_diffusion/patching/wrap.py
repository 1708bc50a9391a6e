"""Functions around a function: each gets what comes next, and decides whether and how to call it."""

from collections.abc import Callable, Sequence
from typing import Any

from noderack_diffusion.patching.changes import Options, listed

OUTER_SAMPLE = "outer_sample"
SAMPLER_SAMPLE = "sampler_sample"
PREDICT_NOISE = "predict_noise"
CALC_COND_BATCH = "calc_cond_batch"
APPLY_MODEL = "apply_model"
DIFFUSION_MODEL = "diffusion_model"

Function = Callable[..., Any]


class Chain:
    """What a wrapper is given first: calling it goes on. ``class_obj``: whose method it is."""

    def __init__(
        self, original: Function, class_obj: Any, wrappers: Sequence[Function], idx: int = 0
    ) -> None:
        self.original, self.class_obj, self.wrappers, self.idx = original, class_obj, list(wrappers), idx

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Runs from here on."""
        if self.idx == len(self.wrappers):
            return self.original(*args, **kwargs)
        return self.wrappers[self.idx](self, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return type(self)(self.original, self.class_obj, self.wrappers, self.idx + 1).execute(*args, **kwargs)

    @classmethod
    def new_executor(cls, original: Function, wrappers: Sequence[Function], idx: int = 0) -> "Chain":
        return cls(original, None, wrappers, idx)

    @classmethod
    def new_class_executor(
        cls, original: Function, class_obj: Any, wrappers: Sequence[Function], idx: int = 0
    ) -> "Chain":
        return cls(original, class_obj, wrappers, idx)


def wrapped(kind: str, options: Options, owner: Any, function: Function) -> Function:
    """``function`` inside the wrappers of that kind; ``options`` are transformer options."""
    wrappers = listed(options.get("wrappers", {}), kind)
    return Chain(function, owner, wrappers).execute if wrappers else function
