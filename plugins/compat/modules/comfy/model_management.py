"""`comfy.model_management`: devices, dtypes, memory, interruption.

Weights here are placed by the core, which maps them from the file and gives them back by itself: calls of
packs that load succeed and have nothing to do; those that free memory have models give theirs back.
"""

from __future__ import annotations

import enum
import gc
import os
from typing import Any

import torch
from noderack_compat.interrupt import FLAG
from noderack_compat.missing import gap
from noderack_diffusion.devices import pick_device, pick_dtype
from noderack_diffusion.rooms import rooms
from noderack_host.running import Interrupted

__getattr__ = gap(__name__)

InterruptProcessingException = Interrupted
OOM_EXCEPTION = getattr(torch, "OutOfMemoryError", MemoryError)
XFORMERS_IS_AVAILABLE = False
OOM_EXCEPTIONS = (OOM_EXCEPTION,)
current_loaded_models: list[Any] = []


class VRAMState(enum.Enum):
    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(enum.Enum):
    GPU = 0
    CPU = 1
    MPS = 2


_DEVICE = pick_device()
vram_state = VRAMState.DISABLED if _DEVICE.type == "cpu" else VRAMState.NORMAL_VRAM
cpu_state = {"cpu": CPUState.CPU, "mps": CPUState.MPS}.get(_DEVICE.type, CPUState.GPU)
_CPU = torch.device("cpu")


def get_torch_device() -> torch.device:
    return _DEVICE


def get_torch_device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return device.type


def unet_offload_device() -> torch.device:
    return _CPU


def unet_initial_load_device(parameters: int, dtype: torch.dtype) -> torch.device:
    return _CPU


def text_encoder_device() -> torch.device:
    return _DEVICE


def text_encoder_offload_device() -> torch.device:
    return _CPU


def text_encoder_initial_device(load: torch.device, offload: torch.device, size: int = 0) -> torch.device:
    return offload


def vae_device() -> torch.device:
    return _DEVICE


def vae_offload_device() -> torch.device:
    return _CPU


def intermediate_device() -> torch.device:
    """Where values between nodes live."""
    return _CPU


def intermediate_dtype() -> torch.dtype:
    return torch.float32


def unet_dtype(device: torch.device | None = None, *_: Any, **__: Any) -> torch.dtype:
    return pick_dtype(device or _DEVICE)


def vae_dtype(device: torch.device | None = None, allowed_dtypes: Any = ()) -> torch.dtype:
    return pick_dtype(device or _DEVICE)


def text_encoder_dtype(device: torch.device | None = None) -> torch.dtype:
    return pick_dtype(device or _DEVICE)


def unet_manual_cast(
    weight_dtype: torch.dtype, inference_device: torch.device, *_: Any
) -> torch.dtype | None:
    """The dtype to compute in when the weights' own does not do here; None when it does."""
    wanted = pick_dtype(inference_device)
    return None if weight_dtype == wanted else wanted


def should_use_fp16(device: torch.device | None = None, *_: Any, **__: Any) -> bool:
    return (device or _DEVICE).type == "cuda"


def should_use_bf16(device: torch.device | None = None, *_: Any, **__: Any) -> bool:
    chosen = device or _DEVICE
    return chosen.type == "cuda" and torch.cuda.is_bf16_supported()


def supports_dtype(device: torch.device, dtype: torch.dtype) -> bool:
    return dtype == torch.float32 or device.type != "cpu"


def supports_cast(device: torch.device, dtype: torch.dtype) -> bool:
    return True


def device_supports_non_blocking(device: torch.device) -> bool:
    return device.type == "cuda"


def dtype_size(dtype: torch.dtype) -> int:
    return torch.empty((), dtype=dtype).element_size()


def cast_to(
    weight: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False
) -> Any:
    return weight.to(device=device, dtype=dtype, non_blocking=non_blocking, copy=copy)


def cast_to_device(tensor: Any, device: torch.device, dtype: torch.dtype, copy: bool = False) -> Any:
    return tensor.to(device=device, dtype=dtype, copy=copy)


def get_autocast_device(device: Any) -> str:
    return getattr(device, "type", "cuda")


def get_total_memory(dev: torch.device | None = None, torch_total_too: bool = False) -> Any:
    total = _memory(dev)[1]
    return (total, total) if torch_total_too else total


