"""LoRAs and other checkpoints that act on one conditioning only: what makes hooks, joins them, and puts
them on a text encoder. Schedules are in `hook_keyframes`, what they are put on in `hook_conditioning`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from noderack_nodes.places import model_names, model_path
from noderack_nodes.sockets import CLIP, Inputs, Mappings, Node, flag, number

_HOOKS, _STRENGTH = ("HOOKS",), number(1.0, -20.0, 20.0)


class _Created(Node):
    """What the nodes that make a hook have in common."""

    RETURN_TYPES = ("HOOKS",)
    CATEGORY = "advanced/hooks/create"
    FUNCTION = "create_hook"
    FILE: ClassVar[tuple[str, str]] = ("lora_name", "loras")
    STRENGTHS: ClassVar[tuple[str, ...]] = ("strength_model", "strength_clip")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """The files in the model folders now."""
        name, category = cls.FILE
        strengths = dict.fromkeys(cls.STRENGTHS, _STRENGTH)
        return {
            "required": {name: (model_names(category),), **strengths},
            "optional": {"prev_hooks": _HOOKS},
        }


def _hooked(change: Any, model: float, clip: float, before: Any) -> tuple[Any]:
    from noderack_diffusion.weight_hooks import HookGroup, WeightHook

    return ((before or HookGroup()) | HookGroup((WeightHook(change, model, clip),)),)


class CreateHookLora(_Created):
    """A LoRA for those conditionings that it is set on."""

    EXPERIMENTAL = True

    def create_hook(
        self, lora_name: str, strength_model: float, strength_clip: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        from noderack_diffusion.lora import load_lora
        from noderack_diffusion.weight_hooks import HookGroup, LoraChange

        if not strength_model and not strength_clip:
            return (prev_hooks or HookGroup(),)
        change = LoraChange(load_lora(model_path("loras", lora_name)))
        return _hooked(change, strength_model, strength_clip, prev_hooks)


class CreateHookLoraModelOnly(CreateHookLora):
    """A LoRA for those conditionings that it is set on; the text is encoded without it."""

    EXPERIMENTAL = True
    FUNCTION = "create_hook_model_only"
    STRENGTHS = ("strength_model",)

    def create_hook_model_only(
        self, lora_name: str, strength_model: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        return self.create_hook(lora_name, strength_model, 0.0, prev_hooks)


class CreateHookModelAsLora(_Created):
    """Another checkpoint for those conditionings that it is set on."""

    EXPERIMENTAL = True
    FILE = ("ckpt_name", "checkpoints")

    def create_hook(
        self, ckpt_name: str, strength_model: float, strength_clip: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """Its difference to the model that samples; at strength 1 it is that checkpoint."""
        from noderack_diffusion.checkpoint import load_checkpoint
        from noderack_diffusion.weight_hooks import ModelChange

        other = load_checkpoint(model_path("checkpoints", ckpt_name))
        return _hooked(ModelChange(other.model, other.clip), strength_model, strength_clip, prev_hooks)


class CreateHookModelAsLoraModelOnly(CreateHookModelAsLora):
    """The model of another checkpoint for those conditionings that it is set on."""

    EXPERIMENTAL = True
    FUNCTION = "create_hook_model_only"
    STRENGTHS = ("strength_model",)

    def create_hook_model_only(
        self, ckpt_name: str, strength_model: float, prev_hooks: Any = None
    ) -> tuple[Any]:
        """The hooks before it and this one."""
        return self.create_hook(ckpt_name, strength_model, 0.0, prev_hooks)


def _combiner(letters: str) -> type[Node]:
    class Combine(Node):
        __doc__ = f"Up to {len(letters)} groups of hooks as one."
        EXPERIMENTAL = True
        INPUTS: ClassVar[Inputs] = {
            "required": {},
            "optional": {f"hooks_{letter}": _HOOKS for letter in letters},
        }
        RETURN_TYPES = ("HOOKS",)
        CATEGORY = "advanced/hooks/combine"
        FUNCTION = "combine_hooks"

        def combine_hooks(self, **groups: Any) -> tuple[Any]:
            """All of them, each once."""
            from noderack_diffusion.weight_hooks import HookGroup

            found = HookGroup()
            for name in sorted(groups):
                found |= groups[name]
            return (found,)

    Combine.__name__ = Combine.__qualname__ = f"CombineHooks{len(letters)}"
    return Combine


class SetClipHooks(Node):
    """Encode texts under hooks."""

    EXPERIMENTAL = True
    INPUTS: ClassVar[Inputs] = {
        "required": {"clip": CLIP, "apply_to_conds": flag(True), "schedule_clip": flag(False)},
        "optional": {"hooks": _HOOKS},
    }
    RETURN_TYPES = ("CLIP",)
    CATEGORY = "advanced/hooks/clip"
    FUNCTION = "apply_hooks"

    def apply_hooks(
        self, clip: Any, apply_to_conds: bool, schedule_clip: bool, hooks: Any = None
    ) -> tuple[Any]:
        """`apply_to_conds` has the model follow too, `schedule_clip` encodes anew for each keyframe."""
        if hooks is None:
            return (clip,)
        return (clip.with_hooks(hooks, to_conds=apply_to_conds, scheduled=schedule_clip),)


NODES: Mappings = {
    node.__name__: node
    for node in (
        CreateHookLora,
        CreateHookLoraModelOnly,
        CreateHookModelAsLora,
        CreateHookModelAsLoraModelOnly,
        _combiner("AB"),
        _combiner("ABCD"),
        _combiner("ABCDEFGH"),
        SetClipHooks,
    )
}
NAMES = {
    "CreateHookLora": "Create Hook LoRA",
    "CreateHookLoraModelOnly": "Create Hook LoRA (MO)",
    "CreateHookModelAsLora": "Create Hook Model as LoRA",
    "CreateHookModelAsLoraModelOnly": "Create Hook Model as LoRA (MO)",
    "CombineHooks2": "Combine Hooks [2]",
    "CombineHooks4": "Combine Hooks [4]",
    "CombineHooks8": "Combine Hooks [8]",
    "SetClipHooks": "Set CLIP Hooks",
}