def get_free_memory(dev: torch.device | None = None, torch_free_too: bool = False) -> Any:
    free = _memory(dev)[0]
    return (free, free) if torch_free_too else free


def _memory(dev: torch.device | None) -> tuple[int, int]:
    """Free and total bytes of a device; of the machine for a CPU."""
    chosen = dev or _DEVICE
    if chosen.type == "cuda":
        return torch.cuda.mem_get_info(chosen)
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system tells
        return 4 << 30, 8 << 30


def soft_empty_cache(force: bool = False) -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def load_models_gpu(models: Any, *_: Any, **__: Any) -> None:
    """Nothing to do: see the top of this file."""


def load_model_gpu(model: Any) -> None:
    """Nothing to do: see the top of this file."""


def unload_all_models() -> None:
    """Every model gives its memory back; the next use loads it again."""
    for place in rooms().values():
        place.make_way(place.device.capacity, "a pack that asked for all memory")
    soft_empty_cache()


def free_memory(memory_required: float, device: Any, keep_loaded: Any = (), *_: Any, **__: Any) -> list[Any]:
    """Models give back as much as makes so many bytes free."""
    place = rooms().get((torch.device(device or _DEVICE).type, torch.device(device or _DEVICE).index or 0))
    if place is not None:
        place.make_way(int(min(memory_required, place.device.capacity)), "a pack")
    soft_empty_cache()
    return []


def cleanup_models(*_: Any, **__: Any) -> None:
    """Nothing to do: see the top of this file."""


def cleanup_models_gc() -> None:
    gc.collect()


DISABLE_SMART_MEMORY = False
in_training = False


def unload_model_and_clones(
    model: Any, unload_additional_models: bool = True, all_devices: bool = False
) -> None:
    """Nothing to do: see the top of this file."""
    soft_empty_cache()


def raise_non_oom(error: BaseException) -> None:
    """Raises what is no lack of memory."""
    if not isinstance(error, OOM_EXCEPTIONS):
        raise error


def pick_weight_dtype(dtype: Any, fallback_dtype: Any, device: Any = None) -> Any:
    """The dtype asked for, where the device has it."""
    return dtype if dtype is not None and supports_dtype(device or _DEVICE, dtype) else fallback_dtype


def loaded_models(only_currently_used: bool = False) -> list[Any]:
    return []


def module_size(module: torch.nn.Module) -> int:
    return sum(t.nelement() * t.element_size() for t in module.state_dict().values())


def minimum_inference_memory() -> int:
    return 1 << 30


def extra_reserved_memory() -> int:
    return 400 << 20


def maximum_vram_for_weights(device: Any = None) -> float:
    return float(get_total_memory(device)) * 0.88


def is_device_type(device: Any, kind: str) -> bool:
    return getattr(device, "type", None) == kind


def is_device_cpu(device: Any) -> bool:
    return is_device_type(device, "cpu")


def is_device_mps(device: Any) -> bool:
    return is_device_type(device, "mps")


def is_device_cuda(device: Any) -> bool:
    return is_device_type(device, "cuda")


def is_nvidia() -> bool:
    return _DEVICE.type == "cuda" and torch.version.cuda is not None


def is_amd() -> bool:
    return _DEVICE.type == "cuda" and getattr(torch.version, "hip", None) is not None


def is_intel_xpu() -> bool:
    return _DEVICE.type == "xpu"


def is_directml_enabled() -> bool:
    return False


def cpu_mode() -> bool:
    return cpu_state == CPUState.CPU


def mps_mode() -> bool:
    return cpu_state == CPUState.MPS


def xformers_enabled() -> bool:
    return False


def xformers_enabled_vae() -> bool:
    return False


def sage_attention_enabled() -> bool:
    return False


def flash_attention_enabled() -> bool:
    return False


def pytorch_attention_enabled() -> bool:
    return True


def pytorch_attention_flash_attention() -> bool:
    return _DEVICE.type == "cuda"


def force_upcast_attention_dtype() -> None:
    return None


def interrupt_current_processing(value: bool = True) -> None:
    FLAG.set() if value else FLAG.clear()


def processing_interrupted() -> bool:
    return FLAG.is_set()


def throw_exception_if_processing_interrupted() -> None:
    """Raises the interruption that a user (or a pack) asked for."""
    from noderack_host.running import current_or_none

    running = current_or_none()
    if running is not None:
        running.interrupted()
    if FLAG.is_set():
        FLAG.clear()
        raise Interrupted
